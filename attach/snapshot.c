/* SPDX-License-Identifier: Apache-2.0 */
/* attach/snapshot.c - copies registers and stack of a stopped thread.
 * Knows: where stacks end. Does not know: what is on them.
 * Called by inject/outside.c and cmds/stack_look.c; calls attach/. */
#include "attach/snapshot.h"

#include <stdlib.h>
#include <string.h>

uint64_t stack_end(const struct proc_maps *maps, const struct user_regs_struct *regs, uint64_t own_max)
{
	const struct proc_map *m = proc_maps_find(maps, regs->rsp);
	uint64_t end = m ? m->end : regs->rsp + STACK_FOREIGN_MAX, max = STACK_FOREIGN_MAX;
	if (m && regs->fs_base > regs->rsp && regs->fs_base < m->end) {
		end = regs->fs_base & ~7ull;
		max = own_max;
	} else if (m && !strcmp(m->path, "[stack]")) {
		max = own_max;
	}
	return end - regs->rsp > max ? regs->rsp + max : end;
}

struct mt_error *snapshot_room_init(struct snapshot_room *room)
{
	*room = (struct snapshot_room){ .bytes = malloc(STACK_RED_ZONE + 8 + SNAPSHOT_STACK_MAX) };
	if (!room->bytes)
		return &mt_enomem;
	memset(room->bytes, 1, STACK_RED_ZONE + 8 + SNAPSHOT_STACK_MAX);
	return NULL;
}

void snapshot_room_deinit(struct snapshot_room *room)
{
	free(room->bytes);
}

struct mt_error *snapshot_copy(struct tracee *t, const struct proc_maps *maps,
			       struct tracee_thread *thread, struct snapshot_room *room)
{
	struct mt_error *err = tracee_regs(t, thread, &room->copy.regs);
	if (err)
		return err;
	const struct user_regs_struct *regs = &room->copy.regs;
	uint64_t end = stack_end(maps, regs, SNAPSHOT_STACK_MAX);
	room->copy.base = regs->rsp > STACK_RED_ZONE ? (regs->rsp - STACK_RED_ZONE) & ~7ull : 0;
	room->copy.stack = room->bytes;
	room->copy.size = tracee_read_some(t, room->copy.base, room->bytes, end - room->copy.base);
	room->cut = end - regs->rsp >= SNAPSHOT_STACK_MAX;
	return NULL;
}

struct mt_error *snapshot_keep(const struct snapshot_room *room, struct snapshot *ret)
{
	void *stack = malloc(room->copy.size + 1);
	if (!stack)
		return &mt_enomem;
	memcpy(stack, room->copy.stack, room->copy.size);
	*ret = (struct snapshot){ room->copy, room->cut };
	ret->copy.stack = stack;
	return NULL;
}

void snapshot_deinit(struct snapshot *s)
{
	free((void *)s->copy.stack);
	s->copy.stack = NULL;
}
