/* SPDX-License-Identifier: Apache-2.0 */
/* attach/tracee.h - a live process: its memory, and its threads stopped and let go.
 *
 *	tracee_open(pid, &t)			nothing is stopped
 *	tracee_read(t, ...)			works while it runs
 *	tracee_stop_all(t, ...)			every thread stopped
 *	tracee_release_all(t)			every thread as it was: running, group-stopped
 *	tracee_close(t)				releases what is still held
 *
 * Stopping is PTRACE_SEIZE + PTRACE_INTERRUPT; every wait is bounded; signals that arrive
 * meanwhile are delivered, group-stops are kept. A thread that exits meanwhile is not an error.
 * All ptrace calls of one tracee must come from one thread of this process. */
#ifndef MT_ATTACH_TRACEE_H
#define MT_ATTACH_TRACEE_H

#include "attach/proc.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct tracee;

struct mt_error *tracee_open(pid_t pid, struct tracee **ret) MT_MUST_CHECK;
/* To stop threads and read, not to call or change anything: a stopped or static one is opened too. */
struct mt_error *tracee_open_to_stop(pid_t pid, struct tracee **ret) MT_MUST_CHECK;
/* Only to look: a process that may not be stopped (traced by somebody, stopped) is opened too. */
struct mt_error *tracee_open_to_read(pid_t pid, struct tracee **ret) MT_MUST_CHECK;
/* One that helps, where ptrace is refused: attach/cooperation.h. */
struct cooperation;
struct mt_error *tracee_open_cooperating(pid_t pid, const struct cooperation *with, struct tracee **ret)
	MT_MUST_CHECK;
bool tracee_cooperates(const struct tracee *t);
void tracee_close(struct tracee *t);	/* NULL accepted */
MT_DEFINE_CLEANUP(tracee, struct tracee *, tracee_close)
#define auto_tracee mt_auto(mt_cleanup_tracee)

/* Keeps other memtraces from changing the process until tracee_close(); gone with this process
 * however it ends. Asked for before anything is changed, not to look. MT_ERROR_BUSY, naming the
 * holder, when it is not free by the deadline. */
struct mt_error *tracee_lock(struct tracee *t, int deadline_ms) MT_MUST_CHECK;
void tracee_unlock(struct tracee *t);
/* Long waits (borrow_acquire()) end with MT_ERROR_INTERRUPTED when `asked` answers true. */
void tracee_set_cancel(struct tracee *t, bool (*asked)(void));

pid_t tracee_pid(const struct tracee *t);
/* False once the process is gone or its pid belongs to another process. Cheap. */
bool tracee_alive(const struct tracee *t);

/* ---- memory (attach/memory.c): process_vm_readv, else /proc/PID/mem ---- */
/* All or nothing; the error's address is the first byte that could not be read. */
struct mt_error *tracee_read(const struct tracee *t, uint64_t address, void *buf, size_t size)
	MT_MUST_CHECK;
/* Bytes read up to the first unreadable page; for snapshots of stacks. */
size_t tracee_read_some(const struct tracee *t, uint64_t address, void *buf, size_t size);
/* Words at many places, in few calls; 0 for one that cannot be read. */
void tracee_read_words(const struct tracee *t, const uint64_t *addresses, size_t count,
		       uint64_t *ret);
/* A NUL-terminated string of at most max bytes; the caller frees. */
struct mt_error *tracee_read_string(const struct tracee *t, uint64_t address, size_t max,
				    char **ret) MT_MUST_CHECK;
/* Through /proc/PID/mem: reaches read-only pages too. Needs ptrace permission, not a stop. */
struct mt_error *tracee_write(const struct tracee *t, uint64_t address, const void *buf,
			      size_t size) MT_MUST_CHECK;

/* ---- threads (attach/stop.c) ---- */
struct tracee_thread {
	pid_t tid;
	bool held;		/* seized by us and in a ptrace-stop */
	bool seized;		/* seized by us, maybe running */
	bool group_stopped;	/* was stopped by job control: is left so */
	uint64_t stopped_us;	/* when it first stopped for us, 0: it has not yet */
};

/* What it cost the target so far: ptrace stops of its threads, and the longest time from a thread's
 * first stop to its release. */
struct tracee_holds {
	unsigned long stops;
	uint64_t longest_us;
};
void tracee_holds(const struct tracee *t, struct tracee_holds *ret);

/* Seizes and stops one thread. MT_ERROR_BUSY when the process cooperates, or when the thread does not
 * stop within the bound (D state, vfork parent); it is let go then, by tracee_alive() at the latest,
 * which is to be called often. MT_ERROR_GONE when it exited. */
struct mt_error *tracee_stop_thread(struct tracee *t, pid_t tid, struct tracee_thread **ret)
	MT_MUST_CHECK;
/* Lets one thread go as it was; the handle is invalid afterwards. */
void tracee_release_thread(struct tracee *t, struct tracee_thread *thread);
/* Stops every thread, new ones included, or none (error: all released again). */
struct mt_error *tracee_stop_all(struct tracee *t, int timeout_ms) MT_MUST_CHECK;
void tracee_release_all(struct tracee *t);
/* Releases all held threads but this one. */
void tracee_release_others(struct tracee *t, const struct tracee_thread *keep);
/* The threads held now. */
struct tracee_thread **tracee_threads(struct tracee *t, size_t *count_ret);

/* Its state and place by /proc, without a stop: as proc_thread_read(), also of a process that
 * cooperates where the kernel tells the place to that process alone. */
struct mt_error *tracee_look_thread(struct tracee *t, pid_t tid, struct proc_thread *ret) MT_MUST_CHECK;
/* A process that cooperates keeps the threads of its interpreter asleep, if it can, until
 * tracee_quiet_end() or for a tenth of a second without a question; *helper_ret: the thread that does,
 * inside nothing of ours. Of another process: nothing happens, 0. */
struct mt_error *tracee_quiet_begin(struct tracee *t, pid_t *helper_ret) MT_MUST_CHECK;
void tracee_quiet_end(struct tracee *t);

struct mt_error *tracee_regs(struct tracee *t, struct tracee_thread *thread,
			     struct user_regs_struct *ret) MT_MUST_CHECK;

/* A thread that the caller has already seized and that is in a ptrace-stop (run: the child at its
 * entry point). Takes it over; tracee_release_thread() detaches it. A signal that it stopped for
 * (the caller's breakpoint) is dropped; ptrace options become those of this module. */
struct mt_error *tracee_adopt_thread(struct tracee *t, pid_t tid, struct tracee_thread **ret)
	MT_MUST_CHECK;
/* Forgets the thread without detaching it: the caller goes on tracing it. */
void tracee_disown_thread(struct tracee *t, struct tracee_thread *thread);

#endif
