/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/t_seccomp.c - goes under a seccomp filter, then allocates when asked to.
 *
 *	t_seccomp KIND [--thread] [--wait]
 *
 * A byte on stdin: 1000 pairs of malloc and free, then "worked". --thread: the filter is only on a
 * thread that works along with main. --wait: between two bytes it sits in poll() with a timeout,
 * which the kernel continues by restart_syscall when it was interrupted. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OFFSET(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(field))
#define LOAD_ARG(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(args) + 8 * (n))
#define RETURN(v) BPF_STMT(BPF_RET | BPF_K, v)
#define ON(nr, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), RETURN(what)
#define ALLOW(nr) ON(nr, SECCOMP_RET_ALLOW)

/* What this program itself does, and what recording asks for besides. */
#define OWN ALLOW(read), ALLOW(write), ALLOW(poll), ALLOW(exit_group), ALLOW(exit), ALLOW(brk), \
	ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(futex)
#define RECORDING ALLOW(gettid), ALLOW(sched_yield), ALLOW(rt_sigreturn)

/* As container runtimes have it: a list, and EPERM for what is not on it. */
static struct sock_filter docker[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(madvise), ALLOW(restart_syscall), ALLOW(openat), ALLOW(close),
	ALLOW(newfstatat), ALLOW(fstat), ALLOW(pread64), ALLOW(memfd_create),
	RETURN(SECCOMP_RET_ERRNO | EPERM),
};
/* The same without what loading a library needs. */
static struct sock_filter narrow_errno[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(madvise), ALLOW(restart_syscall),
	RETURN(SECCOMP_RET_ERRNO | EPERM),
};
static struct sock_filter kill_without_madvise[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(restart_syscall), RETURN(SECCOMP_RET_KILL_PROCESS),
};
static struct sock_filter errno_on_madvise[] = {
	LOAD(nr), ON(madvise, SECCOMP_RET_ERRNO | EPERM), RETURN(SECCOMP_RET_ALLOW),
};
/* Nothing that opens, creates or loads. */
static struct sock_filter kill_but_recording[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(madvise), ALLOW(restart_syscall),
	RETURN(SECCOMP_RET_KILL_PROCESS),
};
/* A service's list, which kills: all that the dynamic loader needs is on it, or nothing that opens. */
static struct sock_filter kill_but_loading[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(madvise), ALLOW(restart_syscall), ALLOW(openat), ALLOW(close),
	ALLOW(newfstatat), ALLOW(fstat), ALLOW(pread64), ALLOW(memfd_create),
	RETURN(SECCOMP_RET_KILL_PROCESS),
};
static struct sock_filter kill_but_mapping[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(madvise), ALLOW(restart_syscall), ALLOW(close),
	ALLOW(memfd_create), RETURN(SECCOMP_RET_KILL_PROCESS),
};
static struct sock_filter kill_on_restart[] = {
	LOAD(nr), OWN, RECORDING, ALLOW(madvise), RETURN(SECCOMP_RET_KILL_PROCESS),
};
static struct sock_filter trap[] = {
	LOAD(nr), OWN, ALLOW(madvise), ALLOW(restart_syscall), ALLOW(rt_sigreturn),
	RETURN(SECCOMP_RET_TRAP),
};
/* No executable memory; of futexes the private ones only, which those of a tracer are not. */
static struct sock_filter no_exec[] = {
	LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 2),
	LOAD_ARG(2), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
	RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_KILL_PROCESS),
};
static struct sock_filter private_futex[] = {
	LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 2),
	LOAD_ARG(1), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 128, 0, 1),
	RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_KILL_PROCESS),
};

#define KIND(name) { #name, { sizeof(name) / sizeof(name[0]), name } }
static struct {
	const char *name;
	struct sock_fprog program;
} kinds[] = {
	KIND(docker), KIND(narrow_errno), KIND(kill_without_madvise), KIND(errno_on_madvise),
	KIND(kill_but_recording), KIND(kill_but_loading), KIND(kill_but_mapping), KIND(kill_on_restart), KIND(trap), KIND(no_exec),
	KIND(private_futex),
};

static const char *kind;
static volatile int done_work;

static void go_under(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!strcmp(kind, "strict") && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, kind) &&
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &kinds[i].program) == 0)
			return;
	_exit(7);
}

static void work(void)
{
	void *volatile p = NULL;	/* not to be optimized away */
	for (int i = 0; i < 1000; i++) {
		p = malloc(100);
		free(p);
	}
}

static void *thread_main(void *arg)
{
	go_under();
	*(volatile int *)arg = 1;
	for (;;) {
		work();
		done_work++;
		poll(NULL, 0, 50);
	}
	return NULL;
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(8);
}

int main(int argc, char **argv)
{
	char c;
	kind = argv[1];
	int wait = argc > 2 && !strcmp(argv[2], "--wait");
	pthread_t thread;
	volatile int ready = 0;
	work();
	if (argc > 2 && !strcmp(argv[2], "--thread")) {
		pthread_create(&thread, NULL, thread_main, (void *)&ready);
		while (!ready)
			usleep(1000);
	} else {
		go_under();
	}
	say("ready\n");
	for (;;) {
		struct pollfd input = { 0, POLLIN, 0 };
		while (wait && poll(&input, 1, 30000) == 0)
			;
		if (read(0, &c, 1) != 1)
			break;
		work();
		say("worked\n");
	}
	syscall(strcmp(kind, "strict") ? SYS_exit_group : SYS_exit, 0);
}
