/* SPDX-License-Identifier: Apache-2.0 */
/* attach/seccomp_check.c - may the calls of a tracer be made under a target's seccomp filters?
 * Knows: threads, privileges, containers. Does not know: who makes the calls, how a filter runs.
 * Called by attach/borrow and inject/; calls attach/seccomp, attach/stop, attach/proc. */
#include "attach/seccomp.h"

#include "attach/tracee_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CAP_SYS_ADMIN_BIT 21
/* Threads looked at of those that have the same number of filters: they have inherited the same
 * ones, unless each has added its own. */
#define ALIKE_MAX 16

/* ---- this process ---- */

static bool have_cap_admin(void)
{
	auto_fclose FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	unsigned long long caps;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			return caps >> CAP_SYS_ADMIN_BIT & 1;
	return false;
}

/* What the kernel asks of those who want to read or to suspend filters (seccomp_get_filter()). */
static struct mt_error *check_privilege(pid_t pid, const struct proc_status *self)
{
	if (self->seccomp)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d has a seccomp filter, which memtrace cannot read because it is "
			"under one itself", (int)pid),
			"run memtrace as root on the host, outside of the container");
	if (!have_cap_admin())
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d has a seccomp filter, which only root can read", (int)pid),
			"run memtrace as root (CAP_SYS_ADMIN)");
	return NULL;
}

static bool same_namespace(pid_t pid, const char *kind)
{
	char path[64], own[64] = "", other[64] = "";
	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	ssize_t n = readlink(path, own, sizeof(own) - 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)proc_living(pid), kind);
	return n > 0 && readlink(path, other, sizeof(other) - 1) == n && !memcmp(own, other, (size_t)n);
}

/* Filters are inherited and only ever added. A child of ours with as many as we have has the same;
 * and in a container, whose every process starts with the container's, so has a process that has
 * no more than the container's first one. */
static bool has_our_filters(pid_t pid, int filters, const struct proc_status *self)
{
	struct proc_status target, first;
	if (self->seccomp != SECCOMP_MODE_FILTER || self->seccomp_filters <= 0 ||
	    filters != self->seccomp_filters)
		return false;
	struct mt_error *err = proc_status_read(pid, &target);
	if (!err && target.ppid == getpid())
		return true;
	if (!err)
		err = proc_status_read(1, &first);
	bool same = !err && first.seccomp_filters == filters && same_namespace(pid, "pid") &&
		    same_namespace(1, "pid") && same_namespace(pid, "mnt");
	mt_error_destroy(err);
	return same;
}

/* What is asked of the filters of every thread. */
struct question {
	const struct seccomp_call *calls;	/* these must be fine */
	size_t count;
	struct seccomp_way *ways;
	size_t way_count;
};

/* A child of ours makes all calls in their place; does it live? */
static struct mt_error *try_calls(const struct seccomp_call *calls, size_t count, bool *ret)
{
	pid_t child = fork();
	if (child < 0)
		return mt_error_os(errno, "cannot fork");
	if (!child) {
		for (size_t i = 0; i < count; i++) {
			const uint64_t *a = calls[i].args;
			if (calls[i].nr != SYS_rt_sigreturn)
				syscall(calls[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		}
		syscall(SYS_exit_group, 0);
	}
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return mt_error_os(errno, "cannot wait for a child");
	*ret = WIFEXITED(status);
	return NULL;
}

/* Under filters of our own nothing can be suspended: one of the ways must be good as it is. */
static struct mt_error *try_here(pid_t pid, const struct question *q)
{
	bool fine, some = !q->way_count;
	struct mt_error *err = try_calls(q->calls, q->count, &fine);
	for (size_t i = 0; i < q->way_count && !err; i++) {
		err = try_calls(q->ways[i].calls, q->ways[i].count, &q->ways[i].harmless);
		some |= !err && q->ways[i].harmless;
	}
	if (err || (fine && some))
		return err;
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"the seccomp filter of process %d does not allow the system calls that recording needs",
		(int)pid), "run memtrace as root on the host, outside of the container");
}

/* ---- the target's threads ---- */

struct thread_filters {
	pid_t tid;
	int count;		/* of filters; 0: the kernel does not tell */
	bool ours;		/* traced by this process already, and stopped */
};

#define TRIES_MAX 5

struct scan {
	MT_ARRAY(struct thread_filters) list;	/* threads that have a filter */
};

static struct mt_error *refuse_strict(pid_t pid, pid_t tid)
{
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"thread %d of process %d is in seccomp's strict mode", (int)tid, (int)pid),
		"the kernel kills it at any other call than read, write and exit; "
		"it cannot be recorded");
}

static struct mt_error *scan_threads(pid_t pid, struct scan *scan)
{
	struct proc_tids tids;
	struct mt_error *err = proc_tids_read(pid, &tids);
	if (err)
		return err;
	for (size_t i = 0; i < tids.tids.len && !err; i++) {
		struct proc_status st;
		pid_t tid = tids.tids.items[i];
		struct mt_error *gone = proc_status_read(tid, &st);
		if (!gone && st.seccomp == SECCOMP_MODE_STRICT)
			err = refuse_strict(pid, tid);
		if (!gone && st.seccomp == SECCOMP_MODE_FILTER && st.state != 'Z' && st.state != 'X') {
			struct thread_filters f = { tid, st.seccomp_filters, st.tracer == getpid() };
			if (!mt_array_push(&scan->list, f))
				err = &mt_enomem;
		}
		mt_error_destroy(gone);
	}
	proc_tids_deinit(&tids);
	return err;
}

static void judge_way(const struct seccomp_filters *filters, struct seccomp_way *way)
{
	for (size_t i = 0; i < way->count; i++)
		if (!seccomp_is_fine(seccomp_judge(filters, &way->calls[i]), &way->calls[i]))
			way->harmless = false;
}

static struct mt_error *judge_stopped(pid_t pid, pid_t tid, const struct question *q)
{
	struct seccomp_filters filters;
	struct mt_error *err = seccomp_read(pid, tid, &filters);
	if (err)
		return err;
	for (size_t i = 0; i < q->way_count; i++)
		judge_way(&filters, &q->ways[i]);
	for (size_t i = 0; i < q->count && !err; i++)
		if (!seccomp_is_fine(seccomp_judge(&filters, &q->calls[i]), &q->calls[i]))
			err = mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
				"process %d cannot be traced: its seccomp filter does not allow '%s', "
				"which recording needs", (int)pid, q->calls[i].name),
				"add the call to the filter, or run the program without it");
	seccomp_filters_deinit(&filters);
	return err;
}

static struct mt_error *judge_thread(struct tracee *t, const struct thread_filters *f,
				     const struct question *q)
{
	struct tracee_thread *thread;
	if (f->ours)
		return judge_stopped(t->pid, f->tid, q);
	struct mt_error *err = tracee_stop_thread(t, f->tid, &thread);
	if (err)
		return err;
	err = judge_stopped(t->pid, f->tid, q);
	tracee_release_thread(t, thread);
	return err;
}

/* Threads of the number of filters that the one at `first` has. One that cannot be stopped now is
 * passed over if another one could. */
static struct mt_error *judge_alike(struct tracee *t, const struct scan *scan, size_t first,
				    const struct question *q)
{
	unsigned judged = 0;
	struct mt_error *busy = NULL, *err = NULL;
	for (size_t i = first; i < scan->list.len && judged < ALIKE_MAX && !err; i++) {
		if (scan->list.items[i].count != scan->list.items[first].count)
			continue;
		err = judge_thread(t, &scan->list.items[i], q);
		judged += !err;
		if (err && err->code == MT_ERROR_GONE && tracee_alive(t)) {
			mt_error_destroy(err);
			err = NULL;
		} else if (err && err->code == MT_ERROR_BUSY) {
			mt_error_destroy(busy);
			busy = err;
			err = NULL;
		}
	}
	/* Nothing read is nothing known: never taken for leave. */
	if (!err && !judged)
		return busy ? busy : mt_error_hint(mt_error_create(MT_ERROR_BUSY,
			"the seccomp filter of process %d cannot be read now", (int)t->pid),
			"try again in a moment");
	mt_error_destroy(busy);
	return err;
}

static bool seen_before(const struct scan *scan, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (scan->list.items[j].count == scan->list.items[i].count)
			return true;
	return false;
}

static struct mt_error *judge_all(struct tracee *t, const struct scan *scan,
				  const struct question *q)
{
	struct proc_status self;
	struct mt_error *err = proc_status_read(getpid(), &self);
	bool ours = !err;
	for (size_t i = 0; i < scan->list.len && ours; i++)
		ours = has_our_filters(t->pid, scan->list.items[i].count, &self);
	if (ours)
		return try_here(t->pid, q);
	if (!err)
		err = check_privilege(t->pid, &self);
	for (size_t i = 0; i < scan->list.len && !err; i++)
		if (!seen_before(scan, i))
			err = judge_alike(t, scan, i, q);
	return err;
}

struct mt_error *seccomp_check(struct tracee *t, const struct seccomp_call *calls, size_t count,
			       struct seccomp_way *ways, size_t way_count, bool *filtered_ret)
{
	const struct question q = { calls, count, ways, way_count };
	struct mt_error *err = NULL;
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		struct scan scan = { 0 };
		mt_error_destroy(err);
		for (size_t i = 0; i < way_count; i++)
			ways[i].harmless = true;
		err = scan_threads(t->pid, &scan);
		bool filtered = scan.list.len;
		/* Who helps has started us: what its filter does to the calls it does here, too. */
		if (!err && filtered)
			err = t->cooperates ? try_here(t->pid, &q) : judge_all(t, &scan, &q);
		mt_array_deinit(&scan.list);
		if (!err)
			*filtered_ret = filtered;
		if (!err || err->code != MT_ERROR_BUSY)
			break;
		usleep(10000);		/* threads come, go and are busy */
	}
	return err;
}

/* ---- a borrowed thread ---- */

struct mt_error *seccomp_suspend(struct tracee *t, pid_t tid, const struct proc_status *status)
{
	struct proc_status self;
	if (!status->seccomp)
		return NULL;
	if (status->seccomp == SECCOMP_MODE_STRICT)
		return refuse_strict(t->pid, tid);
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, STOP_OPTIONS | PTRACE_O_SUSPEND_SECCOMP) == 0)
		return NULL;
	int errnum = errno;
	if (errnum == ESRCH)
		return stop_gone_error(t, tid);
	struct mt_error *err = proc_status_read(getpid(), &self);
	if (!err && has_our_filters(t->pid, status->seccomp_filters, &self))
		return NULL;
	if (!err)
		err = check_privilege(t->pid, &self);
	return err ? err : mt_error_os(errnum, "cannot suspend the seccomp filter of process %d",
				       (int)t->pid);
}

void seccomp_resume(pid_t tid)
{
	ptrace(PTRACE_SETOPTIONS, tid, NULL, (long)STOP_OPTIONS);
}
