/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_late.c - a library that is loaded late and allocates in every way it can.
 * Knows: its sites, tells them to its loader. Does not know: memtrace.
 * Loaded by alloc_dlopen.c. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A relocation in data (R_X86_64_64), not a jump slot. */
static void *(*volatile by_pointer)(size_t) = malloc;
void (*late_free)(void *) = free;

__attribute__((constructor)) static void in_constructor(void)
{
	free(malloc(4242));
}

#ifdef SLOW_RESOLVER
/* Called while the loader relocates this library: it is listed, and most of its slots hold nothing yet. */
#include <sys/syscall.h>
#include <time.h>

static int late_chosen(void)
{
	return 1;
}

static int (*late_resolver(void))(void)
{
	static const struct timespec pause = { 0, 200000000 };
	long result = SYS_nanosleep;		/* by hand: nothing can be called yet */
	__asm__ volatile("syscall" : "+a"(result) : "D"(&pause), "S"(0l) : "rcx", "r11", "memory");
	return late_chosen;
}

int late_choice(void) __attribute__((ifunc("late_resolver")));
int (*volatile late_choice_by_pointer)(void) = late_choice;
#endif

#define NOTE(size) note(__func__, __LINE__, size, p)

/* The loader's function writes the block into its ledger. */
__attribute__((noinline)) void late_work(void (*note)(const char *, int, size_t, void *))
{
	void *p = malloc(1001); NOTE(1001);
	p = by_pointer(1002); NOTE(1002);
	p = calloc(10, 103); NOTE(1030);
	p = strdup("late"); NOTE(5);
	for (int i = 0; i < 3; i++) {
		p = malloc(50); NOTE(50);
	}
}
