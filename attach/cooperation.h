/* SPDX-License-Identifier: Apache-2.0 */
/* attach/cooperation.h - a process that does itself, at our word, what ptrace would do to it.
 *
 * Where ptrace is refused (a seccomp filter, Yama's strictest scope, a debugger that is there first) a
 * program can still record itself: it has opened its own /proc/self/mem for us, and one of its threads
 * obeys requests, a line each, and answers through a pipe or a socket. Numbers of requests and answers
 * and thread ids are decimal, all others hexadecimal:
 *
 *	> do N help			< N TID ADDRESS SIZE	who obeys, and its buffer for our bytes
 *	> do N call FUNCTION ARG...	< N RESULT
 *	> do N syscall NR A1 .. A6	< N RESULT		or a negative errno, as 64 bits
 *	> do N quiet			< N TID			who obeys
 *	> do N look TID			< N TEXT		of /proc/self/task/TID/syscall
 *	> do N on			< N
 *					< 0		may have lost a request: to be sent again
 *
 * What comes again with the number of the request before is answered as then, not done again.
 * From `quiet` to `on`, or until nothing is asked for a tenth of a second, it keeps threads of its
 * interpreter from running, if it can: whoever wants the interpreter's lock sleeps.
 *
 * The thread that obeys is at a safe point by construction, on a stack of its own, and restores nothing:
 * when we die its input ends. Threads cannot be stopped (tracee_stop_thread() is MT_ERROR_BUSY): what
 * must be known of them is told by /proc while they sleep.
 *
 * Called by attach/ alone (tracee.h and borrow.h are the same for both kinds of process) but for struct
 * cooperation, which its owner hands to tracee_open_cooperating(). */
#ifndef MT_ATTACH_COOPERATION_H
#define MT_ATTACH_COOPERATION_H

#include "base/error.h"

#include <stdint.h>

struct tracee;
struct borrow;

/* Descriptors; they stay the caller's and open until tracee_close(). */
struct cooperation {
	int memory;		/* its /proc/self/mem, opened by itself to read and write */
	int requests;
	int answers;
};

/* Waits until it obeys, however long, unless it ends or tracee_set_cancel() says so. */
struct mt_error *cooperation_borrow(struct tracee *t, struct borrow **ret) MT_MUST_CHECK;
struct mt_error *cooperation_call(struct borrow *b, uint64_t fn, const uint64_t *args, int nargs,
				  int timeout_ms, uint64_t *ret) MT_MUST_CHECK;
struct mt_error *cooperation_syscall(struct borrow *b, long nr, const uint64_t args[6], int64_t *ret)
	MT_MUST_CHECK;

#endif
