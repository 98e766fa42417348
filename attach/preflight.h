/* SPDX-License-Identifier: Apache-2.0 */
/* attach/preflight.h - can this process be traced at all? Asked before anything is touched.
 *
 * Each cause of a refusal is one MT_ERROR_REFUSED (or MT_ERROR_GONE) with its own text and a hint
 * that says what to do: no such process, a thread id instead of a process id, this process
 * itself, kernel thread, zombie, stopped by job control, 32-bit, static program (no dynamic
 * loader), no permission (other user; Yama with its ptrace_scope; not dumpable), already traced
 * (by which pid and name), no libc found. */
#ifndef MT_ATTACH_PREFLIGHT_H
#define MT_ATTACH_PREFLIGHT_H

#include "attach/proc.h"

/* NULL when tracing may be tried; fills the status either way it could be read. */
struct mt_error *preflight(pid_t pid, struct proc_status *status_ret) MT_MUST_CHECK;
/* Of a process that helps (attach/cooperation.h): nobody else needs a permission. */
struct mt_error *preflight_cooperating(pid_t pid, struct proc_status *status_ret) MT_MUST_CHECK;
/* What forbids even to stop its threads and look: job control, a static program and a missing libc do
 * not. */
struct mt_error *preflight_stop(pid_t pid, struct proc_status *status_ret) MT_MUST_CHECK;
/* Explains an errno of PTRACE_SEIZE on the pid (EPERM: why). */
struct mt_error *preflight_explain_seize(pid_t pid, int errnum) MT_MUST_CHECK;

/* The same from facts alone, for tests: which rule of the kernel forbids tracing. */
struct preflight_facts {
	uid_t my_uid, uid, euid;	/* euid: the target's */
	int yama;			/* kernel.yama.ptrace_scope, -1: no Yama */
	bool have_cap;			/* this process has CAP_SYS_PTRACE */
	bool undumpable;
};
struct mt_error *preflight_explain_permission(pid_t pid, const struct preflight_facts *facts)
	MT_MUST_CHECK;
/* Does the path of a mapping look like a C library (glibc, musl)? */
bool preflight_is_libc_path(const char *path);

#endif
