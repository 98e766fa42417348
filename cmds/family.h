/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family.h - --follow-fork: a capture of its own for every forked descendant of a target, and for
 * every program that one of them executes.
 *
 * Who wants something asks in the page that all descendants share, and waits for the answer: a child
 * at its first event (inject/tracer/family.c), a thread that is about to execute a program or to make
 * a child that does (inject/tracer/exec.c). For each this process forks.
 *
 * For a child the copy has the parent's images, tables and thunks in memory, makes them the child's, and
 * records it from there on alone. So a child costs a fork and a copy of the unwind tables. For a
 * program the copy watches the thread and begins anew (cmds/program.h); it is then the head of a
 * family of its own. What befalls one capture touches no other. All heads together keep to the limits
 * of cmds/family_limit.h; who asks beyond them passes through, counted.
 *
 *	family_begin(&f, &s)		s is armed; f is zero at first, but for f.limit
 *	family_turn(&f)			often: answers, and collects captures that ended
 *	family_end(&f, stop)		waits for the captures; with `stop` ends them first
 *
 * All of them do nothing without options.follow_fork.
 */
#ifndef MT_CMDS_FAMILY_H
#define MT_CMDS_FAMILY_H

#include "cmds/family_find.h"
#include "cmds/family_limit.h"
#include "cmds/session.h"

#define FAMILY_TURN_MS 4	/* how long a child may wait to be seen */

struct family_member {
	pid_t recorder;		/* 0: free */
	pid_t target;		/* who asked */
	int slot;		/* in the limit */
	unsigned entry;
	uint32_t word;		/* of the entry while it is set up */
};

struct family {
	struct session *s;		/* the root's */
	struct wire_family *page;	/* NULL: nobody asks */
	struct family_limit *limit;	/* NULL at first: this is the first of all heads */
	struct family_place place;
	struct family_member members[FAMILY_MAX];
	unsigned count;
	uint32_t stale_word[WIRE_JOIN_ENTRIES];	/* as seen when it last changed, and since when */
	uint64_t stale_ns[WIRE_JOIN_ENTRIES];
};

void family_begin(struct family *f, struct session *s);
void family_turn(struct family *f);
/* The first of all heads says what became of the children. Not quiet about captures that failed. */
void family_end(struct family *f, bool stop);

#endif
