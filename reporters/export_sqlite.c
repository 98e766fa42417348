/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export_sqlite.c - a capture as a database file of SQLite.
 * Knows: libsqlite3, loaded on demand. Does not know: tables and columns (export_rows.c does).
 * Called by cmds/transform.c; calls export_sql(). */
#include "reporters/export.h"

#include "base/cleanup.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define SONAME "libsqlite3.so.0"

/* What is needed of <sqlite3.h>, so that building and other commands do without it. */
struct sqlite {
	int (*open)(const char *name, void **db_ret);
	int (*exec)(void *db, const char *sql, void *callback, void *arg, char **message_ret);
	unsigned char *(*serialize)(void *db, const char *schema, int64_t *size_ret, unsigned flags);
	const char *(*errmsg)(void *db);
	void (*free)(void *p);
	int (*close)(void *db);
};

static struct mt_error *load(struct sqlite *ret)
{
	static const char *const names[] = { "sqlite3_open", "sqlite3_exec", "sqlite3_serialize",
					     "sqlite3_errmsg", "sqlite3_free", "sqlite3_close" };
	void *functions[sizeof(names) / sizeof(names[0])];
	_Static_assert(sizeof(functions) == sizeof(*ret), "one pointer a function");
	void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return mt_error_hint(mt_error_create(MT_ERROR_OTHER, "cannot load " SONAME),
				     "install libsqlite3-0, or give the statements that 'transform sql' "
				     "writes to sqlite3");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		functions[i] = dlsym(library, names[i]);
		if (!functions[i])
			return mt_error_create(MT_ERROR_OTHER, SONAME " has no %s", names[i]);
	}
	memcpy(ret, functions, sizeof(*ret));
	return NULL;
}

static struct mt_error *statements(struct export *x, char **ret, size_t *items_ret)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return &mt_enomem;
	struct mt_error *err = export_sql(x, out, items_ret);
	bool failed = ferror(out);
	if (fclose(out) || failed)
		err = err ? err : &mt_enomem;
	if (err)
		free(text);
	else
		*ret = text;
	return err;
}

/* Made in memory: the output may be a pipe, and it appears whole or not at all. */
static struct mt_error *make(const struct sqlite *s, void *db, const char *sql, FILE *out)
{
	int64_t size = 0;
	unsigned char *file = s->exec(db, sql, NULL, NULL, NULL) ? NULL :
			      s->serialize(db, "main", &size, 0);
	if (!file)
		return mt_error_create(MT_ERROR_OTHER, "cannot make the database: %s", s->errmsg(db));
	fwrite(file, 1, (size_t)size, out);
	s->free(file);
	return NULL;
}

struct mt_error *export_sqlite(struct export *x, FILE *out, size_t *items_ret)
{
	struct sqlite s = { 0 };
	auto_free char *sql = NULL;
	void *db = NULL;
	struct mt_error *err = load(&s);
	if (!err)
		err = statements(x, &sql, items_ret);
	if (err)
		return err;
	if (s.open(":memory:", &db))
		err = mt_error_create(MT_ERROR_OTHER, "cannot make a database in memory");
	else
		err = make(&s, db, sql, out);
	s.close(db);
	return err;
}
