/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family_find.c - which process is it that asks in the family's page?
 * Knows: /proc. Does not know: what it asks for.
 * Called by cmds/family.c; calls attach/proc.h. */
#include "cmds/family_find.h"

#include "attach/proc.h"
#include "inject/channel.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_namespace(pid_t pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	ssize_t n = readlink(path, ret, size - 1);
	ret[n > 0 ? n : 0] = 0;
	return n > 0;
}

void family_place_init(struct family_place *p, pid_t root, const struct wire_family *page)
{
	struct proc_maps maps = { 0 };
	*p = (struct family_place){ 0 };
	read_namespace(root, p->pid_namespace, sizeof(p->pid_namespace));
	auto_error struct mt_error *err = proc_maps_read(getpid(), &maps);
	const struct proc_map *map = err ? NULL : proc_maps_find(&maps, (uint64_t)page);
	p->inode = map ? map->inode : 0;
	proc_maps_deinit(&maps);
}

static bool has_page(const struct family_place *p, pid_t pid)
{
	struct proc_maps maps = { 0 };
	auto_error struct mt_error *err = proc_maps_read(pid, &maps);
	bool found = false;
	for (size_t i = 0; !err && i < maps.maps.len && !found; i++)
		found = p->inode && maps.maps.items[i].inode == p->inode &&
			strstr(maps.maps.items[i].path, WIRE_MEMFD_FAMILY);
	proc_maps_deinit(&maps);
	return found;
}

static bool is_ours(const struct family_place *p, pid_t pid, int fd)
{
	return fd >= 0 ? channel_is_at(pid, fd) : has_page(p, pid);
}

static bool is_called(pid_t pid, uint32_t inner)
{
	struct proc_status status;
	auto_error struct mt_error *err = proc_status_read(pid, &status);
	return !err && (uint32_t)status.ns_tgid == inner;
}

pid_t family_find_process(const struct family_place *p, uint32_t inner, int fd)
{
	char own[64], its[64];
	if (read_namespace(getpid(), own, sizeof(own)) && !strcmp(own, p->pid_namespace) &&
	    read_namespace((pid_t)inner, its, sizeof(its)) && !strcmp(own, its) &&
	    is_ours(p, (pid_t)inner, fd))
		return (pid_t)inner;
	auto_closedir DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));) {
		pid_t pid = atoi(e->d_name);
		if (pid > 0 && is_called(pid, inner) && is_ours(p, pid, fd))
			return pid;
	}
	return 0;
}

pid_t family_find_thread(pid_t pid, uint32_t inner_tid)
{
	struct proc_tids tids = { 0 };
	pid_t found = 0;
	auto_error struct mt_error *err = proc_tids_read(pid, &tids);
	for (size_t i = 0; !err && i < tids.tids.len && !found; i++)
		if ((uint32_t)proc_thread_inner_tid(pid, tids.tids.items[i]) == inner_tid)
			found = tids.tids.items[i];
	proc_tids_deinit(&tids);
	return found;
}
