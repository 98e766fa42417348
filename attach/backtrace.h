/* SPDX-License-Identifier: Apache-2.0 */
/* attach/backtrace.h - the call stack of a stopped thread, by its unwind tables alone.
 *
 * libunwind walks remotely; it sees the target through us: the unwind tables come from the
 * target's memory (struct images), cached, and the stack as one copy. No file is opened, so it is
 * fast and right for deleted, upgraded and containered libraries. Nothing is guessed: where no
 * unwind information covers an address the walk ends and says so. */
#ifndef MT_ATTACH_BACKTRACE_H
#define MT_ATTACH_BACKTRACE_H

#include "attach/image.h"

struct backtrace;

struct backtrace_frame {
	uint64_t pc;
	uint64_t call_pc;	/* inside the calling instruction; pc itself for the leaf and for
				 * a frame that a signal interrupted */
	uint64_t sp;		/* stack pointer in this frame */
};

enum backtrace_end {
	BACKTRACE_START,	/* the thread's first function: the stack is complete */
	BACKTRACE_NO_INFO,	/* the last frame has no unwind information (JIT, stripped libc) */
	BACKTRACE_BROKEN,	/* unreadable memory, damaged tables */
	BACKTRACE_LIMIT,	/* more frames than asked for */
};

/* The images are borrowed and must outlive it. */
struct mt_error *backtrace_create(struct tracee *t, const struct images *images,
				  struct backtrace **ret) MT_MUST_CHECK;
void backtrace_destroy(struct backtrace *bt);	/* NULL accepted */
/* Forgets what it cached; to be called when the images changed. */
void backtrace_flush(struct backtrace *bt);
/* From the leaf; returns the number of frames, at least 1. */
size_t backtrace_walk(struct backtrace *bt, const struct user_regs_struct *regs,
		      struct backtrace_frame *frames, size_t max, enum backtrace_end *end_ret);
/* The same of a thread that runs again: registers and stack are copies of one moment, the stack from
 * the red zone up. What the walk would need beside them and read-only memory breaks it. */
struct backtrace_copy {
	struct user_regs_struct regs;
	uint64_t base;		/* address of the first byte, a multiple of 8 */
	const void *stack;
	size_t size;
};
size_t backtrace_walk_copy(struct backtrace *bt, const struct backtrace_copy *copy,
			   struct backtrace_frame *frames, size_t max, enum backtrace_end *end_ret);

#endif
