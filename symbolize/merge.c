/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/merge.c - pairs eval loops with segments of Python frames.
 * Knows: flags of frames. Does not know: captures, names.
 * Called by symbolize/; calls nothing. */
#include "symbolize/merge.h"

struct merge {
	const struct merge_input *in;
	struct merge_item *items;
	size_t len;
	size_t next_python;
};

static void put(struct merge *m, enum merge_kind kind, size_t index, bool interpreter)
{
	m->items[m->len++] = (struct merge_item){ (uint32_t)index, (uint8_t)kind, interpreter };
}

/* The next segment: a first frame, whatever it is, and the rest up to the next entry. */
static void put_segment(struct merge *m)
{
	const struct merge_input *in = m->in;
	size_t i = m->next_python;
	do {
		if (!(in->python[i] & MERGE_NOT_BEGUN))
			put(m, MERGE_ITEM_PYTHON, i, false);
		i++;
	} while (i < in->python_count && !(in->python[i] & MERGE_ENTRY));
	m->next_python = i;
}

static size_t count_segments(const struct merge_input *in)
{
	size_t n = 0;
	for (size_t i = 0; i < in->python_count; i++)
		n += !i || in->python[i] & MERGE_ENTRY;
	return n;
}

static size_t count_evals(const struct merge_input *in)
{
	size_t n = 0;
	for (size_t i = 0; i < in->native_count; i++)
		n += !!(in->native[i] & MERGE_EVAL);
	return n;
}

/* Up to here native frames came before the youngest Python frame, as far as can be known: the
 * last eval loop, or without any the last frame of the interpreter (its eval loop is unknown). */
static size_t machinery_end(const struct merge_input *in, bool evals)
{
	uint8_t what = evals ? MERGE_EVAL : MERGE_INTERPRETER;
	for (size_t i = in->native_count; i; i--)
		if (in->native[i - 1] & what)
			return i;
	return 0;
}

static void put_native(struct merge *m, size_t i, size_t machinery)
{
	uint8_t what = m->in->native[i];
	if (!(what & MERGE_HIDDEN))
		put(m, MERGE_ITEM_NATIVE, i,
		    i < machinery && what & (MERGE_INTERPRETER | MERGE_EVAL));
}

static void put_python_only(struct merge *m)
{
	while (m->next_python < m->in->python_count)
		put_segment(m);
}

static void put_merged(struct merge *m)
{
	const struct merge_input *in = m->in;
	size_t evals = count_evals(in), segments = count_segments(in);
	size_t machinery = machinery_end(in, evals);
	size_t lonely_evals = evals > segments ? evals - segments : 0;
	size_t i = 0;
	/* Segments without an eval loop are older than everything seen natively when the root of
	 * the native stack is missing. When no eval loop is known at all, Python comes after the
	 * interpreter's frames instead. */
	if (!evals && !in->truncated)
		while (i < machinery)
			put_native(m, i++, machinery);
	for (size_t n = segments; n > evals; n--)
		put_segment(m);
	for (; i < in->native_count; i++) {
		if (in->native[i] & MERGE_EVAL && !lonely_evals) {
			put_segment(m);
			continue;
		}
		lonely_evals -= !!(in->native[i] & MERGE_EVAL);
		put_native(m, i, machinery);
	}
}

size_t merge_stacks(const struct merge_input *in, struct merge_item *items)
{
	struct merge m = { .in = in, .items = items };
	if (in->truncated)
		put(&m, MERGE_ITEM_TRUNCATED, 0, false);
	if (in->python_count && (in->no_native || !in->native_count))
		put_python_only(&m);
	else if (in->python_count)
		put_merged(&m);
	else
		for (size_t i = 0; i < in->native_count; i++)
			put_native(&m, i, 0);
	return m.len;
}
