/* SPDX-License-Identifier: Apache-2.0 */
/* attach/safepoint.h - may a thread be made to run a call now?
 *
 *	safepoint_prepare(t, &sp)	refreshes what is known of the target; stops nothing
 *	safepoint_candidates(sp, ...)	threads in the order to try, read without stopping
 *	safepoint_check(sp, thread...)	of a stopped thread: NULL, or why not
 *
 * It may when its stack, unwound, shows no function that can hold a lock or half-changed data that
 * our call needs: allocator, dynamic loader, fork, exit, thread creation, the tracer itself. */
#ifndef MT_ATTACH_SAFEPOINT_H
#define MT_ATTACH_SAFEPOINT_H

#include "attach/arch/x86_64.h"
#include "attach/tracee.h"

struct safepoint;

enum safepoint_reason {
	SAFEPOINT_OK,
	SAFEPOINT_ALLOCATOR,
	SAFEPOINT_LOADER,
	SAFEPOINT_PROCESS,	/* fork, exit, thread creation */
	SAFEPOINT_THREADS,	/* pthread_join and the like; waiting in them is fine */
	SAFEPOINT_TRACER,
	SAFEPOINT_NO_UNWIND,
	SAFEPOINT_STACK,	/* not on the thread's own stack, or no room there */
	SAFEPOINT_SYSCALL,
	SAFEPOINT_SIGNALS,	/* in a critical section of the C library */
	SAFEPOINT_RSEQ,
	SAFEPOINT_GROUP_STOP,
	SAFEPOINT_NO_STOP,
	SAFEPOINT_VFORK,
	SAFEPOINT_DLOPEN,	/* r_debug says that the loader is at work */
	SAFEPOINT_REASONS,
};

const char *safepoint_reason_text(enum safepoint_reason reason);

/* Cached in the tracee; what it returns lives until tracee_close(). */
struct mt_error *safepoint_prepare(struct tracee *t, struct safepoint **ret) MT_MUST_CHECK;
/* Code snippets in the target; complete. */
const struct arch_snippets *safepoint_snippets(const struct safepoint *sp);
/* Address of __errno_location, 0: none. */
uint64_t safepoint_errno_function(const struct safepoint *sp);
/* Of the process as a whole, whether anything stands or not. */
enum safepoint_reason safepoint_process(struct safepoint *sp);

struct safepoint_candidate {
	pid_t tid;
	int rank;		/* lower is better */
	uint64_t sp, pc;	/* where it is blocked; 0: running */
};
/* Fills at most max in the order to try; *reason_ret says why there are none. */
struct mt_error *safepoint_candidates(struct safepoint *sp, struct safepoint_candidate *list,
				      size_t max, size_t *count_ret,
				      enum safepoint_reason *reason_ret) MT_MUST_CHECK;
/* Unwinds a blocked thread from outside, as far as that goes without its registers: what is read
 * and parsed for it now need not be while it stands still. */
void safepoint_rehearse(struct safepoint *sp, const struct safepoint_candidate *c);

/* Of a held thread. With `trusted` only what a call needs technically: a stack with `room` bytes
 * below the red zone, whose lowest usable address goes to *floor_ret. */
enum safepoint_reason safepoint_check(struct safepoint *sp, const struct tracee_thread *thread,
				      const struct user_regs_struct *regs, uint64_t sigmask,
				      bool trusted, size_t room, uint64_t *floor_ret);

#endif
