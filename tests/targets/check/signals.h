/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/check/signals.h - signals come once each, in order, on the stack they were promised,
 * with the mask they were promised; timers keep their count.
 * Knows: queued real time signals, timer_create, setitimer, alternate stacks, masks. Does not know:
 * who stops the process. Included by tests/targets/selfcheck.c and tests/unit/borrow_target.h. */
#ifndef MT_TESTS_CHECK_SIGNALS_H
#define MT_TESTS_CHECK_SIGNALS_H

#include "page.h"
#include "registers.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#define ZERO_FD 8		/* /dev/zero, for a call whose result is known */
#define ALT_STACK_SIZE 65536

static _Atomic int next_number, sent_numbers;
static char *alt_stack;

static void on_number(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	int e = errno;
	char here;
	MUST("signal number", si->si_value.sival_int, next_number);
	if (alt_stack && (&here < alt_stack || &here >= alt_stack + ALT_STACK_SIZE))
		fail("not on the alternate stack", 0, 1);
	next_number++;
	atomic_fetch_add(&page->signals, 1);
	errno = e;
}

static void on_timer(int sig)
{
	(void)sig;
	atomic_fetch_add(&page->signals, 1);
}

static void *send_numbers(void *arg)
{
	(void)arg;
	for (int n = 0; go_on(); n++) {
		union sigval v = { .sival_int = n };
		while (sigqueue(getpid(), SIGRTMIN, v) < 0 && errno == EAGAIN)
			usleep(100);
		sent_numbers = n + 1;
		while (go_on() && next_number + 50 < n)
			usleep(100);
		usleep(150);
	}
	return NULL;
}

static void use_alt_stack(void)
{
	alt_stack = mmap(NULL, ALT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	stack_t ss = { .ss_sp = alt_stack, .ss_size = ALT_STACK_SIZE };
	MUST("sigaltstack", sigaltstack(&ss, NULL), 0);
}

static void check_alt_stack(void)
{
	stack_t ss;
	sigaltstack(NULL, &ss);
	if (ss.ss_sp != alt_stack || ss.ss_flags || ss.ss_size != ALT_STACK_SIZE)
		fail("the alternate stack changed", ss.ss_flags, 0);
}

static void check_mask(const sigset_t *want)
{
	sigset_t now;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	for (int sig = 1; sig < 64; sig++)
		if (sigismember(want, sig) >= 0)
			MUST("signal mask", sigismember(&now, sig), sigismember(want, sig));
}

/* Numbered signals from a thread, an interval timer, canaries under the handlers. */
static void mode_storm(void)
{
	struct sigaction sa = { .sa_sigaction = on_number,
				.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
	sigset_t set, mine;
	sigaction(SIGRTMIN, &sa, NULL);
	struct sigaction alarm = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &alarm, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_t th;
	pthread_create(&th, NULL, send_numbers, NULL);
	use_alt_stack();
	dup2(open("/dev/zero", O_RDONLY | O_CLOEXEC), ZERO_FD);
	sigdelset(&set, SIGWINCH);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	struct itimerval it = { { 0, 700 }, { 0, 700 } };
	setitimer(ITIMER_REAL, &it, NULL);
	publish_thread();
	page->ready = 1;
	while (go_on()) {
		spin_canaries(30000);
		uint64_t v;
		MUST("read of /dev/zero", syscall(SYS_read, ZERO_FD, &v, 8), 8);
		check_mask(&mine);
		check_alt_stack();
		round_done();
		rest();
	}
	it = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &it, NULL);
	pthread_join(th, NULL);
	for (int i = 0; i < 2000 && next_number < sent_numbers; i++)
		usleep(1000);
	MUST("signals that came of those sent", next_number, sent_numbers);
}

/* ---- timers: every expiration is a signal or an overrun ---- */

#define TIMER_US 2000

static _Atomic uint64_t expirations, alarms;

static void on_expiration(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	expirations += 1 + (uint64_t)si->si_overrun;
	atomic_fetch_add(&page->signals, 1);
}

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

/* A blocked signal that is pending must stay pending, neither lost nor delivered. */
static void check_pending(void)
{
	sigset_t pending;
	sigpending(&pending);
	MUST("SIGUSR2 is pending", sigismember(&pending, SIGUSR2), 1);
	MUST("SIGRTMIN+1 is pending", sigismember(&pending, SIGRTMIN + 1), 1);
}

/* What is pending now comes out in full: one SIGUSR2, ten numbered ones. */
static void take_pending(void)
{
	sigset_t set;
	struct timespec now = { 0, 0 };
	siginfo_t si;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	for (int n = 0; n < 10; n++) {
		MUST("queued signal", sigtimedwait(&set, &si, &now), SIGRTMIN + 1);
		MUST("queued number", si.si_value.sival_int, n);
	}
	MUST("an eleventh signal", sigtimedwait(&set, &si, &now), -1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	MUST("SIGUSR2", sigtimedwait(&set, &si, &now), SIGUSR2);
	MUST("a second SIGUSR2", sigtimedwait(&set, &si, &now), -1);
}

static void mode_timers(void)
{
	struct sigaction sa = { .sa_sigaction = on_expiration, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigaction alarm = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	struct itimerspec every = { { 0, TIMER_US * 1000 }, { 0, TIMER_US * 1000 } };
	struct itimerval often = { { 0, TIMER_US }, { 0, TIMER_US } };
	sigset_t set;
	timer_t timer;
	sigaction(SIGRTMIN, &sa, NULL);
	sigaction(SIGALRM, &alarm, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR2);
	for (int n = 0; n < 10; n++)
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = n });
	publish_thread();
	MUST("timer_create", timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	uint64_t begun = now_us();
	timer_settime(timer, 0, &every, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	page->ready = 1;
	while (go_on()) {
		check_pending();
		struct timespec ts = { 0, 500000 };
		while (nanosleep(&ts, &ts) && errno == EINTR)	/* our own handlers */
			;
		round_done();
	}
	timer_settime(timer, 0, &(struct itimerspec){ 0 }, NULL);
	uint64_t due = (now_us() - begun) / TIMER_US;
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	usleep(10000);
	/* The last may have been pending when the timer was stopped: its overruns went with it. */
	if (expirations > due + 1 || expirations + due / 100 + 50 < due)
		fail("expirations of the timer", (long)expirations, (long)due);
	if (alarms > due + 1 || !alarms)
		fail("alarms of the interval timer", (long)alarms, (long)due);
	check_pending();
	take_pending();
}

#endif
