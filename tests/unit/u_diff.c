/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_diff.c - which functions of two builds are the same, and what changed.
 * Knows: reporters/diff.h. Does not know: commands.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reporters/diff.h"
#include "tests/unit/synthetic.h"

static void test_keys(void **state)
{
	static const char *const rows[][2] = {
		{ "main at /src/main.c", "main at main.c" },
		{ "main at main.c", "main at main.c" },
		{ "f.isra.0 at /a/b.c", "f at b.c" },
		{ "f.part.1.constprop.12.cold at b.c", "f at b.c" },
		{ "f [clone .cold] at b.c", "f at b.c" },
		{ "Class.method at app.py", "Class.method at app.py" },
		{ "a.b.c.d at /x.py", "a.b.c.d at x.py" },
		{ ".hidden at x.c", ".hidden at x.c" },
		{ "0x4fb51b at python3.11", "(no name) at python3.11" },
		{ "0x at libx.so", "0x at libx.so" },
		{ "g at libfoo.so.1.2.3", "g at libfoo.so" },
		{ "g at libfoo.sock", "g at libfoo.sock" },
		{ "look at me at /x/y.py", "look at me at y.py" },
		{ "<unknown>", "<unknown>" },
		{ "", "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_buf struct mt_buf key = MT_BUF_INIT;
		diff_key(rows[i][0], &key);
		auto_free char *text = mt_buf_take_str(&key);
		assert_string_equal(text, rows[i][1]);
	}
}

/* The same program twice; the second is another build and allocates otherwise. */
static void make(struct synthetic *s, bool second)
{
	synthetic_begin(s);
	uint32_t same = synthetic_native(s, "same", second ? "/b2/x.c" : "/b1/x.c",
					 second ? 17 : 12, 0);
	uint32_t more = synthetic_native(s, second ? "more.isra.0" : "more", "m.c", 1, 0);
	uint32_t only = synthetic_native(s, second ? "new</b>\033[1m" : "old", "o.c", 1, 0);
	const uint32_t frames[3] = { same, more, only };
	const uint64_t sizes[3] = { 100, second ? 5000 : 1000, 70 };
	for (unsigned i = 0; i < 3; i++)
		synthetic_event(s, WIRE_REC_MALLOC, 0x1000 * (i + 1), sizes[i],
				synthetic_stack(s, (uint32_t[]){ frames[i], 0 },
						(uint32_t[]){ 0 }, 0), 1);
	synthetic_end(s, true);
}

static void test_changes(void **state)
{
	struct synthetic a, b;
	auto_report struct report base = { 0 }, new = { 0 };
	auto_diff struct diff d = { 0 };
	const struct diff_options plain = { .width = 100 }, colored = { .width = 60, .color = true };
	(void)state;
	make(&a, false);
	make(&b, true);
	synthetic_open(&a, VIEW_LEAKS, METRIC_BYTES, false, &base);
	synthetic_open(&b, VIEW_LEAKS, METRIC_BYTES, false, &new);
	synthetic_ok(diff_compute(&base, &new, &d));
	assert_int_equal(d.rows.len, 4);
	assert_string_equal(d.rows.items[0].name, "more at m.c");
	assert_int_equal(d.rows.items[0].bytes[0], 1000);
	assert_int_equal(d.rows.items[0].bytes[1], 5000);
	assert_string_equal(d.rows.items[3].name, "same at x.c");
	for (unsigned side = 0; side < 2; side++) {
		uint64_t sum = 0;
		for (size_t i = 0; i < d.rows.len; i++)
			sum += d.rows.items[i].bytes[side];
		assert_int_equal(sum, d.r[side]->views->total_bytes[VIEW_LEAKS]);
	}
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	synthetic_ok(diff_write_text(&d, &plain, out));
	fflush(out);
	assert_non_null(strstr(text, "1000 B  4.88 KiB  +3.91 KiB   +400.0%"));
	assert_non_null(strstr(text, "    gone      -1\n"));
	assert_non_null(strstr(text, "     new      +1\n"));
	assert_non_null(strstr(text, "1 more function: no change\n"));
	assert_null(strchr(text, '\033'));
	synthetic_ok(diff_write_text(&d, &colored, out));
	fflush(out);
	assert_non_null(strstr(text, "\033[38;5;208m"));
	assert_non_null(strstr(text, "\033[38;5;33m"));
	fclose(out);
	free(text);
	synthetic_remove(&a);
	synthetic_remove(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
