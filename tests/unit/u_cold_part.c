/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_cold_part.c - the part of a function that lies elsewhere is found by its jumps.
 * Knows: inject/cold_part.h. Does not know: processes. */
#include "inject/cold_part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#define HDR 0x9000
#define FUNCTION 0x5000		/* 0x400 bytes */

struct hdr {
	uint32_t head, frame, count;
	int32_t rows[4][2];
};

/* Functions at 0x1000, 0x2000, 0x5000 (the one with the code) and 0x6000. */
static const struct hdr good = {
	0x3b031b01, 0, 4,
	{ { 0x1000 - HDR, 0 }, { 0x2000 - HDR, 0 }, { FUNCTION - HDR, 0 }, { 0x6000 - HDR, 0 } },
};

static const struct row {
	const char *what;
	uint64_t target;	/* of every jump; each goes 3 bytes further than the one before */
	int jumps;
	bool conditional, spread;
	uint64_t start;		/* 0: not found */
} rows[] = {
	{ "into the middle of one", 0x1010, 20, true, true, 0x1000 },
	{ "unconditional", 0x2010, 20, false, true, 0x2000 },
	{ "too few", 0x1010, 7, true, true, 0 },
	{ "just enough", 0x1010, 8, true, true, 0x1000 },
	{ "to a function's start", 0x2000, 20, false, false, 0 },
	{ "within the function", FUNCTION + 0x10, 20, true, true, 0 },
	{ "behind the function, in its own entry", FUNCTION + 0x500, 20, true, true, 0 },
	{ "before the first function", 0x500, 20, true, true, 0 },
	{ "into the last, whose end is unknown", 0x6010, 20, true, true, 0 },
};

static size_t make_code(const struct row *r, uint8_t *code)
{
	size_t n = 0;
	for (int i = 0; i < r->jumps; i++) {
		uint64_t target = r->target + (r->spread ? 3u * (unsigned)i : 0);
		code[n++] = 0x90;
		if (r->conditional)
			code[n++] = 0x0f;
		code[n++] = r->conditional ? 0x84 : 0xe9;
		int32_t rel = (int32_t)(target - (FUNCTION + n + 4));
		memcpy(code + n, &rel, 4);
		n += 4;
	}
	return n;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[0x400];
		memset(bytes, 0xcc, sizeof(bytes));
		make_code(&rows[i], bytes);
		struct code_bytes code = { bytes, sizeof(bytes), FUNCTION };
		struct code_bytes hdr = { (const uint8_t *)&good, sizeof(good), HDR };
		struct cold_part part = { 7, 7 };
		bool found = cold_part_find(&code, &hdr, &part);
		if (found != (rows[i].start != 0) || part.start != (found ? rows[i].start : 7))
			fail_msg("%s: %d, %llx", rows[i].what, found, (unsigned long long)part.start);
		if (found)
			assert_int_equal(part.end, rows[i].start == 0x1000 ? 0x2000 : FUNCTION);
	}
}

/* Tables that are cut, too long or of another make are refused; random code finds nothing odd. */
static void test_hostile(void **state)
{
	(void)state;
	uint8_t bytes[0x400];
	struct cold_part part;
	make_code(&rows[0], bytes);
	struct code_bytes code = { bytes, sizeof(bytes), FUNCTION };
	for (size_t size = 0; size < sizeof(good); size++) {
		uint8_t *cut = malloc(size ? size : 1);
		memcpy(cut, &good, size);
		struct code_bytes hdr = { cut, size, HDR };
		assert_false(cold_part_find(&code, &hdr, &part));
		free(cut);
	}
	struct hdr odd = good;
	struct code_bytes hdr = { (const uint8_t *)&odd, sizeof(odd), HDR };
	odd.head = 0x3b031b02;
	assert_false(cold_part_find(&code, &hdr, &part));
	odd = good;
	odd.count = UINT32_MAX;
	assert_false(cold_part_find(&code, &hdr, &part));
	srand(3);
	for (int round = 0; round < 2000; round++) {
		size_t n = (size_t)rand() % sizeof(bytes);
		uint8_t *random = malloc(n + 1);
		for (size_t i = 0; i < n; i++)
			random[i] = rand() % 3 ? (uint8_t)rand() : 0xe9;
		for (size_t i = 0; i < 8; i++)
			((int32_t *)odd.rows)[i] = rand() - rand();
		odd.count = (uint32_t)rand() % 6;
		struct code_bytes any = { random, n, (uint64_t)rand() << 33 };
		if (cold_part_find(&any, &hdr, &part))
			assert_true(part.start < part.end);
		free(random);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
