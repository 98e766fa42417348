/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_fork.c - forks, vforks and spawns while it is captured.
 * Knows: what the parent allocates (alloc_ledger.h). Does not know: memtrace.
 * Used by tests/e2e/test_fork.py. */
/* After a byte on standard input: allocates, forks a child that allocates for a while and goes on
 * after the capture until its own byte comes through a pipe, runs programs by vfork, posix_spawn
 * and popen, then prints "child N EXIT" lines, its ledger and "done". */
#include "alloc_ledger.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static void *volatile sink;
static int orders[2];

static NOINLINE void of_child(size_t n)
{
	sink = malloc(n);
}

static NOINLINE int child_work(void)
{
	char *blocks[100];
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 100; i++) {
			blocks[i] = malloc(500 + (size_t)i);
			memset(blocks[i], i, 500 + (size_t)i);
		}
		for (int i = 0; i < 100; i++) {
			if (blocks[i][499] != (char)i)
				return 9;
			free(blocks[i]);
		}
		of_child(12345);
	}
	return 0;
}

static NOINLINE void of_parent(size_t n)
{
	sink = GOT("malloc", malloc(n), n);
}

static pid_t fork_child(void)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	char c;
	int rc = child_work();
	close(orders[1]);
	if (read(orders[0], &c, 1) < 0)
		rc = 10;
	if (!rc)
		rc = child_work();
	_exit(rc);
}

static void say_exit(int number, pid_t pid)
{
	int status = -1;
	waitpid(pid, &status, 0);
	ledger_say("child %d %d\n", number, WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status);
}

static NOINLINE void spawn_others(void)
{
	char *argv[] = { (char *)"/bin/true", NULL };
	pid_t pid = vfork();
	if (!pid) {
		execv("/bin/true", argv);
		_exit(11);
	}
	say_exit(2, pid);
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ))
		ledger_die("posix_spawn");
	say_exit(3, pid);
	ledger_say("child 4 %d\n", system("exit 3") >> 8);
	/* A child that allocates between fork and exec. */
	pid = fork();
	if (!pid) {
		of_child(54321);
		execv("/bin/true", argv);
		_exit(12);
	}
	say_exit(5, pid);
}

int main(void)
{
	if (pipe(orders))
		return 97;
	ledger_wait("ready");
	of_parent(1000);
	pid_t long_lived = fork_child();
	ledger_say("forked %d\n", (int)long_lived);
	of_parent(2000);
	spawn_others();
	of_parent(3000);
	ledger_print();
	ledger_wait("done");
	close(orders[1]);
	say_exit(1, long_lived);
	return 0;
}
