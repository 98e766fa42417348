/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_folded.c - folded stacks, to the letter.
 * Knows: reporters/folded.h. Does not know: commands.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reporters/folded.h"
#include "tests/unit/synthetic.h"

static char *folded(const struct synthetic *s, enum view_kind view, enum report_metric metric,
		    bool split, size_t *lines_ret)
{
	auto_report struct report r = { 0 };
	struct folded_options options = { 0 };
	char *text = NULL;
	size_t size = 0;
	synthetic_open(s, view, metric, split, &r);
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	synthetic_ok(folded_write(&r, &options, out, lines_ret));
	fclose(out);
	return text;
}

static void expect(const struct synthetic *s, enum view_kind view, enum report_metric metric,
		   bool split, const char *want)
{
	size_t lines = 0, newlines = 0;
	auto_free char *got = folded(s, view, metric, split, &lines);
	for (const char *p = got; *p; p++)
		newlines += *p == '\n';
	assert_string_equal(got, want);
	assert_int_equal(lines, newlines);
}

#define NATIVE(...) (const uint32_t[]){ __VA_ARGS__, 0 }
#define PYTHON(...) (const uint32_t[]){ __VA_ARGS__, 0 }
#define NONE ((const uint32_t[]){ 0 })

static void test_lines(void **state)
{
	struct synthetic s;
	(void)state;
	synthetic_begin(&s);
	uint32_t main_ = synthetic_native(&s, "main", "main.c", 10, 0);
	uint32_t other_line = synthetic_native(&s, "main", "main.c", 11, 0);
	uint32_t same = synthetic_native(&s, "main", "main.c", 10, 0);
	uint32_t plain = synthetic_native(&s, "helper", NULL, 0, 3);
	uint32_t evil = synthetic_native(&s, "a;b\n\x1b[2J\\", "x;y.c", 3, 0);
	uint32_t py = synthetic_python(&s, "f", "app.py", 3);
	uint32_t py2 = synthetic_python(&s, "Class.g", "lib/x.py", 40);
	const uint32_t stacks[] = {
		synthetic_stack(&s, NATIVE(main_, plain), NONE, 0),
		synthetic_stack(&s, NATIVE(same, plain), NONE, 0),
		synthetic_stack(&s, NATIVE(other_line), NONE, 0),
		synthetic_stack(&s, NONE, PYTHON(py, py2), 0),
		synthetic_stack(&s, NATIVE(evil), NONE, 0),
		synthetic_stack(&s, NATIVE(plain), NONE, WIRE_STACK_TRUNCATED),
		synthetic_stack(&s, NONE, NONE, 0),
		synthetic_stack(&s, NATIVE(main_), NONE, 0),
	};
	for (unsigned i = 0; i < 8; i++)
		synthetic_event(&s, WIRE_REC_MALLOC, 0x1000 * (i + 1), 1ull << i, stacks[i], 1);
	synthetic_event(&s, WIRE_REC_CALLOC, 0x9000, 0, stacks[2], 2);	/* no bytes, one block */
	synthetic_event(&s, WIRE_REC_FREE, 0x4000, 0, 0, 1);
	synthetic_end(&s, true);
	/* Equal lines of different frames are one; a stack that is the beginning of another keeps
	 * its own line; what was freed is in no leak. */
	expect(&s, VIEW_LEAKS, METRIC_BYTES, false,
	       "<truncated>;helper (libfoo.so.1) 32\n"
	       "<unknown> 64\n"
	       "a\\x3bb\\n\\x1b[2J\\\\ (x\\x3by.c:3) 16\n"
	       "main (main.c:10) 128\n"
	       "main (main.c:10);helper (libfoo.so.1) 3\n"
	       "main (main.c:11) 4\n");
	expect(&s, VIEW_ALLOCATED, METRIC_COUNT, false,
	       "<truncated>;helper (libfoo.so.1) 1\n"
	       "<unknown> 1\n"
	       "a\\x3bb\\n\\x1b[2J\\\\ (x\\x3by.c:3) 1\n"
	       "f (app.py:3);Class.g (lib/x.py:40) 1\n"
	       "main (main.c:10) 1\n"
	       "main (main.c:10);helper (libfoo.so.1) 2\n"
	       "main (main.c:11) 2\n");
	expect(&s, VIEW_ALLOCATED, METRIC_COUNT, true,
	       "main [4711];<truncated>;helper (libfoo.so.1) 1\n"
	       "main [4711];<unknown> 1\n"
	       "main [4711];a\\x3bb\\n\\x1b[2J\\\\ (x\\x3by.c:3) 1\n"
	       "main [4711];f (app.py:3);Class.g (lib/x.py:40) 1\n"
	       "main [4711];main (main.c:10) 1\n"
	       "main [4711];main (main.c:10);helper (libfoo.so.1) 2\n"
	       "main [4711];main (main.c:11) 1\n"
	       "wor\\x3bker [4712];main (main.c:11) 1\n");
	synthetic_remove(&s);
}

static void test_empty(void **state)
{
	struct synthetic s;
	(void)state;
	synthetic_begin(&s);
	synthetic_end(&s, true);
	for (int view = 0; view < VIEW_COUNT; view++)
		expect(&s, (enum view_kind)view, METRIC_BYTES, view & 1, "");
	synthetic_remove(&s);
}

/* 5,000 frames deep: neither recursion nor quadratic memory. */
static void test_deep(void **state)
{
	enum { DEPTH = 5000 };
	struct synthetic s;
	uint32_t frames[DEPTH + 1] = { 0 };
	(void)state;
	synthetic_begin(&s);
	frames[0] = synthetic_native(&s, "main", "main.c", 1, 0);
	frames[1] = synthetic_native(&s, "down", "main.c", 2, 0);
	for (int i = 2; i < DEPTH; i++)
		frames[i] = frames[1];
	synthetic_event(&s, WIRE_REC_MALLOC, 0x1000, 7, synthetic_stack(&s, frames, NONE, 0), 1);
	synthetic_end(&s, true);
	size_t lines = 0;
	auto_free char *got = folded(&s, VIEW_PEAK, METRIC_BYTES, false, &lines);
	assert_int_equal(lines, 1);
	unsigned down = 0;
	for (const char *p = got; (p = strstr(p, ";down (main.c:2)")); p++)
		down++;
	assert_int_equal(down, DEPTH - 1);
	assert_string_equal(got + strlen(got) - 3, " 7\n");
	synthetic_remove(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_empty),
		cmocka_unit_test(test_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
