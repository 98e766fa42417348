/* SPDX-License-Identifier: Apache-2.0 */
/* attach/follow.c - sees a process become another program, in the stop of its exec.
 * Knows: ptrace events of exec and of new processes. Does not know: who asked for it.
 * Called by cmds/; calls attach/entry.h for single steps, and the kernel. */
#include "attach/follow.h"

#include "attach/entry.h"
#include "attach/preflight.h"
#include "attach/proc.h"
#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#define CALLS_MAX 64		/* system calls before the exec or the child: then it was given up */
#define STOP_US 1000000u
#define PATIENCE_US 5000000u	/* for one that neither calls the kernel nor ends */
#define PARENT_OPTIONS (ENTRY_OPTIONS | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

struct mt_error *follow_begin(struct follow *f, pid_t pid, pid_t tid, bool spawns)
{
	*f = (struct follow){ .pid = pid, .tid = tid, .spawns = spawns };
	if (ptrace(PTRACE_SEIZE, tid, 0, spawns ? PARENT_OPTIONS : ENTRY_OPTIONS))
		return preflight_explain_seize(pid, errno);
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0))
		return mt_error_os(errno, "cannot stop process %d", (int)pid);
	uint64_t deadline = mt_now_us() + STOP_US;
	for (int status;;) {
		while (!entry_look(tid, &status)) {
			if (mt_now_us() > deadline)
				return mt_error_create(MT_ERROR_BUSY, "process %d does not stop", (int)pid);
			entry_pause();
		}
		if (!WIFSTOPPED(status))
			return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)pid);
		if (status >> 16 == PTRACE_EVENT_STOP)
			return NULL;
		/* A signal that comes in: its handler's first instruction is where it stops. */
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
		if (!entry_pass_on(tid, status, PTRACE_CONT))
			return mt_error_os(errno, "cannot resume process %d", (int)pid);
	}
}

static bool calls_exec(pid_t tid)
{
	struct user_regs_struct regs;
	return !ptrace(PTRACE_GETREGS, tid, 0, &regs) &&
	       (regs.orig_rax == SYS_execve || regs.orig_rax == SYS_execveat);
}

/* A stop at a system call: does it go on towards what it asked for? */
static bool goes_on(struct follow *f)
{
	if (f->spawns)
		return ++f->calls < CALLS_MAX;
	if (calls_exec(f->tid))
		f->tried = true;	/* and maybe once more, from another place of PATH */
	else if (f->tried || ++f->calls > CALLS_MAX)
		return false;
	return true;
}

/* The child is traced as its parent was, and has a stop at its start. */
static bool turn_to_child(struct follow *f)
{
	unsigned long child = 0;
	bool known = !ptrace(PTRACE_GETEVENTMSG, f->tid, 0, &child) && child;
	ptrace(PTRACE_DETACH, f->tid, 0, 0);
	if (!known)
		return false;
	f->pid = f->tid = (pid_t)child;
	f->is_child = true;
	return true;
}

/* By an exec a thread that is not the first gets its process's id. */
static bool look(struct follow *f, int *status_ret)
{
	bool news = entry_look(f->tid, status_ret);
	if (news && !*status_ret && f->tid != f->pid) {
		f->tid = f->pid;
		news = entry_look(f->tid, status_ret);
	}
	return news;
}

/* True: it is over, in *ret. */
static bool handle(struct follow *f, int status, bool *go_ret, enum follow_end *ret)
{
	int event = WIFSTOPPED(status) ? status >> 16 : 0;
	*go_ret = true;
	*ret = event == PTRACE_EVENT_EXEC ? FOLLOW_EXECED : FOLLOW_NOTHING;
	if (!WIFSTOPPED(status) || event == PTRACE_EVENT_EXEC)
		return true;
	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
		*go_ret = false;
		return !turn_to_child(f);
	}
	if (f->is_child && event == PTRACE_EVENT_STOP)
		ptrace(PTRACE_SETOPTIONS, f->tid, 0, ENTRY_OPTIONS);
	if (f->is_child || event || WSTOPSIG(status) != (SIGTRAP | 0x80) || goes_on(f))
		return false;
	ptrace(PTRACE_DETACH, f->tid, 0, 0);
	return true;
}

static bool is_in_exec(const struct follow *f)
{
	char state;
	long nr;
	auto_error struct mt_error *err = proc_thread_state(f->pid, f->tid, &state, &nr);
	return !err && (nr == SYS_execve || nr == SYS_execveat);
}

struct mt_error *follow_wait(struct follow *f, bool (*cancel)(void), enum follow_end *ret)
{
	bool go = true;
	int status = PTRACE_EVENT_STOP << 16 | SIGTRAP << 8 | 0x7f;
	uint64_t deadline = mt_now_us() + PATIENCE_US;
	for (;;) {
		if (go && !entry_pass_on(f->tid, status, f->is_child ? PTRACE_CONT : PTRACE_SYSCALL))
			return mt_error_os(errno, "cannot resume process %d", (int)f->pid);
		for (; !look(f, &status); entry_pause()) {
			if ((mt_now_us() < deadline || is_in_exec(f)) && !(cancel && cancel()))
				continue;
			*ret = FOLLOW_NOTHING;
			return NULL;
		}
		if (handle(f, status, &go, ret))
			return NULL;
	}
}
