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
 * Outside, of a thread that sleeps on or is stopped while it is looked at:
 *
 *	- its program counter is not in the tracer nor past the look at the switch in the thunk page,
 *	  and it is not on the stack of our calls;
 *	- no signal frame on its stack holds such a program counter: a handler that interrupted a hook
 *	  in the middle of its own code;
 *	- its ring does not say that a hook has called somebody (in_hook, loading). A hook without a
 *	  ring ends in a jump to the original and so never waits for anybody.
 *
 * Nothing of this needs the stack to be unwound, which is not possible in the code of a JIT. Where
 * the rings are not this process's (a forked child), or where an old signal frame is left over in a
 * part of a live frame that nobody wrote since, return addresses decide: no word of the stack
 * may lead into the tracer, or the stack is unwound, on a copy, and must reach its very start without
 * a frame of it.
 *
 * A thread that sleeps is not touched for this: its place is read from /proc, its stack from
 * memory, and the count of its switches tells that it slept on meanwhile. Only the others are
 * stopped, one at a time, for as long as it takes to copy registers and stack.
 *
 * Whoever is interrupted by a signal inside a hook may be on another stack meanwhile: saved
 * registers on such a stack are followed, and the flags of all rings have the last word once
 * every thread was seen. */
#ifndef MT_INJECT_OUTSIDE_H
#define MT_INJECT_OUTSIDE_H

#include "attach/image.h"

struct outside {
	uint64_t tracer_start, tracer_end;
	uint64_t thunk_page;			/* 0: none */
	uint64_t data_base, data_size;		/* shared memory, stack of our calls; 0: none */
};

/* *outside_ret: false when the deadline (mt_now_ms()) came first. MT_ERROR_GONE when the process
 * executed another program meanwhile, or ended. The images are borrowed. */
struct mt_error *outside_wait(struct tracee *t, const struct images *images,
			      const struct outside *where, uint64_t deadline_ms, bool *outside_ret)
	MT_MUST_CHECK;

#endif
