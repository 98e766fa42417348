/* SPDX-License-Identifier: Apache-2.0 */
/* attach/snapshot.h - registers and stack of a stopped thread, copied to be unwound once it runs again.
 *
 *	snapshot_room_init(&room)
 *	tracee_stop_thread(t, tid, &thread)
 *	snapshot_copy(t, &maps, thread, &room)		a few microseconds, no memory is asked for
 *	tracee_release_thread(t, thread)
 *	snapshot_keep(&room, &snapshot)			a copy of its own size
 *	backtrace_walk_copy(bt, &snapshot.copy, ...)
 */
#ifndef MT_ATTACH_SNAPSHOT_H
#define MT_ATTACH_SNAPSHOT_H

#include "attach/backtrace.h"

#define STACK_RED_ZONE 256u		/* with room to spare */
#define STACK_FOREIGN_MAX (256u << 10)	/* of one that is no thread's own: coroutines, alternate stacks */
#define SNAPSHOT_STACK_MAX (2u << 20)	/* copied in less than half a millisecond */

/* Where the stack of a stopped thread ends: its own at the thread control block, which lies on top,
 * or at the end of the main thread's; at most max bytes of those. */
uint64_t stack_end(const struct proc_maps *maps, const struct user_regs_struct *regs, uint64_t max);

struct snapshot_room {		/* touched before use: no page fault while a thread stands still */
	struct backtrace_copy copy;
	bool cut;		/* the stack goes on where the copy ends */
	uint8_t *bytes;
};

struct snapshot {
	struct backtrace_copy copy;	/* owns the stack; size 0: none */
	bool cut;
};

struct mt_error *snapshot_room_init(struct snapshot_room *room) MT_MUST_CHECK;
void snapshot_room_deinit(struct snapshot_room *room);
struct mt_error *snapshot_copy(struct tracee *t, const struct proc_maps *maps,
			       struct tracee_thread *thread, struct snapshot_room *room) MT_MUST_CHECK;
struct mt_error *snapshot_keep(const struct snapshot_room *room, struct snapshot *ret) MT_MUST_CHECK;
void snapshot_deinit(struct snapshot *s);

#endif
