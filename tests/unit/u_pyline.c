/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_pyline.c - lines of Python instructions are those the interpreter itself says.
 * Knows: symbolize/pyline.h, how to ask an interpreter. Does not know: captures. */
#include "symbolize/pyline.h"

#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static void test_formats(void **state)
{
	(void)state;
	static const struct {
		const char *version;
		int format;		/* -1: refused */
	} rows[] = {
		{ "3.6", PYLINE_LNOTAB }, { "3.7", PYLINE_LNOTAB }, { "3.9", PYLINE_LNOTAB },
		{ "3.9.18", PYLINE_LNOTAB }, { "3.10", PYLINE_PAIRS }, { "3.11", PYLINE_LOCATIONS },
		{ "3.12.1", PYLINE_LOCATIONS }, { "3.13t", PYLINE_LOCATIONS },
		{ "3.14", PYLINE_LOCATIONS }, { "2.7", -1 }, { "4.0", -1 }, { "", -1 },
		{ "3", -1 }, { "3.", -1 }, { "3.x", -1 }, { "3.-1", -1 }, { "unknown", -1 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum pyline_format f = PYLINE_LNOTAB;
		bool ok = pyline_format_of(rows[i].version, &f);
		if (ok != (rows[i].format >= 0) || (ok && (int)f != rows[i].format))
			fail_msg("'%s': %d, %d", rows[i].version, ok, (int)f);
	}
}

/* ---- rows ---- */

#define TABLE(...) { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ })
#define HEAD(code, units) (0x80 | (code) << 3 | ((units) - 1))

static const struct row {
	const char *what;
	enum pyline_format format;
	uint8_t table[24];
	size_t size;
	uint32_t first_line, offset, line;
} rows[] = {
	{ "no table", PYLINE_LNOTAB, { 0 }, 0, 7, 0, 7 },
	{ "before the first pair", PYLINE_LNOTAB, TABLE(4, 1, 4, 1), 7, 2, 7 },
	{ "at a pair", PYLINE_LNOTAB, TABLE(4, 1, 4, 1), 7, 4, 8 },
	{ "after the last", PYLINE_LNOTAB, TABLE(4, 1, 4, 1), 7, 400, 9 },
	{ "backwards", PYLINE_LNOTAB, TABLE(4, 5, 4, 0xfd), 7, 8, 9 },
	{ "long line jumps", PYLINE_LNOTAB, TABLE(6, 127, 0, 127, 0, 1), 1, 6, 256 },
	{ "long byte jumps", PYLINE_LNOTAB, TABLE(255, 0, 1, 1), 1, 255, 1 },
	{ "half a pair", PYLINE_LNOTAB, TABLE(4, 1, 4), 7, 8, 8 },
	{ "below line 1", PYLINE_LNOTAB, TABLE(4, 0x80), 7, 4, 0 },

	{ "no table", PYLINE_PAIRS, { 0 }, 0, 7, 0, 0 },
	{ "first range", PYLINE_PAIRS, TABLE(4, 0, 6, 2), 7, 2, 7 },
	{ "second range", PYLINE_PAIRS, TABLE(4, 0, 6, 2), 7, 4, 9 },
	{ "after the end", PYLINE_PAIRS, TABLE(4, 0, 6, 2), 7, 10, 0 },
	{ "no line", PYLINE_PAIRS, TABLE(4, 0x80, 6, 2), 7, 0, 0 },
	{ "after no line", PYLINE_PAIRS, TABLE(4, 0x80, 6, 2), 7, 4, 9 },
	{ "empty range moves the line", PYLINE_PAIRS, TABLE(0, 127, 4, 3), 1, 0, 131 },
	{ "below line 1", PYLINE_PAIRS, TABLE(4, 0x81), 7, 0, 0 },

	{ "no table", PYLINE_LOCATIONS, { 0 }, 0, 7, 0, 0 },
	{ "short form", PYLINE_LOCATIONS, TABLE(HEAD(0, 2), 0x12), 7, 2, 7 },
	{ "past it", PYLINE_LOCATIONS, TABLE(HEAD(0, 2), 0x12), 7, 4, 0 },
	{ "one line, delta 2", PYLINE_LOCATIONS, TABLE(HEAD(12, 1), 1, 2), 7, 0, 9 },
	{ "no columns", PYLINE_LOCATIONS, TABLE(HEAD(13, 1), 3), 7, 0, 6 },
	{ "no columns, two-byte delta", PYLINE_LOCATIONS, TABLE(HEAD(13, 1), 64, 3), 7, 0, 103 },
	{ "long form", PYLINE_LOCATIONS, TABLE(HEAD(14, 1), 8, 0, 1, 2), 7, 0, 11 },
	{ "none", PYLINE_LOCATIONS, TABLE(HEAD(15, 8), HEAD(0, 1), 0), 7, 14, 0 },
	{ "after none", PYLINE_LOCATIONS, TABLE(HEAD(15, 8), HEAD(0, 1), 0), 7, 16, 7 },
	{ "long form, cut", PYLINE_LOCATIONS, TABLE(HEAD(14, 1), 8, 0, 1), 7, 0, 0 },
	{ "endless number", PYLINE_LOCATIONS, TABLE(HEAD(13, 1), 127, 127, 127, 127, 127, 127,
						    127, 127, 127, 127, 127, 127, 127, 127),
	  7, 0, 0 },
	{ "not an entry", PYLINE_LOCATIONS, TABLE(0x10, 0), 7, 0, 0 },
	{ "below line 1", PYLINE_LOCATIONS, TABLE(HEAD(13, 1), 17), 7, 0, 0 },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		uint32_t line = pyline_lookup(r->format, r->table, r->size, r->first_line, r->offset);
		if (line != r->line)
			fail_msg("%s (format %d): %u, not %u", r->what, (int)r->format, line, r->line);
	}
}

/* ---- what interpreters say of themselves ---- */

/* Prints every code object of some modules of the standard library and of a text full of odd
 * layouts: its table, and the line of every instruction by the interpreter's own account. */
static const char script[] =
	"import sys, importlib.util, io\n"
	"odd = 'def f(a, b=[\\n 1,\\n 2]):\\n  x = (a +\\n\\n\\n   b)\\n  return {\\n"
	"   k: v\\n    for k, v in\\n     a if k}\\n' + '\\n' * 300 + 'class C:\\n  @property\\n"
	"  def p(self):\\n    try:\\n      return [y for\\n        y in self]\\n    finally:\\n"
	"      del self\\n' + 'async def g():\\n  async with a as b, \\\\\\n   c as d:\\n    await b\\n"
	"  l = lambda: (\\n   yield)\\n' + 'z = (' + '1 +' * 400 + '\\n' * 200 + 'f(\\n' + '\\n' * 150 +"
	" '2))\\n'\n"
	"def walk(code):\n"
	"  yield code\n"
	"  for c in code.co_consts:\n"
	"    if isinstance(c, type(code)): yield from walk(c)\n"
	"def ranges(code):\n"
	"  n = len(code.co_code)\n"
	"  if hasattr(code, 'co_lines'):\n"
	"    return [(a, b, l or 0) for a, b, l in code.co_lines()]\n"
	"  import dis\n"
	"  starts = list(dis.findlinestarts(code))\n"
	"  return [(s, e, l) for (s, l), e in zip(starts, [x for x, _ in starts[1:]] + [n])]\n"
	"out = io.StringIO()\n"
	"def dump(code):\n"
	"  for c in walk(code):\n"
	"    t = c.co_linetable if hasattr(c, 'co_linetable') else c.co_lnotab\n"
	"    r = [x for x in ranges(c) if x[0] < x[1]]\n"
	"    out.write('%d %d %s\\n' % (c.co_firstlineno, len(r), t.hex() or '-'))\n"
	"    for x in r: out.write('%d %d %d\\n' % x)\n"
	"dump(compile(odd, 'odd', 'exec'))\n"
	"for name in ('argparse', 'inspect', 'typing', 'tarfile', 'asyncio.base_events',\n"
	"             'dataclasses', 'unittest.mock', 'decimal', '_pydecimal'):\n"
	"  try: loader = importlib.util.find_spec(name).loader\n"
	"  except Exception: continue\n"
	"  code = loader.get_code(name)\n"
	"  if code: dump(code)\n"
	"sys.stdout.write('%d.%d\\n' % sys.version_info[:2] + out.getvalue())\n";

struct account {
	unsigned codes, instructions, wrong;
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	for (; isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]); hex += 2)
		out[n++] = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
	return n;
}

static void check_code(FILE *in, char *line, enum pyline_format format, struct account *a)
{
	static uint8_t table[1 << 20];
	unsigned first, count, low, high, want;
	int at = 0;
	char range[128];
	assert_int_equal(sscanf(line, "%u %u %n", &first, &count, &at), 2);
	assert_true(strlen(line + at) < 2 * sizeof(table));
	size_t size = unhex(line + at, table);
	a->codes++;
	for (unsigned i = 0; i < count; i++) {
		assert_non_null(fgets(range, sizeof(range), in));
		assert_int_equal(sscanf(range, "%u %u %u", &low, &high, &want), 3);
		for (unsigned offset = low; offset < high; offset += 2) {
			uint32_t got = pyline_lookup(format, table, size, first, offset);
			a->instructions++;
			if (got != want && a->wrong++ < 5)
				print_error("code at line %u, offset %u: %u, not %u\n", first,
					    offset, got, want);
		}
	}
}

/* False when it does not run. */
static bool check_interpreter(const char *python)
{
	char command[512], path[] = "/tmp/memtrace-pyline.XXXXXX", *line = NULL;
	size_t cap = 0;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, script, strlen(script)), strlen(script));
	close(fd);
	snprintf(command, sizeof(command), "'%s' -I -S -W ignore %s", python, path);
	FILE *in = popen(command, "r");
	assert_non_null(in);
	struct account a = { 0 };
	enum pyline_format format = PYLINE_LNOTAB;
	bool runs = getline(&line, &cap, in) > 0 && pyline_format_of(line, &format);
	if (runs)
		line[strcspn(line, "\n")] = 0;
	char version[16];
	snprintf(version, sizeof(version), "%s", runs ? line : "");
	while (runs && getline(&line, &cap, in) > 0)
		check_code(in, line, format, &a);
	free(line);
	int status = pclose(in);
	unlink(path);
	if (!runs)
		return false;
	print_message("%s (%s): %u code objects, %u instructions, %u wrong\n", python, version, a.codes,
		      a.instructions, a.wrong);
	assert_int_equal(status, 0);
	assert_true(a.codes > 200 && a.instructions > 10000);
	assert_int_equal(a.wrong, 0);
	return true;
}

static void test_this_python(void **state)
{
	(void)state;
	if (!check_interpreter("/usr/bin/python3"))
		skip();
}

static void test_other_pythons(void **state)
{
	(void)state;
	glob_t found = { 0 };
	unsigned tried = 0;
	char pattern[256];
	const char *home = getenv("HOME");
	snprintf(pattern, sizeof(pattern), "%s/.pyenv/versions/3.*/bin/python3", home ? home : "");
	if (!glob(pattern, 0, NULL, &found))
		for (size_t i = 0; i < found.gl_pathc; i++)
			tried += check_interpreter(found.gl_pathv[i]);
	globfree(&found);
	if (!tried)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_this_python),
		cmocka_unit_test(test_other_pythons),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
