/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/control.c - the lines between `attach --control` and the program that started it.
 * Knows: standard input and output, SIGIO. Does not know: captures.
 * Called by cmds/attach.c; calls cmds/signals.h and the kernel. */
#include "cmds/control.h"

#include "attach/cooperation.h"
#include "cmds/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sockets of a server, pipes whose end is waited for: what was left inheritable is not for us. */
static void close_inherited(void)
{
	if (syscall(SYS_close_range, 3u, ~0u, 0u))
		for (int fd = 3, n = (int)sysconf(_SC_OPEN_MAX); fd < n && fd < 65536; fd++)
			close(fd);
}

static struct mt_error *go_to_background(void)
{
	pid_t pid = fork();
	if (pid < 0)
		return mt_error_os(errno, "cannot go to the background");
	if (pid)
		_exit(0);
	setsid();
	return NULL;
}

/* A byte at a time: what comes after the line is for the signal to find. */
static bool read_line(char *line, size_t size)
{
	size_t n = 0;
	while (n + 1 < size) {
		ssize_t got = read(STDIN_FILENO, line + n, 1);
		if (got < 0 && errno == EINTR && !signals_end_asked())
			continue;
		if (got <= 0 || line[n] == '\n')
			break;
		n++;
	}
	line[n] = 0;
	return n > 0;
}

/* The signal may still be that of the line that was read: it is sent after the line can be. */
static void look_for_input(int sig)
{
	int saved = errno;
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	(void)sig;
	if (poll(&p, 1, 0) > 0)
		signals_ask_end();
	errno = saved;
}

/* SIGIO for the input from here on, whether it came already or not. */
static struct mt_error *watch_input(void)
{
	struct sigaction sa = { .sa_handler = look_for_input };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaction(SIGIO, &sa, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	int flags = fcntl(STDIN_FILENO, F_GETFL);
	if (flags < 0 || fcntl(STDIN_FILENO, F_SETOWN, getpid()) ||
	    fcntl(STDIN_FILENO, F_SETFL, flags | O_ASYNC))
		return mt_error_os(errno, "--control: standard input cannot be watched");
	look_for_input(0);
	return NULL;
}

/* What the program calls to control us, and to help: where its seccomp filter, which is ours, kills at one
 * of these, we are the one that dies. */
static void rehearse(void)
{
	static const long calls[] = { SYS_prctl, SYS_sendto, SYS_sendmsg, SYS_shutdown, SYS_dup, SYS_poll,
				      SYS_gettid };
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		syscall(calls[i], -1l, 0l, 0l, 0l, 0l, 0l);
}

/* The end of what we say, also where a child that the program forked meanwhile has our end open. */
static void hang_up(void)
{
	fflush(NULL);
	shutdown(STDOUT_FILENO, SHUT_WR);
}

struct mt_error *control_begin(void)
{
	char line[16];
	close_inherited();
	rehearse();
	struct mt_error *err = go_to_background();
	if (err)
		return err;
	atexit(hang_up);
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	if (!read_line(line, sizeof(line)) || strcmp(line, "go"))
		return mt_error_create(MT_ERROR_INTERRUPTED, "interrupted before the capture began");
	return watch_input();
}

static bool receive_two(int ret[2])
{
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;
	do
		n = recvmsg(STDIN_FILENO, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR && !signals_end_asked());
	const struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return false;
	memcpy(ret, CMSG_DATA(c), 2 * sizeof(int));
	return true;
}

/* Nobody else could help, and who is not asked need not know how to say no. */
static bool speaks_with(pid_t pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return !getsockopt(STDIN_FILENO, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid == pid;
}

struct mt_error *control_ask_cooperation(pid_t pid, struct cooperation *ret)
{
	if (!speaks_with(pid))
		return mt_error_create(MT_ERROR_REFUSED, "process %d is not who controls the capture", pid);
	int fds[2], flags = fcntl(STDIN_FILENO, F_GETFL);
	/* What it sends now asks for nothing. */
	if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags & ~O_ASYNC))
		return mt_error_os(errno, "--control: standard input cannot be read");
	printf("cooperate\n");
	fflush(stdout);
	if (!receive_two(fds))
		return mt_error_create(MT_ERROR_REFUSED, "the program does not cooperate");
	*ret = (struct cooperation){ fds[0], STDOUT_FILENO, fds[1] };
	return watch_input();
}

void control_recording(const char *path)
{
	printf("recording %s\n", path);
	fflush(stdout);
}

/* A socket that is closed with unread input is reset, and what was said on it last is lost. */
static void drain_input(void)
{
	char rest[256];
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	while (poll(&p, 1, 0) > 0 && read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
}

void control_end(const struct mt_error *err)
{
	drain_input();
	if (err)
		printf("failed %d %d\n", err->code, err->errnum);
	else
		printf("done\n");
}
