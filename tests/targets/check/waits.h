/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/check/waits.h - a thread for each blocking system call, which must not see an
 * EINTR that nobody sent, nor end before its time.
 * Knows: which calls the kernel lets lie to a stopped thread. Does not know: who stops it.
 * Included by tests/targets/selfcheck.c and tests/unit/borrow_target.h. */
#ifndef MT_TESTS_CHECK_WAITS_H
#define MT_TESTS_CHECK_WAITS_H

#include "page.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A wait that ends this much after its time was begun a second time or forgotten. */
#define MUCH_LATER_US 5000000

struct wait {
	const char *name;
	void (*open)(struct wait *w);
	void (*once)(struct wait *w);
	/* What makes the call end, from another thread; NULL: its own time does. */
	void (*wake)(struct wait *w);
	/* The kernel answers EINTR to any stop (signal(7)): a controller that dies between the stop
	 * and its correction cannot be hidden. */
	bool lies;
	int fds[2], aux;
	uint64_t begun;
	pthread_t thread;
	_Atomic pid_t tid;
	void *memory;
};

/* The call returned r, wanted was want after at least least_us. */
static void check_wait(struct wait *w, long r, long want, uint64_t least_us)
{
	int e = errno;
	if (r == -1 && e == EINTR) {
		atomic_fetch_add(&page->eintr, 1);
		if (!page->allow_eintr || !w->lies)
			fail(w->name, -EINTR, want);
		return;
	}
	if (r != want)
		fail(w->name, r == -1 ? -e : r, want);
	uint64_t took = now_us() - w->begun;
	if (took + 1500 < least_us)
		fail(w->name, (long)took, (long)least_us);
	if (least_us && took > least_us + MUCH_LATER_US)
		fail(w->name, (long)took, (long)least_us);
}

/* Time-outs of sockets are counted in ticks. Where ticks were late and came at once, as on a virtual
 * machine that stood still, the time is over sooner than by the clock; the coarse clock moves with the
 * ticks and tells. */
static uint64_t ticks_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t least_by_ticks(uint64_t begun_ticks, uint64_t least_us)
{
	return ticks_us() - begun_ticks >= least_us ? 1 : least_us;
}

/* Ends as `error` when its time is over: then the result is 0. */
static long timed_out_by(long r, int error)
{
	return r == -1 && errno == error ? 0 : r;
}

static struct timespec after_ms(clockid_t clock, long ms)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	ts.tv_nsec += ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static void open_pipe(struct wait *w)
{
	MUST("pipe", pipe(w->fds), 0);
}

static void open_pair(struct wait *w)
{
	MUST("socketpair", socketpair(AF_UNIX, SOCK_DGRAM, 0, w->fds), 0);
}

static void open_pair_with_timeout(struct wait *w)
{
	struct timeval tv = { 0, 10000 };
	MUST("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, w->fds), 0);
	setsockopt(w->fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static void open_epoll(struct wait *w)
{
	struct epoll_event ev = { .events = EPOLLIN };
	open_pipe(w);
	w->aux = epoll_create1(0);
	MUST("epoll_ctl", epoll_ctl(w->aux, EPOLL_CTL_ADD, w->fds[0], &ev), 0);
}

static void open_terminal(struct wait *w)
{
	w->fds[1] = posix_openpt(O_RDWR | O_NOCTTY);
	if (w->fds[1] < 0 || grantpt(w->fds[1]) || unlockpt(w->fds[1]))
		return fail("pty", errno, 0);
	w->fds[0] = open(ptsname(w->fds[1]), O_RDWR | O_NOCTTY);
	MUST("terminal", w->fds[0] >= 0, 1);
}

static void open_listener(struct wait *w)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	w->fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST("bind", bind(w->fds[0], (struct sockaddr *)&any, sizeof(any.sun_family)), 0);
	MUST("listen", listen(w->fds[0], 8), 0);
}

static void wake_byte(struct wait *w)
{
	MUST("write", write(w->fds[1], "x\n", w->aux == 2 ? 2 : 1) > 0, 1);
}

static void wait_nanosleep(struct wait *w)
{
	struct timespec ts = { 0, 7000000 };
	check_wait(w, nanosleep(&ts, NULL), 0, 7000);
}

static void wait_clock(struct wait *w)
{
	struct timespec ts = after_ms(CLOCK_MONOTONIC, 4);
	int r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	errno = r;
	check_wait(w, r ? -1 : 0, 0, 4000);
}

static void wait_poll(struct wait *w)
{
	struct pollfd p = { .fd = w->fds[0], .events = 0 };
	check_wait(w, poll(&p, 1, 9), 0, 9000);
}

static void wait_poll_forever(struct wait *w)
{
	struct pollfd p = { .fd = w->fds[0], .events = POLLIN };
	char c;
	check_wait(w, poll(&p, 1, -1), 1, 0);
	MUST("read after poll", read(w->fds[0], &c, 1), 1);
}

static void wait_ppoll(struct wait *w)
{
	struct pollfd p = { .fd = w->fds[0], .events = 0 };
	struct timespec ts = { 0, 11000000 };
	sigset_t mask;
	sigemptyset(&mask);
	check_wait(w, ppoll(&p, 1, &ts, &mask), 0, 11000);
}

static void wait_select(struct wait *w)
{
	struct timeval tv = { 0, 8000 };
	check_wait(w, select(0, NULL, NULL, NULL, &tv), 0, 8000);
}

static void wait_select_forever(struct wait *w)
{
	fd_set set;
	char c;
	FD_ZERO(&set);
	FD_SET(w->fds[0], &set);
	check_wait(w, select(w->fds[0] + 1, &set, NULL, NULL, NULL), 1, 0);
	MUST("read after select", read(w->fds[0], &c, 1), 1);
}

static void wait_epoll_forever(struct wait *w)
{
	struct epoll_event ev;
	char c;
	int r = epoll_wait(w->aux, &ev, 1, -1);
	check_wait(w, r, 1, 0);
	if (r == 1)
		MUST("read after epoll", read(w->fds[0], &c, 1), 1);
}

static void wait_epoll_timed(struct wait *w)
{
	struct epoll_event ev;
	check_wait(w, epoll_wait(w->aux, &ev, 1, 6), 0, 6000);
}

static void wait_read(struct wait *w)
{
	char c;
	check_wait(w, read(w->fds[0], &c, 1), 1, 0);
}

static void wait_read_line(struct wait *w)
{
	char line[16];
	check_wait(w, read(w->fds[0], line, sizeof(line)), 2, 0);
}

static void open_terminal_line(struct wait *w)
{
	open_terminal(w);
	w->aux = 2;		/* a line, not a byte */
}

static void wait_recv(struct wait *w)
{
	char c;
	check_wait(w, recv(w->fds[0], &c, 1, 0), 1, 0);
}

static void wait_recv_timeout(struct wait *w)
{
	char c;
	uint64_t begun = ticks_us();
	long r = timed_out_by(recv(w->fds[0], &c, 1, 0), EAGAIN);
	check_wait(w, r, 0, least_by_ticks(begun, 10000));
}

static void wait_recvmmsg(struct wait *w)
{
	char c;
	struct iovec iov = { &c, 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	struct timespec ts = { 10, 0 };		/* read after a message only: a bug it is known for */
	check_wait(w, recvmmsg(w->fds[0], &m, 1, 0, &ts), 1, 0);
}

static void wait_accept(struct wait *w)
{
	int fd = accept(w->fds[0], NULL, NULL);
	check_wait(w, fd < 0 ? fd : 0, 0, 0);
	if (fd >= 0)
		close(fd);
}

static void open_listener_with_timeout(struct wait *w)
{
	struct timeval tv = { 0, 9000 };
	open_listener(w);
	setsockopt(w->fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static void wait_accept_timeout(struct wait *w)
{
	uint64_t begun = ticks_us();
	long r = timed_out_by(accept(w->fds[0], NULL, NULL), EAGAIN);
	check_wait(w, r, 0, least_by_ticks(begun, 9000));
}

static void wake_connect(struct wait *w)
{
	struct sockaddr_un to;
	socklen_t size = sizeof(to);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	getsockname(w->fds[0], (struct sockaddr *)&to, &size);
	if (connect(fd, (struct sockaddr *)&to, size) && errno != EAGAIN)
		fail("connect", errno, 0);
	close(fd);
}

static void wait_cond(struct wait *w)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec ts = after_ms(CLOCK_REALTIME, 5);
	pthread_mutex_lock(&lock);
	int r = pthread_cond_timedwait(&cond, &lock, &ts);
	pthread_mutex_unlock(&lock);
	check_wait(w, r, ETIMEDOUT, 0);
}

static void wait_futex(struct wait *w)
{
	static int word;
	struct timespec ts = { 0, 6000000 };
	long r = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);
	check_wait(w, timed_out_by(r, ETIMEDOUT), 0, 6000);
}

static _Atomic uint32_t futex_word;

static void wait_futex_forever(struct wait *w)
{
	uint32_t seen = futex_word;
	long r = syscall(SYS_futex, &futex_word, FUTEX_WAIT, seen, NULL, NULL, 0);
	check_wait(w, timed_out_by(r, EAGAIN), 0, 0);
}

static void wake_futex(struct wait *w)
{
	(void)w;
	futex_word++;
	syscall(SYS_futex, &futex_word, FUTEX_WAKE, 10, NULL, NULL, 0);
}

static void wait_sigtimedwait(struct wait *w)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	struct timespec ts = { 0, 9000000 };
	long r = syscall(SYS_rt_sigtimedwait, &set, NULL, &ts, 8);
	check_wait(w, timed_out_by(r, EAGAIN), 0, 9000);
}

static void wait_sigwaitinfo(struct wait *w)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	w->tid = gettid();
	check_wait(w, syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8), SIGRTMIN + 3, 0);
}

static void wake_thread(struct wait *w, int number)
{
	/* One signal for one wait: the queue must not fill. */
	siginfo_t si = { .si_code = SI_QUEUE };
	if (w->tid && syscall(SYS_rt_tgsigqueueinfo, getpid(), w->tid, number, &si) &&
	    errno != EAGAIN && errno != ESRCH)
		fail("rt_tgsigqueueinfo", errno, 0);
}

static void wake_sigwaitinfo(struct wait *w)
{
	wake_thread(w, SIGRTMIN + 3);
}

static _Thread_local volatile sig_atomic_t handled;

static void on_wake(int number)
{
	(void)number;
	handled++;
}

/* For pause() and sigsuspend() EINTR is right, when a handler ran. */
static void after_handler(struct wait *w, long r)
{
	check_wait(w, r == -1 && errno == EINTR && handled ? 0 : r, 0, 0);
	if (!handled)
		fail(w->name, -EINTR, 1);
	handled = 0;
}

static void open_handler(struct wait *w)
{
	(void)w;
	struct sigaction sa = { .sa_handler = on_wake };
	sigaction(SIGUSR1, &sa, NULL);
}

/* The thread's mask without SIGUSR1. */
static sigset_t mask_to_wait(struct wait *w)
{
	sigset_t set;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	sigdelset(&set, SIGUSR1);
	w->tid = gettid();
	return set;
}

static void wait_sigsuspend(struct wait *w)
{
	sigset_t set = mask_to_wait(w);
	after_handler(w, sigsuspend(&set));
}

static void wait_ppoll_signal(struct wait *w)
{
	sigset_t set = mask_to_wait(w);
	after_handler(w, ppoll(NULL, 0, NULL, &set));
}

/* A signal that comes before pause() is lost to it; the next one is on its way. */
static void wait_pause(struct wait *w)
{
	sigset_t set = mask_to_wait(w);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	handled = 0;
	after_handler(w, pause());
}

static void wake_handler(struct wait *w)
{
	if (w->tid && syscall(SYS_tgkill, getpid(), w->tid, SIGUSR1) && errno != ESRCH)
		fail("tgkill", errno, 0);
}

static void open_sem(struct wait *w)
{
	w->aux = semget(IPC_PRIVATE, 1, 0600);
}

static void wait_semtimedop(struct wait *w)
{
	struct sembuf op = { 0, -1, 0 };
	struct timespec ts = { 0, 8000000 };
	check_wait(w, timed_out_by(semtimedop(w->aux, &op, 1, &ts), EAGAIN), 0, 8000);
}

static void wait_semop(struct wait *w)
{
	struct sembuf op = { 0, -1, 0 };
	check_wait(w, semop(w->aux, &op, 1), 0, 0);
}

static void wake_sem(struct wait *w)
{
	struct sembuf op = { 0, 1, 0 };
	MUST("semop", semop(w->aux, &op, 1), 0);
}

static void open_queue(struct wait *w)
{
	w->aux = msgget(IPC_PRIVATE, 0600);
}

struct check_message { long type; char text[8]; };

static void wait_msgrcv(struct wait *w)
{
	struct check_message m;
	check_wait(w, msgrcv(w->aux, &m, sizeof(m.text), 0, 0), 1, 0);
}

static void wake_msgrcv(struct wait *w)
{
	struct check_message m = { 1, "x" };
	if (msgsnd(w->aux, &m, 1, IPC_NOWAIT) && errno != EAGAIN)
		fail("msgsnd", errno, 0);
}

/* The child ends by itself after 4 ms. Not fork(): the allocator of a program with these threads
 * is not what is asked here. */
static void wait_wait4(struct wait *w)
{
	int status = -1;
	struct timespec ts = { 0, 4000000 };
	pid_t child = (pid_t)syscall(SYS_fork);
	if (child == 0) {
		syscall(SYS_nanosleep, &ts, NULL);
		syscall(SYS_exit_group, 7);
	}
	check_wait(w, wait4(child, &status, 0, NULL), child, 0);
	MUST("exit status of the child", WIFEXITED(status) ? WEXITSTATUS(status) : -1, 7);
}

static void wait_flock(struct wait *w)
{
	check_wait(w, flock(w->fds[0], LOCK_EX), 0, 0);
	flock(w->fds[0], LOCK_UN);
	usleep(1000);
}

static void wait_fcntl(struct wait *w)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	check_wait(w, fcntl(w->fds[0], F_OFD_SETLKW, &lock), 0, 0);
	lock.l_type = F_UNLCK;
	fcntl(w->fds[0], F_OFD_SETLK, &lock);
	usleep(1000);
}

/* Two open files of one memfd: the waker holds each lock for a moment. */
static void open_locks(struct wait *w)
{
	char path[64];
	w->fds[0] = memfd_create("check-lock", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->fds[0]);
	w->fds[1] = open(path, O_RDWR | O_CLOEXEC);
	if (w->fds[1] < 0) {		/* no /proc: nothing to wait for */
		w->fds[1] = w->fds[0];
	}
}

static void wake_flock(struct wait *w)
{
	while (flock(w->fds[1], LOCK_EX) && errno == EINTR)
		;
	usleep(2000);
	flock(w->fds[1], LOCK_UN);
}

static void wake_fcntl(struct wait *w)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	if (fcntl(w->fds[1], F_OFD_SETLK, &lock))
		return;
	usleep(2000);
	lock.l_type = F_UNLCK;
	fcntl(w->fds[1], F_OFD_SETLK, &lock);
}

static void open_aio(struct wait *w)
{
	aio_context_t ctx = 0;
	if (syscall(SYS_io_setup, 8, &ctx))
		ctx = 0;
	w->memory = (void *)(uintptr_t)ctx;
}

static void wait_io_getevents(struct wait *w)
{
	struct io_event ev;
	struct timespec ts = { 0, 7000000 };
	if (!w->memory)			/* a kernel without it */
		usleep(10000);
	else
		check_wait(w, syscall(SYS_io_getevents, w->memory, 1, 1, &ev, &ts), 0, 7000);
}

static void open_aio_with_file(struct wait *w)
{
	open_aio(w);
	w->fds[0] = memfd_create("check-aio", MFD_CLOEXEC);
	MUST("write for aio", write(w->fds[0], "x", 1), 1);
}

/* A read that is over at once: its event is what the other thread waits for. */
static void wake_aio(struct wait *w)
{
	static char byte;
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)w->fds[0],
				.aio_buf = (uintptr_t)&byte, .aio_nbytes = 1 };
	struct iocb *list[] = { &request };
	if (w->memory && syscall(SYS_io_submit, w->memory, 1, list) != 1 && errno != EAGAIN)
		fail("io_submit", errno, 0);
}

static void wait_io_getevents_forever(struct wait *w)
{
	struct io_event ev;
	if (!w->memory)
		usleep(10000);
	else
		check_wait(w, syscall(SYS_io_getevents, w->memory, 1, 1, &ev, NULL), 1, 0);
}

static void wait_sem_t(struct wait *w)
{
	static sem_t sem;
	struct timespec ts = after_ms(CLOCK_REALTIME, 5);
	check_wait(w, timed_out_by(sem_timedwait(&sem, &ts), ETIMEDOUT), 0, 0);
}

static struct wait waits[] = {
	{ .name = "nanosleep", .once = wait_nanosleep },
	{ .name = "clock_nanosleep", .once = wait_clock },
	{ .name = "poll timed", .open = open_pipe, .once = wait_poll },
	{ .name = "poll", .open = open_pipe, .once = wait_poll_forever, .wake = wake_byte },
	{ .name = "ppoll timed", .open = open_pipe, .once = wait_ppoll },
	{ .name = "ppoll", .open = open_handler, .once = wait_ppoll_signal, .wake = wake_handler },
	{ .name = "select timed", .once = wait_select },
	{ .name = "select", .open = open_pipe, .once = wait_select_forever, .wake = wake_byte },
	{ .name = "epoll_wait", .open = open_epoll, .once = wait_epoll_forever, .wake = wake_byte,
	  .lies = true },
	{ .name = "epoll_wait timed", .open = open_epoll, .once = wait_epoll_timed, .lies = true },
	{ .name = "read of a pipe", .open = open_pipe, .once = wait_read, .wake = wake_byte },
	{ .name = "read of a terminal", .open = open_terminal_line, .once = wait_read_line,
	  .wake = wake_byte },
	{ .name = "recv", .open = open_pair, .once = wait_recv, .wake = wake_byte },
	{ .name = "recv with SO_RCVTIMEO", .open = open_pair_with_timeout, .once = wait_recv_timeout,
	  .lies = true },
	{ .name = "recvmmsg", .open = open_pair, .once = wait_recvmmsg, .wake = wake_byte },
	{ .name = "accept", .open = open_listener, .once = wait_accept, .wake = wake_connect },
	{ .name = "accept with SO_RCVTIMEO", .open = open_listener_with_timeout,
	  .once = wait_accept_timeout, .lies = true },
	{ .name = "pthread_cond_timedwait", .once = wait_cond },
	{ .name = "sem_timedwait", .once = wait_sem_t },
	{ .name = "futex timed", .once = wait_futex },
	{ .name = "futex", .once = wait_futex_forever, .wake = wake_futex },
	{ .name = "sigtimedwait", .once = wait_sigtimedwait, .lies = true },
	{ .name = "sigwaitinfo", .once = wait_sigwaitinfo, .wake = wake_sigwaitinfo, .lies = true },
	{ .name = "sigsuspend", .open = open_handler, .once = wait_sigsuspend, .wake = wake_handler },
	{ .name = "pause", .open = open_handler, .once = wait_pause, .wake = wake_handler },
	{ .name = "semtimedop", .open = open_sem, .once = wait_semtimedop, .lies = true },
	{ .name = "semop", .open = open_sem, .once = wait_semop, .wake = wake_sem, .lies = true },
	{ .name = "msgrcv", .open = open_queue, .once = wait_msgrcv, .wake = wake_msgrcv },
	{ .name = "wait4", .once = wait_wait4 },
	{ .name = "flock", .open = open_locks, .once = wait_flock, .wake = wake_flock },
	{ .name = "fcntl lock", .open = open_locks, .once = wait_fcntl, .wake = wake_fcntl },
	{ .name = "io_getevents timed", .open = open_aio, .once = wait_io_getevents, .lies = true },
	{ .name = "io_getevents", .open = open_aio_with_file, .once = wait_io_getevents_forever,
	  .wake = wake_aio, .lies = true },
};
#define WAITS (sizeof(waits) / sizeof(*waits))

static _Atomic unsigned waits_over;

static void *wait_loop(void *arg)
{
	struct wait *w = arg;
	publish_thread();
	while (go_on()) {
		w->begun = now_us();
		errno = 0;
		w->once(w);
		round_done();
	}
	waits_over++;
	return NULL;
}

/* Wakes until each thread has seen that it is over. */
static void wake_all(void)
{
	for (size_t i = 0; i < WAITS; i++)
		if (waits[i].wake)
			waits[i].wake(&waits[i]);
}

static void close_wait(struct wait *w)
{
	if (w->open == open_sem)
		semctl(w->aux, 0, IPC_RMID);
	else if (w->open == open_queue)
		msgctl(w->aux, IPC_RMID, NULL);
}

static void mode_waits(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 3);
	/* Were it not blocked: the kernel does not ignore a SIGCHLD for a thread that is traced in this
	 * instant, and wakes any other thread for it (docs/reliability.md, what a target can notice). */
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	publish_thread();
	for (size_t i = 0; i < WAITS; i++) {
		if (waits[i].open)
			waits[i].open(&waits[i]);
		pthread_create(&waits[i].thread, NULL, wait_loop, &waits[i]);
	}
	page->ready = 1;
	while (go_on()) {
		usleep(3000);
		wake_all();
	}
	while (waits_over < WAITS) {
		usleep(1000);
		wake_all();
	}
	for (size_t i = 0; i < WAITS; i++) {
		pthread_join(waits[i].thread, NULL);
		close_wait(&waits[i]);
	}
}

#endif
