/* SPDX-License-Identifier: Apache-2.0 */
/* attach/tracee_private.h - struct tracee inside, and the single stop, for attach/ alone. */
#ifndef MT_ATTACH_TRACEE_PRIVATE_H
#define MT_ATTACH_TRACEE_PRIVATE_H

#include "attach/cooperation.h"
#include "attach/tracee.h"

#include <signal.h>

struct safepoint;

struct tracee {
	pid_t pid;
	pid_t living;		/* proc_living(), when that was asked last */
	uint64_t start_time;	/* for kernels without pidfd_open */
	int pidfd;		/* -1: not supported */
	int mem_fd;		/* /proc/PID/mem, -1: not opened yet */
	int lock_fd;		/* holds the lock of attach/lock.c, -1: not locked */
	bool is_child;		/* our own child: its exit status is the caller's to collect */
	pid_t owner;		/* the thread of ours that may use ptrace */
	bool holds;		/* see attach/hold.c; then, ours before: */
	sigset_t mask_before;
	int nice_before;
	bool nice_changed;
	unsigned long stops;	/* of all threads, so far */
	uint64_t longest_us;	/* that a thread was held */
	bool execed;		/* runs another program since tracee_open() */
	MT_ARRAY(struct tracee_thread *) threads;
	MT_ARRAY(struct tracee_thread *) late;	/* did not stop in time, to be let go */
	bool (*cancel_asked)(void);	/* NULL: nobody can */
	bool cooperates;	/* and then, with whom: */
	struct cooperation cooperation;
	unsigned requests_made;
	pid_t borrowed;		/* the thread that was borrowed last, 0: none yet */
	struct safepoint *safepoint;	/* cache of attach/safepoint.c; NULL: none yet */
};

enum stop_wait {
	STOP_STOPPED,		/* *status_ret is the wait status */
	STOP_GONE,		/* exited */
	STOP_TIMEOUT,
};

#define STOP_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)

/* Waits for the next ptrace-stop of a seized thread. An exit status is collected, except that of a
 * child of our own. Does not look at what the stop is. */
enum stop_wait stop_wait(struct tracee *t, struct tracee_thread *thread, uint64_t deadline_us,
			 int *status_ret);
/* The signal that the thread has stopped for is our doing: it must not reach the program, not even
 * when we die now. */
void stop_take_signal(const struct tracee_thread *thread);
/* After PTRACE_INTERRUPT: waits until the thread is in the stop that it asked for (inside the
 * kernel's signal code, where registers incl. orig_rax may be changed freely). Signals that come
 * first are delivered. */
enum stop_wait stop_settle(struct tracee *t, struct tracee_thread *thread, uint64_t deadline_us);
/* Takes the thread out of the list and frees it, whatever its state. */
void stop_forget(struct tracee *t, struct tracee_thread *thread);
struct mt_error *stop_gone_error(const struct tracee *t, pid_t tid);
/* At a stop for a signal or by us: a call that would give EINTR for it alone is started again. */
void stop_undo_false_eintr(pid_t tid);
/* Threads that did not stop in time and are still seized: lets go those that stopped since. */
void stop_sweep(struct tracee *t);

/* ---- attach/exec_guard.c ---- */
struct exec_guard {
	struct sigaction before;
	sigset_t mask;
};
/* Around PTRACE_SEIZE: an exec in the target would wait for us to reap its dead threads while
 * PTRACE_SEIZE waits for the exec. In between they are reaped as they die: who waits for one of
 * them finds it gone. */
void exec_guard_begin(const struct tracee *t, struct exec_guard *ret);
void exec_guard_end(const struct exec_guard *g);

/* ---- attach/hold.c ---- */
/* Before a thread is seized; and when one was let go, which counts when it was the last. */
void hold_begin(struct tracee *t);
void hold_end(struct tracee *t);
/* The thread is let go now. */
void hold_note(struct tracee *t, const struct tracee_thread *thread);

void safepoint_destroy(struct safepoint *sp);	/* NULL accepted */

#endif
