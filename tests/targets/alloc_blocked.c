/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_blocked.c - sits in one system call and tells how that call ended.
 * Knows: which calls the kernel does not restart by itself. Does not know: memtrace.
 * Usage: alloc_blocked MODE; used by tests/e2e/test_blocked.py. */
/* Prints "ready", blocks in the call, and prints "ended MODE RESULT ERRNO MILLISECONDS" (errno 0:
 * no error). Modes with "-timed" end by their own timeout of 3 seconds, the others by a byte on
 * standard input or, where the call does not wait for input, by SIGUSR1's handler. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 3

static long do_read(void)
{
	char c;
	return read(0, &c, 1);
}

static long epoll_for(int ms)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(0);
	epoll_ctl(fd, EPOLL_CTL_ADD, 0, &event);
	puts("ready");
	return epoll_wait(fd, &event, 1, ms);
}

static long do_epoll(void) { return epoll_for(-1); }
static long do_epoll_timed(void) { return epoll_for(SECONDS * 1000); }

static long poll_for(int ms)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };
	puts("ready");
	return poll(&p, 1, ms);
}

static long do_poll(void) { return poll_for(-1); }
static long do_poll_timed(void) { return poll_for(SECONDS * 1000); }

static long do_select_timed(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(0, &set);
	struct timeval tv = { .tv_sec = SECONDS };
	return select(1, &set, NULL, NULL, &tv);
}

static int word;

static long do_futex_timed(void)
{
	struct timespec ts = { .tv_sec = SECONDS };
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);
}

static long do_nanosleep_timed(void)
{
	struct timespec ts = { .tv_sec = SECONDS };
	return nanosleep(&ts, NULL);
}

static long do_clock_nanosleep_timed(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += SECONDS;
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	return errno ? -1 : 0;
}

static long do_sigtimedwait_timed(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	struct timespec ts = { .tv_sec = SECONDS };
	return sigtimedwait(&set, NULL, &ts);
}

static long do_recv_timed(void)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	struct timeval tv = { .tv_sec = SECONDS };
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	char c;
	return recv(pair[0], &c, 1, 0);
}

static long do_semop_timed(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf op = { .sem_op = -1 };
	struct timespec ts = { .tv_sec = SECONDS };
	long rc = semtimedop(id, &op, 1, &ts);
	int saved = errno;
	semctl(id, 0, IPC_RMID);
	errno = saved;
	return rc;
}

static long do_msgrcv(void)
{
	struct { long type; char text[8]; } message;
	int id = msgget(IPC_PRIVATE, 0600);
	pid_t child = fork();
	if (!child) {		/* sends when a byte comes */
		char c;
		if (read(0, &c, 1) == 1) {
			message.type = 1;
			msgsnd(id, &message, 1, 0);
		}
		_exit(0);
	}
	long rc = msgrcv(id, &message, sizeof(message.text), 0, 0);
	int saved = errno;
	msgctl(id, IPC_RMID, NULL);
	errno = saved;
	return rc;
}

static long do_wait(void)
{
	pid_t child = fork();
	if (!child) {
		char c;
		_exit(read(0, &c, 1) == 1 ? 7 : 8);
	}
	int status = 0;
	long rc = wait4(child, &status, 0, NULL);
	return rc == child && WEXITSTATUS(status) == 7 ? 1 : -1;
}

static void on_signal(int number) { (void)number; }

/* The one mode in which EINTR is right: the handler ran. */
static long do_pause(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigaction(SIGUSR1, &act, NULL);
	return pause();
}

static const struct {
	const char *name;
	long (*call)(void);
	int says_ready;
} modes[] = {
	{ "read", do_read, 0 },
	{ "epoll", do_epoll, 1 },
	{ "epoll-timed", do_epoll_timed, 1 },
	{ "poll", do_poll, 1 },
	{ "poll-timed", do_poll_timed, 1 },
	{ "select-timed", do_select_timed, 0 },
	{ "futex-timed", do_futex_timed, 0 },
	{ "nanosleep-timed", do_nanosleep_timed, 0 },
	{ "clock_nanosleep-timed", do_clock_nanosleep_timed, 0 },
	{ "sigtimedwait-timed", do_sigtimedwait_timed, 0 },
	{ "recv-timed", do_recv_timed, 0 },
	{ "semop-timed", do_semop_timed, 0 },
	{ "msgrcv", do_msgrcv, 0 },
	{ "wait", do_wait, 0 },
	{ "pause", do_pause, 0 },
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	free(malloc(100));
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]))
			continue;
		struct timespec from, to;
		if (!modes[i].says_ready)
			puts("ready");
		clock_gettime(CLOCK_MONOTONIC, &from);
		errno = 0;
		long rc = modes[i].call();
		int error = rc < 0 ? errno : 0;
		clock_gettime(CLOCK_MONOTONIC, &to);
		printf("ended %s %ld %d %ld\n", argv[1], rc, error,
		       (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
		return 0;
	}
	return 2;
}
