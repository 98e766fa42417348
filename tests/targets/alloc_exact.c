/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_exact.c - every C allocation function, known sizes from known lines.
 * Knows: what it allocates, and prints it (alloc_ledger.h). Does not know: memtrace.
 * Used by tests/e2e/test_exact_c.py. */
/* Prints "ready", waits for a byte, works, prints its ledger and "done", waits again, ends. With
 * standard input closed it does all at once. */
#include "alloc_ledger.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE 4096ul

#ifdef __GLIBC__
/* glibc keeps cfree for old programs only. */
extern void old_cfree(void *);
__asm__(".symver old_cfree, cfree@GLIBC_2.2.5");
#else	/* musl has neither */
#define old_cfree free
#define pvalloc valloc
#endif

static void *before[16];
static volatile size_t huge = SIZE_MAX / 4;	/* the compiler must not see it */
static void *volatile sink, *volatile nothing;	/* realloc(NULL, n) would become malloc(n) */

static NOINLINE void use_malloc(void)
{
	for (unsigned i = 1; i <= 32; i++) {
		void *p = GOT("malloc", malloc(i * 10), i * 10);
		if (i % 2) {
			GONE(p);
			free(p);
		}
	}
	void *zero = GOT("malloc", malloc(0), 0);
	GONE(zero);
	free(zero);
	sink = GOT("malloc", malloc(0), 0);
	sink = GOT("malloc", malloc(1 << 20), 1 << 20);	/* glibc maps it: still one event */
	free(NULL);
	sink = malloc(huge);
	if (sink)
		ledger_die("malloc of too much");
}

static NOINLINE void use_calloc(void)
{
	for (unsigned i = 1; i <= 5; i++)
		sink = GOT("calloc", calloc(i, 100), i * 100);
	void *p = GOT("calloc", calloc(1, 300000), 300000);
	GONE(p);
	free(p);
	sink = calloc(huge, 16);
	if (sink)
		ledger_die("calloc of too much");
}

static NOINLINE void use_realloc(void)
{
	void *p = nothing;
	p = REALLOC(p, 100);
	p = REALLOC(p, 5000);
	p = REALLOC(p, 50);
	void *q = realloc(p, huge);		/* fails: p stays */
	if (q)
		ledger_die("realloc of too much");
	sink = p;
#ifdef __GLIBC__				/* frees; musl makes a block of 0 bytes */
	p = GOT("malloc", malloc(777), 777);
	GONE(p);
	if (realloc(p, 0))
		ledger_die("realloc to 0");
#endif
	p = nothing;
	p = REALLOC(p, 300000);
	p = REALLOC(p, 3000000);		/* glibc: mremap inside */
	p = REALLOC(p, 200);
	sink = p;
	p = before[15];
	p = REALLOC(p, 9000);			/* a block of before the capture */
	sink = p;
}

static NOINLINE void use_reallocarray(void)
{
	void *p = GOT("reallocarray", reallocarray(nothing, 10, 50), 500);
	p = ledger_moved(__func__, __LINE__, "reallocarray", p, reallocarray(p, 30, 50), 1500);
	if (reallocarray(p, huge, 16) || errno != ENOMEM)
		ledger_die("reallocarray that overflows");
	sink = p;
}

static NOINLINE void use_aligned(void)
{
	void *p = NULL;
	int rc = posix_memalign(&p, 64, 1001); GOT("posix_memalign", rc ? NULL : p, 1001);
	GONE(p);
	free(p);
	rc = posix_memalign(&p, 4096, 10002); sink = GOT("posix_memalign", rc ? NULL : p, 10002);
	if (posix_memalign(&p, 3, 100) != EINVAL)
		ledger_die("posix_memalign with a wrong alignment");
	sink = GOT("aligned_alloc", aligned_alloc(128, 1280), 1280);
	p = GOT("memalign", memalign(256, 2003), 2003);
	GONE(p);
	free(p);
	sink = GOT("memalign", memalign(256, 3003), 3003);
	sink = GOT("valloc", valloc(6000), 6000);
	sink = GOT("pvalloc", pvalloc(2 * PAGE), 2 * PAGE);
}

static NOINLINE void use_cfree(void)
{
	void *p = GOT("malloc", malloc(1234), 1234);
	GONE(p);
	old_cfree(p);
}

static NOINLINE void free_of_before(void)
{
	for (int i = 0; i < 15; i++)
		free(before[i]);
}

static NOINLINE void temporaries(void)
{
	for (unsigned i = 0; i < 100; i++) {
		void *p = GOT("malloc", malloc(64 + i), 64 + i);
		GONE(p);
		free(p);
	}
	for (unsigned i = 0; i < 10; i++) {
		void *p = GOT("malloc", malloc(200), 200);
		void *q = GOT("malloc", malloc(300), 300);
		void *r = GOT("malloc", malloc(400), 400);
		GONE(p);
		free(p);		/* two further ones: not temporary */
		GONE(q);
		free(q);		/* one: temporary */
		GONE(r);
		free(r);
	}
}

static inline __attribute__((always_inline)) void *inlined(size_t n)
{
	return GOT("malloc", malloc(n), n);
}

static NOINLINE void with_inlined(void)
{
	sink = inlined(4321);
	sink = inlined(1);
}

static NOINLINE void *high(size_t n)
{
	return GOT("malloc", malloc(n), n);
}

/* The highest moment comes twice, with other blocks: the last one counts. */
static NOINLINE void peak(void)
{
	void *a = high(40 << 20);
	void *b = GOT("malloc", malloc(10 << 20), 10 << 20);
	GONE(a);
	free(a);
	void *c = GOT("calloc", calloc(2, 20 << 20), 40 << 20);
	GONE(b);
	free(b);
	GONE(c);
	free(c);
}

static NOINLINE void use_mmap(void)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	char *p = GOT("mmap", mmap(NULL, 3 * PAGE, prot, flags, -1, 0), 3 * PAGE);
	GONE(p);
	munmap(p, 3 * PAGE);
	p = GOT("mmap64", mmap64(NULL, 16 * PAGE, prot, flags, -1, 0), 16 * PAGE);
	ledger_gone_part(p + 4 * PAGE, 2 * PAGE);
	munmap(p + 4 * PAGE, 2 * PAGE);
	p = GOT("mmap", mmap(NULL, 8 * PAGE, prot, flags, -1, 0), 8 * PAGE);
	ledger_gone_part(p, 4 * PAGE);
	munmap(p, 4 * PAGE);
	ledger_gone_part(p + 4 * PAGE, 4 * PAGE);
	munmap(p + 4 * PAGE, 4 * PAGE);		/* the last byte: gone */
	if (mmap(NULL, 0, prot, flags, -1, 0) != MAP_FAILED)
		ledger_die("mmap of nothing");
	if (munmap((char *)1, PAGE) != -1)
		ledger_die("munmap of a wrong address");
}

static NOINLINE void use_mremap(void)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	void *p = GOT("mmap", mmap(NULL, 4 * PAGE, prot, flags, -1, 0), 4 * PAGE);
	p = ledger_moved(__func__, __LINE__, "mremap", p, mremap(p, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE), 64 * PAGE);
	p = ledger_moved(__func__, __LINE__, "mremap", p, mremap(p, 64 * PAGE, 2 * PAGE, 0), 2 * PAGE);
	if (mremap(p, 2 * PAGE, 0, 0) != MAP_FAILED)
		ledger_die("mremap to nothing");
	void *to = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); GOT("mmap", to, 4 * PAGE);
	GONE(to);
	munmap(to, 4 * PAGE);
	p = ledger_moved(__func__, __LINE__, "mremap", p, mremap(p, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), 3 * PAGE);
	sink = p;
}

/* No malloc in between: it would move the break too. */
static NOINLINE void use_break(void)
{
#ifdef __GLIBC__				/* musl keeps the break for itself */
	void *old = GOT("sbrk", sbrk(5 * PAGE), 5 * PAGE);
	if (sbrk(0) != (char *)old + 5 * PAGE)
		ledger_die("sbrk");
	ledger_gone_part((char *)old + 3 * PAGE, 2 * PAGE);
	if (sbrk(-2 * (intptr_t)PAGE) == (void *)-1)
		ledger_die("sbrk back");
	char *end = (char *)old + 3 * PAGE;
	int rc = brk(end + 4 * PAGE); GOT("brk", rc ? NULL : end, 4 * PAGE);
	ledger_gone_part(end, 4 * PAGE);
	if (brk(end))
		ledger_die("brk back");
#endif
}

/* Without -fPIC this makes "canonical" stubs of them: the symbol's address is the program's own
 * PLT entry, and every library's slots hold that. */
static void *volatile addresses[12];

static void take_addresses(void)
{
	addresses[0] = (void *)malloc;
	addresses[1] = (void *)calloc;
	addresses[2] = (void *)realloc;
	addresses[3] = (void *)free;
	addresses[4] = (void *)reallocarray;
	addresses[5] = (void *)posix_memalign;
	addresses[6] = (void *)aligned_alloc;
	addresses[7] = (void *)memalign;
	addresses[8] = (void *)mmap;
	addresses[9] = (void *)munmap;
	addresses[10] = (void *)mremap;
	addresses[11] = (void *)sbrk;
}

static NOINLINE void by_address(void)
{
	void *(*f)(size_t) = (void *(*)(size_t))addresses[0];
	void *p = GOT("malloc", f(3210), 3210);
	void (*g)(void *) = (void (*)(void *))addresses[3];
	GONE(p);
	g(p);
}

static volatile int signals;

static NOINLINE void from_handler(void)
{
	sink = GOT("malloc", malloc(555), 555);
}

static void on_signal(int number)
{
	(void)number;
	from_handler();
	signals++;
}

static NOINLINE void in_handler(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigaction(SIGUSR1, &act, NULL);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	static char stack[65536];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	sigaltstack(&alt, NULL);
	act.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR2, &act, NULL);
	raise(SIGUSR2);
	if (signals != 4)
		ledger_die("signals");
}

int main(void)
{
	for (int i = 0; i < 16; i++)
		before[i] = malloc(1000);
	ledger_wait("ready");
	take_addresses();
	use_malloc();
	use_calloc();
	use_realloc();
	use_reallocarray();
	use_aligned();
	use_cfree();
	free_of_before();
	temporaries();
	with_inlined();
	use_mmap();
	use_mremap();
	use_break();
	in_handler();
	by_address();
	peak();
	ledger_print();
	ledger_wait("done");
	return 0;
}
