/* SPDX-License-Identifier: Apache-2.0 */
/* bench/drain.c - what the controller spends on an event: record/ and capture/ alone, over rings
 * that are filled here as a tracer would fill them.
 * Knows: capture/wire.h, record/recorder.h. Does not know: targets.
 * Run by hand: drain [-a] [-f FILE] [-n EVENTS] [WORKLOAD...]; -a: with --aggregate. Only what recorder_poll() and
 * recorder_finish() take is counted, in processor time of the thread. */
#include "analysis/aggregate.h"
#include "attach/tracee.h"
#include "base/varint.h"
#include "record/clock.h"
#include "record/recorder.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RINGS 64u
#define RING_SIZE (1ull << 20)
#define MARGIN 4096u		/* of a ring left empty: more than one event and its stacks */
#define MAX_DEPTH 128u
#define SLOTS 2048u

struct workload {
	const char *name, *what;
	uint32_t threads, depth, python_depth;
	uint32_t moving;	/* most native frames that differ from the event before */
	uint32_t classes;	/* sizes of blocks */
	uint32_t live;		/* blocks a thread has in use; 1: each is freed at once */
	uint32_t ticks;		/* between two events of a thread */
};

static const struct workload workloads[] = {
	{ "pair", "1 thread, malloc and free of one size, depth 20", 1, 20, 0, 0, 1, 1, 80 },
	{ "pairs4", "4 threads, malloc and free of one size, depth 20", 4, 20, 0, 0, 1, 1, 320 },
	{ "sizes", "4 threads, 64 sizes, 500 blocks live, leaf moves", 4, 20, 0, 1, 64, 500, 320 },
	{ "tree", "4 threads, up to 4 frames move an event", 4, 30, 0, 4, 8, 200, 320 },
	{ "python", "2 threads, native 12 and Python 20 deep", 2, 12, 20, 3, 16, 300, 200 },
};

struct producer {
	struct wire_ring *ring;
	uint8_t *data;
	uint64_t head, ticks, last_ticks, last_pointer, last_pc;
	uint64_t random;
	uint64_t blocks[SLOTS];
	uint32_t live_len;
	uint64_t *free_blocks[64];
	uint32_t free_len[64], free_cap[64];
	uint64_t top;
	uint64_t path[MAX_DEPTH];	/* what the frames are called, root first */
	uint64_t py_path[MAX_DEPTH];
	bool started;
};

static void check(struct mt_error *err)
{
	if (!err)
		return;
	fprintf(stderr, "drain: %s\n", err->message);
	exit(1);
}

static uint64_t next_random(struct producer *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

/* ---- the tracer's part ---- */

static uint8_t *reserve(struct producer *p, uint32_t size)
{
	uint64_t at = p->head & (RING_SIZE - 1), to_end = RING_SIZE - at;
	if (to_end < size) {
		p->data[at] = WIRE_REC_PAD;
		p->head += to_end;
		at = 0;
	}
	return p->data + at;
}

static void commit(struct producer *p, const uint8_t *end)
{
	p->head += (uint64_t)(end - (p->data + (p->head & (RING_SIZE - 1))));
}

static void put_native(struct producer *p, uint32_t keep, uint32_t depth)
{
	uint8_t *b = reserve(p, 32 + VARINT_MAX * depth);
	*b++ = WIRE_REC_NATIVE;
	b = varint_put(b, keep);
	b = varint_put(b, 0);
	b = varint_put(b, depth - keep);
	for (uint32_t i = keep; i < depth; i++) {
		uint64_t pc = 0x555555560000 + p->path[i] * 40 + i * 4096;
		b = varint_put(b, varint_zigzag((int64_t)(pc - p->last_pc)));
		p->last_pc = pc;
	}
	commit(p, b);
}

static void put_python(struct producer *p, uint32_t keep, uint32_t depth)
{
	uint8_t *b = reserve(p, 32 + 2 * VARINT_MAX * depth);
	*b++ = WIRE_REC_PYTHON;
	b = varint_put(b, keep);
	b = varint_put(b, 0);
	b = varint_put(b, depth - keep);
	for (uint32_t i = keep; i < depth; i++) {
		b = varint_put(b, (1 + p->py_path[i] % 500) << 1);
		b = varint_put(b, 1 + p->py_path[i] % 97 * 2);
	}
	commit(p, b);
}

static void put_event(struct producer *p, uint8_t kind, uint64_t pointer, uint64_t size)
{
	uint8_t *b = reserve(p, 64), *tag = b++;
	int64_t delta = (int64_t)(pointer - p->last_pointer);
	bool aligned = !(delta & 15);
	*tag = kind | (aligned ? WIRE_TAG_ALIGNED : 0);
	b = varint_put(b, varint_zigzag((int64_t)(p->ticks - p->last_ticks)));
	b = varint_put(b, varint_zigzag(aligned ? delta >> 4 : delta));
	if (capture_kind_has_size(kind))
		b = varint_put(b, size);
	commit(p, b);
	p->last_ticks = p->ticks;
	p->last_pointer = pointer;
	p->ring->produced++;
}

/* ---- a program ---- */

static void move_stacks(struct producer *p, const struct workload *w)
{
	uint32_t native = 0, python = 0;
	if (!p->started) {
		native = w->depth;
		python = w->python_depth;
		p->started = true;
	} else if (w->moving) {
		native = (uint32_t)(next_random(p) % (w->moving + 1));
		python = w->python_depth ? (uint32_t)(next_random(p) % 4) : 0;
	}
	/* A few places are seen often: the lower of two draws. */
	for (uint32_t i = w->depth - native; i < w->depth; i++) {
		uint64_t a = next_random(p) % 8, b = next_random(p) % 8;
		p->path[i] = a < b ? a : b;
	}
	for (uint32_t i = w->python_depth - python; i < w->python_depth; i++)
		p->py_path[i] = i * 7 + next_random(p) % 4;
	if (native)
		put_native(p, w->depth - native, w->depth);
	if (python)
		put_python(p, w->python_depth - python, w->python_depth);
}

static void step(struct producer *p, const struct workload *w)
{
	p->ticks += w->ticks + next_random(p) % (w->ticks / 4);
	if (next_random(p) % 512 == 0)		/* an interrupt, a page fault */
		p->ticks += next_random(p) % 20000;
	if (p->live_len < w->live) {
		uint32_t class = (uint32_t)(next_random(p) % w->classes);
		uint64_t block;
		if (p->free_len[class]) {
			block = p->free_blocks[class][--p->free_len[class]];
		} else {
			block = p->top;
			p->top += 16 * (class + 2);
		}
		move_stacks(p, w);
		p->blocks[p->live_len++] = block << 6 | class;
		put_event(p, WIRE_REC_MALLOC, block, 16ull * class + 9);
		return;
	}
	/* Most blocks die young; then some more, so that the heap breathes. */
	uint32_t young = p->live_len < 8 ? p->live_len : 8;
	uint32_t i = p->live_len - 1 - (uint32_t)(next_random(p) % young);
	uint32_t class = p->blocks[i] & 63;
	uint64_t block = p->blocks[i] >> 6;
	p->blocks[i] = p->blocks[--p->live_len];
	if (p->free_len[class] == p->free_cap[class]) {
		p->free_cap[class] = 2 * p->free_cap[class] + 64;
		p->free_blocks[class] = realloc(p->free_blocks[class], p->free_cap[class] * 8);
	}
	p->free_blocks[class][p->free_len[class]++] = block;
	put_event(p, WIRE_REC_FREE, block, 0);
}

/* Until the ring is full. */
static uint64_t fill(struct producer *p, const struct workload *w, uint64_t most)
{
	uint64_t tail = atomic_load(&p->ring->tail), n = 0;
	while (n < most && p->head - tail < RING_SIZE - MARGIN) {
		step(p, w);
		n++;
	}
	atomic_store(&p->ring->head, p->head);
	return n;
}

/* ---- the controller's part ---- */

static struct wire_header *make_memory(void)
{
	uint64_t rings = 8192, data = rings + ((RINGS * sizeof(struct wire_ring) + 4095) & ~4095ull);
	uint64_t size = data + RINGS * RING_SIZE;
	struct wire_header *h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h == MAP_FAILED) {
		perror("drain: mmap");
		exit(1);
	}
	h->ring_count = RINGS;
	h->rings_offset = rings;
	h->ring_data_offset = data;
	h->ring_size = RING_SIZE;
	h->target_pid = getpid();
	return h;
}

static uint64_t drain_all(struct recorder *rec)
{
	bool more = true;
	uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (more)
		check(recorder_poll(rec, &more));
	return clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
}

static struct mt_error *flush_sums(struct capture_writer *writer, bool last, void *aggregate)
{
	return aggregate_write(aggregate, writer, last);
}

static struct aggregate *divert(struct recorder *rec)
{
	struct aggregate *a;
	struct views_source source = { .page_size = 4096 };
	recorder_clock(rec, &source.ticks_per_second, &source.start_ticks);
	check(aggregate_create(&source, &a));
	recorder_divert(rec, &(struct recorder_sink){ aggregate_take, flush_sums, a });
	return a;
}

static void run(const struct workload *w, const char *path, uint64_t events, bool sums)
{
	struct wire_header *h = make_memory();
	struct tracee *t;
	struct capture_writer *writer;
	struct recorder *rec;
	struct images none = { 0 };
	struct producer *producers = calloc(w->threads, sizeof(*producers));
	check(tracee_open_to_read(getpid(), &t));
	check(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE |
				    (sums ? CAPTURE_FEATURE_AGGREGATED : 0), &writer));
	check(recorder_create(t, h, writer, clock_pair_now(), &rec));
	struct aggregate *a = sums ? divert(rec) : NULL;
	check(recorder_images(rec, &none));
	for (uint32_t i = 0; i < w->threads; i++) {
		struct producer *p = &producers[i];
		p->ring = (struct wire_ring *)((uint8_t *)h + h->rings_offset) + i;
		p->data = (uint8_t *)h + h->ring_data_offset + i * RING_SIZE;
		p->ticks = clock_ticks();
		p->random = 88172645463325252ull + i;
		p->top = 0x7f0000000010 + ((uint64_t)i << 26);
		p->ring->tid = (uint32_t)gettid();	/* it lives */
		p->ring->state = WIRE_RING_OWNED;
	}
	h->ring_high = w->threads;
	uint64_t produced = 0, ns = 0, bytes = 0;
	while (produced < events) {
		uint64_t last = 0;
		for (uint32_t i = 0; i < w->threads; i++) {
			uint64_t before = producers[i].head;
			produced += fill(&producers[i], w, events);
			bytes += producers[i].head - before;
			last = producers[i].ticks > last ? producers[i].ticks : last;
		}
		while (clock_ticks() < last)	/* nothing comes from the future */
			;
		ns += drain_all(rec);
	}
	uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	check(recorder_finish(rec, "exit"));
	ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	struct recorder_counts c;
	recorder_counts(rec, &c);
	printf("%-8s %6.1f %8.1f %10.2f %10.2f%s   %s\n", w->name, (double)ns / (double)c.written,
	       (double)c.written * 1e3 / (double)ns, (double)bytes / (double)produced,
	       (double)recorder_file_bytes(rec) / (double)c.written,
	       c.produced == c.written + c.dropped ? "" : " LOST", w->what);
	recorder_destroy(rec);
	aggregate_destroy(a);
	tracee_close(t);
	for (uint32_t i = 0; i < w->threads; i++)
		for (uint32_t k = 0; k < 64; k++)
			free(producers[i].free_blocks[k]);
	free(producers);
	munmap(h, h->ring_data_offset + RINGS * RING_SIZE);
}

static bool wanted(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return true;
	return !count;
}

int main(int argc, char **argv)
{
	const char *path = "/dev/shm/memtrace-drain.bin";
	uint64_t events = 20000000;
	bool sums = false;
	int opt;
	while ((opt = getopt(argc, argv, "af:n:")) != -1)
		if (opt == 'a')
			sums = true;
		else if (opt == 'f')
			path = optarg;
		else if (opt == 'n')
			events = strtoull(optarg, NULL, 0);
		else
			return 2;
	printf("%-8s %6s %8s %10s %10s\n", "", "ns/ev", "M ev/s", "B/ev ring", "B/ev file");
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		if (wanted(workloads[i].name, argv + optind, argc - optind))
			run(&workloads[i], path, events, sums);
	unlink(path);
	return 0;
}
