/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/borrow_target.h - the program that u_borrow.c borrows threads of. It checks itself with
 * the checks of tests/targets/check/; the first failure is kept as text in the page it shares with
 * the test. */
#ifndef MT_TESTS_BORROW_TARGET_H
#define MT_TESTS_BORROW_TARGET_H

#include "tests/targets/check/modes.h"

#define TARGET_FD 9	/* the shared page, over exec */

struct shared {
	struct check_page page;
	_Atomic uint64_t calls_begun, calls_done;
	uint64_t fn_sum, fn_fault, fn_slow, fn_block, fn_exit;
	_Atomic int block_gate, controller_ready;
};

static struct shared *sh;

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
	page->tid_count = 0;
	page->ready = 1;
	pthread_create(&th, NULL, sleep_on, NULL);
	usleep(1000);
	round_done();
	if (go_on())
		execl("/proc/self/exe", "target", "target", "exec", NULL);
}

static void *long_vfork(void *arg)
{
	while (go_on()) {
		pid_t pid = vfork();
		if (pid == 0) {
			while (!page->stop)
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
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, TARGET_FD, 0);
	page = &sh->page;
	sh->fn_sum = (uint64_t)(uintptr_t)fn_sum;
	sh->fn_fault = (uint64_t)(uintptr_t)fn_fault;
	sh->fn_slow = (uint64_t)(uintptr_t)fn_slow;
	sh->fn_exit = (uint64_t)(uintptr_t)fn_exit;
	sh->fn_block = (uint64_t)(uintptr_t)fn_block;
	const struct check_mode *shared_mode = find_mode(mode);
	if (shared_mode)
		shared_mode->run();
	else if (!strcmp(mode, "exec"))
		mode_exec();
	else if (!strcmp(mode, "vfork"))
		mode_vfork();
	return page->failed ? 1 : 0;
}

#endif
