/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/jit_spin.c - one thread that never leaves code without unwind tables, as a JIT's loop.
 * Knows: that registers must be what they were. Does not know: memtrace.
 * Usage: jit_spin [inside]; used by tests/e2e/test_odd_targets.py. */
/* With `inside` the code is first called by this program's own malloc, until SIGUSR1; then, as without, by
 * main(), until SIGTERM. Prints "ready", "inside" when it is about to be, and at the end "whole" if a
 * register and a word of memory that count the same are equal. */
#define _GNU_SOURCE
#include "code_page.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t spin_code(uint64_t *count, volatile sig_atomic_t *stop);

extern void *__libc_malloc(size_t size);

static spin_code *spin;
static volatile sig_atomic_t inside, stop_inside, stop;
static uint64_t difference;

void *malloc(size_t size)
{
	static uint64_t count;
	if (inside && !stop_inside)
		difference += spin(&count, &stop_inside);
	return __libc_malloc(size);
}

static void on_signal(int sig)
{
	*(sig == SIGUSR1 ? &stop_inside : &stop) = 1;
}

static spin_code *make_spin(void)
{
	static const uint8_t code[] = {
		0x31, 0xc0,			/* xor %eax, %eax */
		0x48, 0xff, 0xc0,		/* 1: inc %rax */
		0x48, 0xff, 0x07,		/* incq (%rdi) */
		0x83, 0x3e, 0x00,		/* cmpl $0, (%rsi) */
		0x74, 0xf5,			/* je 1b */
		0x48, 0x2b, 0x07,		/* sub (%rdi), %rax */
		0xc3,				/* ret */
	};
	return (spin_code *)(uintptr_t)code_page(code, sizeof(code));
}

int main(int argc, char **argv)
{
	uint64_t count = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_signal);
	signal(SIGTERM, on_signal);
	spin = make_spin();
	puts("ready");
	if (argc > 1 && !strcmp(argv[1], "inside")) {
		puts("inside");
		inside = 1;
		void *volatile block = malloc(1);
		free(block);
		puts("outside");
	}
	difference += spin(&count, &stop);
	puts(difference ? "broken" : "whole");
	return 0;
}
