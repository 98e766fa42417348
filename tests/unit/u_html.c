/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_html.c - escaping, packing and hashing of pages, against known values.
 * Knows: reporters/html.h, zlib. Does not know: what the pages show. */
#include "reporters/html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static const char *text_of(struct mt_buf *buf)
{
	mt_buf_put_char(buf, '\0');
	assert_false(buf->failed);
	return (const char *)buf->data;
}

static void test_escape(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "</script><img src=\"x\" onerror='1'>&amp;",
		  "&lt;/script&gt;&lt;img src=&quot;x&quot; onerror=&#39;1&#39;&gt;&amp;amp;" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "\xe2\x80\xae" "rtl", "\\u202ertl" },
		{ "a\x1b[31m\n", "a\\x1b[31m\\n" },
		{ "bad\xff<", "bad\\xff&lt;" },
		{ "cut\xe6\x97", "cut\\xe6\\x97" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		html_escape(&buf, rows[i].in);
		assert_string_equal(text_of(&buf), rows[i].out);
	}
}

static void test_escape_max(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		size_t max;
		const char *out;
	} rows[] = {
		{ "abc", 3, "abc" },
		{ "abcd", 3, "abc\xe2\x80\xa6" },
		{ "ab\xc3\xa9", 4, "ab\xc3\xa9" },
		{ "ab\xc3\xa9" "d", 3, "ab\xe2\x80\xa6" },	/* never half a character */
		{ "<<<<", 2, "&lt;&lt;\xe2\x80\xa6" },
		{ "abc", 0, "\xe2\x80\xa6" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		html_escape_max(&buf, rows[i].in, rows[i].max);
		assert_string_equal(text_of(&buf), rows[i].out);
	}
}

static void test_base64(void **state)
{
	(void)state;
	static const char *const rows[][2] = {	/* RFC 4648, section 10 */
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd", "//79" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		html_base64(&buf, rows[i][0], strlen(rows[i][0]));
		assert_string_equal(text_of(&buf), rows[i][1]);
	}
}

/* Lengths on both sides of the padding's edges; digests by Python's hashlib. */
static void test_csp_hash(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		const char *out;
	} rows[] = {
		{ 0, "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='" },
		{ 1, "'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='" },
		{ 55, "'sha256-n0OQ+NMMLdkuyfCVtl4rmumwqSWlJY4kHJ8ekQ9zQxg='" },
		{ 56, "'sha256-s1Q5pKxvCUi21vnjxq8PX1kM4g8b3nCQ73lwaG7Gc4o='" },
		{ 63, "'sha256-fT50oF19sVvOStnsBljqmOPwbu7PFrTG//LaRX3cLzQ='" },
		{ 64, "'sha256-/+BU/nrgy23GXDr5th1SCfQ5hR20PQulmXM33xVGaOs='" },
		{ 65, "'sha256-Y1NhxIu56rFBmOduqKt/GkFoXWrWKqkUbTAdTxfrCuA='" },
		{ 119, "'sha256-MeulHDE6XAgiat8Y1KNZz9/Y0ugWsT9K+VL36mWE3Ps='" },
		{ 120, "'sha256-Lz0zVDLHC1gK8Ojhs2dKfAINaDql9zqq7f3FWvkEwhw='" },
		{ 1000, "'sha256-Qe3s5C1j6Nm/UVqbppMuHCDLyfWl0TRkWttdsblzfqM='" },
	};
	char text[1000];
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		html_csp_hash(&buf, text, rows[i].len);
		assert_string_equal(text_of(&buf), rows[i].out);
	}
}

static void test_gzip_round_trip(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 1000, 65536, 3000000 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i];
		uint8_t *in = malloc(n + 1), *out = malloc(n + 1);
		assert_true(in && out);
		uint32_t r = 1;
		for (size_t k = 0; k < n; k++)
			in[k] = (uint8_t)((r = r * 1103515245 + 12345) >> 24);
		auto_buf struct mt_buf packed = MT_BUF_INIT;
		assert_null(html_gzip(in, n, &packed));
		z_stream z = { .next_in = packed.data, .avail_in = (uInt)packed.len, .next_out = out,
			       .avail_out = (uInt)n + 1 };
		assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		assert_int_equal(z.total_out, n);
		assert_int_equal(z.avail_in, 0);
		assert_memory_equal(in, out, n);
		inflateEnd(&z);
		free(in);
		free(out);
	}
}

static void test_leb(void **state)
{
	(void)state;
	static const struct {
		uint64_t v;
		size_t len;
		uint8_t bytes[10];
	} rows[] = {
		{ 0, 1, { 0 } },
		{ 127, 1, { 0x7f } },
		{ 128, 2, { 0x80, 1 } },
		{ 300, 2, { 0xac, 2 } },
		{ UINT64_MAX, 10, { 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 } },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_buf struct mt_buf buf = MT_BUF_INIT;
		html_put_leb(&buf, rows[i].v);
		assert_int_equal(buf.len, rows[i].len);
		assert_memory_equal(buf.data, rows[i].bytes, buf.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),	  cmocka_unit_test(test_escape_max),
		cmocka_unit_test(test_base64),	  cmocka_unit_test(test_csp_hash),
		cmocka_unit_test(test_gzip_round_trip), cmocka_unit_test(test_leb),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
