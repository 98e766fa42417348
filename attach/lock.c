/* SPDX-License-Identifier: Apache-2.0 */
/* attach/lock.c - one memtrace at a time changes a process.
 * Knows: the lock. Does not know: what is changed under it.
 * Called by cmds/; calls the kernel. */
#include "attach/tracee_private.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 2000000l

/* The process that holds a lock on this file, from /proc/locks; 0 when it cannot be told. */
static int find_holder(int fd)
{
	struct stat st;
	auto_fclose FILE *f = fopen("/proc/locks", "re");
	char line[256];
	if (!f || fstat(fd, &st))
		return 0;
	while (fgets(line, sizeof(line), f)) {
		int pid;
		unsigned long inode;
		if (sscanf(line, "%*d: FLOCK %*s WRITE %d %*x:%*x:%lu", &pid, &inode) == 2 &&
		    inode == st.st_ino && pid > 0)
			return pid;
	}
	return 0;
}

static struct mt_error *busy_error(const struct tracee *t, int fd)
{
	int holder = find_holder(fd);
	char who[32] = "memtrace";
	if (holder)
		snprintf(who, sizeof(who), "memtrace, process %d", holder);
	return mt_error_hint(mt_error_create(MT_ERROR_BUSY, "another %s, is at work on process %d", who,
					     (int)t->pid),
			     "try again when it is done");
}

/* The lock lies on the process's own folder in /proc: gone with its holder, and no file is left
 * anywhere. */
struct mt_error *tracee_lock(struct tracee *t, int deadline_ms)
{
	char path[32];
	uint64_t deadline = mt_now_us() + (uint64_t)deadline_ms * 1000;
	if (t->lock_fd >= 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d", (int)t->pid);
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return mt_error_os(errno, "cannot open '%s'", path);
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return mt_error_os(errno, "cannot lock '%s'", path);
		if (mt_now_us() >= deadline)
			return busy_error(t, fd);
		nanosleep(&(struct timespec){ 0, POLL_NS }, NULL);
	}
	t->lock_fd = take_fd(&fd);
	return NULL;
}

void tracee_unlock(struct tracee *t)
{
	auto_close int fd = take_fd(&t->lock_fd);
}
