/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family_limit.h - what all processes of memtrace that record one family share: limits, and what to
 * tell at the end. In memory that they inherit from the first of them; nobody holds a lock, so any of
 * them may be killed.
 *
 *	family_limit_create()		in the first
 *	family_slot_take(l)		before a fork; FAMILY_MAX at a time in all
 *	family_slot_free(l, slot)	when that process is gone
 */
#ifndef MT_CMDS_FAMILY_LIMIT_H
#define MT_CMDS_FAMILY_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAMILY_MAX 256
/* Programs executed: so many at once, and so many a second in the long run. To start to record one
 * takes tens of milliseconds, for which it waits. */
#define PROGRAM_BURST 256
#define PROGRAMS_A_SECOND 10

struct family_limit {
	_Atomic pid_t slot[FAMILY_MAX];		/* of who records; 0: free, -1: about to be made */
	_Atomic uint32_t answered[FAMILY_MAX];	/* by the process in that slot: the entry is not its any more */
	_Atomic uint64_t programs_ns;		/* when the burst is full again */
	_Atomic uint32_t forked, executed;	/* captures */
	_Atomic uint32_t missed;		/* not recorded: too many */
	_Atomic uint32_t privileged, unfit, failed;
	_Atomic uint32_t has_reason;
	char reason[256];			/* why the first unfit one was that */
};

struct family_limit *family_limit_create(void);	/* NULL: no memory */
int family_slot_take(struct family_limit *l);	/* -1: none is free */
void family_slot_set(struct family_limit *l, int slot, pid_t pid);
void family_slot_free(struct family_limit *l, int slot);
/* May one more program be recorded now? */
bool family_program_allowed(struct family_limit *l, uint64_t now_ns);
void family_note_unfit(struct family_limit *l, const char *reason);

#endif
