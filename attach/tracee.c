/* SPDX-License-Identifier: Apache-2.0 */
/* attach/tracee.c - opens and closes a live process.
 * Knows: its identity. Does not know: how threads stop (attach/stop.c), memory (attach/memory.c).
 * Called by inject/, record/ and cmds/; calls attach/preflight and the kernel. */
#include "attach/tracee_private.h"

#include "attach/preflight.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct mt_error *open_known(pid_t pid, struct proc_status st, struct tracee **ret)
{
	struct tracee *t = calloc(1, sizeof(*t));
	if (!t)
		return &mt_enomem;
	t->pid = t->living = pid;
	t->start_time = st.start_time;
	t->is_child = st.ppid == getpid();
	t->owner = gettid();
	t->mem_fd = -1;
	t->lock_fd = -1;
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* The pidfd is for whoever has the pid now: is that still the one preflight saw? */
	struct proc_status again;
	struct mt_error *err = proc_status_read(pid, &again);
	if (!err && again.start_time != st.start_time)
		err = mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)pid);
	if (err) {
		tracee_close(t);
		return err;
	}
	*ret = t;
	return NULL;
}

struct mt_error *tracee_open(pid_t pid, struct tracee **ret)
{
	struct proc_status st;
	struct mt_error *err = preflight(pid, &st);
	return err ? err : open_known(pid, st, ret);
}

struct mt_error *tracee_open_cooperating(pid_t pid, const struct cooperation *with, struct tracee **ret)
{
	struct proc_status st;
	struct mt_error *err = preflight_cooperating(pid, &st);
	if (!err)
		err = open_known(pid, st, ret);
	if (err)
		return err;
	(*ret)->cooperates = true;
	(*ret)->cooperation = *with;
	return NULL;
}

bool tracee_cooperates(const struct tracee *t)
{
	return t->cooperates;
}

struct mt_error *tracee_open_to_stop(pid_t pid, struct tracee **ret)
{
	struct proc_status st;
	struct mt_error *err = preflight_stop(pid, &st);
	return err ? err : open_known(pid, st, ret);
}

struct mt_error *tracee_open_to_read(pid_t pid, struct tracee **ret)
{
	struct proc_status st;
	struct mt_error *err = proc_status_read(pid, &st);
	return err ? err : open_known(pid, st, ret);
}

void tracee_close(struct tracee *t)
{
	if (!t)
		return;
	tracee_release_all(t);
	/* A thread in uninterruptible sleep can outlast this; the kernel detaches it when this
	 * process ends. */
	for (int i = 0; i < 200 && t->late.len; i++) {
		stop_sweep(t);
		if (t->late.len)
			usleep(5000);
	}
	for (size_t i = 0; i < t->late.len; i++)
		free(t->late.items[i]);
	t->late.len = 0;
	hold_end(t);
	mt_array_deinit(&t->late);
	mt_array_deinit(&t->threads);
	safepoint_destroy(t->safepoint);
	if (t->mem_fd >= 0)
		close(t->mem_fd);
	if (t->pidfd >= 0)
		close(t->pidfd);
	if (t->lock_fd >= 0)
		close(t->lock_fd);
	free(t);
}

void tracee_set_cancel(struct tracee *t, bool (*asked)(void))
{
	t->cancel_asked = asked;
}

pid_t tracee_pid(const struct tracee *t)
{
	return t->pid;
}

bool tracee_alive(const struct tracee *t)
{
	/* Called regularly while a capture runs: the place to let go what stopped late. */
	if (t->late.len && gettid() == t->owner)
		stop_sweep((struct tracee *)t);
	if (t->pidfd >= 0) {
		struct pollfd p = { .fd = t->pidfd, .events = POLLIN };
		int n;
		do
			n = poll(&p, 1, 0);
		while (n < 0 && errno == EINTR);	/* also without waiting */
		if (n >= 0)
			return !n;
	}
	struct proc_status st;
	struct mt_error *err = proc_status_read(t->pid, &st);
	bool alive = !err && st.start_time == t->start_time && st.state != 'X' &&
		     (st.state != 'Z' || st.threads > 1);
	mt_error_destroy(err);
	return alive;
}
