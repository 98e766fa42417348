/* SPDX-License-Identifier: Apache-2.0 */
/* attach/stop.c - stops threads of a live process and lets them go as they were.
 * Knows: ptrace stops, signals, job control. Does not know: what a stopped thread is used for.
 * Called by attach/borrow and inject/; calls the kernel.
 *
 * Every wait is for one thread id and bounded: the target may be our own child, whose other
 * statuses are the caller's, and a thread in uninterruptible sleep never stops. */
#include "attach/tracee_private.h"

#include "attach/arch/x86_64.h"
#include "attach/preflight.h"
#include "attach/seccomp.h"
#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A thread that can stop does so at once when it gets a processor, which on an overloaded machine
 * takes a while; as it does not run either, waiting harms nobody. */
#define THREAD_STOP_US 1000000
#define SLEEPER_US 20000	/* uninterruptible sleep that lasts longer is not waited for */

struct mt_error *stop_gone_error(const struct tracee *t, pid_t tid)
{
	if (!tracee_alive(t))
		return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)t->pid);
	return mt_error_create(MT_ERROR_GONE, "thread %d of process %d has exited", (int)tid,
			       (int)t->pid);
}

/* A few yields, for the thread may need our processor; then short sleeps: on a busy machine each
 * yield can cost time slices of others, at each of the hundred stops of a call. */
static void pause_between_polls(unsigned round)
{
	if (round < 6) {
		sched_yield();
		return;
	}
	struct timespec ts = { 0, round < 40 ? 5000 : round < 200 ? 30000 : 500000 };
	nanosleep(&ts, NULL);
}

/* A leader that exits before its threads is a zombie that reports nothing yet. */
static bool is_dead(const struct tracee *t, pid_t tid)
{
	struct proc_thread th;
	struct mt_error *err = proc_thread_read(t->pid, tid, &th);
	bool dead = err ? err->code == MT_ERROR_GONE : th.state == 'Z' || th.state == 'X';
	mt_error_destroy(err);
	return dead;
}

/* A dead thread that its tracer has not waited for is still counted by the kernel: an exec in
 * another thread waits for it, for ever. A dead leader is not ours to reap: where it is a child of
 * ours its end belongs to the caller, and exec takes its place by itself. */
static bool reap(const struct tracee *t, pid_t tid)
{
	int status;
	return tid != t->pid && waitpid(tid, &status, WNOHANG | __WALL) == tid && !WIFSTOPPED(status);
}

/* Waits for the stop that was seen, not for an end that came since. False: it is over. */
static bool take_stop(const struct tracee_thread *thread)
{
	siginfo_t si = { 0 };
	return waitid(P_PID, (id_t)thread->tid, &si, WSTOPPED | WNOHANG | __WALL) == 0 && si.si_pid;
}

void stop_take_signal(const struct tracee_thread *thread)
{
	take_stop(thread);
}

/* A stop for a signal is looked at and left where it is: from one that was waited for the kernel
 * forgets the signal, and if we died before we let the thread go on with it, it would be lost.
 * Events bring none, and are taken: after an exec by another thread than the leader the kernel
 * refuses every request until then. */
enum stop_wait stop_wait(struct tracee *t, struct tracee_thread *thread, uint64_t deadline_us,
			 int *status_ret)
{
	bool keep_exit = t->is_child && thread->tid == t->pid;
	for (unsigned round = 0;; round++) {
		siginfo_t si = { 0 };
		int r = waitid(P_PID, (id_t)thread->tid, &si,
			       WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return STOP_GONE;
		if (si.si_pid && (si.si_code == CLD_TRAPPED || si.si_code == CLD_STOPPED)) {
			*status_ret = (int)((unsigned)si.si_status << 8 | 0x7f);
			if (si.si_status >> 8 && !take_stop(thread))
				continue;
			t->stops++;
			if (!thread->stopped_us)
				thread->stopped_us = mt_now_us();
			return STOP_STOPPED;
		}
		if (si.si_pid) {
			if (!keep_exit)
				waitpid(thread->tid, NULL, WNOHANG | __WALL);
			return STOP_GONE;
		}
		if (round % 64 == 63 && is_dead(t, thread->tid)) {
			reap(t, thread->tid);
			return STOP_GONE;
		}
		if (mt_now_us() >= deadline_us)
			return STOP_TIMEOUT;
		pause_between_polls(round);
	}
}

static bool is_event(int status, int event)
{
	return status >> 16 == event;
}

/* Calls that give EINTR when a tracer stops them although no handler will run (signal(7)). As
 * -ERESTARTNOHAND the kernel itself starts them again, unless a handler does run: then EINTR it
 * is, as without us. */
void stop_undo_false_eintr(pid_t tid)
{
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0)
		return;
	if (arch_undo_false_eintr(&regs))
		ptrace(PTRACE_SETREGS, tid, NULL, &regs);
}

enum stop_wait stop_settle(struct tracee *t, struct tracee_thread *thread, uint64_t deadline_us)
{
	for (;;) {
		int status;
		enum stop_wait w = stop_wait(t, thread, deadline_us, &status);
		if (w != STOP_STOPPED)
			return w;
		if (is_event(status, PTRACE_EVENT_STOP)) {
			thread->held = true;
			thread->group_stopped = WSTOPSIG(status) != SIGTRAP;
			stop_undo_false_eintr(thread->tid);
			seccomp_mend_restart(thread->tid);
			return STOP_STOPPED;
		}
		/* A signal on its way in, or an exec. It goes on its way; the interrupt asked for
		 * anew (every stop eats it) then holds the thread at the handler's first
		 * instruction. */
		t->execed = t->execed || is_event(status, PTRACE_EVENT_EXEC);
		long sig = status >> 16 ? 0 : WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80))
			sig = 0;
		/* One without a handler (SIGCHLD, SIGWINCH) would not even have come without us. */
		if (sig)
			stop_undo_false_eintr(thread->tid);
		if (ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) < 0 ||
		    ptrace(PTRACE_CONT, thread->tid, NULL, sig) < 0) {
			if (errno != ESRCH || mt_now_us() >= deadline_us)
				return STOP_TIMEOUT;
		}
	}
}

static bool unlist(struct tracee_thread **items, size_t *len, const struct tracee_thread *thread)
{
	for (size_t i = 0; i < *len; i++) {
		if (items[i] != thread)
			continue;
		items[i] = items[--*len];
		return true;
	}
	return false;
}

void stop_forget(struct tracee *t, struct tracee_thread *thread)
{
	if (unlist(t->threads.items, &t->threads.len, thread) ||
	    unlist(t->late.items, &t->late.len, thread))
		free(thread);
	hold_end(t);
}

static struct tracee_thread *find_thread(const struct tracee *t, pid_t tid)
{
	for (size_t i = 0; i < t->threads.len; i++)
		if (t->threads.items[i]->tid == tid)
			return t->threads.items[i];
	return NULL;
}

static struct tracee_thread *add_thread(struct tracee *t, pid_t tid)
{
	struct tracee_thread *thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->tid = tid;
	hold_begin(t);
	if (!mt_array_push(&t->threads, thread)) {
		hold_end(t);
		free(thread);
		return NULL;
	}
	return thread;
}

/* In a stop other than the one we asked for a signal may wait: never detach without it. */
static void detach_stopped(struct tracee *t, struct tracee_thread *thread)
{
	/* From an event-stop signal 0 keeps a group-stop as it is: the kernel puts the thread back
	 * into it (__ptrace_unlink). */
	bool dying = ptrace(PTRACE_DETACH, thread->tid, NULL, 0L) < 0 && errno == ESRCH;
	hold_note(t, thread);
	/* Killed in its stop, by an exec or a signal: it must be reaped, now or when it is dead. */
	if (dying && thread->tid != t->pid && !reap(t, thread->tid) && !is_dead(t, thread->tid)) {
		thread->held = false;
		if (mt_array_push(&t->late, thread)) {
			unlist(t->threads.items, &t->threads.len, thread);
			return;
		}
	}
	reap(t, thread->tid);
	stop_forget(t, thread);
}

void stop_sweep(struct tracee *t)
{
	for (size_t i = t->late.len; i-- > 0;) {
		struct tracee_thread *thread = t->late.items[i];
		switch (stop_settle(t, thread, 0)) {
		case STOP_STOPPED:
			t->late.items[i] = t->late.items[--t->late.len];
			if (!mt_array_push(&t->threads, thread)) {
				t->late.items[t->late.len++] = thread;
				break;
			}
			detach_stopped(t, thread);
			break;
		case STOP_GONE:
			stop_forget(t, thread);
			break;
		case STOP_TIMEOUT:
			break;
		}
	}
}

/* Seized and interrupted but not stopped in time: it is let go as soon as it does stop. */
static void let_go_late(struct tracee *t, struct tracee_thread *thread)
{
	thread->held = false;
	if (!mt_array_push(&t->late, thread))
		return;		/* stays listed as seized: tracee_close() tries again */
	unlist(t->threads.items, &t->threads.len, thread);
	stop_sweep(t);
}

/* A late one is wanted again. */
static struct tracee_thread *recall(struct tracee *t, pid_t tid)
{
	for (size_t i = 0; i < t->late.len; i++) {
		struct tracee_thread *thread = t->late.items[i];
		if (thread->tid != tid || !mt_array_push(&t->threads, thread))
			continue;
		unlist(t->late.items, &t->late.len, thread);
		return thread;
	}
	return NULL;
}

enum seize {
	SEIZE_OK,
	SEIZE_SKIP,		/* gone, or not a thread that runs user code */
	SEIZE_ERROR,
};

static enum seize seize(struct tracee *t, pid_t tid, struct tracee_thread **ret,
			struct mt_error **err_ret)
{
	struct tracee_thread *thread = recall(t, tid);
	if (thread) {
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		*ret = thread;
		return SEIZE_OK;
	}
	thread = add_thread(t, tid);
	if (!thread) {
		*err_ret = &mt_enomem;
		return SEIZE_ERROR;
	}
	if (ptrace(PTRACE_SEIZE, tid, NULL, STOP_OPTIONS) < 0) {
		int errnum = errno;
		stop_forget(t, thread);
		struct proc_thread th;
		struct mt_error *gone = proc_thread_read(t->pid, tid, &th);
		bool skip = errnum == ESRCH || gone || th.kernel_worker || th.state == 'Z' ||
			    th.state == 'X';
		mt_error_destroy(gone);
		if (!skip)
			*err_ret = preflight_explain_seize(t->pid, errnum);
		return skip ? SEIZE_SKIP : SEIZE_ERROR;
	}
	thread->seized = true;
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	/* Thread ids are reused: now that it cannot be, was it ours? */
	if (is_dead(t, tid) || !tracee_alive(t)) {
		let_go_late(t, thread);
		return SEIZE_SKIP;
	}
	*ret = thread;
	return SEIZE_OK;
}

static struct mt_error *exec_error(const struct tracee *t)
{
	return mt_error_create(MT_ERROR_GONE, "process %d runs another program now", (int)t->pid);
}

static struct mt_error *no_stop_error(const struct tracee *t, pid_t tid)
{
	struct proc_thread th = { .state = '?' };
	mt_error_destroy(proc_thread_read(t->pid, tid, &th));
	return mt_error_create(MT_ERROR_BUSY, "thread %d of process %d does not stop (state %c%s)",
			       (int)tid, (int)t->pid, th.state,
			       th.state == 'D' ? ", in an uninterruptible system call" : "");
}

static char state_of(const struct tracee *t, pid_t tid)
{
	struct proc_thread th = { .state = '?' };
	mt_error_destroy(proc_thread_read(t->pid, tid, &th));
	return th.state;
}

/* Until the deadline, but not for one that fell into uninterruptible sleep meanwhile. */
static enum stop_wait settle_patiently(struct tracee *t, struct tracee_thread *thread,
				       uint64_t deadline_us)
{
	for (;;) {
		uint64_t slice = mt_now_us() + SLEEPER_US;
		bool last = slice >= deadline_us;
		enum stop_wait w = stop_settle(t, thread, last ? deadline_us : slice);
		if (w != STOP_TIMEOUT || last || state_of(t, thread->tid) == 'D')
			return w;
	}
}

static struct mt_error *not_stoppable(const struct tracee *t)
{
	return mt_error_create(MT_ERROR_BUSY, "process %d helps to record itself: its threads are not stopped",
			       (int)t->pid);
}

struct mt_error *tracee_stop_thread(struct tracee *t, pid_t tid, struct tracee_thread **ret)
{
	if (t->cooperates)
		return not_stoppable(t);
	struct tracee_thread *thread = find_thread(t, tid);
	if (thread && thread->held) {
		*ret = thread;
		return NULL;
	}
	/* Not to touch one in uninterruptible sleep is kinder than to let it go later. */
	char state;
	long nr;
	struct mt_error *err = proc_thread_state(t->pid, tid, &state, &nr);
	if (err)
		return err;
	if (state == 'D' && !thread)
		return no_stop_error(t, tid);
	struct exec_guard guard;
	exec_guard_begin(t, &guard);	/* some may still be held, or stop late */
	enum seize seized = seize(t, tid, &thread, &err);
	exec_guard_end(&guard);
	switch (seized) {
	case SEIZE_ERROR:
		return err;
	case SEIZE_SKIP:
		return stop_gone_error(t, tid);
	case SEIZE_OK:
		break;
	}
	switch (settle_patiently(t, thread, mt_now_us() + THREAD_STOP_US)) {
	case STOP_STOPPED:
		break;
	case STOP_GONE:
		stop_forget(t, thread);
		return stop_gone_error(t, tid);
	case STOP_TIMEOUT:
		let_go_late(t, thread);
		return no_stop_error(t, tid);
	}
	if (t->execed) {
		tracee_release_thread(t, thread);
		return exec_error(t);
	}
	*ret = thread;
	return NULL;
}

void tracee_release_thread(struct tracee *t, struct tracee_thread *thread)
{
	if (thread->held) {
		detach_stopped(t, thread);
		return;
	}
	if (!thread->seized) {
		stop_forget(t, thread);
		return;
	}
	/* Running under our control: it has to stop once more to be detached. */
	ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
	switch (settle_patiently(t, thread, mt_now_us() + THREAD_STOP_US)) {
	case STOP_STOPPED:
		detach_stopped(t, thread);
		break;
	case STOP_GONE:
		stop_forget(t, thread);
		break;
	case STOP_TIMEOUT:
		let_go_late(t, thread);
		break;
	}
}

/* One that sleeps uninterruptibly would keep all the others waiting for nothing: is there one that
 * stays so for a moment? Asked before anything is stopped. */
static struct mt_error *check_sleepers(const struct tracee *t)
{
	struct proc_tids tids;
	struct mt_error *err = proc_tids_read(t->pid, &tids);
	if (err)
		return err;
	for (size_t i = 0; i < tids.tids.len && !err; i++) {
		int patience = SLEEPER_US / 1000;
		while (state_of(t, tids.tids.items[i]) == 'D' && patience-- > 0)
			usleep(1000);
		if (patience < 0)
			err = no_stop_error(t, tids.tids.items[i]);
	}
	proc_tids_deinit(&tids);
	return err;
}

/* One pass: everything new is seized first and waited for second, so that the time is that of the
 * slowest thread and not the sum. */
static struct mt_error *stop_pass(struct tracee *t, uint64_t deadline_us, bool *found_ret)
{
	struct proc_tids tids;
	struct mt_error *err = proc_tids_read(t->pid, &tids);
	if (err)
		return err;
	*found_ret = false;
	struct exec_guard guard;
	exec_guard_begin(t, &guard);
	for (size_t i = 0; i < tids.tids.len && !err; i++) {
		struct tracee_thread *thread = find_thread(t, tids.tids.items[i]);
		if (thread)
			continue;
		if (seize(t, tids.tids.items[i], &thread, &err) == SEIZE_OK)
			*found_ret = true;
	}
	exec_guard_end(&guard);
	proc_tids_deinit(&tids);
	for (size_t i = t->threads.len; i-- > 0 && !err;) {
		struct tracee_thread *thread = t->threads.items[i];
		if (thread->held)
			continue;
		switch (settle_patiently(t, thread, deadline_us)) {
		case STOP_STOPPED:
			break;
		case STOP_GONE:
			stop_forget(t, thread);
			break;
		case STOP_TIMEOUT:
			err = no_stop_error(t, thread->tid);
			break;
		}
	}
	return err;
}

struct mt_error *tracee_stop_all(struct tracee *t, int timeout_ms)
{
	if (t->cooperates)
		return not_stoppable(t);
	uint64_t deadline = mt_now_us() + (uint64_t)timeout_ms * 1000u;
	bool found = true;
	struct mt_error *err = check_sleepers(t);
	while (found && !err) {
		err = stop_pass(t, deadline, &found);
		if (!err && found && mt_now_us() > deadline)
			err = mt_error_create(MT_ERROR_BUSY,
				"the threads of process %d do not stop within %d ms", (int)t->pid,
				timeout_ms);
	}
	if (!err && !tracee_alive(t))
		err = stop_gone_error(t, t->pid);
	if (!err && t->execed)
		err = exec_error(t);
	if (err)
		tracee_release_all(t);
	return err;
}

void tracee_release_others(struct tracee *t, const struct tracee_thread *keep)
{
	/* Those that run under our control are asked to stop first, all at once. */
	for (size_t i = 0; i < t->threads.len; i++) {
		struct tracee_thread *thread = t->threads.items[i];
		if (thread != keep && thread->seized && !thread->held)
			ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
	}
	for (size_t i = t->threads.len; i-- > 0;) {
		struct tracee_thread *thread = t->threads.items[i];
		if (thread != keep)
			tracee_release_thread(t, thread);
	}
}

void tracee_release_all(struct tracee *t)
{
	tracee_release_others(t, NULL);
}

struct tracee_thread **tracee_threads(struct tracee *t, size_t *count_ret)
{
	*count_ret = t->threads.len;
	return t->threads.items;
}

struct mt_error *tracee_regs(struct tracee *t, struct tracee_thread *thread,
			     struct user_regs_struct *ret)
{
	if (ptrace(PTRACE_GETREGS, thread->tid, NULL, ret) == 0)
		return NULL;
	if (errno == ESRCH)
		return stop_gone_error(t, thread->tid);
	return mt_error_os(errno, "cannot read the registers of thread %d", (int)thread->tid);
}

struct mt_error *tracee_adopt_thread(struct tracee *t, pid_t tid, struct tracee_thread **ret)
{
	struct tracee_thread *thread = add_thread(t, tid);
	if (!thread)
		return &mt_enomem;
	thread->seized = true;
	/* From whatever stop it is in to the one in which registers can be changed freely, without
	 * an instruction of the program in between. */
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, STOP_OPTIONS) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_CONT, tid, NULL, 0L) < 0) {
		int errnum = errno;
		stop_forget(t, thread);
		return mt_error_os(errnum, "cannot take over thread %d of process %d", (int)tid,
				   (int)t->pid);
	}
	switch (settle_patiently(t, thread, mt_now_us() + THREAD_STOP_US)) {
	case STOP_STOPPED:
		break;
	case STOP_GONE:
		stop_forget(t, thread);
		return stop_gone_error(t, tid);
	case STOP_TIMEOUT:
		stop_forget(t, thread);
		return no_stop_error(t, tid);
	}
	*ret = thread;
	return NULL;
}

void tracee_disown_thread(struct tracee *t, struct tracee_thread *thread)
{
	stop_forget(t, thread);
}
