/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_text.c - numbers, foreign strings and JSON as text.
 * Knows: base/text.h. Does not know: reports.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text.h"

#include <string.h>

#define ROWS(a) (sizeof(a) / sizeof((a)[0]))

static void test_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" }, { 1, "1 B" }, { 1023, "1023 B" }, { 1024, "1.00 KiB" },
		{ 1536, "1.50 KiB" }, { 10235, "10.0 KiB" }, { 102300, "99.9 KiB" },
		{ 102400, "100 KiB" }, { 1048063, "1023 KiB" }, { 1048575, "1.00 MiB" },
		{ 1572864, "1.50 MiB" }, { 5ull << 30, "5.00 GiB" }, { 1ull << 40, "1.00 TiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char buf[MT_TEXT_MAX];
		assert_string_equal(mt_text_size(buf, rows[i].bytes), rows[i].text);
	}
}

static void test_count(void **state)
{
	static const struct {
		uint64_t count;
		const char *text;
	} rows[] = {
		{ 0, "0" }, { 999, "999" }, { 1000, "1,000" }, { 123456, "123,456" },
		{ 1234567, "1,234,567" }, { UINT64_MAX, "18,446,744,073,709,551,615" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char buf[MT_TEXT_MAX];
		assert_string_equal(mt_text_count(buf, rows[i].count), rows[i].text);
	}
}

static void test_percent(void **state)
{
	static const struct {
		uint64_t part, whole;
		const char *text;
	} rows[] = {
		{ 0, 0, "0.0%" }, { 5, 0, "0.0%" }, { 0, 10, "0.0%" }, { 1, 10, "10.0%" },
		{ 10, 10, "100.0%" }, { 1, 3, "33.3%" }, { 1, 100000, "<0.1%" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char buf[MT_TEXT_MAX];
		assert_string_equal(mt_text_percent(buf, rows[i].part, rows[i].whole),
				    rows[i].text);
	}
}

static void test_duration(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
		{ 0, "0 ns" }, { 999, "999 ns" }, { 1500, "1.5 us" }, { 999949, "999.9 us" },
		{ 999950, "1.0 ms" }, { 250000000, "250.0 ms" }, { 30000000000, "30.0 s" },
		{ 59940000000, "59.9 s" }, { 59960000000, "1m 00s" }, { 302000000000, "5m 02s" },
		{ 3723000000000, "1h 02m 03s" }, { UINT64_MAX, "5124095h 34m 33s" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char buf[MT_TEXT_MAX];
		assert_string_equal(mt_text_duration(buf, rows[i].ns), rows[i].text);
	}
}

static void test_time(void **state)
{
	char buf[MT_TEXT_MAX];
	(void)state;
	assert_string_equal(mt_text_time(buf, 0), "1970-01-01 00:00:00.000000+00:00");
	assert_string_equal(mt_text_time(buf, 1700000000123456789ull),
			    "2023-11-14 22:13:20.123456+00:00");
	assert_true(strlen(mt_text_time(buf, UINT64_MAX)) < MT_TEXT_MAX);
}

#define S(text) text, sizeof(text) - 1

static void test_clean(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		unsigned flags;
		const char *out;
	} rows[] = {
		{ S("plain; \\ text"), 0, "plain; \\ text" },
		{ S("a\nb\tc\rd"), 0, "a\\nb\\tc\\rd" },
		{ S("a\nb\tc"), MT_TEXT_KEEP_NEWLINE, "a\nb\tc" },
		{ S("\x1b[31mred\x07"), 0, "\\x1b[31mred\\x07" },
		{ S("nul\0byte"), 0, "nul\\x00byte" },
		{ S("\x7f\xc2\x9bm"), 0, "\\x7f\\x9bm" },	/* DEL and the C1 CSI */
		{ S("gr\xc3\xbc\xc3\x9f"), 0, "gr\xc3\xbc\xc3\x9f" },
		{ S("\xff\xc0\x80\xed\xa0\x80"), 0, "\\xff\\xc0\\x80\\xed\\xa0\\x80" },
		{ S("cut \xe2\x82"), 0, "cut \\xe2\\x82" },
		{ S("\xf4\x90\x80\x80\xfb"), 0, "\\xf4\\x90\\x80\\x80\\xfb" },
		{ S("x\xe2\x80\xaey"), 0, "x\\u202ey" },		/* right-to-left override */
		{ S("tag\xf3\xa0\x81\x81"), 0, "tag\\U000e0041" },
		{ S("a;b\\c\n"), MT_TEXT_FOLDED, "a\\x3bb\\\\c\\n" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		mt_text_put_clean(&buf, rows[i].in, rows[i].len, rows[i].flags);
		auto_free char *got = mt_buf_take_str(&buf);
		assert_string_equal(got, rows[i].out);
	}
}

static void test_fitted(void **state)
{
	static const struct {
		const char *in;
		size_t width;
		bool pad;
		const char *out;
	} rows[] = {
		{ "short", 8, true, "short   " },
		{ "short", 8, false, "short" },
		{ "exact", 5, true, "exact" },
		{ "abcdefghij", 7, true, "abc\xe2\x80\xa6hij" },
		{ "abcdefghij", 6, true, "ab\xe2\x80\xa6hij" },
		{ "abcdefghij", 1, true, "\xe2\x80\xa6" },
		{ "abcdefghij", 0, true, "" },
		{ "\xe4\xb8\xad\xe6\x96\x87", 4, true, "\xe4\xb8\xad\xe6\x96\x87" },
		/* three wide characters into five columns: one, the ellipsis, one */
		{ "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97", 5, true,
		  "\xe4\xb8\xad\xe2\x80\xa6\xe5\xad\x97" },
		/* into four: nothing fits before the ellipsis, a column stays over */
		{ "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97", 4, true, "\xe2\x80\xa6\xe5\xad\x97 " },
		{ "e\xcc\x81" "abc", 4, true, "e\xcc\x81" "abc" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		mt_text_put_fitted(&buf, rows[i].in, rows[i].width, rows[i].pad);
		auto_free char *got = mt_buf_take_str(&buf);
		assert_string_equal(got, rows[i].out);
		if (rows[i].pad)
			assert_int_equal(mt_text_width(got), rows[i].width);
	}
}

static void test_command(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} rows[] = {
		{ S(""), "" },
		{ S("python3\0app.py\0--x=1\0"), "python3 app.py --x=1" },
		{ S("sh\0-c\0echo 'a b' $x\0"), "sh -c 'echo '\\''a b'\\'' $x'" },
		{ S("prog\0\0last\0"), "prog '' last" },
		{ S("nginx: worker process"), "nginx: worker process" },
		{ S("prog\0a\x1b]0;evil\x07\0"), "prog 'a\\x1b]0;evil\\x07'" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		auto_free char *got = mt_text_command(rows[i].in, rows[i].len);
		assert_string_equal(got, rows[i].out);
	}
}

static void write_sample(struct mt_json *j)
{
	mt_json_open(j, NULL, '{');
	mt_json_u64(j, "n", UINT64_MAX);
	mt_json_str(j, "quote\"", "a\\b\n\x01</script>\xff\xe2\x80\xa8\xc3\xbc");
	mt_json_open(j, "list", '[');
	mt_json_double(j, NULL, 0.5);
	mt_json_bool(j, NULL, true);
	mt_json_null(j, NULL);
	mt_json_open(j, NULL, '{');
	mt_json_close(j);
	mt_json_close(j);
	mt_json_double(j, "inf", 1e308 * 10);
	mt_json_str(j, "none", NULL);
	mt_json_close(j);
}

static void test_json(void **state)
{
	static const char compact[] =
		"{\"n\":18446744073709551615,\"quote\\\"\":\"a\\\\b\\n\\u0001</script>\\ufffd"
		"\\u2028\xc3\xbc\",\"list\":[0.5,true,null,{}],\"inf\":null,\"none\":null}\n";
	static const char pretty[] =
		"{\n  \"n\": 18446744073709551615,\n"
		"  \"quote\\\"\": \"a\\\\b\\n\\u0001</script>\\ufffd\\u2028\xc3\xbc\",\n"
		"  \"list\": [\n    0.5,\n    true,\n    null,\n    {}\n  ],\n"
		"  \"inf\": null,\n  \"none\": null\n}\n";
	(void)state;
	for (int round = 0; round < 2; round++) {
		char *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);
		struct mt_json j = mt_json_make(out, round);
		write_sample(&j);
		fclose(out);
		assert_string_equal(text, round ? pretty : compact);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size), cmocka_unit_test(test_count),
		cmocka_unit_test(test_percent), cmocka_unit_test(test_duration),
		cmocka_unit_test(test_time), cmocka_unit_test(test_clean),
		cmocka_unit_test(test_fitted), cmocka_unit_test(test_command),
		cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
