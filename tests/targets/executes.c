/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/executes.c - executes itself in every way there is; each program allocates.
 * Knows: what each program allocates and prints. Does not know: memtrace.
 * Used by tests/e2e/test_follow_exec.py. */
/* `executes`: waits for a byte, then takes every way, one after another, and prints "way NAME" and, for
 * one that did not end as it should, "bad NAME STATUS"; "done"; waits for the end of its input.
 * `executes work SIZE [ARGUMENT...]`: allocates TIMES blocks of SIZE bytes in leaf(), prints "PID SIZE
 * ARGUMENTS", and ends with 7. `executes again N`: the same with a SIZE of its own, then executes itself with
 * N - 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMES 40
#define NOINLINE __attribute__((noinline, noclone))
#define ODD "a b\n\xff\x01'\"$"

extern char **environ;
static void *volatile keep[TIMES];
static char self[4096];
static char *no_environment[] = { NULL };

static NOINLINE void leaf(size_t size)
{
	for (int i = 0; i < TIMES; i++)
		keep[i] = malloc(size);
}

static void say(size_t size, int count)
{
	char line[64];
	if (write(1, line, (size_t)snprintf(line, sizeof(line), "%d %zu %d\n", getpid(), size, count)) < 0)
		_exit(9);
}

static int work(int argc, char **argv)
{
	leaf((size_t)atoi(argv[2]));
	for (int i = 3; i < argc; i++)
		if (strcmp(argv[i], ODD))
			return 8;
	say((size_t)atoi(argv[2]), argc - 3);
	return 7;
}

static int again(const char *number)
{
	char less[16];
	leaf(90000 + (size_t)atoi(number));
	say(90000 + (size_t)atoi(number), 0);
	snprintf(less, sizeof(less), "%d", atoi(number) - 1);
	if (atoi(number) > 1)
		execl(self, "executes", "again", less, NULL);
	return 7;
}

/* ---- the ways ---- */

static char *argv_of(size_t size, char **ret)
{
	static char number[16];
	char *argv[] = { "executes", "work", number, ODD, NULL };
	snprintf(number, sizeof(number), "%zu", size);
	memcpy(ret, argv, sizeof(argv));
	return number;
}

static char *argv[8];

static void by_execve(void) { execve(self, argv, environ); }
static void by_execv(void) { execv(self, argv); }
static void by_execvp(void) { execvp("executes-by-name", argv); }
static void by_execvpe(void) { execvpe("executes-by-name", argv, environ); }
static void by_execlp(void) { execlp("executes-by-name", "x", "work", argv[2], ODD, NULL); }
static void by_bare(void) { execve(self, argv, no_environment); }

static void by_execl(void)
{
	execl(self, "x", "work", argv[2], ODD, ODD, ODD, ODD, ODD, ODD, ODD, ODD, NULL);
}

static void by_execle(void)
{
	execle(self, "x", "work", argv[2], ODD, ODD, ODD, ODD, ODD, ODD, ODD, NULL, no_environment);
}

static void by_fexecve(void) { fexecve(open(self, O_RDONLY), argv, environ); }
static void by_script(void) { execv(getenv("EXECUTES_SCRIPT"), argv + 1); }

static void by_execveat(void)
{
	char *slash = strrchr(self, '/');
	*slash = 0;
	int dir = open(self, O_RDONLY | O_DIRECTORY);
	execveat(dir, slash + 1, argv, environ, 0);
}

/* Calls that fail, of several kinds, before the one that does not. */
static void by_errors(void)
{
	execve("/nowhere", argv, environ);
	execve("/", argv, environ);
	execve(getenv("EXECUTES_GARBAGE"), argv, environ);	/* ENOEXEC */
	execve((char *)16, argv, environ);
	execv(self, argv);
}

static void by_closed(void)
{
	if (!syscall(SYS_close_range, 3, ~0u, 0))
		execv(self, argv);
}

static void by_masked(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	execv(self, argv);
}

static void *thread_main(void *arg)
{
	execv(self, argv);
	return arg;
}

/* Not by the first thread: the kernel gives it the first one's id. */
static void by_thread(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, thread_main, NULL);
	pthread_join(thread, NULL);
}

static const struct way {
	const char *name;
	void (*exec)(void);
} ways[] = {
	{ "execve", by_execve }, { "execv", by_execv }, { "execvp", by_execvp }, { "execvpe", by_execvpe },
	{ "execl", by_execl }, { "execle", by_execle }, { "execlp", by_execlp }, { "fexecve", by_fexecve },
	{ "execveat", by_execveat }, { "bare", by_bare }, { "errors", by_errors }, { "closed", by_closed },
	{ "masked", by_masked }, { "script", by_script }, { "thread", by_thread },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static size_t next_size = 30000;

static void check(const char *name, int status)
{
	printf("way %s %zu\n", name, next_size - 1);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
		printf("bad %s %#x\n", name, status);
	fflush(stdout);
}

static void await(const char *name, pid_t pid)
{
	int status = -1;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	check(name, status);
}

static void by_fork(const struct way *way)
{
	argv_of(next_size++, argv);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		way->exec();
		_exit(6);
	}
	await(way->name, pid);
}

static NOINLINE void by_vfork(bool fails)
{
	argv_of(next_size++, argv);
	pid_t pid = vfork();
	if (!pid) {
		if (fails)
			execv("/nowhere", argv);
		execv(self, argv);
		_exit(6);
	}
	await(fails ? "vfork-errors" : "vfork", pid);
}

/* One that executes nothing in the end; and its parent goes on as ever. */
static NOINLINE void by_vfork_in_vain(void)
{
	pid_t pid = vfork();
	if (!pid) {
		execv(getenv("EXECUTES_GARBAGE"), argv);
		_exit(7);
	}
	next_size++;
	await("vain", pid);
}

static void by_spawn(bool by_name)
{
	pid_t pid = 0;
	argv_of(next_size++, argv);
	int rc = by_name ? posix_spawnp(&pid, "executes-by-name", NULL, NULL, argv, environ)
			 : posix_spawn(&pid, self, NULL, NULL, argv, environ);
	await(by_name ? "posix_spawnp" : "posix_spawn", rc ? 0 : pid);
}

static void by_shell(bool piped)
{
	char command[5000], line[100];
	fflush(stdout);
	snprintf(command, sizeof(command), "'%s' work %zu && exit 1; exit $?", self, next_size++);
	if (!piped) {
		check("system", system(command));
		return;
	}
	FILE *p = popen(command, "r");
	while (fgets(line, sizeof(line), p))
		fputs(line, stdout);
	check("popen", pclose(p));
}

int main(int argc, char **args)
{
	char c;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = 0;
	if (argc > 3 && args[2][0] == '/') {	/* of a script: its path */
		args++;
		argc--;
	}
	if (argc > 2)
		return argc == 3 && !strcmp(args[1], "again") ? again(args[2]) : work(argc, args);
	puts("ready");
	fflush(stdout);
	if (read(0, &c, 1) != 1)
		return 1;
	for (size_t i = 0; i < WAYS; i++)
		by_fork(&ways[i]);
	by_vfork(false);
	by_vfork(true);
	by_vfork_in_vain();
	by_spawn(false);
	by_spawn(true);
	by_shell(false);
	by_shell(true);
	leaf(29999);
	say(29999, 0);
	puts("done");
	fflush(stdout);
	while (read(0, &c, 1) == 1)
		if (c == 'a')
			execl(self, "executes", "again", "3", NULL);
	return 0;
}
