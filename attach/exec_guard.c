/* SPDX-License-Identifier: Apache-2.0 */
/* attach/exec_guard.c - reaps the target's dead threads while we may be blocked in PTRACE_SEIZE.
 * Knows: SIGCHLD, wait. Does not know: which threads are wanted.
 * Called by attach/stop.c; calls the kernel.
 *
 * A thread that executes another program holds a lock of its process (cred_guard_mutex) and waits
 * for the death of all others, which includes that their tracer has waited for them. PTRACE_SEIZE
 * waits for that lock. A tracer that has seized some threads and seizes the next would thus wait
 * for the exec, and the exec for the tracer, for ever. The kernel tells of each death by SIGCHLD,
 * which interrupts PTRACE_SEIZE to run the handler; the handler waits for the dead; the exec goes
 * on. */
#include "attach/tracee_private.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static volatile pid_t spared;	/* a child of ours whose end is its parent's to collect; or 0 */

static void reap_dead(void)
{
	siginfo_t si;
	for (;;) {
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) || !si.si_pid)
			return;
		/* A leader is reported when its whole process is dead: nobody waits any more. */
		if (si.si_pid == spared || waitpid(si.si_pid, NULL, WNOHANG | __WALL) != si.si_pid)
			return;
	}
}

static void on_death(int sig)
{
	int saved = errno;
	(void)sig;
	reap_dead();
	errno = saved;
}

void exec_guard_begin(const struct tracee *t, struct exec_guard *ret)
{
	/* Not for stops: those come by the thousand, and are looked for one by one. */
	struct sigaction sa = { .sa_handler = on_death, .sa_flags = SA_NOCLDSTOP | SA_RESTART };
	sigset_t set;
	spared = t->is_child ? t->pid : 0;
	sigaction(SIGCHLD, &sa, &ret->before);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &set, &ret->mask);
	reap_dead();		/* who died before */
}

void exec_guard_end(const struct exec_guard *g)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigismember(&g->mask, SIGCHLD))
		sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGCHLD, &g->before, NULL);
}
