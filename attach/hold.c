/* SPDX-License-Identifier: Apache-2.0 */
/* attach/hold.c - what holds for this process while a thread of the target is in its hands.
 * Knows: signals that come meanwhile, priorities. Does not know: what the thread is used for.
 * Called by attach/stop.c and attach/tracee.c; calls the kernel.
 *
 * A thread that we have seized runs and stops by our hand alone. Were we stopped in the middle, it
 * would stand still until somebody continues us: Ctrl-Z is blocked, and stops us when the last thread
 * was let go. SIGSTOP cannot be blocked. SIGCHLD comes with every stop of the thread, twenty in an
 * attach: who has a handler for it gets one, afterwards. And while we wait for a processor the thread
 * waits too: where that is permitted we come first, for these milliseconds. */
#include "attach/tracee_private.h"
#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define HOLD_NICE (-20)

#define TIMER_SLACK_NS 1000ul	/* else a sleep of 5 us, between two looks at the thread, takes 60 */

static const int postponed[] = { SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD };

void hold_begin(struct tracee *t)
{
	sigset_t set;
	if (t->holds)
		return;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(postponed) / sizeof(postponed[0]); i++)
		sigaddset(&set, postponed[i]);
	sigprocmask(SIG_BLOCK, &set, &t->mask_before);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	errno = 0;
	t->nice_before = getpriority(PRIO_PROCESS, 0);
	t->nice_changed = !errno && !setpriority(PRIO_PROCESS, 0, HOLD_NICE);
	t->holds = true;
}

void hold_end(struct tracee *t)
{
	if (!t->holds || t->threads.len || t->late.len)
		return;
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(postponed) / sizeof(postponed[0]); i++)
		if (!sigismember(&t->mask_before, postponed[i]))
			sigaddset(&set, postponed[i]);
	t->holds = false;
	if (t->nice_changed)
		setpriority(PRIO_PROCESS, 0, t->nice_before);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void hold_note(struct tracee *t, const struct tracee_thread *thread)
{
	uint64_t us = thread->stopped_us ? mt_now_us() - thread->stopped_us : 0;
	if (us > t->longest_us)
		t->longest_us = us;
}

void tracee_holds(const struct tracee *t, struct tracee_holds *ret)
{
	*ret = (struct tracee_holds){ t->stops, t->longest_us };
}
