/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_merge.c - Python frames stand where their eval loops ran.
 * Knows: symbolize/merge.h. Does not know: captures. */
#include "symbolize/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#define FRAMES 32

/* Native frames, root to leaf: n plain, E eval loop, I interpreter's, h hidden. Python frames:
 * capital letter: entry, "-" after a letter: not begun. In the result native frames are the
 * letter and number of their place (an "!" marks the interpreter's machinery), Python frames the
 * letter given, T a truncated root. */
struct row {
	const char *what, *native, *python;
	bool truncated, no_native;
	const char *result;
};

static const struct row rows[] = {
	{ "nothing", "", "", false, false, "" },
	{ "native only", "nnn", "", false, false, "n0 n1 n2" },
	{ "native only, cut", "nn", "", true, false, "T n0 n1" },
	{ "native only stays with no_native", "nn", "", false, true, "n0 n1" },
	{ "an interpreter before it runs Python", "nIIn", "", false, false, "n0 I1 I2 n3" },

	{ "one eval loop, one frame", "nIEn", "A", false, false, "n0 I1! A n3" },
	{ "calls between Python functions share a loop", "nIEn", "Abc", false, false,
	  "n0 I1! A b c n3" },
	{ "sorted(key=...): Python, C, Python", "nIEIIEIn", "AbC", false, false,
	  "n0 I1! A b I3! I4! C I6 n7" },
	{ "a callback out of a plain C library", "nIEnnIEn", "AB", false, false,
	  "n0 I1! A n3 n4 I5! B n7" },
	{ "the interpreter's frames after the last loop are what allocates", "IEIIn", "A", false,
	  false, "I0! A I2 I3 n4" },
	{ "a generator resumed from C", "IEIEn", "aB", false, false, "I0! a I2! B n4" },
	{ "a generator resumed by the loop itself", "IEn", "Ag", false, false, "I0! A g n2" },
	{ "the first frame needs no entry flag", "IEIEn", "abC", false, false,
	  "I0! a b I2! C n4" },

	{ "no native stack", "", "ABc", false, false, "A B c" },
	{ "no native stack, cut", "", "ab", true, false, "T a b" },
	{ "no_native", "nIEIEn", "AbC", false, true, "A b C" },
	{ "no_native, cut", "nIE", "A", true, true, "T A" },

	{ "native root cut: older segments come first", "nEn", "AbCd", true, false,
	  "T A b n0 C d n2" },
	{ "native root cut within the first loop's callees", "InE", "ABC", true, false,
	  "T A B I0! n1 C" },
	{ "Python root cut: the older loops stay native", "IEIEn", "c", true, false,
	  "T I0! E1! I2! c n4" },
	{ "a loop that has no frame yet is the older one", "IEIEIEn", "AB", false, false,
	  "I0! E1! I2! A I4! B n6" },
	{ "eval loop without Python (reading frames is off)", "nIEn", "", false, false,
	  "n0 I1 E2 n3" },

	{ "no eval loop known: Python after the interpreter", "nIIn", "Ab", false, false,
	  "n0 I1! I2! A b n3" },
	{ "no eval loop and no interpreter: Python first", "nn", "A", false, false, "A n0 n1" },
	{ "no eval loop seen, cut: Python is older", "nn", "AB", true, false, "T A B n0 n1" },

	{ "a frame that has not begun is not shown", "IEn", "Ab-", false, false, "I0! A n2" },
	{ "but it keeps its loop from the others", "IEIEn", "AB-", false, false, "I0! A I2! n4" },
	{ "an entry not begun, followed by a callee", "IEIEn", "AB-c", false, false,
	  "I0! A I2! c n4" },
	{ "none has begun", "IEn", "A-", false, false, "I0! n2" },
	{ "none has begun, no native", "", "A-b-", false, false, "" },

	{ "memtrace's frames are hidden", "nhhn", "", false, false, "n0 n3" },
	{ "hidden ones below Python", "IEnhh", "A", false, false, "I0! A n2" },
	{ "hidden ones only, no Python", "hh", "", false, false, "" },
};

static size_t parse_native(const char *text, uint8_t *out)
{
	size_t n = strlen(text);
	assert_true(n <= FRAMES);
	for (size_t i = 0; i < n; i++)
		out[i] = text[i] == 'E' ? MERGE_EVAL | MERGE_INTERPRETER :
			 text[i] == 'I' ? MERGE_INTERPRETER :
			 text[i] == 'h' ? MERGE_HIDDEN : 0;
	return n;
}

static size_t parse_python(const char *text, uint8_t *out, char *names)
{
	size_t n = 0;
	for (; *text; text++) {
		if (*text == '-') {
			out[n - 1] |= MERGE_NOT_BEGUN;
			continue;
		}
		assert_true(n < FRAMES);
		names[n] = *text;
		out[n++] = *text < 'a' ? MERGE_ENTRY : 0;
	}
	return n;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		uint8_t native[FRAMES], python[FRAMES];
		char names[FRAMES], text[8 * FRAMES] = "";
		struct merge_item items[1 + 2 * FRAMES];
		struct merge_input in = { native, python, parse_native(r->native, native),
					  parse_python(r->python, python, names), r->truncated,
					  r->no_native };
		size_t n = merge_stacks(&in, items), at = 0;
		for (size_t k = 0; k < n; k++) {
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", k ? " " : "");
			if (items[k].kind == MERGE_ITEM_TRUNCATED)
				at += (size_t)snprintf(text + at, sizeof(text) - at, "T");
			else if (items[k].kind == MERGE_ITEM_PYTHON)
				at += (size_t)snprintf(text + at, sizeof(text) - at, "%c",
						       names[items[k].index]);
			else
				at += (size_t)snprintf(text + at, sizeof(text) - at, "%c%u%s",
						       r->native[items[k].index], items[k].index,
						       items[k].interpreter ? "!" : "");
		}
		if (strcmp(text, r->result))
			fail_msg("%s: '%s' and '%s' gave '%s', not '%s'", r->what, r->native,
				 r->python, text, r->result);
	}
}

/* Whatever the flags: every frame at most once, each kind in its order, every Python frame that
 * has begun and every native frame but hidden ones and paired eval loops is there. */
static void test_random(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 200000; round++) {
		uint8_t native[FRAMES], python[FRAMES];
		struct merge_item items[1 + 2 * FRAMES + 1];
		struct merge_input in = { native, python, (size_t)rand() % FRAMES,
					  (size_t)rand() % FRAMES, rand() % 4 == 0, rand() % 8 == 0 };
		size_t begun = 0, shown = 0, evals = 0, segments = 0;
		for (size_t i = 0; i < in.native_count; i++) {
			native[i] = (uint8_t)(rand() & 7);
			evals += native[i] & MERGE_EVAL;
		}
		for (size_t i = 0; i < in.python_count; i++) {
			python[i] = (uint8_t)(rand() & 3);
			segments += !i || python[i] & MERGE_ENTRY;
			begun += !(python[i] & MERGE_NOT_BEGUN);
		}
		size_t lonely = evals > segments ? evals - segments : 0;
		for (size_t i = 0; i < in.native_count; i++) {
			bool eval = native[i] & MERGE_EVAL;
			shown += !(native[i] & MERGE_HIDDEN) && (!eval || lonely);
			lonely -= eval && lonely;
		}
		if (in.no_native && in.python_count)
			shown = 0;
		items[1 + in.native_count + in.python_count].kind = 99;
		size_t n = merge_stacks(&in, items), next[2] = { 0, 0 }, seen[2] = { 0, 0 };
		assert_int_equal(items[1 + in.native_count + in.python_count].kind, 99);
		for (size_t k = 0; k < n; k++) {
			if (items[k].kind == MERGE_ITEM_TRUNCATED) {
				assert_true(in.truncated && k == 0);
				continue;
			}
			bool py = items[k].kind == MERGE_ITEM_PYTHON;
			assert_true(items[k].index >= next[py]);
			assert_true(items[k].index < (py ? in.python_count : in.native_count));
			next[py] = items[k].index + 1;
			seen[py]++;
		}
		assert_int_equal(seen[1], begun);
		assert_int_equal(seen[0], shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
