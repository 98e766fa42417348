/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/child.h - a program that `run` starts and watches.
 *
 *	child_start(&c, argv, streams)	forked, seized, stopped at its first exec
 *	child_run_to_entry(&c)		loader done, stopped at the program's entry point
 *	child_poll(&c)			takes what happened; never blocks
 *	child_let_go(&c)		no longer traced; only its end is awaited
 *
 * Only the main thread is traced, and only to see exec: signals are passed on, stops by job
 * control are kept. */
#ifndef MT_CMDS_CHILD_H
#define MT_CMDS_CHILD_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

enum child_state {
	CHILD_NONE,
	CHILD_EXECED,		/* in the stop of an exec */
	CHILD_AT_ENTRY,		/* stopped at the entry point */
	CHILD_RUNNING,
	CHILD_ENDED,		/* status is final */
};

struct child {
	pid_t pid;
	enum child_state state;
	bool traced;
	int status;		/* as of waitpid */
};

/* MT_ERROR_OTHER when the program cannot be executed ("cannot run 'x': No such file..."). `streams`: what
 * becomes its standard input, output and error, -1: ours; NULL: ours all. */
struct mt_error *child_start(struct child *c, char **argv, const int *streams) MT_MUST_CHECK;
/* From an exec stop. The state is CHILD_ENDED if it died on the way. */
struct mt_error *child_run_to_entry(struct child *c) MT_MUST_CHECK;
/* Resumes a stopped child and handles events until none is left. */
void child_poll(struct child *c);
/* As poll, but waits for an event at most ms. */
void child_wait(struct child *c, int ms);
void child_let_go(struct child *c);
void child_kill(struct child *c);

#endif
