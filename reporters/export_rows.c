/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export_rows.c - CSV and SQL: a capture as rows of tables.
 * Knows: quoting, columns. Does not know: where values come from.
 * Called by cmds/transform.c; calls base/. */
#include "reporters/export.h"
#include "base/buf.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

/* ---- CSV (RFC 4180) ------------------------------------------------------------------------ */

static void put_quoted(struct mt_buf *line, const char *s, char quote)
{
	for (; *s; s++) {
		if (*s == quote)
			mt_buf_put_char(line, quote);
		mt_buf_put_char(line, *s);
	}
}

/* Foreign text: made clean first, so that a row is a line and the file is UTF-8. ';' and '|'
 * stand between the parts of a stack; in a name they are \x3b and \x7c. */
static bool put_name(struct mt_buf *line, const char *s)
{
	auto_buf struct mt_buf clean = MT_BUF_INIT;
	mt_text_put_clean(&clean, s, strlen(s), MT_TEXT_FOLDED);
	mt_buf_put_char(&clean, '\0');
	if (clean.failed)
		return false;
	for (const char *p = (const char *)clean.data; *p; p++) {
		if (*p == '|')
			mt_buf_put_str(line, "\\x7c");
		else if (*p == '"')
			mt_buf_put_str(line, "\"\"");
		else
			mt_buf_put_char(line, *p);
	}
	return true;
}

static bool put_csv_stack(struct export *x, struct mt_buf *line)
{
	for (size_t k = 0; k < x->path.len; k++) {
		uint32_t frame = x->path.items[k];
		if (k)
			mt_buf_put_char(line, '|');
		if (!put_name(line, export_function(x, frame)))
			return false;
		mt_buf_put_char(line, ';');
		if (!put_name(line, export_place(x, frame)))
			return false;
		mt_buf_printf(line, ";%" PRIu32, export_frame(x, frame)->line);
	}
	return true;
}

static struct mt_error *csv_row(struct export *x, size_t i, struct mt_buf *line)
{
	const struct view_row *row = &x->r->views->rows[i];
	uint32_t tid = 0;
	const char *thread = capture_thread_name(x->r->cap, row->thread, &tid);
	struct mt_error *err = export_path(x, x->leaf[i]);
	if (err)
		return err;
	mt_buf_clear(line);
	mt_buf_printf(line, "%s,%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",\"",
		      wire_record_name(row->kind), row->count[x->r->view],
		      row->bytes[x->r->view], tid);
	if (!put_name(line, thread))
		return &mt_enomem;
	mt_buf_put_str(line, "\",\"");
	if (!put_csv_stack(x, line))
		return &mt_enomem;
	mt_buf_put_str(line, "\"\n");
	return mt_buf_error(line);
}

struct mt_error *export_csv(struct export *x, FILE *out, size_t *items_ret)
{
	const struct views *v = x->r->views;
	auto_buf struct mt_buf line = MT_BUF_INIT;
	struct mt_error *err = NULL;
	*items_ret = 0;
	fputs("allocator,num_allocations,size,tid,thread_name,stack_trace\n", out);
	for (size_t i = 0; !err && i < v->row_count && !ferror(out); i++) {
		if (!v->rows[i].count[x->r->view] && !v->rows[i].bytes[x->r->view])
			continue;
		err = csv_row(x, i, &line);
		if (!err)
			fwrite(line.data, 1, line.len, out);
		++*items_ret;
	}
	return err;
}

/* ---- SQL ----------------------------------------------------------------------------------- */

static const char schema[] =
	"CREATE TABLE frame (id INTEGER PRIMARY KEY, function TEXT, file TEXT, module TEXT,"
	" line INTEGER, language TEXT);\n"
	"CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES node,"
	" frame INTEGER REFERENCES frame);\n"
	"CREATE TABLE thread (id INTEGER PRIMARY KEY, tid INTEGER, name TEXT);\n"
	"CREATE TABLE allocation (node INTEGER REFERENCES node, thread INTEGER REFERENCES thread,"
	" allocator TEXT, allocated_bytes INTEGER, allocated_count INTEGER, peak_bytes INTEGER,"
	" peak_count INTEGER, leaked_bytes INTEGER, leaked_count INTEGER, temporary_bytes INTEGER,"
	" temporary_count INTEGER);\n"
	"CREATE TABLE memory (ns INTEGER, heap INTEGER, rss INTEGER);\n";

/* What each place allocated itself. */
static const char views_sql[] =
	"CREATE VIEW own AS SELECT frame.function, frame.file, frame.line,"
	" sum(allocated_bytes) AS allocated_bytes, sum(peak_bytes) AS peak_bytes,"
	" sum(leaked_bytes) AS leaked_bytes, sum(allocated_count) AS allocated_count"
	" FROM allocation JOIN node ON node.id = allocation.node JOIN frame ON frame.id = node.frame"
	" GROUP BY frame.id;\n";

static void put_sql_text(struct mt_buf *line, const char *s)
{
	auto_free char *clean = mt_text_clean(s);
	if (!clean)
		line->failed = true;
	mt_buf_put_char(line, '\'');
	put_quoted(line, clean ? clean : "", '\'');
	mt_buf_put_char(line, '\'');
}

static struct mt_error *flush_sql(struct mt_buf *line, FILE *out)
{
	struct mt_error *err = mt_buf_error(line);
	if (!err)
		fwrite(line->data, 1, line->len, out);
	mt_buf_clear(line);
	return err;
}

static struct mt_error *sql_frames(struct export *x, struct mt_buf *line, FILE *out)
{
	static const char *const languages[] = {
		[FRAME_NATIVE] = "native", [FRAME_PYTHON] = "Python", [FRAME_MARK] = "",
	};
	uint32_t count;
	struct mt_error *err = NULL;
	const struct tree_frame *f = tree_frames(x->tree, &count);
	for (uint32_t i = 1; !err && i < count; i++) {
		mt_buf_printf(line, "INSERT INTO frame VALUES(%" PRIu32 ",", i);
		put_sql_text(line, export_function(x, i));
		mt_buf_put_char(line, ',');
		put_sql_text(line, tree_string(x->tree, f[i].file));
		mt_buf_put_char(line, ',');
		put_sql_text(line, tree_string(x->tree, f[i].module));
		mt_buf_printf(line, ",%" PRIu32 ",'%s');\n", f[i].line, languages[f[i].kind]);
		err = flush_sql(line, out);
	}
	const struct tree_node *n = tree_nodes(x->tree, &count);
	for (uint32_t i = 1; !err && i < count; i++)
		if (n[i].parent)
			fprintf(out, "INSERT INTO node VALUES(%" PRIu32 ",%" PRIu32 ",%" PRIu32
				");\n", i, n[i].parent, n[i].frame);
		else
			fprintf(out, "INSERT INTO node VALUES(%" PRIu32 ",NULL,%" PRIu32 ");\n", i,
				n[i].frame);
	return err;
}

static struct mt_error *sql_threads(struct export *x, struct mt_buf *line, FILE *out)
{
	size_t count;
	const struct capture_thread *t = capture_threads(x->r->cap, &count);
	struct mt_error *err = NULL;
	for (size_t i = 0; !err && i < count; i++) {	/* a renamed thread comes again */
		mt_buf_printf(line, "INSERT OR REPLACE INTO thread VALUES(%" PRIu32 ",%" PRIu32 ",",
			      t[i].index, t[i].tid);
		put_sql_text(line, t[i].name);
		mt_buf_put_str(line, ");\n");
		err = flush_sql(line, out);
	}
	return err;
}

static void sql_rows(const struct export *x, FILE *out, size_t *items)
{
	static const enum view_kind order[] = { VIEW_ALLOCATED, VIEW_PEAK, VIEW_LEAKS,
						VIEW_TEMPORARY };
	const struct views *v = x->r->views;
	for (size_t i = 0; i < v->row_count && !ferror(out); i++) {
		const struct view_row *row = &v->rows[i];
		fprintf(out, "INSERT INTO allocation VALUES(%" PRIu32 ",%" PRIu32 ",'%s'",
			x->leaf[i], row->thread, wire_record_name(row->kind));
		for (unsigned k = 0; k < 4; k++)
			fprintf(out, ",%" PRIu64 ",%" PRIu64, row->bytes[order[k]],
				row->count[order[k]]);
		fputs(");\n", out);
		++*items;
	}
	for (size_t i = 0; i < v->point_count; i++)
		fprintf(out, "INSERT INTO memory VALUES(%" PRIu64 ",%" PRIu64 ",%" PRIu64 ");\n",
			capture_ticks_to_ns(x->r->cap, v->points[i].ticks), v->points[i].heap,
			v->points[i].rss);
}

struct mt_error *export_sql(struct export *x, FILE *out, size_t *items_ret)
{
	auto_buf struct mt_buf line = MT_BUF_INIT;
	*items_ret = 0;
	fprintf(out, "BEGIN;\n%s", schema);
	struct mt_error *err = sql_frames(x, &line, out);
	if (!err)
		err = sql_threads(x, &line, out);
	if (err)
		return err;
	sql_rows(x, out, items_ret);
	fprintf(out, "%sCOMMIT;\n", views_sql);
	return NULL;
}
