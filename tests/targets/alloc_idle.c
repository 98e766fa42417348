/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_idle.c - allocates, then a thread sleeps for ever where nobody can unwind.
 * Knows: that a live frame may hold return addresses of earlier calls. Does not know: memtrace.
 * Usage: alloc_idle; used by tests/e2e/test_odd_targets.py. */
/* A byte on standard input: a new thread does malloc and free at a depth where later frames will lie, then waits
 * inside code without unwind tables, as the threads of a JIT do. Prints "ready" and "done"; SIGTERM
 * ends it. */
#define _GNU_SOURCE
#include "code_page.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROOM 8192	/* bytes of a frame that nobody writes to */

/* What a call leaves in its stack: addresses in whatever was called by it. */
__attribute__((noinline)) static void leave_traces(void)
{
	for (size_t i = 0; i < 32; i++) {
		/* alloca: each at another depth, inside the room of wait_in()'s frame. */
		char *volatile down = __builtin_alloca(i * 16);
		void *volatile p = realloc(malloc(100 + i), 5000 + i);
		free(p);
		(void)down;
	}
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

__attribute__((noinline)) static void wait_in(void (*bare)(void (*)(void)))
{
	char room[ROOM];
	__asm__ volatile("" : : "r"(room) : "memory");	/* is there, is not written to */
	bare(wait_for_ever);
}

/* Calls its argument with a frame of a size that no table tells. */
static void *make_bare(void)
{
	static const uint8_t code[] = {
		0x48, 0x83, 0xec, 0x38,		/* sub $0x38, %rsp */
		0x31, 0xed,			/* xor %ebp, %ebp */
		0xff, 0xd7,			/* call *%rdi */
		0x48, 0x83, 0xc4, 0x38,		/* add $0x38, %rsp */
		0xc3,				/* ret */
	};
	return code_page(code, sizeof(code));
}

static void *idle(void *unused)
{
	(void)unused;
	void (*bare)(void (*)(void)) = (void (*)(void (*)(void)))(uintptr_t)make_bare();
	leave_traces();
	puts("done");
	wait_in(bare);
	return NULL;
}

int main(void)
{
	char go;
	pthread_t thread;
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	if (read(0, &go, 1) != 1 || pthread_create(&thread, NULL, idle, NULL))
		return 1;
	wait_for_ever();
}
