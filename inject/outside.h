/* SPDX-License-Identifier: Apache-2.0 */
/* inject/outside.h - waits until no thread of a target is inside the tracer, and none can come in.
 *
 * To be called after the hooks were switched off (mode word and thunk page), with every thread
 * running. Why seeing each thread once is enough, in any order:
 *
 *	The only way in is a thunk, by whatever pointer it was reached, and a thunk looks at its
 *	switch on every call. So a thread that was outside at one moment after the switch was off
 *	stays outside for ever. A thread made later starts on a fresh stack, at a function of the
 *	program: it was never inside, whoever made it.
 *
 * Outside: the program counter is not in the tracer nor past the look at the switch in the thunk
 * page; the thread is not on the stack of our calls; and no word of its stack, which is copied in
 * one go, can be a return address into the tracer. A word that looks like one is often left over
 * from an earlier call, in a part of a live frame that nobody wrote since: then the stack is
 * unwound, on the copy, and must reach its very start without a frame of the tracer.
 *
 * A thread that sleeps is not touched for this: its place is read from /proc, its stack from
 * memory, and the count of its switches tells that it slept on meanwhile. Only the others are
 * stopped, one at a time, for as long as it takes to copy registers and stack.
 *
 * Whoever is interrupted by a signal inside a hook may be on another stack meanwhile: saved
 * registers on such a stack are followed, and the in_hook flags of the rings, which a thread sets
 * and clears itself, have the last word once every thread was seen. */
#ifndef MT_INJECT_OUTSIDE_H
#define MT_INJECT_OUTSIDE_H

#include "attach/image.h"

struct outside {
	uint64_t tracer_start, tracer_end;
	uint64_t thunk_page;			/* 0: none */
	uint64_t data_base, data_size;		/* shared memory, stack of our calls; 0: none */
};

/* *outside_ret: false when the deadline (CLOCK_MONOTONIC, ms) came first. The images are borrowed. */
struct mt_error *outside_wait(struct tracee *t, const struct images *images,
			      const struct outside *where, int64_t deadline_ms, bool *outside_ret)
	MT_MUST_CHECK;

#endif
