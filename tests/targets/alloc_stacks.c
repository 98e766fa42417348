/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_stacks.c - allocations under stacks that are hard to unwind or to cache.
 * Knows: the functions on its stack at each allocation, and prints them. Does not know: memtrace.
 * Used by tests/e2e/test_exact_stacks.py. */
/* Prints "stack BYTES COUNT main;f;g*40;h" for each: functions of this file from the root to the
 * one that allocates; `g*40` stands for 40 frames of g. */
#include "alloc_ledger.h"

#include <alloca.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

static void *volatile sink;
static volatile int zero;

static NOINLINE void leaf(size_t n)
{
	sink = malloc(n);
	zero = 0;
}

static NOINLINE void down(int depth, size_t n)
{
	if (depth > 1)
		down(depth - 1, n);
	else
		leaf(n);
	zero = 0;
}

static NOINLINE void deep(void)
{
	static const int depths[] = { 1, 2, 30, 253, 254, 255, 256, 257, 300, 3000, 12000, 30, 1 };
	for (unsigned i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		down(depths[i], 1000);
		ledger_say("stack 1000 1 main;deep;down*%d;leaf\n", depths[i]);
	}
}

static NOINLINE void twin_a(size_t n)
{
	leaf(n);
	zero = 0;
}

static NOINLINE void twin_b(size_t n)
{
	leaf(n);
	zero = 1;	/* not the same code: it would be folded */
}

/* The same depth, the same leaf, another function in the middle: a cache must notice. */
static NOINLINE void alternate(void)
{
	for (int i = 0; i < 100; i++) {
		twin_a(11);
		twin_b(13);
	}
	ledger_say("stack 1100 100 main;alternate;twin_a;leaf\n");
	ledger_say("stack 1300 100 main;alternate;twin_b;leaf\n");
}

static NOINLINE void far_a(size_t n)
{
	down(40, n);
	zero = 0;
}

static NOINLINE void far_b(size_t n)
{
	down(40, n);
	zero = 1;
}

/* The young frames are the same to the last word; only an ancestor 41 frames further down was
 * entered from elsewhere. */
static NOINLINE void alternate_far(void)
{
	for (int i = 0; i < 5000; i++) {
		if (i * 7919 % 13 < 6)
			far_a(1);
		else
			far_b(3);
	}
	int a = 0;
	for (int i = 0; i < 5000; i++)
		a += i * 7919 % 13 < 6;
	ledger_say("stack %d %d main;alternate_far;far_a;down*40;leaf\n", a, a);
	ledger_say("stack %d %d main;alternate_far;far_b;down*40;leaf\n", 3 * (5000 - a), 5000 - a);
}

static NOINLINE void with_alloca(size_t n)
{
	volatile char *room = alloca(n * 16 + 1);
	room[0] = 1;
	leaf(n);
	room[1] = 1;
}

static NOINLINE void variable_frames(void)
{
	size_t sum = 0;
	for (size_t n = 1; n <= 50; n++) {
		with_alloca(n);
		sum += n;
	}
	ledger_say("stack %zu 50 main;variable_frames;with_alloca;leaf\n", sum);
}

static jmp_buf jump;

static NOINLINE void jumper(int depth)
{
	if (depth > 1)
		jumper(depth - 1);
	leaf(21);
	if (depth == 1)
		longjmp(jump, 1);
	zero = 0;
}

static NOINLINE void after_longjmp(void)
{
	for (volatile int i = 0; i < 10; i++) {
		if (!setjmp(jump))
			jumper(5);
		leaf(31);
	}
	ledger_say("stack 210 10 main;after_longjmp;jumper*5;leaf\n");
	ledger_say("stack 310 10 main;after_longjmp;leaf\n");
}

static ucontext_t home, contexts[3];
static char stacks[3][65536];

static NOINLINE void fiber_step(int me)
{
	leaf(100 + (size_t)me);
	swapcontext(&contexts[me], &home);
	zero = 0;
}

static NOINLINE void fiber(int me)
{
	for (;;)
		fiber_step(me);
}

static NOINLINE void fibers(void)
{
	for (int i = 0; i < 3; i++) {
		getcontext(&contexts[i]);
		contexts[i].uc_stack.ss_sp = stacks[i];
		contexts[i].uc_stack.ss_size = sizeof(stacks[i]);
		makecontext(&contexts[i], (void (*)(void))fiber, 1, i);
	}
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 3; i++)
			swapcontext(&home, &contexts[i]);
	ledger_say("stack %d 60 fiber;fiber_step;leaf\n", 20 * (100 + 101 + 102));
}

/* The same leaf at the same place on a stack whose upper part is gone. */
static void *deepest;

static NOINLINE void dive(int n)
{
	if (n) {
		dive(n - 1);
	} else {
		deepest = __builtin_frame_address(0);
		leaf(61);
	}
	zero = 0;
}

static void diver(int n)
{
	dive(n);
	swapcontext(&contexts[0], &home);
}

static NOINLINE void dive_on(char *stack, char *top, int n)
{
	getcontext(&contexts[0]);
	contexts[0].uc_stack.ss_sp = stack;
	contexts[0].uc_stack.ss_size = (size_t)(top - stack);
	makecontext(&contexts[0], (void (*)(void))diver, 1, n);
	swapcontext(&home, &contexts[0]);
}

static NOINLINE void shrunk(void)
{
	size_t size = 1 << 20;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *top = stack + size, *shallow;
	dive_on(stack, top, 100);
	shallow = deepest;
	dive_on(stack, top, 101);
	char *lower = top - 400 * (shallow - (char *)deepest);
	char *cut = (char *)(((uintptr_t)lower + 4095) & ~(uintptr_t)4095);
	dive_on(stack, top, 406);
	munmap(cut, (size_t)(top - cut));
	dive_on(stack, lower, 6);
	munmap(stack, (size_t)(cut - stack));
	ledger_say("stack 1048576 1 main;shrunk\n");
	ledger_say("stack 61 1 diver;dive*101;leaf\n");
	ledger_say("stack 61 1 diver;dive*102;leaf\n");
	ledger_say("stack 61 1 diver;dive*407;leaf\n");
	ledger_say("stack 61 1 diver;dive*7;leaf\n");
}

static NOINLINE void handler_work(void)
{
	leaf(41);
	zero = 0;
}

static void handler(int number)
{
	handler_work();
	zero = number - SIGUSR1;
}

static NOINLINE void signaled(void)
{
	struct sigaction act = { .sa_handler = handler };
	sigaction(SIGUSR1, &act, NULL);
	for (int i = 0; i < 5; i++)
		raise(SIGUSR1);
	ledger_say("stack 205 5 main;signaled;handler;handler_work;leaf\n");
}

static NOINLINE void signaled_aside(void)
{
	static char aside[65536];
	stack_t alt = { .ss_sp = aside, .ss_size = sizeof(aside) }, off = { .ss_flags = SS_DISABLE };
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	sigaltstack(&alt, NULL);
	sigaction(SIGUSR2, &act, NULL);
	for (int i = 0; i < 50; i++) {
		raise(SIGUSR2);
		leaf(43);
	}
	sigaltstack(&off, NULL);
	ledger_say("stack 2050 50 main;signaled_aside;handler;handler_work;leaf\n");
	ledger_say("stack 2150 50 main;signaled_aside;leaf\n");
}

static NOINLINE void *thread_body(void *arg)
{
	down(20, 51);
	return arg;
}

static NOINLINE void threaded(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++) {
		pthread_create(&t, NULL, thread_body, NULL);
		pthread_join(t, NULL);
	}
	ledger_say("stack 153 3 thread_body;down*20;leaf\n");
}

/* A frame that realigns its stack: its CFA is an indirection. */
static NOINLINE void realigned(size_t n)
{
	volatile _Alignas(64) char room[64 + 1];
	room[0] = 1;
	leaf(n);
	room[1] = (char)zero;
}

static NOINLINE void realign(void)
{
	for (size_t i = 0; i < 4; i++)
		realigned(61);
	ledger_say("stack 244 4 main;realign;realigned;leaf\n");
}

/* Called by libc: frames of a library stand between two of ours. */
static int compare(const void *a, const void *b)
{
	leaf(71);
	return *(const char *)a - *(const char *)b;
}

static NOINLINE void through_libc(void)
{
	char letters[2] = { 2, 1 };
	qsort(letters, 2, 1, compare);
	ledger_say("stack 71 1 main;through_libc;compare;leaf\n");
}

int main(void)
{
	ledger_wait("ready");
	deep();
	alternate();
	alternate_far();
	variable_frames();
	after_longjmp();
	fibers();
	shrunk();
	signaled();
	signaled_aside();
	threaded();
	realign();
	through_libc();
	ledger_say("ledger ends\n");
	ledger_wait("done");
	return 0;
}
