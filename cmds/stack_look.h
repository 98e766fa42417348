/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/stack_look.h - the stacks of all threads of a process, copied.
 *
 *	looked_prepare(&l, pid)		all that can be known before a thread stands still
 *	looked_at_all(&l)		each thread is stopped once, alone, and copied
 *	looked_deinit(&l)		always */
#ifndef MT_CMDS_STACK_LOOK_H
#define MT_CMDS_STACK_LOOK_H

#include "attach/snapshot.h"
#include "base/hash.h"
#include "inject/python_frames.h"

struct thread_stack {
	pid_t tid;
	char name[64];
	const char *state;	/* static */
	const char *why;	/* not stopped; static, NULL: it was */
	struct snapshot native;
	struct python_stack python;
	uint32_t stack;		/* in the capture */
};

struct looked {
	struct tracee *t;
	struct images images;
	struct proc_maps maps;
	struct backtrace *backtrace;
	struct python python;
	struct python_frames frames;
	struct snapshot_room room;
	MT_ARRAY(struct thread_stack) threads;
	struct mt_map seen;		/* tid */
	/* Of a stop: from seeing the thread stand still to its release, and from asking for it, which
	 * takes in the time that a busy machine needs to let the thread come to its stop. */
	uint64_t longest_ns, longest_asked_ns;
	size_t stopped;
};

struct mt_error *looked_prepare(struct looked *l, pid_t pid) MT_MUST_CHECK;
struct mt_error *looked_at_all(struct looked *l) MT_MUST_CHECK;
void looked_deinit(struct looked *l);

#endif
