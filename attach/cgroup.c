/* SPDX-License-Identifier: Apache-2.0 */
/* attach/cgroup.c - reads limits and use of memory control groups, version 1 and 2.
 * Knows: /proc/PID/cgroup, mountinfo, the controllers' files. Does not know: what needs memory.
 * Called by inject/; calls the kernel. */
#include "attach/cgroup.h"

#include "base/cleanup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names of one version's files. */
struct names {
	const char *limit, *used;
	const char *droppable[2];	/* in memory.stat */
};

static const struct names names_of[2] = {
	{ "memory.limit_in_bytes", "memory.usage_in_bytes",
	  { "total_inactive_file ", "total_active_file " } },
	{ "memory.max", "memory.current", { "inactive_file ", "active_file " } },
};

/* "max" is no number: no limit. */
static bool read_number(const char *dir, const char *name, uint64_t *ret)
{
	char path[PATH_MAX];
	unsigned long long value;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return false;
	auto_fclose FILE *f = fopen(path, "re");
	if (!f || fscanf(f, "%llu", &value) != 1)
		return false;
	*ret = value;
	return true;
}

static uint64_t read_droppable(const char *dir, const struct names *n)
{
	char path[PATH_MAX], line[256];
	uint64_t sum = 0;
	if (snprintf(path, sizeof(path), "%s/memory.stat", dir) >= (int)sizeof(path))
		return 0;
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		for (int i = 0; i < 2; i++)
			if (!strncmp(line, n->droppable[i], strlen(n->droppable[i])))
				sum += strtoull(line + strlen(n->droppable[i]), NULL, 10);
	return sum;
}

static uint64_t room_of_one(const char *dir, const struct names *n)
{
	uint64_t limit, used;
	if (!read_number(dir, n->limit, &limit) || !read_number(dir, n->used, &used))
		return CGROUP_NO_LIMIT;
	uint64_t droppable = read_droppable(dir, n);
	used = used > droppable ? used - droppable : 0;
	return limit > used ? limit - used : 0;
}

uint64_t cgroup_room_at(const char *mount, const char *path, bool v2)
{
	char dir[PATH_MAX];
	size_t base = strlen(mount);
	uint64_t least = CGROUP_NO_LIMIT;
	if (snprintf(dir, sizeof(dir), "%s%s", mount, path) >= (int)sizeof(dir))
		return least;
	for (;;) {
		uint64_t room = room_of_one(dir, &names_of[v2]);
		if (room < least)
			least = room;
		char *slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < base)
			return least;
		*slash = 0;
	}
}

/* ---- which group, and where it is mounted ---- */

struct group {
	char path[PATH_MAX];
	bool v2;
};

static bool in_list(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* "4:memory:/path" where version 1 has the controller, else "0::/path". */
static bool read_group(pid_t pid, struct group *ret)
{
	char name[64], line[PATH_MAX + 64];
	bool found = false;
	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	auto_fclose FILE *f = fopen(name, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path || path[1] != '/')
			continue;
		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		bool v1 = in_list(controllers + 1, "memory");
		if (!v1 && (found || controllers[1]))
			continue;
		snprintf(ret->path, sizeof(ret->path), "%.*s", PATH_MAX - 1, path);
		ret->v2 = !v1;
		found = true;
		if (v1)
			break;
	}
	return found;
}

/* A line of mountinfo: id, parent, device, root, mount point, ..., "-", type, source, options. */
static bool is_mount_of(char *line, const struct group *g, char **root_ret, char **mount_ret)
{
	char *rest = strstr(line, " - ");
	char *save = NULL, *fields[5];
	if (!rest)
		return false;
	*rest = 0;
	rest += 3;
	if (strncmp(rest, g->v2 ? "cgroup2 " : "cgroup ", g->v2 ? 8 : 7))
		return false;
	char *options = strrchr(rest, ' ');
	rest[strcspn(rest, "\n")] = 0;
	if (!g->v2 && !in_list(options + 1, "memory"))
		return false;
	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return false;
	}
	*root_ret = fields[3];
	*mount_ret = fields[4];
	return true;
}

uint64_t cgroup_room(pid_t pid)
{
	struct group g;
	char line[2 * PATH_MAX];
	auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f || !read_group(pid, &g))
		return CGROUP_NO_LIMIT;
	while (fgets(line, sizeof(line), f)) {
		char *root, *mount;
		if (!is_mount_of(line, &g, &root, &mount))
			continue;
		/* Inside a container the mount may show a part of the tree only. */
		size_t len = strcmp(root, "/") ? strlen(root) : 0;
		if (!strncmp(g.path, root, len) && (!g.path[len] || g.path[len] == '/'))
			return cgroup_room_at(mount, strcmp(g.path + len, "/") ? g.path + len : "", g.v2);
	}
	return CGROUP_NO_LIMIT;
}

bool cgroup_same(pid_t a, pid_t b)
{
	struct group x, y;
	return read_group(a, &x) && read_group(b, &y) && x.v2 == y.v2 && !strcmp(x.path, y.path);
}
