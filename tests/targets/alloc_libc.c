/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_libc.c - blocks that libc allocates for the program.
 * Knows: exact sizes of strdup and friends; only lower bounds of the rest. Does not know: memtrace.
 * Used by tests/e2e/test_exact_libc.py. */
/* Besides "site" lines (exact) it prints "about FUNCTION LINE WHAT min-count min-bytes leaked-count":
 * what libc asks for there is its own business, but at least this much. */
#include "alloc_ledger.h"

#include <dirent.h>
#include <limits.h>
#include <wchar.h>

static void *volatile sink;
static char text[10001];

#define ABOUT(what, count, bytes, leaked) \
	ledger_say("about %s %d %s %d %d %d\n", __func__, __LINE__, what, count, bytes, leaked)

static NOINLINE void use_strdup(void)
{
	sink = GOT("strdup", strdup(text), 10001);
	sink = GOT("strndup", strndup(text, 700), 701);
	char *p = (char *)GOT("strdup", strdup("gone"), 5);
	GONE(p);
	free(p);
	sink = GOT("wcsdup", wcsdup(L"wide"), 5 * sizeof(wchar_t));
}

static NOINLINE void use_asprintf(void)
{
	char *p;
	if (asprintf(&p, "%s-%d", text, 5) < 0) ledger_die("asprintf"); ABOUT("asprintf", 1, 10003, 1);
	sink = p;
}

static NOINLINE void use_file(void)
{
	FILE *f = fopen("/proc/self/status", "r"); ABOUT("fopen", 1, 400, 0);
	char *line = NULL;
	size_t size = 0;
	if (getline(&line, &size, f) < 0) ledger_die("getline"); ABOUT("getline", 2, 120, 1);
	sink = line;
	fclose(f);
}

static NOINLINE void use_memstream(void)
{
	char *data;
	size_t size;
	FILE *f = open_memstream(&data, &size); ABOUT("open_memstream", 2, 400, 0);
	fwrite(text, 1, 10000, f); ABOUT("fwrite", 1, 10000, 0);
	fclose(f); ABOUT("its-fclose", 1, 10001, 1);
	if (size != 10000)
		ledger_die("open_memstream");
	sink = data;
}

static NOINLINE void use_paths(void)
{
	sink = getcwd(NULL, 0); ABOUT("getcwd", 1, 1, 1);
	sink = realpath("/usr/bin/env", NULL); ABOUT("realpath", 1, 4, 1);
	DIR *d = opendir("/"); ABOUT("opendir", 1, 32768, 0);
	if (!d)
		ledger_die("opendir");
	closedir(d);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static NOINLINE void use_qsort(void)
{
	static char rows[1000][16];
	for (int i = 0; i < 1000; i++)
		rows[i][0] = (char)(i * 37);
	qsort(rows, 1000, 16, compare); ABOUT("qsort", 1, 16000, 0);
}

int main(void)
{
	memset(text, 'x', sizeof(text) - 1);
	ledger_wait("ready");
	use_strdup();
	use_asprintf();
	use_file();
	use_memstream();
	use_paths();
	use_qsort();
	ledger_print();
	ledger_wait("done");
	return 0;
}
