/* SPDX-License-Identifier: Apache-2.0 */
/* attach/borrow_private.h - a borrowed thread inside: borrow.c finds and gives back,
 * borrow_call.c runs. */
#ifndef MT_ATTACH_BORROW_PRIVATE_H
#define MT_ATTACH_BORROW_PRIVATE_H

#include "attach/borrow.h"
#include "attach/safepoint.h"
#include "attach/tracee_private.h"

struct borrow {
	struct tracee *t;
	struct tracee_thread *thread;	/* NULL: lost (exited, or a call that did not end) */
	pid_t tid;
	bool taken;			/* parked or in a call: not as it came */
	bool suspended;			/* its seccomp filters, if any */
	struct arch_snippets snippets;

	struct proc_status status;	/* read while it stands */
	struct user_regs_struct regs;	/* as it came */
	uint64_t sigmask;
	uint8_t xstate[ARCH_XSTATE_MAX];
	size_t xstate_size;
	uint64_t errno_function, errno_address;
	bool errno_saved;
	uint32_t errno_value;
	uint64_t end;			/* address of borrow_end_code in the target, 0: not used */
	int end_signal;
	int kept[16];			/* signals to send again after the release */
	size_t kept_count;

	uint64_t floor;			/* lowest usable address of the stack in use */
	uint64_t own_floor;		/* of the thread's own stack */
	uint64_t top;			/* what lies above belongs to somebody else */
	uint64_t home_sp, home_result;	/* the frame that the thread rests on */
	uint64_t home_low, low;		/* lowest byte used: of that frame, with scratch; of a process that
					 * cooperates `floor` to `home_low` is its buffer */
	struct mt_error *stack_error;
};

struct mt_error *borrow_set_regs(struct borrow *b, const struct user_regs_struct *regs)
	MT_MUST_CHECK;
struct user_regs_struct borrow_clean_regs(const struct borrow *b);
struct user_regs_struct borrow_parked_regs(const struct borrow *b, uint64_t frame_sp);
struct mt_error *borrow_park(struct borrow *b, uint64_t frame_sp) MT_MUST_CHECK;
/* Writes a frame below `top`. */
struct mt_error *borrow_make_frame(struct borrow *b, uint64_t top, uint64_t *sp_ret,
				   uint64_t *result_ret, uint64_t *low_ret) MT_MUST_CHECK;
/* The same, and the thread rests on it from here. */
struct mt_error *borrow_settle_on(struct borrow *b, uint64_t top) MT_MUST_CHECK;

#endif
