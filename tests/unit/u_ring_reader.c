/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_ring_reader.c - decoding of rings and their order by time, over hand-made bytes. */
#include "base/varint.h"
#include "base/text.h"
#include "record/merge.h"
#include "record/ring_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RING 65536u

struct fixture {
	char path[64];
	struct capture_writer *writer;
	struct intern intern;
	struct codes codes;
	struct wire_ring rings[3];
	uint8_t *bytes[3];
	uint8_t *end[3];
	uint64_t ticks[3], pointer[3];
	struct ring_reader readers[3];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "/tmp/u_ring_reader.%d", (int)getpid());
	unlink(f->path);
	assert_null(capture_writer_create(f->path, false, 0, &f->writer));
	intern_init(&f->intern, f->writer);
	f->codes.writer = f->writer;
	for (int i = 0; i < 3; i++) {
		f->bytes[i] = f->end[i] = calloc(1, RING + 16);
		f->readers[i].ring = &f->rings[i];
		f->readers[i].data = f->bytes[i];
		f->readers[i].size = RING;
		ring_reader_start(&f->readers[i], (uint32_t)i + 1);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 3; i++) {
		ring_reader_deinit(&f->readers[i]);
		free(f->bytes[i]);
	}
	intern_deinit(&f->intern);
	codes_deinit(&f->codes);
	capture_writer_destroy(f->writer);
	unlink(f->path);
	free(f);
	return 0;
}

static void put_event(struct fixture *f, int i, uint8_t kind, uint64_t ticks, uint64_t pointer,
		      uint64_t size)
{
	uint8_t *p = f->end[i];
	*p++ = kind;
	p = varint_put(p, varint_zigzag((int64_t)(ticks - f->ticks[i])));
	p = varint_put(p, varint_zigzag((int64_t)(pointer - f->pointer[i])));
	if (kind != WIRE_REC_FREE)
		p = varint_put(p, size);
	f->ticks[i] = ticks;
	f->pointer[i] = pointer;
	f->end[i] = p;
	f->readers[i].limit = (uint64_t)(p - f->bytes[i]);
}

static void put_native(struct fixture *f, int i, uint64_t keep, const uint64_t *pcs, unsigned n,
		       uint64_t *last_pc)
{
	uint8_t *p = f->end[i];
	*p++ = WIRE_REC_NATIVE;
	p = varint_put(p, keep);
	p = varint_put(p, 0);
	p = varint_put(p, n);
	for (unsigned k = 0; k < n; k++) {
		p = varint_put(p, varint_zigzag((int64_t)(pcs[k] - *last_pc)));
		*last_pc = pcs[k];
	}
	f->end[i] = p;
	f->readers[i].limit = (uint64_t)(p - f->bytes[i]);
}

static void advance(struct fixture *f, int i)
{
	assert_null(ring_reader_advance(&f->readers[i], &f->intern, &f->codes));
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	struct ring_reader *r = &f->readers[0];
	put_event(f, 0, WIRE_REC_MALLOC, 1000, 0x7000, 32);
	put_event(f, 0, WIRE_REC_FREE, 1010, 0x7000, 0);
	advance(f, 0);
	assert_true(r->has_next);
	assert_int_equal(r->next.kind, WIRE_REC_MALLOC);
	assert_int_equal(r->next.ticks, 1000);
	assert_int_equal(r->next.address, 0x7000);
	assert_int_equal(r->next.size, 32);
	assert_int_equal(r->next.thread, 1);
	advance(f, 0);
	assert_int_equal(r->next.kind, WIRE_REC_FREE);
	assert_int_equal(r->next.ticks, 1010);
	advance(f, 0);
	assert_false(r->has_next);
	assert_false(r->damaged);
}

/* The same stack has the same id, a longer one another, and going back gives the first again. */
static void test_stacks(void **state)
{
	struct fixture *f = *state;
	struct ring_reader *r = &f->readers[0];
	uint64_t last = 0;
	put_native(f, 0, 0, (uint64_t[]){ 0x100, 0x200 }, 2, &last);
	put_event(f, 0, WIRE_REC_MALLOC, 1, 0x10, 1);
	put_native(f, 0, 2, (uint64_t[]){ 0x300 }, 1, &last);
	put_event(f, 0, WIRE_REC_MALLOC, 2, 0x20, 1);
	put_native(f, 0, 1, (uint64_t[]){ 0x200 }, 1, &last);
	put_event(f, 0, WIRE_REC_MALLOC, 3, 0x30, 1);
	advance(f, 0);
	uint32_t first = r->next.stack;
	assert_int_not_equal(first, 0);
	advance(f, 0);
	assert_int_not_equal(r->next.stack, first);
	advance(f, 0);
	assert_int_equal(r->next.stack, first);
}

/* Bytes that are no record make the ring damaged, not this process. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;
	put_native(f, 0, 5, (uint64_t[]){ 0x100 }, 1, &last);	/* keeps frames that never were */
	put_event(f, 0, WIRE_REC_MALLOC, 1, 0x10, 1);
	advance(f, 0);
	assert_true(f->readers[0].damaged);
	assert_false(f->readers[0].has_next);

	memset(f->bytes[1], 0x7e, 64);
	f->readers[1].limit = 64;
	advance(f, 1);
	assert_true(f->readers[1].damaged);

	put_event(f, 2, WIRE_REC_MALLOC, 1, 0x10, 1);
	f->readers[2].limit = 2;	/* cut inside the record */
	advance(f, 2);
	assert_true(f->readers[2].damaged);
}

static void test_random_bytes(void **state)
{
	struct fixture *f = *state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		srand(seed);
		for (unsigned i = 0; i < 512; i++)
			f->bytes[0][i] = (uint8_t)(rand() % (seed % 3 ? 256 : 40));
		ring_reader_start(&f->readers[0], 1);
		f->readers[0].limit = 512;
		do
			advance(f, 0);
		while (f->readers[0].has_next);
	}
}

static void test_pad(void **state)
{
	struct fixture *f = *state;
	struct ring_reader *r = &f->readers[0];
	f->bytes[0][RING - 3] = WIRE_REC_PAD;
	put_event(f, 0, WIRE_REC_MALLOC, 5, 0x10, 7);	/* at the start of the ring */
	r->position = RING - 3;
	r->limit = RING + (uint64_t)(f->end[0] - f->bytes[0]);
	advance(f, 0);
	assert_true(r->has_next);
	assert_int_equal(r->next.size, 7);
}

static unsigned merge_all(struct fixture *f, struct merge *m, uint64_t until, uint64_t *order)
{
	unsigned n = 0;
	struct ring_reader *r;
	while ((r = merge_first(m, until))) {
		order[n++] = r->next.ticks;
		assert_null(ring_reader_advance(r, &f->intern, &f->codes));
		merge_again(m, r);
	}
	return n;
}

static void test_merge(void **state)
{
	struct fixture *f = *state;
	struct merge m;
	uint64_t order[16];
	assert_null(merge_init(&m, 3));
	static const uint64_t times[3][3] = { { 1, 5, 9 }, { 2, 3, 20 }, { 4, 6, 7 } };
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 3; k++)
			put_event(f, i, WIRE_REC_MALLOC, times[i][k], 0x10, 1);
		advance(f, i);
		merge_add(&m, &f->readers[i], 10);
	}
	assert_int_equal(merge_all(f, &m, 10, order), 8);	/* 20 is later than `until` */
	static const uint64_t want[] = { 1, 2, 3, 4, 5, 6, 7, 9 };
	assert_memory_equal(order, want, sizeof(want));
	merge_deinit(&m);
}

/* A thread inside a stamp holds back what is later than its last published event, no more. */
static void test_merge_busy(void **state)
{
	struct fixture *f = *state;
	struct merge m;
	uint64_t order[16];
	assert_null(merge_init(&m, 3));
	put_event(f, 0, WIRE_REC_MALLOC, 4, 0x10, 1);
	for (uint64_t t = 1; t < 8; t += 2)
		put_event(f, 1, WIRE_REC_MALLOC, t, 0x10, 1);
	for (int i = 0; i < 2; i++) {
		advance(f, i);
		merge_add(&m, &f->readers[i], i == 0 ? 0 : 100);
	}
	assert_int_equal(merge_all(f, &m, 100, order), 3);
	static const uint64_t want[] = { 1, 3, 4 };
	assert_memory_equal(order, want, sizeof(want));
	merge_deinit(&m);
}

static void test_code_text(void **state)
{
	(void)state;
	static const struct {
		unsigned kind;
		const char *bytes;
		size_t size;
		const char *want;
	} rows[] = {
		{ 0, "abc", 3, "abc" },
		{ 1, "\xe9", 1, "\xc3\xa9" },
		{ 2, "\xac\x20", 2, "\xe2\x82\xac" },
		{ 4, "\x00\xf6\x01\x00", 4, "\xf0\x9f\x98\x80" },
		{ 2, "\x00\xdc", 2, "\xef\xbf\xbd" },	/* a lone surrogate */
		{ 2, "\x41\x00\x42", 3, "A" },		/* half a character */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mt_buf out = MT_BUF_INIT;
		mt_text_put_unicode(&out, rows[i].bytes, rows[i].size, rows[i].kind);
		char *text = mt_buf_take_str(&out);
		assert_string_equal(text, rows[i].want);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stacks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_merge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_merge_busy, setup, teardown),
		cmocka_unit_test(test_code_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
