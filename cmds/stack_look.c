/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/stack_look.c - stops each thread of a process once and copies its stacks.
 * Knows: what is to be copied, threads that come and go. Does not know: names, output.
 * Called by cmds/stack.c; calls attach/, inject/python_frames.h. */
#include "cmds/stack_look.h"

#include "attach/preflight.h"
#include "base/clock.h"

#include <stdlib.h>

#define ROUNDS_MAX 8		/* over the list of threads, for those made meanwhile */
#define LOCK_MS 2000

void looked_deinit(struct looked *l)
{
	for (size_t i = 0; i < l->threads.len; i++) {
		snapshot_deinit(&l->threads.items[i].native);
		python_stack_deinit(&l->threads.items[i].python);
	}
	mt_array_deinit(&l->threads);
	mt_map_deinit(&l->seen);
	snapshot_room_deinit(&l->room);
	python_frames_deinit(&l->frames);
	python_deinit(&l->python);
	backtrace_destroy(l->backtrace);
	proc_maps_deinit(&l->maps);
	images_deinit(&l->images);
	tracee_close(l->t);
}

struct mt_error *looked_prepare(struct looked *l, pid_t pid)
{
	struct mt_error *err = tracee_open_to_stop(pid, &l->t);
	if (!err)
		err = tracee_lock(l->t, LOCK_MS);
	if (!err)
		err = proc_maps_read(pid, &l->maps);
	if (!err)
		err = images_read(l->t, &l->images);
	if (!err)
		err = backtrace_create(l->t, &l->images, &l->backtrace);
	if (!err)
		err = python_probe(l->t, &l->images, false, &l->python);
	if (!err)
		err = python_frames_init(&l->frames, l->t, &l->python);
	if (!err)
		err = python_frames_threads(&l->frames);
	return err ? err : snapshot_room_init(&l->room);
}

static const char *state_text(char state)
{
	switch (state) {
	case 'R': return "running";
	case 'S': return "sleeping";
	case 'D': return "in uninterruptible sleep";
	case 'T': return "stopped";
	case 't': return "traced";
	case 'Z': case 'X': return "exited";
	default: return "unknown";
	}
}

/* Stops it, copies and lets it go. */
static struct mt_error *copy_thread(struct looked *l, struct thread_stack *th)
{
	struct tracee_thread *thread;
	uint64_t asked = mt_now_ns();
	struct mt_error *err = tracee_stop_thread(l->t, th->tid, &thread);
	if (err)
		return err;
	uint64_t begin = mt_now_ns();
	err = snapshot_copy(l->t, &l->maps, thread, &l->room);
	if (!err && l->python.known)
		err = python_frames_read(&l->frames, l->room.copy.regs.fs_base, &th->python);
	tracee_release_thread(l->t, thread);
	uint64_t end = mt_now_ns();
	if (end - begin > l->longest_ns)
		l->longest_ns = end - begin;
	if (end - asked > l->longest_asked_ns)
		l->longest_asked_ns = end - asked;
	l->stopped++;
	return err ? err : snapshot_keep(&l->room, &th->native);
}

/* *gone_ret: it exited before it could be looked at. */
static struct mt_error *look_at(struct looked *l, struct thread_stack *th, bool *gone_ret)
{
	struct proc_thread p;
	struct mt_error *err = proc_thread_read(tracee_pid(l->t), th->tid, &p);
	if (!err)
		err = proc_thread_name(tracee_pid(l->t), th->tid, th->name, sizeof(th->name));
	if (!err) {
		th->state = state_text(p.state);
		if (p.kernel_worker)
			th->why = "it works inside the kernel and runs no code of the program";
		else if (p.state == 'Z' || p.state == 'X')
			th->why = "it has exited";
	}
	if (!err && !th->why)
		err = copy_thread(l, th);
	*gone_ret = false;
	if (!err)
		return NULL;
	if (err->code == MT_ERROR_BUSY)
		th->why = "it does not stop: it waits inside the kernel and cannot be interrupted";
	*gone_ret = err->code == MT_ERROR_GONE && tracee_alive(l->t);
	if (err->code != MT_ERROR_BUSY && !*gone_ret)
		return err;
	mt_error_destroy(err);
	return NULL;
}

static struct mt_error *look_at_new(struct looked *l, pid_t tid, bool *found_ret)
{
	struct thread_stack th = { .tid = tid };
	bool gone;
	if (mt_map_get(&l->seen, (uint64_t)tid))
		return NULL;
	*found_ret = true;
	if (!mt_map_put(&l->seen, (uint64_t)tid, 1))
		return &mt_enomem;
	struct mt_error *err = look_at(l, &th, &gone);
	if (!err && !gone && !mt_array_push(&l->threads, th))
		err = &mt_enomem;
	if (err || gone) {
		snapshot_deinit(&th.native);
		python_stack_deinit(&th.python);
	}
	return err;
}

struct mt_error *looked_at_all(struct looked *l)
{
	bool found = true;
	for (int round = 0; found && round < ROUNDS_MAX; round++) {
		struct proc_tids tids;
		found = false;
		struct mt_error *err = proc_tids_read(tracee_pid(l->t), &tids);
		if (err)
			return err;
		for (size_t i = 0; !err && i < tids.tids.len; i++)
			err = look_at_new(l, tids.tids.items[i], &found);
		proc_tids_deinit(&tids);
		/* Threads made since may be Python's. */
		if (!err && found)
			err = python_frames_threads(&l->frames);
		if (err)
			return err;
	}
	return NULL;
}
