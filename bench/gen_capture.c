/* SPDX-License-Identifier: Apache-2.0 */
/* bench/gen_capture.c - writes a synthetic capture of any length, as a busy service would make it.
 * Knows: capture/writer.h. Does not know: what reads the capture.
 * Started by bench/reports.sh: gen_capture FILE [EVENTS [LIVE]] */
#include "capture/writer.h"

#include <stdio.h>
#include <string.h>

#define THREADS 8u
#define STACKS 20000u
#define DEPTH 24u
#define CLASSES 64u		/* of 16 bytes each */

struct block {
	uint64_t address;
	uint32_t size_class;
};

/* An allocator in small: free blocks of a class are used again, last in, first out. */
struct heap {
	struct {
		uint64_t *free;
		size_t len, cap;
	} classes[CLASSES];
	uint64_t top;
};

struct generator {
	struct capture_writer *w;
	struct heap heap;
	struct block *live;
	size_t live_len, live_cap;
	uint64_t ticks, random;
	uint32_t thread;
};

static void check(struct mt_error *err)
{
	if (!err)
		return;
	fprintf(stderr, "gen_capture: %s\n", err->message);
	exit(1);
}

static uint64_t next_random(struct generator *g)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 7;
	g->random ^= g->random << 17;
	return g->random;
}

static uint64_t heap_take(struct heap *h, uint32_t size_class)
{
	if (h->classes[size_class].len)
		return h->classes[size_class].free[--h->classes[size_class].len];
	uint64_t address = h->top;
	h->top += 16ull * (size_class + 2);
	return address;
}

static void heap_give(struct heap *h, uint32_t size_class, uint64_t address)
{
	if (h->classes[size_class].len == h->classes[size_class].cap) {
		size_t cap = h->classes[size_class].cap * 2 + 64;
		uint64_t *p = realloc(h->classes[size_class].free, cap * sizeof(*p));
		if (!p)
			check(&mt_enomem);
		h->classes[size_class].free = p;
		h->classes[size_class].cap = cap;
	}
	h->classes[size_class].free[h->classes[size_class].len++] = address;
}

static void put_event(struct generator *g, uint8_t kind, const struct block *b)
{
	struct capture_event ev = { .address = b->address, .kind = kind };
	if (next_random(g) % 64 == 0)		/* threads come in runs */
		g->thread = 1 + (uint32_t)(next_random(g) % THREADS);
	g->ticks += 100 + next_random(g) % 400;
	ev.ticks = g->ticks;
	ev.thread = g->thread;
	if (capture_kind_allocates(kind)) {
		/* A few places allocate most. */
		uint64_t r = next_random(g);
		ev.stack = 1 + (uint32_t)(r % 4 ? r / 4 % 200 : r / 4 % STACKS);
		ev.size = 16ull * b->size_class + 9;
	}
	check(capture_writer_event(g->w, &ev));
}

static void allocate(struct generator *g)
{
	struct block b = { .size_class = (uint32_t)(next_random(g) % CLASSES) };
	if (next_random(g) % 2)
		b.size_class %= 4;
	b.address = heap_take(&g->heap, b.size_class);
	g->live[g->live_len++] = b;
	put_event(g, WIRE_REC_MALLOC, &b);
}

/* Most blocks die young. */
static void release(struct generator *g)
{
	size_t young = g->live_len < 16 ? g->live_len : 16;
	size_t i = next_random(g) % 4 ? g->live_len - 1 - next_random(g) % young :
					next_random(g) % g->live_len;
	struct block b = g->live[i];
	g->live[i] = g->live[--g->live_len];
	heap_give(&g->heap, b.size_class, b.address);
	put_event(g, WIRE_REC_FREE, &b);
}

static void put_stacks(struct generator *g)
{
	uint32_t frame, node, stack;
	for (uint32_t i = 0; i < 4096; i++)
		check(capture_writer_frame_native(g->w, 1, 0x1000 + 16ull * i, &frame));
	for (uint32_t i = 0; i < STACKS; i++) {
		node = 0;
		for (uint32_t k = 0; k < DEPTH; k++)
			check(capture_writer_node(g->w, node, 1 + (uint32_t)(next_random(g) % 4096),
						  &node));
		check(capture_writer_stack(g->w, node, 0, 0, &stack));
	}
}

static void put_sides(struct generator *g)
{
	struct capture_segment segment = { 0, 0x100000, 0, 5 };
	struct capture_module m = {
		.start = 0x400000, .end = 0x500000, .bias = 0x400000, .path = "/nowhere/service",
		.segments = &segment, .segment_count = 1,
	};
	check(capture_writer_meta(g->w, CAPTURE_META_COMMAND, "service", 7));
	check(capture_writer_meta(g->w, CAPTURE_META_PID, "4711", 4));
	check(capture_writer_meta(g->w, CAPTURE_META_TSC_HZ, "3000000000", 10));
	check(capture_writer_meta(g->w, CAPTURE_META_START_TICKS, "0", 1));
	check(capture_writer_module(g->w, &m));
	for (uint32_t i = 1; i <= THREADS; i++)
		check(capture_writer_thread(g->w, i, 4710 + i, 0, "worker"));
	put_stacks(g);
}

int main(int argc, char **argv)
{
	uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 0) : 26000000;
	struct generator g = { .random = 88172645463325252ull, .thread = 1 };
	g.live_cap = argc > 3 ? strtoull(argv[3], NULL, 0) : 100000;
	g.heap.top = 0x555555600010;
	g.live = calloc(g.live_cap + 2, sizeof(*g.live));
	if (argc < 2 || !g.live || !g.live_cap) {
		fprintf(stderr, "usage: gen_capture FILE [EVENTS [LIVE]]\n");
		return 2;
	}
	check(capture_writer_create(argv[1], true, CAPTURE_FEATURE_NATIVE, &g.w));
	put_sides(&g);
	for (uint64_t i = 0; i < events; i++) {
		bool full = g.live_len >= g.live_cap;
		if (full || (g.live_len && next_random(&g) % 16 < 7))
			release(&g);
		else
			allocate(&g);
	}
	check(capture_writer_counter(g.w, CAPTURE_COUNTER_PRODUCED, events));
	check(capture_writer_counter(g.w, CAPTURE_COUNTER_WRITTEN, events));
	check(capture_writer_counter(g.w, CAPTURE_COUNTER_DROPPED, 0));
	check(capture_writer_finish(g.w));
	capture_writer_destroy(g.w);
	for (uint32_t i = 0; i < CLASSES; i++)
		free(g.heap.classes[i].free);
	free(g.live);
	return 0;
}
