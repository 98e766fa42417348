/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/program.h - --follow-fork: the capture of a program that a process of the family executes.
 *
 * In a process forked for it, which ends when this returns: the thread that asked is watched until its
 * program, or that of the child it makes, stands at its entry point; from there on the program is
 * recorded to a file of its own and let go, and is the root of a family itself. Whatever does not
 * work out lets it pass untouched. */
#ifndef MT_CMDS_PROGRAM_H
#define MT_CMDS_PROGRAM_H

#include "cmds/family_limit.h"
#include "cmds/session.h"

struct program_ask {
	pid_t pid, tid;		/* who asks */
	bool spawns;		/* its child is meant */
	/* It is watched: tells it to go on. False: it has given up. */
	bool (*accept)(void *arg);
	void *arg;
};

struct mt_error *program_record(struct session *root, struct family_limit *limit,
				const struct session_options *options,
				const struct program_ask *ask) MT_MUST_CHECK;

#endif
