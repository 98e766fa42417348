/* SPDX-License-Identifier: Apache-2.0 */
/* attach/job_stops.c - puts a Ctrl-Z off while a thread of the target is ours.
 * Knows: the stop signals of terminals. Does not know: what the thread is used for.
 * Called by attach/stop.c and attach/tracee.c; calls the kernel.
 *
 * A thread that we have seized runs and stops by our hand alone: were we stopped in the middle, it
 * would stand still until somebody continues us. Blocked, the signal waits, and stops us when the
 * last thread was let go. SIGSTOP cannot be blocked. */
#include "attach/tracee_private.h"

#include <signal.h>

static const int job_signals[] = { SIGTSTP, SIGTTIN, SIGTTOU };

void job_stops_put_off(struct tracee *t)
{
	sigset_t set;
	if (t->stops_put_off)
		return;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(job_signals) / sizeof(job_signals[0]); i++)
		sigaddset(&set, job_signals[i]);
	sigprocmask(SIG_BLOCK, &set, &t->mask_before);
	t->stops_put_off = true;
}

void job_stops_allow(struct tracee *t)
{
	if (!t->stops_put_off || t->threads.len || t->late.len)
		return;
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(job_signals) / sizeof(job_signals[0]); i++)
		if (!sigismember(&t->mask_before, job_signals[i]))
			sigaddset(&set, job_signals[i]);
	t->stops_put_off = false;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
