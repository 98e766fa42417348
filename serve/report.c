/* SPDX-License-Identifier: Apache-2.0 */
/* serve/report.c - runs memtrace for a report.
 * Knows: processes. Does not know: reports, HTTP.
 * Called by serve/server.c; calls the kernel. */
#include "serve/report.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ARGS_MAX 16
#define HIGH_FD 512	/* above every descriptor the child is given */

static struct mt_error *spawn(const char *const *args, const int *fds, int out, int err, pid_t *ret)
{
	char *argv[ARGS_MAX + 2] = { (char *)"memtrace" };
	/* No configuration of ours reaches it, and no variable that would lead it to a network. */
	char *env[] = { (char *)"PATH=/usr/bin:/bin", (char *)"LC_ALL=C.UTF-8", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	for (int i = 0; args[i] && i < ARGS_MAX; i++)
		argv[i + 1] = (char *)args[i];
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	int high[REPORT_FDS_MAX] = { -1, -1 };
	for (int i = 0; i < REPORT_FDS_MAX && fds[i] >= 0; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);	/* not overwritten by another's place */
		posix_spawn_file_actions_adddup2(&actions, high[i], REPORT_FD + i);
	}
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int failed = posix_spawn(ret, "/proc/self/exe", &actions, &attr, argv, env);
	for (int i = 0; i < REPORT_FDS_MAX; i++)
		mt_cleanup_close(&high[i]);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return failed ? mt_error_os(failed, "cannot start memtrace") : NULL;
}

static void limit(pid_t pid)
{
	struct rlimit output = { REPORT_OUTPUT_MAX, REPORT_OUTPUT_MAX };
	struct rlimit memory = { REPORT_MEMORY_MAX, REPORT_MEMORY_MAX };
	struct rlimit seconds = { REPORT_SECONDS, REPORT_SECONDS };
	prlimit(pid, RLIMIT_FSIZE, &output, NULL);
	prlimit(pid, RLIMIT_AS, &memory, NULL);
	prlimit(pid, RLIMIT_CPU, &seconds, NULL);
}

/* Its exit code, 128 for a signal, -1 when the time was over. */
static int wait_for(pid_t pid)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	bool over = pidfd >= 0 && poll(&p, 1, REPORT_SECONDS * 1000) == 0;
	int status;
	if (over)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return over ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The line of an error, without the program's name. */
static struct mt_error *failure(int err, int code)
{
	char text[2048];
	static const char prefix[] = "memtrace: ";
	ssize_t n = pread(err, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	if (code < 0)
		return mt_error_create(MT_ERROR_OTHER, "the report took more than %d s", REPORT_SECONDS);
	char *line = strstr(text, prefix);
	for (char *next; line && (next = strstr(line + 1, prefix));)
		line = next;	/* notes come before the error */
	if (!line)
		return mt_error_create(MT_ERROR_OTHER, "the report could not be made");
	line += sizeof(prefix) - 1;
	line[strcspn(line, "\n")] = 0;
	return mt_error_create(MT_ERROR_OTHER, "%s", line);
}

struct mt_error *report_run(const char *const *args, const int *fds, int *ret)
{
	auto_close int out = memfd_create("report", MFD_CLOEXEC);
	auto_close int err = memfd_create("report-errors", MFD_CLOEXEC);
	pid_t pid;
	if (out < 0 || err < 0)
		return mt_error_os(errno, "no memory for a report");
	struct mt_error *error = spawn(args, fds, out, err, &pid);
	if (error)
		return error;
	limit(pid);
	int code = wait_for(pid);
	if (code)
		return failure(err, code);
	*ret = take_fd(&out);
	return NULL;
}
