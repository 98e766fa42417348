/* SPDX-License-Identifier: Apache-2.0 */
/* attach/follow.h - sees a process become another program, in the stop of its exec.
 *
 *	a thread of it waits, for us to look (inject/tracer/exec.c)
 *	follow_begin(&f, pid, tid, spawns)	seized and stopped in that wait
 *	...it is told that it may go on...
 *	follow_wait(&f, cancel, &end)		until it, or the child that it makes, has executed
 *	entry_run(f.pid, ...)			when FOLLOW_EXECED
 *
 * Whoever makes a child is let go at the instant when the child is there, and a thread whose exec
 * failed at the next system call it makes. What is still traced when this process ends is let go by
 * the kernel: whoever runs is not stopped for it. A process of its own for each is therefore the way
 * to call this. */
#ifndef MT_ATTACH_FOLLOW_H
#define MT_ATTACH_FOLLOW_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct follow {
	pid_t pid;		/* the process; in the end that which became another program */
	pid_t tid;		/* traced now */
	bool spawns;		/* its next child is meant, not itself */
	bool is_child;		/* that child is there */
	bool tried;		/* it has called execve */
	unsigned calls;		/* other system calls since it was told to go on */
};

enum follow_end {
	FOLLOW_EXECED,
	FOLLOW_NOTHING,		/* it did not, or ended: nothing is traced or held any more, or it runs */
};

struct mt_error *follow_begin(struct follow *f, pid_t pid, pid_t tid, bool spawns) MT_MUST_CHECK;
struct mt_error *follow_wait(struct follow *f, bool (*cancel)(void), enum follow_end *ret) MT_MUST_CHECK;

#endif
