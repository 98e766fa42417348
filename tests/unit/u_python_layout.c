/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_python_layout.c - layouts against what offsetof() gives with each version's headers.
 * Knows: struct _Py_DebugOffsets of three versions. Does not know: processes. */
#include "inject/python_layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* {word of the struct, offset it tells}: printed by a program that includes pycore_runtime.h of
 * 3.13.15, 3.14.8 and 3.15.0, compiled with and without Py_GIL_DISABLED. */
struct word {
	uint8_t word;
	uint16_t offset;
};

struct row {
	const char *name;
	uint32_t hex;
	uint64_t free_threaded;
	struct word words[24];
	struct wire_python want;
};

#define COMMON .tstate_cframe = WIRE_NO_FIELD, .tstate_frame = 72, .frame_code = 0, .frame_previous = 8, \
	.runtime_interpreters = WIRE_NO_FIELD, .runtime_current = WIRE_NO_FIELD, \
	.tstate_thread = WIRE_NO_FIELD, .tstate_chunk = WIRE_NO_FIELD, .frame_instr = 56, .frame_is_entry = WIRE_NO_FIELD, .owner_shim = 3
#define GIL .code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68, \
	.code_linetable = 136, .object_type = 8, .bytes_size = 16, .bytes_data = 32, .str_length = 16, \
	.str_state = 32, .str_ascii_data = 40, .str_compact_data = 56, .str_kind_shift = 2, \
	.frame_tlbc = WIRE_NO_FIELD, .code_tlbc = WIRE_NO_FIELD
#define NOGIL .code_filename = 128, .code_name = 136, .code_qualname = 144, .code_firstlineno = 84, \
	.code_linetable = 152, .object_type = 24, .bytes_size = 32, .bytes_data = 48, .str_length = 32, \
	.str_state = 48, .str_ascii_data = 56, .str_compact_data = 72

static const struct row rows[] = {
	{ "3.13", 0x030d0ff0, 0,
	  { {23, 72}, {28, 80}, {29, 8}, {30, 0}, {31, 56}, {33, 70}, {34, 208}, {35, 112}, {36, 120},
	    {37, 128}, {38, 136}, {39, 68}, {43, 200}, {45, 8}, {65, 16}, {66, 32}, {68, 32}, {69, 16},
	    {70, 40} },
	  { .version = 0x030d, COMMON, GIL, .frame_owner = 70, .code_first_instr = 200,
	    .code_firsttraceable = 184 } },
	{ "3.13t", 0x030d0ff0, 1,
	  { {23, 72}, {28, 80}, {29, 8}, {30, 0}, {31, 56}, {33, 70}, {34, 224}, {35, 128}, {36, 136},
	    {37, 144}, {38, 152}, {39, 84}, {43, 216}, {45, 24}, {65, 32}, {66, 48}, {68, 48}, {69, 32},
	    {70, 56} },
	  { .version = 0x030d, COMMON, NOGIL, .frame_owner = 70, .code_first_instr = 216,
	    .code_firsttraceable = 200, .str_kind_shift = 2, .frame_tlbc = WIRE_NO_FIELD,
	    .code_tlbc = WIRE_NO_FIELD } },
	{ "3.14", 0x030e08f0, 0,
	  { {26, 72}, {31, 88}, {32, 8}, {33, 0}, {34, 56}, {36, 74}, {38, 0}, {39, 216}, {40, 112},
	    {41, 120}, {42, 128}, {43, 136}, {44, 68}, {48, 208}, {49, 0}, {51, 8}, {75, 16}, {76, 32},
	    {78, 32}, {79, 16}, {80, 40} },
	  { .version = 0x030e, COMMON, GIL, .frame_owner = 74, .code_first_instr = 208,
	    .code_firsttraceable = 192, .frame_tag_mask = 3 } },
	{ "3.14t", 0x030e08f0, 1,
	  { {26, 72}, {31, 88}, {32, 8}, {33, 0}, {34, 56}, {36, 78}, {38, 72}, {39, 240}, {40, 128},
	    {41, 136}, {42, 144}, {43, 152}, {44, 84}, {48, 232}, {49, 224}, {51, 24}, {75, 32},
	    {76, 48}, {78, 48}, {79, 32}, {80, 56} },
	  { .version = 0x030e, COMMON, NOGIL, .frame_owner = 78, .code_first_instr = 232,
	    .code_firsttraceable = 208, .str_kind_shift = 8, .frame_tlbc = 72, .code_tlbc = 224,
	    .frame_tag_mask = 3 } },
	{ "3.15", 0x030f00f0, 0,
	  { {26, 72}, {39, 88}, {40, 8}, {41, 0}, {42, 56}, {44, 74}, {46, 0}, {47, 216}, {48, 112},
	    {49, 120}, {50, 128}, {51, 136}, {52, 68}, {56, 208}, {57, 0}, {59, 8}, {87, 16}, {88, 32},
	    {90, 32}, {91, 16}, {92, 40} },
	  { .version = 0x030f, COMMON, GIL, .frame_owner = 74, .code_first_instr = 208,
	    .code_firsttraceable = 192, .frame_tag_mask = 3 } },
	{ "3.15t", 0x030f00f0, 1,
	  { {26, 72}, {39, 88}, {40, 8}, {41, 0}, {42, 56}, {44, 78}, {46, 72}, {47, 240}, {48, 128},
	    {49, 136}, {50, 144}, {51, 152}, {52, 84}, {56, 232}, {57, 224}, {59, 24}, {87, 32},
	    {88, 48}, {90, 48}, {91, 32}, {92, 56} },
	  { .version = 0x030f, COMMON, NOGIL, .frame_owner = 78, .code_first_instr = 232,
	    .code_firsttraceable = 208, .str_kind_shift = 8, .frame_tlbc = 72, .code_tlbc = 224,
	    .frame_tag_mask = 3 } },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct python_build make(const struct row *r, uint64_t *words)
{
	memset(words, 0, PYTHON_DEBUG_OFFSETS_MAX);
	memcpy(words, "xdebugpy", 8);
	words[1] = r->hex;
	words[2] = r->free_threaded;
	for (const struct word *w = r->words; w->word; w++)
		words[w->word] = w->offset;
	return (struct python_build){ .hex = r->hex, .debug_offsets = (uint8_t *)words,
				      .debug_offsets_size = PYTHON_DEBUG_OFFSETS_MAX };
}

static void test_told_layouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		uint64_t words[PYTHON_DEBUG_OFFSETS_MAX / 8];
		struct python_build b = make(&rows[i], words);
		struct wire_python got;
		const char *why = NULL;
		print_message("%s\n", rows[i].name);
		assert_true(python_layout(&b, &got, &why));
		assert_memory_equal(&got, &rows[i].want, sizeof(got));
	}
}

static void refused(const struct python_build *b, const char *want)
{
	struct wire_python got = { .version = 1 };
	const char *why = NULL;
	assert_false(python_layout(b, &got, &why));
	assert_string_equal(why, want);
	assert_int_equal(got.version, 1);
}

static void test_refusals(void **state)
{
	(void)state;
	uint64_t words[PYTHON_DEBUG_OFFSETS_MAX / 8];
	struct python_build b = make(&rows[2], words);
	b.debug_offsets_size = 759;
	refused(&b, "its debug offsets cannot be found");
	b = make(&rows[2], words);
	words[0]++;
	refused(&b, "its debug offsets cannot be found");
	b = make(&rows[2], words);
	words[1] = 0x030f00f0;
	refused(&b, "its debug offsets cannot be found");
	b = make(&rows[2], words);
	words[1] = 0x030e00b2;
	refused(&b, "it is an alpha or beta release");
	b = make(&rows[2], words);
	words[34] = 88;			/* the instruction outside of the frame */
	refused(&b, "its debug offsets make no sense");
	words[34] = 1ull << 40;
	refused(&b, "its debug offsets make no sense");
	refused(&(struct python_build){ .hex = 0x030e08f0 }, "its debug offsets cannot be found");
	refused(&(struct python_build){ .hex = 0x031000f0 }, "this version is not known");
	refused(&(struct python_build){ .hex = 0x030600f0 }, "this version is not known");
	refused(&(struct python_build){ .hex = 0 }, "its version cannot be told");
	refused(&(struct python_build){ .hex = 0x03080000, .trace_refs = true },
		"it is a build that traces references");
}

static void test_old_versions(void **state)
{
	(void)state;
	for (uint32_t version = 0x0307; version <= 0x030c; version++) {
		struct wire_python got;
		const char *why = NULL;
		assert_true(python_layout(&(struct python_build){ .hex = version << 16 }, &got, &why));
		assert_int_equal(got.version, version);
		assert_int_equal(got.frame_tlbc, WIRE_NO_FIELD);
	}
}

static void test_lists(void **state)
{
	(void)state;
	static const struct {
		uint32_t hex;
		struct word words[5];	/* interpreters, next, threads, next of a state, its pthread_t */
		struct python_lists want;
	} told[] = {
		{ 0x03070000, { { 0 } }, { 24, 0, 8, 8, 176 } },
		{ 0x030b0000, { { 0 } }, { 40, 0, 16, 8, 152 } },
		{ 0x030c0000, { { 0 } }, { 40, 0, 72, 8, 136 } },
		{ 0x030d0ff0, { { 5, 632 }, { 8, 7264 }, { 9, 7344 }, { 21, 8 }, { 24, 152 } },
		  { 632, 7264, 7344, 8, 152 } },
		{ 0x030e08f0, { { 5, 808 }, { 8, 7264 }, { 9, 7344 }, { 24, 8 }, { 27, 152 } },
		  { 808, 7264, 7344, 8, 152 } },
		{ 0x030f00f0, { { 5, 936 }, { 8, 7256 }, { 9, 7336 }, { 24, 8 }, { 30, 176 } },
		  { 936, 7256, 7336, 8, 176 } },
	};
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		uint64_t words[PYTHON_DEBUG_OFFSETS_MAX / 8];
		struct python_build b = { .hex = told[i].hex };
		struct python_lists got = { 0 };
		for (size_t k = 0; k < ROWS; k++)
			if (rows[k].hex == told[i].hex && !rows[k].free_threaded)
				b = make(&rows[k], words);
		for (size_t k = 0; k < 5 && told[i].words[0].word; k++)
			words[told[i].words[k].word] = told[i].words[k].offset;
		assert_true(python_lists(&b, &got));
		assert_memory_equal(&got, &told[i].want, sizeof(got));
	}
	struct python_lists got;
	assert_false(python_lists(&(struct python_build){ .hex = 0x03060000 }, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_layouts),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_old_versions),
		cmocka_unit_test(test_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
