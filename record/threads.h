/* SPDX-License-Identifier: Apache-2.0 */
/* record/threads.h - which threads of the target live, by the ids the target itself uses. */
#ifndef MT_RECORD_THREADS_H
#define MT_RECORD_THREADS_H

#include "attach/proc.h"
#include "base/hash.h"

struct live_threads {
	pid_t pid;
	bool same_namespace;	/* its ids are ours */
	struct mt_map tids;	/* id in the target -> id here */
};

void live_threads_init(struct live_threads *live, pid_t pid, pid_t ns_pid);
void live_threads_deinit(struct live_threads *live);
/* Reads the list anew. A target that is gone has no threads. */
struct mt_error *live_threads_read(struct live_threads *live) MT_MUST_CHECK;
bool live_threads_has(const struct live_threads *live, uint32_t tid);
/* The name of a thread, "" when it cannot be read. */
void live_threads_name(const struct live_threads *live, uint32_t tid, char *ret, size_t size);

#endif
