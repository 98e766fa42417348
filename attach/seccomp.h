/* SPDX-License-Identifier: Apache-2.0 */
/* attach/seccomp.h - targets with a seccomp filter, which may kill at a system call.
 *
 * Two kinds of calls are made for us in a target. Those of a borrowed thread are not judged by its
 * filters: seccomp_suspend() takes them out of the way for as long as the thread is traced. Should
 * this process die meanwhile the suspension ends with it, so of the ways to do something that one is
 * taken whose calls the filters do not punish (struct seccomp_way). Those that the tracer makes later on any thread are judged before anything is put in: each
 * thread's filters are read and run here, and a call that would kill, trap or be handed to
 * somebody else refuses the target.
 *
 * Both need CAP_SYS_ADMIN, a kernel with CONFIG_CHECKPOINT_RESTORE, and that this process has no
 * filter itself. In a container it has: there a target whose filters are this process's own is
 * told by what the same calls do here. */
#ifndef MT_ATTACH_SECCOMP_H
#define MT_ATTACH_SECCOMP_H

#include "attach/tracee.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

/* One system call as it will be made. */
struct seccomp_call {
	const char *name;
	int nr;
	bool must_work;		/* an errno from the filter is no good either */
	uint64_t args[6];
};

/* Filters of one thread. */
struct seccomp_filter {
	struct sock_filter *code;	/* owned */
	size_t len;
};
struct seccomp_filters {
	MT_ARRAY(struct seccomp_filter) list;
};

/* What one filter answers: SECCOMP_RET_*. A program that the kernel would not have taken kills. */
uint32_t seccomp_run(const struct sock_filter *code, size_t len, const struct seccomp_data *data);
/* Of all filters the strictest answer, without its data. */
uint32_t seccomp_judge(const struct seccomp_filters *filters, const struct seccomp_call *call);
/* Is a call with this answer harmless to the target and good enough for the tracer? */
bool seccomp_is_fine(uint32_t action, const struct seccomp_call *call);

/* Of a thread in a ptrace-stop of ours; none is an empty list. Caller: seccomp_filters_deinit(). */
struct mt_error *seccomp_read(pid_t pid, pid_t tid, struct seccomp_filters *ret) MT_MUST_CHECK;
void seccomp_filters_deinit(struct seccomp_filters *filters);

/* Calls of a borrowed thread, one of several ways to the same end. */
struct seccomp_way {
	const struct seccomp_call *calls;
	size_t count;
	bool harmless;		/* set by seccomp_check(): none of them would harm any thread */
};

/* MT_ERROR_REFUSED when one of the calls would not be fine on some thread, or when that cannot be
 * told. Stops threads that have filters, one at a time and for a moment; without filters nothing
 * is touched. *filtered_ret: some thread has a filter. Where filters cannot be suspended, refused as
 * well when none of the ways is harmless. */
struct mt_error *seccomp_check(struct tracee *t, const struct seccomp_call *calls, size_t count,
			       struct seccomp_way *ways, size_t way_count, bool *filtered_ret)
	MT_MUST_CHECK;

/* A thread in a ptrace-stop of ours, with its status read there: until seccomp_resume(), or until it is not traced any more,
 * its filters are not asked. Does nothing for a thread without. */
struct mt_error *seccomp_suspend(struct tracee *t, pid_t tid, const struct proc_status *status)
	MT_MUST_CHECK;
void seccomp_resume(pid_t tid);

/* A stopped thread's timed wait goes on by restart_syscall, which a filter may forget: the wait is
 * then made to begin anew. For the stop in the kernel's signal code. */
void seccomp_mend_restart(pid_t tid);

#endif
