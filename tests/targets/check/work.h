/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/check/work.h - what programs do to themselves while somebody attaches: allocators at
 * full load, threads that come and go, libraries that come and go, deep stacks, children.
 * Knows: what each piece of work must give. Does not know: who watches.
 * Included by tests/targets/selfcheck.c and tests/unit/borrow_target.h. */
#ifndef MT_TESTS_CHECK_WORK_H
#define MT_TESTS_CHECK_WORK_H

#include "page.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- idle: one thread, blocked for good ---- */

static void mode_idle(void)
{
	char c;
	publish_thread();
	page->ready = 1;
	while (go_on() && read(0, &c, 1) > 0)
		;
}

/* ---- threads that come and go ---- */

static void *short_life(void *arg)
{
	char *p = malloc(1000);
	memset(p, (int)(intptr_t)arg, 1000);
	usleep((unsigned)(intptr_t)arg * 10);
	MUST("block of a short thread", p[999], (char)(intptr_t)arg);
	free(p);
	return arg;
}

static void mode_churn(void)
{
	publish_thread();
	page->ready = 1;
	while (go_on()) {
		pthread_t th[4];
		for (int i = 0; i < 4; i++)
			MUST("pthread_create",
			     pthread_create(&th[i], NULL, short_life, (void *)(intptr_t)(i * 7)), 0);
		for (int i = 0; i < 4; i++) {
			void *result = NULL;
			pthread_join(th[i], &result);
			MUST("result of a thread", (intptr_t)result, i * 7);
		}
		round_done();
		rest();
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
		round_done();
		rest();
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
	page->ready = 1;
	hammer((void *)9);
	for (int i = 0; i < 3; i++)
		pthread_join(th[i], NULL);
}

/* ---- libraries that come and go ---- */

static const char *const libraries[] = {
	"libm.so.6", "libz.so.1", "libzstd.so.1", "libutil.so.1", "libresolv.so.2", "libanl.so.1",
	"libstdc++.so.6", "libelf.so.1", "libnsl.so.1", "libBrokenLocale.so.1", "libthread_db.so.1",
};

static void mode_dlopen(void)
{
	enum { COUNT = sizeof(libraries) / sizeof(*libraries) };
	unsigned seed = 7, opened = 0;
	publish_thread();
	page->ready = 1;
	while (go_on()) {
		void *handles[3];
		for (int i = 0; i < 3; i++) {
			handles[i] = dlopen(libraries[rand_r(&seed) % COUNT],
					    RTLD_LOCAL | (rand_r(&seed) % 2 ? RTLD_NOW : RTLD_LAZY));
			opened += handles[i] != NULL;
			double (*cosine)(double) = NULL;
			if (handles[i])
				*(void **)&cosine = dlsym(handles[i], "cos");
			if (cosine)
				MUST("cos(0)", cosine(0.0), 1);
			char *volatile block = malloc(1 + rand_r(&seed) % 500);
			block[0] = 1;
			free(block);
		}
		for (int i = 0; i < 3; i++)
			if (handles[i])
				MUST("dlclose", dlclose(handles[i]), 0);
		round_done();
		rest();
	}
	MUST("some library was loaded", opened > 0, 1);
}

/* ---- deep stacks ---- */

static size_t deep_least;	/* the stack's end, where a nearly full stack turns back */

__attribute__((noinline)) static uint64_t descend(unsigned left, uint64_t mark)
{
	volatile uint64_t canary[4] = { mark, mark + left, ~mark, left };
	uint64_t below = 0;
	if (left && (uintptr_t)canary > deep_least)
		below = descend(left - 1, mark + 1);
	else
		for (int i = 0; i < 20; i++) {
			char *block = malloc(500);
			block[499] = (char)i;
			usleep(200);
			MUST("block at the bottom", block[499], (char)i);
			free(block);
		}
	if (canary[0] != mark || canary[1] != mark + left || canary[2] != ~mark || canary[3] != left)
		fail("stack canary", (long)left, 0);
	return below + 1;
}

/* 10,000 frames, from time to time down to `spare` bytes before the end of the stack. */
static void *deep(void *arg)
{
	size_t spare = (size_t)(uintptr_t)arg, size;
	pthread_attr_t attr;
	void *low;
	publish_thread();
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &low, &size);
	pthread_attr_destroy(&attr);
	while (go_on()) {
		deep_least = (uintptr_t)low + spare;
		uint64_t frames = descend(spare ? 1000000 : 10000, page->rounds);
		if (!spare)
			MUST("frames", frames, 10001);
		round_done();
	}
	return NULL;
}

static void run_deep(size_t stack_size, size_t spare)
{
	pthread_attr_t attr;
	pthread_t th;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack_size);
	MUST("pthread_create", pthread_create(&th, &attr, deep, (void *)(uintptr_t)spare), 0);
	page->ready = 1;
	pthread_join(th, NULL);
}

static void mode_deep(void)
{
	run_deep(16 << 20, 0);
}

/* 16 KiB left: what the program itself, its handlers and malloc need at the most. */
static void mode_full_stack(void)
{
	run_deep(256 << 10, 16384);
}

/* ---- a profiling signal whose handler allocates, at 1 kHz ---- */

static void on_profile(int sig)
{
	(void)sig;
	int e = errno;
	atomic_fetch_add(&page->signals, 1);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(p, 4096);
	/* In a handler this is right only because the code below keeps malloc out of its way. */
	char *block = malloc(200);
	block[199] = 1;
	free(block);
	errno = e;
}

static void mode_profile(void)
{
	struct sigaction sa = { .sa_handler = on_profile, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, 1000 }, { 0, 1000 } };
	sigset_t set;
	sigaction(SIGPROF, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	setitimer(ITIMER_PROF, &it, NULL);
	publish_thread();
	page->ready = 1;
	while (go_on()) {
		volatile unsigned sum = 0;
		for (unsigned i = 0; i < 200000; i++)
			sum += i;
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		free(malloc(sum % 1000));
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		round_done();
	}
	setitimer(ITIMER_PROF, &(struct itimerval){ 0 }, NULL);
}

/* ---- another program, itself, again and again ---- */

static char **volatile program_arguments;	/* of main(), with the path of the page */

/* In the middle of whatever the other threads do. */
static void mode_executes(void)
{
	pthread_t th[2];
	unsigned seed = (unsigned)now_us();
	publish_thread();
	for (int i = 0; i < 2; i++)
		pthread_create(&th[i], NULL, hammer, (void *)(intptr_t)(i + 1));
	page->ready = 1;
	for (unsigned left = 5 + rand_r(&seed) % 60; left && go_on(); left--)
		usleep(1000);
	round_done();
	if (go_on()) {
		execv(program_arguments[0], program_arguments);
		fail("execv", errno, 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(th[i], NULL);
}

/* ---- children by every way there is ---- */

static void expect_child(const char *how, pid_t pid, int want)
{
	int status = -1;
	if (pid < 0)
		return fail(how, -errno, 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	MUST(how, WIFEXITED(status) ? WEXITSTATUS(status) : -1, want);
}

static int child_work(void)
{
	unsigned char *block = malloc(3000);
	memset(block, 5, 3000);
	int code = block[2999];
	free(block);
	return code;
}

static void mode_children(void)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exit 6", NULL };
	char *envp[] = { NULL };
	publish_thread();
	page->ready = 1;
	while (go_on()) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(child_work());
		expect_child("fork", pid, 5);
		pid = vfork();
		if (pid == 0) {
			execve("/bin/sh", argv, envp);
			_exit(99);
		}
		expect_child("vfork", pid, 6);
		if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, envp))
			pid = -1;
		expect_child("posix_spawn", pid, 6);
		pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (pid == 0)
			syscall(SYS_exit_group, 7);
		expect_child("clone", pid, 7);
		free(malloc(100));
		round_done();
		rest();
	}
}

#endif
