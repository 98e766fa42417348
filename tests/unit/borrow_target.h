/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/borrow_target.h - the program that u_borrow.c borrows threads of. It checks itself:
 * registers incl. ymm and x87, red zone, flags, errno; waits that must never see EINTR; signals
 * that must come once each; blocks whose content must stay. The first failure is kept as text in
 * the page it shares with the test. */
#ifndef MT_TESTS_BORROW_TARGET_H
#define MT_TESTS_BORROW_TARGET_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TARGET_FD 9	/* the shared page, over exec */
#define PUBLISHED 32

struct shared {
	_Atomic int ready, stop, allow_eintr;
	_Atomic uint64_t rounds, eintr, calls_begun, calls_done, signals;
	_Atomic int tids[PUBLISHED];
	_Atomic int tid_count;
	uint64_t fn_sum, fn_fault, fn_slow, fn_block, fn_exit;
	_Atomic int block_gate, controller_ready;
	_Atomic int failed;
	char failure[256];
};

static struct shared *sh;

static void fail(const char *what, long got, long want)
{
	if (!atomic_exchange(&sh->failed, 1))
		snprintf(sh->failure, sizeof(sh->failure), "%s: %ld, expected %ld", what, got, want);
}

#define MUST(what, got, want)				\
	do {						\
		long got_ = (long)(got), want_ = (long)(want); \
		if (got_ != want_)			\
			fail(what, got_, want_);	\
	} while (0)

static void publish_thread(void)
{
	int i = atomic_fetch_add(&sh->tid_count, 1);
	if (i < PUBLISHED)
		sh->tids[i] = gettid();
}

static bool go_on(void)
{
	return !sh->stop && !sh->failed;
}

/* ---- functions that the test calls ---- */

__attribute__((noinline)) static void clobber(void)
{
	__asm__ volatile("vpcmpeqd %%ymm0,%%ymm0,%%ymm0; vmovdqa %%ymm0,%%ymm1; vmovdqa %%ymm0,%%ymm2;"
			 "vmovdqa %%ymm0,%%ymm7; vmovdqa %%ymm0,%%ymm8; vmovdqa %%ymm0,%%ymm15;"
			 "fninit; fldpi; fldz; fld1; fninit;"
			 ::: "xmm0", "xmm1", "xmm2", "xmm7", "xmm8", "xmm15", "memory");
	errno = 4711;
}

static uint64_t fn_sum(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	clobber();
	void *p = malloc(100);
	memset(p, 1, 100);
	free(p);
	syscall(SYS_getppid);
	return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + ((uintptr_t)&p & 0);
}

static uint64_t fn_fault(void)
{
	clobber();
	uint64_t value;
	__asm__ volatile("mov 16,%0" : "=r"(value));
	return value;
}

static uint64_t fn_slow(uint64_t us)
{
	atomic_fetch_add(&sh->calls_begun, 1);
	clobber();
	struct timespec end, now;
	clock_gettime(CLOCK_MONOTONIC, &end);
	uint64_t until = (uint64_t)end.tv_sec * 1000000 + (uint64_t)end.tv_nsec / 1000 + us;
	do {
		syscall(SYS_getppid);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 < until);
	atomic_fetch_add(&sh->calls_done, 1);
	return us;
}

/* A plain wait without a timeout, as a lock would: the test opens the gate. */
static uint64_t fn_block(void)
{
	atomic_fetch_add(&sh->calls_begun, 1);
	while (!sh->block_gate)
		syscall(SYS_futex, &sh->block_gate, 0, 0, NULL, NULL, 0);
	clobber();
	atomic_fetch_add(&sh->calls_done, 1);
	return 1;
}

static uint64_t fn_exit(uint64_t code)
{
	_exit((int)code);
}

/* ---- registers ---- */

uint64_t canary_count, canary_in[64], canary_out[64], canary_red[16];

/* Loads patterns, spins, stores what is left of them. Leaf: the red zone is in use. */
__asm__(".text\n.globl canary_spin\n.type canary_spin,@function\ncanary_spin:\n.cfi_startproc\n"
	"push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx,0\n"
	"push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp,0\n"
	"push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r12,0\n"
	"push %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13,0\n"
	"push %r14\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r14,0\n"
	"push %r15\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r15,0\n"
	"fninit\nfldpi\nfld1\nfldl2e\n"
	"vmovdqu canary_in+128(%rip),%ymm0\nvmovdqu canary_in+160(%rip),%ymm1\n"
	"vmovdqu canary_in+192(%rip),%ymm2\nvmovdqu canary_in+224(%rip),%ymm7\n"
	"vmovdqu canary_in+256(%rip),%ymm8\nvmovdqu canary_in+288(%rip),%ymm15\n"
	"mov canary_in+0(%rip),%rax\nmov canary_in+8(%rip),%rbx\nmov canary_in+16(%rip),%rcx\n"
	"mov canary_in+24(%rip),%rdx\nmov canary_in+32(%rip),%rsi\nmov canary_in+40(%rip),%rdi\n"
	"mov canary_in+48(%rip),%rbp\nmov canary_in+56(%rip),%r8\nmov canary_in+64(%rip),%r9\n"
	"mov canary_in+72(%rip),%r10\nmov canary_in+80(%rip),%r11\nmov canary_in+88(%rip),%r12\n"
	"mov canary_in+96(%rip),%r13\nmov canary_in+104(%rip),%r14\nmov canary_in+112(%rip),%r15\n"
	"mov %rax,-8(%rsp)\nmov %rbx,-16(%rsp)\nmov %r15,-64(%rsp)\nmov %r14,-120(%rsp)\n"
	"mov %r13,-128(%rsp)\nstd\nstc\n"
	"1: decq canary_count(%rip)\njnz 1b\n"
	"mov %rax,canary_out+0(%rip)\nmov %rbx,canary_out+8(%rip)\nmov %rcx,canary_out+16(%rip)\n"
	"mov %rdx,canary_out+24(%rip)\nmov %rsi,canary_out+32(%rip)\nmov %rdi,canary_out+40(%rip)\n"
	"mov %rbp,canary_out+48(%rip)\nmov %r8,canary_out+56(%rip)\nmov %r9,canary_out+64(%rip)\n"
	"mov %r10,canary_out+72(%rip)\nmov %r11,canary_out+80(%rip)\nmov %r12,canary_out+88(%rip)\n"
	"mov %r13,canary_out+96(%rip)\nmov %r14,canary_out+104(%rip)\nmov %r15,canary_out+112(%rip)\n"
	"mov -8(%rsp),%rbx\nmov %rbx,canary_red+0(%rip)\nmov -16(%rsp),%rbx\n"
	"mov %rbx,canary_red+8(%rip)\nmov -64(%rsp),%rbx\nmov %rbx,canary_red+16(%rip)\n"
	"mov -120(%rsp),%rbx\nmov %rbx,canary_red+24(%rip)\nmov -128(%rsp),%rbx\n"
	"mov %rbx,canary_red+32(%rip)\n"
	"pushfq\n.cfi_adjust_cfa_offset 8\npop %rax\n.cfi_adjust_cfa_offset -8\ncld\n"
	"vmovdqu %ymm0,canary_out+128(%rip)\nvmovdqu %ymm1,canary_out+160(%rip)\n"
	"vmovdqu %ymm2,canary_out+192(%rip)\nvmovdqu %ymm7,canary_out+224(%rip)\n"
	"vmovdqu %ymm8,canary_out+256(%rip)\nvmovdqu %ymm15,canary_out+288(%rip)\n"
	"fstpl canary_out+320(%rip)\nfstpl canary_out+328(%rip)\nfstpl canary_out+336(%rip)\n"
	"pop %r15\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r15\n"
	"pop %r14\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r14\n"
	"pop %r13\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r13\n"
	"pop %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r12\n"
	"pop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\n"
	"pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
	"ret\n.cfi_endproc\n.size canary_spin,.-canary_spin\n");

uint64_t canary_spin(void);

static void spin_canaries(uint64_t count)
{
	static const double x87[3] = { 1.4426950408889634, 1.0, 3.14159265358979323846 };
	for (size_t i = 0; i < 64; i++)
		canary_in[i] = 0x9e3779b97f4a7c15ull * (i + 1) ^ sh->rounds;
	memset(canary_out, 0, sizeof(canary_out));
	canary_count = count;
	errno = 1234;
	uint64_t flags = canary_spin();
	MUST("errno", errno, 1234);
	MUST("carry flag", flags & 1, 1);
	MUST("direction flag", flags >> 10 & 1, 1);
	for (size_t i = 0; i < 40; i++)
		if (i != 15 && canary_out[i] != canary_in[i])
			fail("register", (long)i, -1);
	MUST("x87", memcmp(canary_out + 40, x87, sizeof(x87)), 0);
	static const unsigned red[5] = { 0, 1, 14, 13, 12 };
	for (size_t i = 0; i < 5; i++)
		MUST("red zone", canary_red[i], canary_in[red[i]]);
}

static void mode_regs(void)
{
	publish_thread();
	sh->ready = 1;
	while (go_on()) {
		spin_canaries(300000);
		atomic_fetch_add(&sh->rounds, 1);
	}
}

/* ---- waits ---- */

struct wait {
	const char *name;
	void (*once)(struct wait *w);
	/* The kernel answers EINTR to any stop: a controller that dies between the stop and its
	 * correction cannot be hidden. */
	bool lies;
	int fds[2], aux;
	uint64_t begun;
};

static uint64_t now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void check(struct wait *w, long r, long want, uint64_t least_us)
{
	int e = errno;
	if (r == -1 && e == EINTR) {
		atomic_fetch_add(&sh->eintr, 1);
		if (!sh->allow_eintr || !w->lies)
			fail(w->name, -EINTR, want);
		return;
	}
	if (r != want)
		fail(w->name, r == -1 ? -e : r, want);
	uint64_t took = now_us() - w->begun;
	if (took + 1500 < least_us)
		fail(w->name, (long)took, (long)least_us);
}

static void wait_nanosleep(struct wait *w)
{
	struct timespec ts = { 0, 7000000 };
	check(w, nanosleep(&ts, NULL), 0, 7000);
}

static void wait_poll(struct wait *w)
{
	struct pollfd p = { .fd = w->fds[0], .events = 0 };
	check(w, poll(&p, 1, 9), 0, 9000);
}

static void wait_ppoll(struct wait *w)
{
	struct pollfd p = { .fd = w->fds[0], .events = 0 };
	struct timespec ts = { 0, 11000000 };
	sigset_t mask;
	sigemptyset(&mask);
	check(w, ppoll(&p, 1, &ts, &mask), 0, 11000);
}

static void wait_select(struct wait *w)
{
	struct timeval tv = { 0, 8000 };
	check(w, select(0, NULL, NULL, NULL, &tv), 0, 8000);
}

static void wait_epoll_forever(struct wait *w)
{
	struct epoll_event ev;
	char c;
	check(w, epoll_wait(w->aux, &ev, 1, -1), 1, 0);
	MUST("read after epoll", read(w->fds[0], &c, 1), 1);
}

static void wait_epoll_timed(struct wait *w)
{
	struct epoll_event ev;
	check(w, epoll_wait(w->aux, &ev, 1, 6), 0, 6000);
}

static void wait_read(struct wait *w)
{
	char c;
	check(w, read(w->fds[0], &c, 1), 1, 0);
}

static void wait_recv_timeout(struct wait *w)
{
	char c;
	long r = recv(w->aux, &c, 1, 0);
	check(w, r == -1 && errno == EAGAIN ? 0 : r, 0, 10000);
}

static void wait_cond(struct wait *w)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 5000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&lock);
	int r = pthread_cond_timedwait(&cond, &lock, &ts);
	pthread_mutex_unlock(&lock);
	check(w, r, ETIMEDOUT, 0);
}

static void wait_futex(struct wait *w)
{
	static int word;
	struct timespec ts = { 0, 6000000 };
	long r = syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &ts, NULL, 0);
	check(w, r == -1 && errno == ETIMEDOUT ? 0 : r, 0, 6000);
}

static void wait_sigtimedwait(struct wait *w)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	struct timespec ts = { 0, 9000000 };
	long r = syscall(SYS_rt_sigtimedwait, &set, NULL, &ts, 8);
	check(w, r == -1 && errno == EAGAIN ? 0 : r, 0, 9000);
}

static void wait_sem(struct wait *w)
{
	struct sembuf op = { 0, -1, 0 };
	struct timespec ts = { 0, 8000000 };
	long r = semtimedop(w->aux, &op, 1, &ts);
	check(w, r == -1 && errno == EAGAIN ? 0 : r, 0, 8000);
}

static void wait_clock(struct wait *w)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 4000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	int r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	errno = r;
	check(w, r ? -1 : 0, 0, 4000);
}

static struct wait waits[] = {
	{ .name = "nanosleep", .once = wait_nanosleep },
	{ .name = "poll", .once = wait_poll },
	{ .name = "ppoll", .once = wait_ppoll },
	{ .name = "select", .once = wait_select },
	{ .name = "epoll_wait", .once = wait_epoll_forever, .lies = true },
	{ .name = "epoll_wait timed", .once = wait_epoll_timed, .lies = true },
	{ .name = "read", .once = wait_read },
	{ .name = "recv with SO_RCVTIMEO", .once = wait_recv_timeout, .lies = true },
	{ .name = "pthread_cond_timedwait", .once = wait_cond },
	{ .name = "futex", .once = wait_futex },
	{ .name = "sigtimedwait", .once = wait_sigtimedwait, .lies = true },
	{ .name = "semtimedop", .once = wait_sem, .lies = true },
	{ .name = "clock_nanosleep", .once = wait_clock },
};
#define WAITS (sizeof(waits) / sizeof(*waits))

static void *wait_loop(void *arg)
{
	struct wait *w = arg;
	publish_thread();
	while (go_on()) {
		w->begun = now_us();
		errno = 0;
		w->once(w);
		atomic_fetch_add(&sh->rounds, 1);
	}
	return NULL;
}

static void open_wait(struct wait *w)
{
	struct epoll_event ev = { .events = EPOLLIN };
	MUST("pipe", pipe(w->fds), 0);
	if (w->once == wait_epoll_forever || w->once == wait_epoll_timed) {
		w->aux = epoll_create1(0);
		MUST("epoll_ctl", epoll_ctl(w->aux, EPOLL_CTL_ADD, w->fds[0], &ev), 0);
	} else if (w->once == wait_recv_timeout) {
		int pair[2];
		struct timeval tv = { 0, 10000 };
		MUST("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		w->aux = pair[0];
	} else if (w->once == wait_sem) {
		w->aux = semget(IPC_PRIVATE, 1, 0600);
	}
}

static void mode_waits(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_t th[WAITS];
	publish_thread();
	for (size_t i = 0; i < WAITS; i++) {
		open_wait(&waits[i]);
		pthread_create(&th[i], NULL, wait_loop, &waits[i]);
	}
	sh->ready = 1;
	while (go_on()) {
		usleep(3000);
		for (size_t i = 0; i < WAITS; i++)
			if (waits[i].once == wait_read || waits[i].once == wait_epoll_forever)
				MUST("write", write(waits[i].fds[1], "x", 1), 1);
	}
	for (size_t i = 0; i < WAITS; i++) {
		if (waits[i].once == wait_read || waits[i].once == wait_epoll_forever)
			(void)!write(waits[i].fds[1], "xx", 2);
		pthread_join(th[i], NULL);
		if (waits[i].once == wait_sem)
			semctl(waits[i].aux, 0, IPC_RMID);
	}
}

/* ---- idle: one thread, blocked for good ---- */

static void mode_idle(void)
{
	char c;
	publish_thread();
	sh->ready = 1;
	while (go_on() && read(0, &c, 1) > 0)
		;
}

/* ---- signals: numbered, each must come once and in order ---- */

static _Atomic int next_number;

static void on_number(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	int e = errno;
	MUST("signal number", si->si_value.sival_int, next_number);
	next_number++;
	atomic_fetch_add(&sh->signals, 1);
	errno = e;
}

static void on_timer(int sig)
{
	(void)sig;
	atomic_fetch_add(&sh->signals, 1);
}

static void *send_numbers(void *arg)
{
	(void)arg;
	for (int n = 0; go_on(); n++) {
		union sigval v = { .sival_int = n };
		while (sigqueue(getpid(), SIGRTMIN, v) < 0 && errno == EAGAIN)
			usleep(100);
		while (go_on() && next_number + 50 < n)
			usleep(100);
		usleep(150);
	}
	/* All that were sent must arrive. */
	return NULL;
}

static void mode_storm(void)
{
	struct sigaction sa = { .sa_sigaction = on_number, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(SIGRTMIN, &sa, NULL);
	struct sigaction alarm = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &alarm, NULL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_t th;
	pthread_create(&th, NULL, send_numbers, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	struct itimerval it = { { 0, 700 }, { 0, 700 } };
	setitimer(ITIMER_REAL, &it, NULL);
	publish_thread();
	sh->ready = 1;
	while (go_on()) {
		spin_canaries(30000);
		uint64_t v;
		MUST("read of /dev/zero", syscall(SYS_read, 8, &v, 8), 8);
		atomic_fetch_add(&sh->rounds, 1);
	}
	it = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &it, NULL);
	pthread_join(th, NULL);
}

/* ---- threads that come and go ---- */

static void *short_life(void *arg)
{
	char *p = malloc(1000);
	memset(p, (int)(intptr_t)arg, 1000);
	usleep((unsigned)(intptr_t)arg * 10);
	free(p);
	return NULL;
}

static void mode_churn(void)
{
	publish_thread();
	sh->ready = 1;
	while (go_on()) {
		pthread_t th[4];
		for (int i = 0; i < 4; i++)
			pthread_create(&th[i], NULL, short_life, (void *)(intptr_t)(i * 7));
		for (int i = 0; i < 4; i++)
			pthread_join(th[i], NULL);
		atomic_fetch_add(&sh->rounds, 1);
	}
}

/* ---- allocator at full load in every thread ---- */

static void *hammer(void *arg)
{
	unsigned seed = (unsigned)(intptr_t)arg;
	unsigned char *blocks[64] = { 0 };
	size_t sizes[64] = { 0 };
	publish_thread();
	while (go_on()) {
		for (int k = 0; k < 1000; k++) {
			unsigned i = rand_r(&seed) % 64;
			if (blocks[i] && (blocks[i][0] != i || blocks[i][sizes[i] - 1] != i))
				fail("block content", blocks[i][0], i);
			sizes[i] = 1 + rand_r(&seed) % 3000;
			blocks[i] = realloc(blocks[i], sizes[i]);
			blocks[i][0] = blocks[i][sizes[i] - 1] = (unsigned char)i;
			if (k % 3 == 0) {
				unsigned j = rand_r(&seed) % 64;
				free(blocks[j]);
				blocks[j] = NULL;
			}
		}
		atomic_fetch_add(&sh->rounds, 1);
	}
	for (size_t i = 0; i < 64; i++)
		free(blocks[i]);
	return NULL;
}

static void mode_malloc(void)
{
	pthread_t th[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&th[i], NULL, hammer, (void *)(intptr_t)(i + 1));
	sh->ready = 1;
	hammer((void *)9);
	for (int i = 0; i < 3; i++)
		pthread_join(th[i], NULL);
}

/* ---- another program all the time; a child that shares the memory ---- */

static void *sleep_on(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void mode_exec(void)
{
	pthread_t th;
	publish_thread();
	sh->tid_count = 0;
	sh->ready = 1;
	pthread_create(&th, NULL, sleep_on, NULL);
	usleep(1000);
	atomic_fetch_add(&sh->rounds, 1);
	if (go_on())
		execl("/proc/self/exe", "target", "target", "exec", NULL);
}

static void *long_vfork(void *arg)
{
	while (go_on()) {
		pid_t pid = vfork();
		if (pid == 0) {
			while (!sh->stop)
				usleep(10000);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	return arg;
}

static void mode_vfork(void)
{
	pthread_t th;
	pthread_create(&th, NULL, long_vfork, NULL);
	usleep(50000);
	mode_regs();
	pthread_join(th, NULL);
}

static int target_main(const char *mode)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{ "regs", mode_regs }, { "waits", mode_waits }, { "idle", mode_idle },
		{ "storm", mode_storm }, { "churn", mode_churn }, { "malloc", mode_malloc },
		{ "exec", mode_exec }, { "vfork", mode_vfork },
	};
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, TARGET_FD, 0);
	sh->fn_sum = (uint64_t)(uintptr_t)fn_sum;
	sh->fn_fault = (uint64_t)(uintptr_t)fn_fault;
	sh->fn_slow = (uint64_t)(uintptr_t)fn_slow;
	sh->fn_exit = (uint64_t)(uintptr_t)fn_exit;
	sh->fn_block = (uint64_t)(uintptr_t)fn_block;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(mode, modes[i].name))
			modes[i].run();
	return sh->failed ? 1 : 0;
}

#endif
