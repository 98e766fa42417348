/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/merge.h - puts the Python frames of a stack where their eval loops ran.
 *
 * Every native frame of the eval loop runs one segment of Python frames: one flagged `entry` and
 * those after it up to the next such one. Counts that differ (a stack cut by the unwinder, by a
 * JIT, by depth) are paired from the leaf, where both are exact; what has no partner stays as it
 * is: eval frames as native frames, Python segments in front of the native frames. */
#ifndef MT_SYMBOLIZE_MERGE_H
#define MT_SYMBOLIZE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum merge_native {		/* what a native frame is */
	MERGE_EVAL = 1 << 0,	/* in the eval loop */
	MERGE_INTERPRETER = 1 << 1, /* in the python executable or its library */
	MERGE_HIDDEN = 1 << 2,	/* memtrace's own: never shown */
};

enum merge_python {
	MERGE_ENTRY = 1 << 0,	/* first frame of its eval loop */
	MERGE_NOT_BEGUN = 1 << 1, /* set up, but at no instruction yet: never shown */
};

enum merge_kind { MERGE_ITEM_NATIVE, MERGE_ITEM_PYTHON, MERGE_ITEM_TRUNCATED };

struct merge_item {
	uint32_t index;		/* into the native or the Python frames given */
	uint8_t kind;		/* enum merge_kind */
	bool interpreter;	/* native: between the root and the last eval loop, and CPython's own */
};

struct merge_input {		/* frames root to leaf */
	const uint8_t *native, *python;		/* enum merge_native, enum merge_python */
	size_t native_count, python_count;
	bool truncated;				/* the root of either is missing */
	bool no_native;				/* leave native frames out where there is Python */
};

/* Writes at most 1 + native_count + python_count items and returns how many. */
size_t merge_stacks(const struct merge_input *in, struct merge_item *items);

#endif
