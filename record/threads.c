/* SPDX-License-Identifier: Apache-2.0 */
/* record/threads.c - the target's threads, across pid namespaces.
 * Knows: /proc/PID/task. Does not know: rings.
 * Called by record/recorder.c; calls attach/proc.h. */
#include "record/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void live_threads_init(struct live_threads *live, pid_t pid, pid_t ns_pid)
{
	*live = (struct live_threads){ .pid = pid, .same_namespace = pid == ns_pid };
}

void live_threads_deinit(struct live_threads *live)
{
	mt_map_deinit(&live->tids);
}

struct mt_error *live_threads_read(struct live_threads *live)
{
	struct proc_tids tids = { 0 };
	mt_map_clear(&live->tids);
	struct mt_error *err = proc_tids_read(live->pid, &tids);
	if (err && err->code == MT_ERROR_GONE) {
		mt_error_destroy(err);
		return NULL;
	}
	if (err)
		return err;
	for (size_t i = 0; i < tids.tids.len && !err; i++) {
		pid_t tid = tids.tids.items[i];
		pid_t inner = live->same_namespace ? tid : proc_thread_inner_tid(live->pid, tid);
		if (!mt_map_put(&live->tids, (uint64_t)inner, (uint64_t)tid))
			err = &mt_enomem;
	}
	proc_tids_deinit(&tids);
	return err;
}

bool live_threads_has(const struct live_threads *live, uint32_t tid)
{
	return mt_map_get(&live->tids, tid) != NULL;
}

void live_threads_name(const struct live_threads *live, uint32_t tid, char *ret, size_t size)
{
	const uint64_t *outer = mt_map_get(&live->tids, tid);
	ret[0] = 0;
	auto_error struct mt_error *err =
		proc_thread_name(live->pid, outer ? (pid_t)*outer : (pid_t)tid, ret, size);
	if (err)
		ret[0] = 0;
}
