/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/child.c - starts a program stopped and watches it.
 * Knows: fork, exec, ptrace events of one thread. Does not know: captures.
 * Called by cmds/run.c; calls attach/proc.h and the kernel. */
#include "cmds/child.h"

#include "attach/entry.h"
#include "attach/preflight.h"
#include "attach/proc.h"
#include "base/cleanup.h"
#include "cmds/signals.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int stop_event(int status)
{
	return status >> 16;
}

/* The child: waits until it is traced, then becomes the program. */
static void child_main(char **argv, const int *streams, int go, int report)
{
	char c;
	for (int i = 0; streams && i < 3; i++)
		if (streams[i] >= 0 && dup2(streams[i], i) < 0)
			_exit(126);
	while (read(go, &c, 1) < 0 && errno == EINTR)
		;
	execvp(argv[0], argv);
	int errnum = errno;
	if (write(report, &errnum, sizeof(errnum)) < 0)
		_exit(126);
	_exit(127);
}

/* Waits for the next change of the child. */
static struct mt_error *child_next(struct child *c)
{
	while (waitpid(c->pid, &c->status, __WALL) < 0)
		if (errno != EINTR)
			return mt_error_os(errno, "cannot wait for process %d", c->pid);
	if (!WIFSTOPPED(c->status))
		c->state = CHILD_ENDED;
	return NULL;
}

static struct mt_error *resume(struct child *c, int sig)
{
	if (ptrace(PTRACE_CONT, c->pid, 0, sig) && errno != ESRCH)
		return mt_error_os(errno, "cannot resume process %d", c->pid);
	return NULL;
}

static struct mt_error *await_first_exec(struct child *c, int report, const char *name)
{
	for (;;) {
		struct mt_error *err = child_next(c);
		if (err)
			return err;
		if (c->state == CHILD_ENDED) {
			int errnum = 0;
			if (read(report, &errnum, sizeof(errnum)) != sizeof(errnum))
				return mt_error_create(MT_ERROR_OTHER, "'%s' ended before it began", name);
			return mt_error_hint(mt_error_os(errnum, "cannot run '%s'", name),
					     "give a program in PATH, or a path with a slash");
		}
		if (stop_event(c->status) == PTRACE_EVENT_EXEC) {
			c->state = CHILD_EXECED;
			return NULL;
		}
		err = resume(c, stop_event(c->status) ? 0 : WSTOPSIG(c->status));
		if (err)
			return err;
	}
}

struct mt_error *child_start(struct child *c, char **argv, const int *streams)
{
	int go[2], report[2];
	if (pipe2(go, O_CLOEXEC))
		return mt_error_os(errno, "cannot make a pipe");
	auto_close int go_read = go[0];
	auto_close int go_write = go[1];
	if (pipe2(report, O_CLOEXEC))
		return mt_error_os(errno, "cannot make a pipe");
	auto_close int report_read = report[0];
	auto_close int report_write = report[1];
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		return mt_error_os(errno, "cannot start a process");
	if (!pid) {
		signals_restore();
		close(go_write);
		child_main(argv, streams, go_read, report_write);
	}
	*c = (struct child){ .pid = pid, .state = CHILD_RUNNING };
	if (ptrace(PTRACE_SEIZE, pid, 0, ENTRY_OPTIONS)) {
		int errnum = errno;
		child_kill(c);
		return mt_error_os(errnum, "cannot trace the program");
	}
	c->traced = true;
	close(take_fd(&report_write));
	close(take_fd(&go_write));
	return await_first_exec(c, report_read, argv[0]);
}

/* ---- to the entry point ---- */

/* A 32-bit program has another auxiliary vector, and its own words for what it is. */
static struct mt_error *explain(const struct child *c, struct mt_error *err)
{
	struct proc_status status;
	struct mt_error *why = err->code == MT_ERROR_REFUSED ? NULL : preflight_stop(c->pid, &status);
	if (!why)
		return err;
	mt_error_destroy(err);
	return why;
}

struct mt_error *child_run_to_entry(struct child *c)
{
	enum entry_end end;
	struct mt_error *err;
	do
		err = entry_run(c->pid, NULL, &end, &c->status);
	while (!err && end == ENTRY_EXECED);
	if (err)
		return explain(c, err);
	c->state = end == ENTRY_ENDED ? CHILD_ENDED : CHILD_AT_ENTRY;
	return NULL;
}

/* ---- while it runs ---- */

static void handle(struct child *c)
{
	if (!WIFSTOPPED(c->status)) {
		c->state = CHILD_ENDED;
		return;
	}
	if (stop_event(c->status) == PTRACE_EVENT_EXEC)
		c->state = CHILD_EXECED;
	else
		entry_pass_on(c->pid, c->status, PTRACE_CONT);
}

void child_poll(struct child *c)
{
	if (c->state == CHILD_AT_ENTRY) {
		c->state = CHILD_RUNNING;
		ptrace(PTRACE_CONT, c->pid, 0, 0);
	}
	while (c->state == CHILD_RUNNING && waitpid(c->pid, &c->status, WNOHANG | __WALL) == c->pid)
		handle(c);
}

void child_wait(struct child *c, int ms)
{
	child_poll(c);
	/* SIGCHLD ends the sleep. */
	if (c->state == CHILD_RUNNING)
		nanosleep(&(struct timespec){ ms / 1000, (ms % 1000) * 1000000l }, NULL);
	child_poll(c);
}

void child_let_go(struct child *c)
{
	if (!c->traced || c->state == CHILD_ENDED)
		return;
	c->traced = false;
	if (c->state == CHILD_RUNNING) {
		ptrace(PTRACE_INTERRUPT, c->pid, 0, 0);
		auto_error struct mt_error *err = child_next(c);
		if (c->state == CHILD_ENDED)
			return;
	}
	int sig = stop_event(c->status) ? 0 : WSTOPSIG(c->status);
	ptrace(PTRACE_DETACH, c->pid, 0, c->state == CHILD_RUNNING && sig != SIGTRAP ? sig : 0);
	c->state = CHILD_RUNNING;
}

void child_kill(struct child *c)
{
	if (!c->pid || c->state == CHILD_ENDED)
		return;
	kill(c->pid, SIGKILL);
	while (c->state != CHILD_ENDED) {
		auto_error struct mt_error *err = child_next(c);
		if (err)
			break;
	}
}
