/* SPDX-License-Identifier: Apache-2.0 */
/* record/jit_names.c - opens a process's perf map and jitdump, and puts names into its capture.
 * Knows: where runtimes write them, whose they must be. Does not know: what is in them.
 * Called by record/recorder.c and cmds/stack.c; calls attach/, record/jit_places.h. */
#include "record/jit_names.h"

#include "record/jit_places.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct jit_names {
	pid_t pid, inner_pid;
	uid_t uid, euid;
	struct clock_pair since;
	int tmp_fd;		/* the process's /tmp, which outlives it; -1: none */
	int dump_fd;		/* -1: no jitdump was mapped so far */
	uint64_t mark;		/* bytes of the perf map at the start */
	ino_t mark_inode;
	char note[160];
};

/* ---- opening what somebody else put there ---- */

static bool is_theirs(const struct jit_names *j, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_uid == j->uid || st->st_uid == j->euid || !st->st_uid);
}

/* A regular file of the process's user, or -1. */
static int open_theirs(struct jit_names *j, int dir, const char *name, int flags, struct stat *st)
{
	/* O_NONBLOCK: what has this name may be a pipe. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	if (fd >= 0 && !fstat(fd, st) && is_theirs(j, st))
		return fd;
	if (fd >= 0 || errno == ELOOP) {
		const char *base = strrchr(name, '/');
		snprintf(j->note, sizeof(j->note), "%s of process %d is no file of its user: not read",
			 base ? base + 1 : name, j->pid);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Links in there lead where the process sees them lead, never out of its root. */
static int open_tmp(pid_t pid)
{
	char path[64];
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	snprintf(path, sizeof(path), "/proc/%d/root", (int)proc_living(pid));
	auto_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, root, "tmp", &how, sizeof(how));
	if (fd < 0 && errno == ENOSYS)		/* before Linux 5.6 */
		fd = openat(root, "tmp", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd;
}

static int open_map(struct jit_names *j, struct stat *st)
{
	char name[32];
	snprintf(name, sizeof(name), "perf-%d.map", (int)j->inner_pid);
	return j->tmp_fd < 0 ? -1 : open_theirs(j, j->tmp_fd, name, O_NOFOLLOW, st);
}

/* The mapped file itself where the kernel opens it for us, else by its path in the process's root. */
static int open_dump(struct jit_names *j, const struct images *images)
{
	char path[4352];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)proc_living(j->pid),
		 (unsigned long long)images->jitdump.start, (unsigned long long)images->jitdump.end);
	int fd = open_theirs(j, AT_FDCWD, path, 0, &st);
	if (fd >= 0 || strlen(images->jitdump.path) >= 4096)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)proc_living(j->pid), images->jitdump.path);
	fd = open_theirs(j, AT_FDCWD, path, O_NOFOLLOW, &st);
	if (fd >= 0 && st.st_ino != images->jitdump.inode) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* ---- a capture's ---- */

struct mt_error *jit_names_open(struct tracee *t, struct clock_pair since, struct jit_names **ret)
{
	struct proc_status status;
	struct stat st;
	struct mt_error *err = proc_status_read(tracee_pid(t), &status);
	struct jit_names *j = err ? NULL : calloc(1, sizeof(*j));
	mt_error_destroy(err);
	if (!j)
		return err ? NULL : &mt_enomem;
	*j = (struct jit_names){ .pid = tracee_pid(t), .inner_pid = status.ns_tgid, .uid = status.uid,
				 .euid = status.euid, .since = since, .dump_fd = -1 };
	j->tmp_fd = open_tmp(j->pid);
	int fd = open_map(j, &st);
	if (fd >= 0) {
		j->mark = (uint64_t)st.st_size;
		j->mark_inode = st.st_ino;
		close(fd);
	}
	*ret = j;
	return NULL;
}

void jit_names_close(struct jit_names *j)
{
	if (!j)
		return;
	mt_cleanup_close(&j->tmp_fd);
	mt_cleanup_close(&j->dump_fd);
	free(j);
}

void jit_names_watch(struct jit_names *j, const struct images *images)
{
	if (j && j->dump_fd < 0 && images->jitdump.path)
		j->dump_fd = open_dump(j, images);
}

const char *jit_names_note(const struct jit_names *j)
{
	return j && *j->note ? j->note : NULL;
}

static FILE *stream(int *fd)
{
	FILE *f = *fd < 0 ? NULL : fdopen(*fd, "r");
	if (f)
		*fd = -1;
	return f;
}

static void read_files(struct jit_names *j, struct jit_places *p)
{
	struct stat st;
	auto_close int map_fd = open_map(j, &st);
	bool same = map_fd >= 0 && st.st_ino == j->mark_inode && (uint64_t)st.st_size >= j->mark;
	auto_fclose FILE *map = stream(&map_fd);
	struct stat dump_st;
	bool dumped = j->dump_fd >= 0 && !fstat(j->dump_fd, &dump_st);
	auto_fclose FILE *dump = stream(&j->dump_fd);
	if (dump && dumped)
		jitdump_read(dump, (uint64_t)dump_st.st_size, j->since.ns, j->since.ticks, p);
	if (map)
		perf_map_read(map, (uint64_t)st.st_size, same ? j->mark : 0, p);
	if (p->full)
		snprintf(j->note, sizeof(j->note), "the perf map or jitdump of process %d is too long: "
			 "some of its names are missing", j->pid);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

struct mt_error *jit_names_put(struct jit_names *j, uint64_t *addresses, size_t count,
			       struct capture_writer *w)
{
	struct jit_places p;
	size_t unique = 0;
	if (!j || !count)
		return NULL;
	qsort(addresses, count, sizeof(*addresses), by_value);
	for (size_t i = 0; i < count; i++)
		if (!unique || addresses[i] != addresses[unique - 1])
			addresses[unique++] = addresses[i];
	struct mt_error *err = jit_places_init(&p, addresses, unique);
	if (err)
		return err;
	read_files(j, &p);
	for (size_t i = 0; i < p.count && !err; i++) {
		const struct jit_place *at = &p.items[i];
		if (at->name)
			err = capture_writer_jit(w, at->address, (const char *)p.names.data + at->name,
						 at->changed);
	}
	jit_places_deinit(&p);
	return err;
}
