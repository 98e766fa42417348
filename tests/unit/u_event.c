/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_event.c - what the tracer writes of an event is what the reader of its ring gets.
 * Knows: the tracer's short and long way of writing. Does not know: hooks, stacks.
 * Called by make unit; the tracer's file is compiled in here, as it is in no library. */
#include "inject/tracer/ring.c"

#include "record/ring_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RING 4096u
#define EVENTS 200000u

struct tracer tracer;

struct written {
	uint64_t ticks, pointer, size;
	uint8_t kind;
};

static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Of every length that a number can have. */
static uint64_t any_number(void)
{
	return next_random() >> next_random() % 64;
}

static struct written any_event(void)
{
	static const uint8_t kinds[] = { WIRE_REC_MALLOC, WIRE_REC_FREE, WIRE_REC_MUNMAP,
					 WIRE_REC_PYMALLOC_FREE, WIRE_REC_REALLOC };
	struct written e = { .ticks = any_number(), .pointer = any_number(), .size = any_number(),
			     .kind = kinds[next_random() % sizeof(kinds)] };
	if (next_random() & 1)
		e.pointer &= ~15ull;
	if (!capture_kind_has_size(e.kind))
		e.size = 0;
	return e;
}

static void write_event(struct thread *t, const struct written *e)
{
	if (capture_kind_has_size(e->kind))
		event_write(t, e->kind, e->ticks, e->pointer, true, e->size);
	else
		event_write(t, e->kind, e->ticks, e->pointer, false, 0);
}

/* Through a ring that is passed many times: each event as it was, and none twice. */
static void test_round_trip(void **state)
{
	(void)state;
	static struct wire_header header = { .mode = 1 };
	static struct wire_ring ring;
	static uint8_t data[RING + 16];
	static struct thread t;
	struct capture_writer *writer;
	struct intern *in = calloc(1, sizeof(*in));
	struct codes codes = { 0 };
	struct ring_reader r = { .ring = &ring, .data = data, .size = RING };
	int fd;
	assert_null(capture_writer_create_in_memory(0, &fd, &writer));
	intern_init(in, writer);
	codes.writer = writer;
	tracer.header = &header;
	tracer.ring_size = RING;
	t.ring = &ring;
	t.data = t.at = t.room = data;
	t.head_bias = -(uint64_t)data;
	ring_reader_start(&r, 1);
	for (unsigned done = 0; done < EVENTS;) {
		struct written events[100];
		unsigned n = (unsigned)(next_random() % 100) + 1;
		for (unsigned i = 0; i < n; i++) {
			events[i] = any_event();
			write_event(&t, &events[i]);
		}
		r.limit = ring.head;
		for (unsigned i = 0; i < n; i++) {
			assert_null(ring_reader_advance(&r, in, &codes));
			assert_false(r.damaged);
			assert_true(r.has_next);
			assert_true(r.next.ticks == events[i].ticks);
			assert_true(r.next.address == events[i].pointer);
			assert_true(r.next.size == events[i].size);
			assert_int_equal(r.next.kind, events[i].kind);
		}
		assert_null(ring_reader_advance(&r, in, &codes));
		assert_false(r.has_next);
		ring_reader_release(&r);
		done += n;
		assert_int_equal(ring.produced, done);
	}
	assert_int_equal(ring.dropped, 0);
	ring_reader_deinit(&r);
	intern_deinit(in);
	free(in);
	codes_deinit(&codes);
	capture_writer_destroy(writer);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
