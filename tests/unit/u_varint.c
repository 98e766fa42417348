/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_varint.c - prefix varints of every width, and the cursor at the end of its bytes.
 * Knows: base/varint.h, base/cursor.h. Does not know: what is encoded.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/varint.h"

#include <stdlib.h>
#include <string.h>

static void check_value(uint64_t v, size_t bytes)
{
	uint8_t buf[VARINT_MAX + 8];
	uint64_t back = ~v;
	memset(buf, 0xa5, sizeof(buf));
	assert_int_equal(varint_put(buf, v) - buf, bytes);
	/* Bytes behind the value must not matter. */
	memset(buf + bytes, 0xff, sizeof(buf) - bytes);
	assert_int_equal(varint_get(buf, &back) - buf, bytes);
	assert_true(back == v);

	uint8_t *exact = malloc(bytes);		/* a tool sees reads beyond it */
	memcpy(exact, buf, bytes);
	struct mt_cursor c = mt_cursor_make(exact, bytes);
	assert_true(mt_cursor_varint(&c) == v);
	assert_false(c.failed);
	assert_int_equal(mt_cursor_left(&c), 0);
	assert_true(mt_cursor_varint(&c) == 0);
	assert_true(c.failed);
	for (size_t cut = 0; cut < bytes; cut++) {
		uint8_t *part = malloc(cut + !cut);
		memcpy(part, buf, cut);
		c = mt_cursor_make(part, cut);
		assert_true(mt_cursor_varint(&c) == 0);
		assert_true(c.failed);
		assert_true(c.pos <= c.end);
		free(part);
	}
	free(exact);
}

static void test_widths(void **state)
{
	(void)state;
	check_value(0, 1);
	for (unsigned bits = 1; bits <= 64; bits++) {
		uint64_t low = 1ull << (bits - 1), high = low | (low - 1);
		size_t bytes = bits > 56 ? 9 : (bits + 6) / 7;
		check_value(low, bytes);
		check_value(high, bytes);
		check_value(low | (high & 0x5555555555555555ull), bytes);
	}
}

static void test_zigzag(void **state)
{
	static const struct {
		int64_t value;
		uint64_t code;
	} rows[] = {
		{ 0, 0 }, { -1, 1 }, { 1, 2 }, { -2, 3 }, { 2, 4 },
		{ INT64_MAX, UINT64_MAX - 1 }, { INT64_MIN, UINT64_MAX },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(varint_zigzag(rows[i].value) == rows[i].code);
		assert_true(varint_unzigzag(rows[i].code) == rows[i].value);
	}
}

static void test_many(void **state)
{
	enum { COUNT = 20000 };
	uint8_t *buf = malloc(COUNT * VARINT_MAX + VARINT_MAX), *p = buf;
	uint64_t *values = malloc(COUNT * sizeof(*values));
	(void)state;
	srandom(1);
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t v = (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random();
		values[i] = v >> random() % 64;
		p = varint_put(p, values[i]);
	}
	struct mt_cursor c = mt_cursor_make(buf, (size_t)(p - buf));
	for (size_t i = 0; i < COUNT; i++)
		assert_true(mt_cursor_varint(&c) == values[i]);
	assert_false(c.failed);
	assert_int_equal(mt_cursor_left(&c), 0);
	free(values);
	free(buf);
}

static void test_cursor_end(void **state)
{
	static const uint8_t bytes[] = { 0x03 | 5 << 2, 'a', 'b' };
	static const uint8_t text[] = { (5 << 1) | 1, 'h', 'e', 'l', 'l', 'o' };
	size_t len = 99;
	(void)state;
	struct mt_cursor c = mt_cursor_make(text, sizeof(text));
	assert_memory_equal(mt_cursor_lstr(&c, &len), "hello", 5);
	assert_int_equal(len, 5);
	assert_null(mt_cursor_lstr(&c, &len));
	assert_int_equal(len, 0);
	c = mt_cursor_make(text, sizeof(text) - 1);	/* one byte short */
	assert_null(mt_cursor_lstr(&c, &len));
	assert_true(c.failed && len == 0);
	c = mt_cursor_make(bytes, sizeof(bytes));
	assert_null(mt_cursor_bytes(&c, UINT64_MAX));
	assert_int_equal(mt_cursor_u64(&c), 0);
	assert_null(mt_cursor_cstr(&c));
	assert_true(c.failed && c.pos <= c.end);
	c = mt_cursor_make(NULL, 0);
	assert_true(mt_cursor_varint(&c) == 0 && c.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_zigzag),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_cursor_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
