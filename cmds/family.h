/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family.h - --follow-fork: a capture of its own for every forked descendant of a target.
 *
 * A child asks at its first event, in the page that all descendants share, and waits for the answer
 * (inject/tracer/family.c). For each this process forks: the copy has the parent's images, tables
 * and thunks in memory, makes them the child's, and records it from there on alone. So a child costs a
 * fork and a copy of the unwind tables, and what befalls one capture touches no other. At most
 * FAMILY_MAX are recorded at a time; further ones pass through, counted.
 *
 *	family_begin(&f, &s)		s is armed; f is zero at first
 *	family_turn(&f)			often: answers, and collects captures that ended
 *	family_forget(&f)		the root becomes another program: its page is gone
 *	family_end(&f, stop)		waits for the captures; with `stop` ends them first
 *
 * All of them do nothing without options.follow_fork.
 */
#ifndef MT_CMDS_FAMILY_H
#define MT_CMDS_FAMILY_H

#include "cmds/session.h"

#define FAMILY_MAX 256
#define FAMILY_TURN_MS 4	/* how long a child may wait to be seen */

struct family_member {
	pid_t recorder;		/* 0: free */
	pid_t target;
	unsigned entry;
	uint32_t word;		/* of the entry while it is set up */
};

struct family {
	struct session *s;		/* the root's */
	struct wire_family *page;	/* NULL: nobody asks */
	struct family_member members[FAMILY_MAX];
	unsigned count, followed, missed, failed;
	uint32_t stale_word[WIRE_JOIN_ENTRIES];	/* as seen when it last changed, and since when */
	uint64_t stale_ns[WIRE_JOIN_ENTRIES];
	char pid_namespace[64];
};

void family_begin(struct family *f, struct session *s);
void family_turn(struct family *f);
void family_forget(struct family *f);
/* Says what became of the children. Not quiet about captures that failed. */
void family_end(struct family *f, bool stop);

#endif
