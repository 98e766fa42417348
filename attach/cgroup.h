/* SPDX-License-Identifier: Apache-2.0 */
/* attach/cgroup.h - how much more memory a process's control groups let it have.
 *
 * Memory of a group counts by who touched it first, whatever the memory is; beyond the limit the
 * kernel kills. What it can drop instead (clean file pages) is counted as room. */
#ifndef MT_ATTACH_CGROUP_H
#define MT_ATTACH_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_NO_LIMIT UINT64_MAX

/* Bytes, the least over the group and all above it; CGROUP_NO_LIMIT also where nothing is known:
 * no control groups, or none that this process can see. */
uint64_t cgroup_room(pid_t pid);
/* The same for the group `path` ("/a/b") below the folder `mount`. */
uint64_t cgroup_room_at(const char *mount, const char *path, bool v2);
/* Are both in one memory group? */
bool cgroup_same(pid_t a, pid_t b);

#endif
