/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_outside.c - threads seen inside and outside a piece of code that stands for the
 * tracer: the section "inside" of this very program, in a forked child. */
#include "base/clock.h"
#include "inject/outside.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#define INSIDE __attribute__((section("inside"), noinline))

extern const char __start_inside[], __stop_inside[];

static struct shared {
	volatile int ready, release, ended;
} *sh;

/* ---- the target ---- */

static void nap(void)
{
	nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
}

static void wait_asleep(void)
{
	sh->ready = 1;
	while (!sh->release)
		nap();
}

static void wait_running(void)
{
	sh->ready = 1;
	while (!sh->release)
		;
}

static void pause_ready(void)
{
	sh->ready = 1;
	pause();
}

/* Volatile, so that the call is no jump and the return address stays. */
INSIDE static int inside_call(void (*fn)(void))
{
	volatile int after = 1;
	fn();
	return after;
}

INSIDE static int inside_loop(void)
{
	sh->ready = 1;
	while (!sh->release)
		;
	return 1;
}

static void deep(int levels)
{
	volatile char room[4096];
	room[0] = (char)levels;
	if (levels)
		deep(levels - 1);
	else
		wait_running();
	room[1] = room[0];
}

static void deep_running(void)
{
	deep(60);		/* further down than any short look at the stack reaches */
}

static void in_handler(int sig)
{
	(void)sig;
	wait_asleep();
}

static void signal_self(void)
{
	char *stack = malloc(65536);
	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = 65536 }, NULL);
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = in_handler, .sa_flags = SA_ONSTACK }, NULL);
	raise(SIGUSR1);
	free(stack);
}

/* Words in a live frame that look like return addresses into the code. */
static void with_stale_words(void)
{
	volatile uint64_t words[64];
	for (size_t i = 0; i < 64; i++)
		words[i] = (uint64_t)(uintptr_t)__start_inside + 8;
	wait_running();
	words[0] = words[1];
}

static void inside_asleep(void) { inside_call(wait_asleep); }
static void inside_running(void) { inside_loop(); }
static void inside_deep(void) { inside_call(deep_running); }
static void inside_below_a_handler(void) { inside_call(signal_self); }

/* ---- the stack of our calls ---- */

#define CALL_STACK_SIZE (256u << 10)
static void *call_stack;
static ucontext_t own, on_call_stack;

static void on_our_stack(void (*fn)(void))
{
	getcontext(&on_call_stack);
	on_call_stack.uc_stack.ss_sp = call_stack;
	on_call_stack.uc_stack.ss_size = CALL_STACK_SIZE;
	on_call_stack.uc_link = &own;
	makecontext(&on_call_stack, fn, 0);
	swapcontext(&own, &on_call_stack);
}

static void asleep_on_our_stack(void) { on_our_stack(wait_asleep); }
static void running_on_our_stack(void) { on_our_stack(wait_running); }

static void *run_mode(void *mode)
{
	((void (*)(void))mode)();
	sh->ended = 1;
	for (;;)
		pause();
	return NULL;
}

static pid_t start(void (*mode)(void))
{
	memset((void *)sh, 0, sizeof(*sh));
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_create(&thread, NULL, run_mode, (void *)mode);
		for (;;)
			pause();
	}
	while (!sh->ready)
		nap();
	nap();
	return pid;
}

static void finish(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);	/* it lives */
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

/* ---- looking ---- */

static long ptrace_calls;

long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	va_start(ap, request);
	pid_t pid = va_arg(ap, pid_t);
	void *address = va_arg(ap, void *), *data = va_arg(ap, void *);
	va_end(ap);
	ptrace_calls++;
	return syscall(SYS_ptrace, request, pid, address, data);
}

static void no_error(struct mt_error *err)
{
	if (err)
		print_error("%s\n", err->message);
	assert_null(err);
}

static bool look(struct tracee *t, const struct images *images, int ms)
{
	bool outside = false;
	struct outside where = { .tracer_start = (uint64_t)(uintptr_t)__start_inside,
				 .tracer_end = (uint64_t)(uintptr_t)__stop_inside,
				 .data_base = (uint64_t)(uintptr_t)call_stack,
				 .data_size = CALL_STACK_SIZE };
	no_error(outside_wait(t, images, &where, mt_now_ms() + (uint64_t)ms, &outside));
	return outside;
}

#define PATIENT_MS 20000

/* Inside until it is released, and outside from then on. */
static void check(void (*mode)(void), bool inside)
{
	struct tracee *t;
	struct images images = { 0 };
	pid_t pid = start(mode);
	no_error(tracee_open(pid, &t));
	no_error(images_read(t, &images));
	if (inside) {
		assert_false(look(t, &images, 100));
		assert_false(sh->ended);
		sh->release = 1;
	}
	assert_true(look(t, &images, PATIENT_MS));
	images_deinit(&images);
	tracee_close(t);
	finish(pid);
}

static void sleepers_are_not_touched(void **state)
{
	(void)state;
	ptrace_calls = 0;
	check(pause_ready, false);
	assert_int_equal(ptrace_calls, 0);
}

static void running_outside(void **state)
{
	(void)state;
	check(wait_running, false);
	assert_int_not_equal(ptrace_calls, 0);
}

static void asleep_inside(void **state)
{
	(void)state;
	check(inside_asleep, true);
}

static void running_inside(void **state)
{
	(void)state;
	check(inside_running, true);
}

static void far_down_a_stack(void **state)
{
	(void)state;
	check(inside_deep, true);
}

static void below_a_signal_handler(void **state)
{
	(void)state;
	check(inside_below_a_handler, true);
}

static void words_left_over(void **state)
{
	(void)state;
	check(with_stale_words, false);
}

static void in_a_call(void **state)
{
	(void)state;
	check(asleep_on_our_stack, true);
	check(running_on_our_stack, true);
}

int main(void)
{
	call_stack = mmap(NULL, CALL_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleepers_are_not_touched),
		cmocka_unit_test(running_outside),
		cmocka_unit_test(asleep_inside),
		cmocka_unit_test(running_inside),
		cmocka_unit_test(far_down_a_stack),
		cmocka_unit_test(below_a_signal_handler),
		cmocka_unit_test(words_left_over),
		cmocka_unit_test(in_a_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
