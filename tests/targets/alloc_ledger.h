/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_ledger.h - a program's own account of what it allocates, per function and line.
 * Knows: blocks, sites. Does not know: memtrace. Never allocates, never uses stdio.
 * Included once by alloc_*.c and alloc_*.cc. */
/*
 *	p = GOT("malloc", malloc(10), 10);	notes a block of 10 bytes for this function and line
 *	GONE(p); free(p);			notes its release, before it happens
 *	p = REALLOC(p, n)			both, in the order of the events
 *	ledger_print()				one line a site on stdout:
 *	site FUNCTION LINE KIND allocated-count bytes leaked-count bytes peak-count bytes
 *		temporary-count bytes
 *
 * A GOT() must stand on one source line with the call, since __LINE__ is the site's line. Peak is
 * what was live at the last moment the live bytes were highest; temporary is what was freed with at
 * most one further allocation of its thread in between. */
#ifndef ALLOC_LEDGER_H
#define ALLOC_LEDGER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEDGER_SITES 256
#define LEDGER_BLOCKS 40000

struct ledger_sum {
	unsigned long count, bytes;
};

struct ledger_site {
	const char *function, *kind;
	int line;
	struct ledger_sum all, live, peak, temporary;
};

struct ledger_block {
	char *start;
	unsigned long size, left;
	int site;
	unsigned *sequence, born;
};

static struct ledger_site ledger_sites[LEDGER_SITES];
static int ledger_site_count;
static struct ledger_block ledger_blocks[LEDGER_BLOCKS];
static int ledger_block_count;
static unsigned long ledger_live, ledger_best;
static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
/* Of each thread, kept when it is gone: another one may free its blocks. */
static unsigned ledger_sequences[4096];
static unsigned ledger_threads;
static __thread unsigned *ledger_sequence;

static void ledger_say(const char *format, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (int done = 0; done < n;) {
		ssize_t put = write(STDOUT_FILENO, line + done, (size_t)(n - done));
		if (put <= 0)
			_exit(99);
		done += (int)put;
	}
}

static void ledger_die(const char *what)
{
	ledger_say("broken: %s\n", what);
	_exit(98);
}

static int ledger_site_of(const char *function, int line, const char *kind)
{
	for (int i = ledger_site_count - 1; i >= 0; i--)
		if (ledger_sites[i].line == line && !strcmp(ledger_sites[i].function, function))
			return i;
	if (ledger_site_count == LEDGER_SITES)
		ledger_die("too many sites");
	ledger_sites[ledger_site_count].function = function;
	ledger_sites[ledger_site_count].line = line;
	ledger_sites[ledger_site_count].kind = kind;
	return ledger_site_count++;
}

static void ledger_top(void)
{
	if (ledger_live < ledger_best)
		return;
	ledger_best = ledger_live;
	for (int i = 0; i < ledger_site_count; i++)
		ledger_sites[i].peak = ledger_sites[i].live;
}

static void *ledger_got(const char *function, int line, const char *kind, void *p,
			unsigned long size)
{
	if (!p || p == (void *)-1)
		ledger_die(kind);
	pthread_mutex_lock(&ledger_lock);
	int site = ledger_site_of(function, line, kind);
	if (ledger_block_count == LEDGER_BLOCKS)
		ledger_die("too many blocks");
	struct ledger_block *b = &ledger_blocks[ledger_block_count++];
	b->start = (char *)p;
	b->size = b->left = size;
	b->site = site;
	if (!ledger_sequence && ledger_threads == sizeof(ledger_sequences) / sizeof(unsigned))
		ledger_die("too many threads");
	if (!ledger_sequence)
		ledger_sequence = &ledger_sequences[ledger_threads++];
	b->sequence = ledger_sequence;
	b->born = ++*ledger_sequence;
	ledger_sites[site].all.count++;
	ledger_sites[site].all.bytes += size;
	ledger_sites[site].live.count++;
	ledger_sites[site].live.bytes += size;
	ledger_live += size;
	ledger_top();
	pthread_mutex_unlock(&ledger_lock);
	return p;
}

static void ledger_release(struct ledger_block *b, unsigned long bytes)
{
	struct ledger_site *s = &ledger_sites[b->site];
	s->live.bytes -= bytes;
	ledger_live -= bytes;
	b->left -= bytes;
	if (b->left)
		return;
	s->live.count--;
	if (*b->sequence - b->born <= 1) {
		s->temporary.count++;
		s->temporary.bytes += b->size;
	}
	*b = ledger_blocks[--ledger_block_count];
}

/* Blocks that were never noted (allocated before the capture) are ignored. */
static void ledger_gone(void *p)
{
	pthread_mutex_lock(&ledger_lock);
	for (int i = ledger_block_count - 1; i >= 0; i--) {
		if (ledger_blocks[i].start == (char *)p) {
			ledger_release(&ledger_blocks[i], ledger_blocks[i].left);
			break;
		}
	}
	pthread_mutex_unlock(&ledger_lock);
}

/* A part of a mapping, never twice the same. */
__attribute__((unused)) static void ledger_gone_part(void *p, unsigned long bytes)
{
	pthread_mutex_lock(&ledger_lock);
	for (int i = ledger_block_count - 1; i >= 0; i--) {
		struct ledger_block *b = &ledger_blocks[i];
		if (b->start <= (char *)p && (char *)p < b->start + b->size) {
			ledger_release(b, bytes);
			break;
		}
	}
	pthread_mutex_unlock(&ledger_lock);
}

__attribute__((unused)) static void *ledger_moved(const char *function, int line,
						  const char *kind, void *old, void *p,
						  unsigned long size)
{
	ledger_gone(old);
	return ledger_got(function, line, kind, p, size);
}

static void ledger_print(void)
{
	for (int i = 0; i < ledger_site_count; i++) {
		struct ledger_site *s = &ledger_sites[i];
		ledger_say("site %s %d %s %lu %lu %lu %lu %lu %lu %lu %lu\n", s->function, s->line,
			   s->kind, s->all.count, s->all.bytes, s->live.count, s->live.bytes,
			   s->peak.count, s->peak.bytes, s->temporary.count, s->temporary.bytes);
	}
	ledger_say("ledger ends\n");
}

/* Announces itself and waits for a byte (or the end) on standard input. */
static void ledger_wait(const char *word)
{
	char c;
	ledger_say("%s %d\n", word, (int)getpid());
	while (read(STDIN_FILENO, &c, 1) < 0)
		;
}

#define GOT(kind, call, size) ledger_got(__func__, __LINE__, kind, call, size)
#define GONE(p) ledger_gone(p)
#define REALLOC(p, n) ledger_moved(__func__, __LINE__, "realloc", p, realloc(p, n), n)
#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

#endif
