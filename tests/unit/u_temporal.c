/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_temporal.c - entries against lives that are counted one by one.
 * Knows: analysis/temporal.h. Does not know: events.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/temporal.h"

#include <stdlib.h>

#define ROWS 40u
#define EVENTS 60000u
#define FOREVER UINT32_MAX

struct life {
	uint32_t row, born, gone;	/* events */
	uint64_t bytes;
	uint32_t stamp;
};

struct world {
	struct temporal t;
	struct life lives[EVENTS];
	uint32_t live[EVENTS];		/* indexes of lives */
	size_t life_count, live_count;
	uint64_t heap[EVENTS];		/* after each event */
	uint64_t total, random;
};

static uint64_t next_random(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static void allocate(struct world *w, uint32_t event)
{
	struct life *l = &w->lives[w->life_count];
	*l = (struct life){ .row = (uint32_t)(next_random(w) % ROWS), .born = event, .gone = FOREVER,
			    .bytes = 1 + next_random(w) % 1000, .stamp = temporal_stamp(&w->t) };
	w->live[w->live_count++] = (uint32_t)w->life_count++;
	w->total += l->bytes;
	temporal_heap(&w->t, event, w->total);
}

static void release(struct world *w, uint32_t event)
{
	/* Mostly the young. */
	size_t i = next_random(w) % 3 ? w->live_count - 1 : next_random(w) % w->live_count;
	struct life *l = &w->lives[w->live[i]];
	w->live[i] = w->live[--w->live_count];
	temporal_release(&w->t, l->row, l->stamp, l->bytes, 1);
	l->gone = event;
	w->total -= l->bytes;
}

/* A heap that breathes; `ms` moves on by up to `pace` every so often. */
static void live_through(struct world *w, uint32_t pace)
{
	uint32_t ms = 0;
	temporal_init(&w->t);
	for (uint32_t event = 0; event < EVENTS; event++) {
		if (next_random(w) % 50 == 0)
			ms += 1 + (uint32_t)(next_random(w) % pace);
		temporal_clock(&w->t, ms, event, w->total);
		uint64_t grow = event / 5000 % 2 ? 7 : 10;
		if (!w->live_count || next_random(w) % 16 < grow)
			allocate(w, event);
		else
			release(w, event);
		w->heap[event] = w->total;
	}
	temporal_end(&w->t);
	for (size_t i = 0; i < w->live_count; i++) {
		const struct life *l = &w->lives[w->live[i]];
		temporal_survivor(&w->t, l->row, l->stamp, l->bytes, 1);
	}
	assert_false(w->t.failed);
}

/* Whether a life meets a moment: `after` the event of the instant, or before it when the instant
 * is the start of a slot, which precedes its event. */
static bool is_live(const struct world *w, const struct life *l, size_t instant)
{
	const struct temporal_instant *at = &w->t.instants.items[instant];
	uint32_t event = (uint32_t)at->ticks;
	bool start = w->heap[event] != at->heap;	/* the event itself lowered it */
	if (start)
		return l->born < event && l->gone >= event;
	return l->born <= event && l->gone > event;
}

static void check_row(const struct world *w, size_t from, size_t to, const uint64_t *want,
		      const char *what)
{
	uint64_t got[ROWS] = { 0 };
	for (size_t i = 0; i < w->t.cap; i++) {
		const struct temporal_entry *e = &w->t.entries[i];
		if (e->key && temporal_born(e) > from && temporal_born(e) <= to && to < temporal_gone(e))
			got[temporal_row(e)] += e->bytes;
	}
	for (unsigned r = 0; r < ROWS; r++)
		if (got[r] != want[r])
			fail_msg("%s: instants %zu to %zu, row %u: %llu, not %llu", what, from, to, r,
				 (unsigned long long)got[r], (unsigned long long)want[r]);
}

static void check_instants(const struct world *w)
{
	for (size_t i = 0; i < w->t.instants.len; i++) {
		uint64_t want[ROWS] = { 0 }, sum = 0;
		for (size_t k = 0; k < w->life_count; k++)
			if (is_live(w, &w->lives[k], i)) {
				want[w->lives[k].row] += w->lives[k].bytes;
				sum += w->lives[k].bytes;
			}
		assert_int_equal(sum, w->t.instants.items[i].heap);
		uint64_t got[ROWS] = { 0 };
		for (size_t k = 0; k < w->t.cap; k++) {
			const struct temporal_entry *e = &w->t.entries[k];
			if (e->key && temporal_born(e) <= i && i < temporal_gone(e))
				got[temporal_row(e)] += e->bytes;
		}
		assert_memory_equal(got, want, sizeof(got));
	}
}

/* Allocated after one instant, live at another. */
static void check_ranges(const struct world *w)
{
	size_t n = w->t.instants.len;
	for (size_t from = 0; from + 1 < n; from += 1 + n / 12) {
		for (size_t to = from + 1; to < n; to += 1 + n / 9) {
			uint64_t want[ROWS] = { 0 };
			for (size_t k = 0; k < w->life_count; k++) {
				const struct life *l = &w->lives[k];
				bool before = l->born < w->t.instants.items[from].ticks ||
					      is_live(w, l, from);
				if (!before && is_live(w, l, to))
					want[l->row] += l->bytes;
			}
			check_row(w, from, to, want, "range");
		}
	}
}

static void check_peak(const struct world *w)
{
	uint64_t highest = 0, instant = 0;
	for (uint32_t i = 0; i < EVENTS; i++)
		highest = w->heap[i] > highest ? w->heap[i] : highest;
	for (size_t i = 0; i < w->t.instants.len; i++)
		if (w->t.instants.items[i].heap > instant)
			instant = w->t.instants.items[i].heap;
	assert_int_equal(instant, highest);
}

static void run_world(uint32_t pace, uint64_t seed, size_t least, size_t most)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->random = seed;
	live_through(w, pace);
	assert_in_range(w->t.instants.len, least, most);
	check_peak(w);
	check_instants(w);
	check_ranges(w);
	temporal_deinit(&w->t);
	free(w);
}

static void test_lives_are_counted(void **state)
{
	(void)state;
	run_world(1, 88172645463325252ull, 100, 256);	/* halved three times */
	run_world(40, 12345, 100, 256);
}

static void test_one_slot_has_the_peak(void **state)
{
	(void)state;
	struct temporal t;
	temporal_init(&t);
	temporal_clock(&t, 0, 1, 0);
	uint32_t a = temporal_stamp(&t);
	temporal_heap(&t, 1, 100);
	uint32_t b = temporal_stamp(&t);
	temporal_heap(&t, 2, 150);		/* the peak: both */
	temporal_release(&t, 0, a, 100, 1);
	uint32_t c = temporal_stamp(&t);
	temporal_heap(&t, 4, 60);		/* never met */
	temporal_release(&t, 2, c, 10, 1);
	temporal_end(&t);
	temporal_survivor(&t, 1, b, 50, 1);
	assert_int_equal(t.instants.len, 1);
	assert_int_equal(t.instants.items[0].heap, 150);
	assert_int_equal(t.instants.items[0].ticks, 2);
	assert_int_equal(t.len, 2);
	temporal_deinit(&t);
}

static void test_nothing(void **state)
{
	(void)state;
	struct temporal t;
	temporal_init(&t);
	temporal_end(&t);
	assert_int_equal(t.instants.len, 0);
	temporal_deinit(&t);
}

/* Too many entries: fewer slots, and what is left is still right (the sums are). */
static void test_many_rows_take_fewer_slots(void **state)
{
	(void)state;
	struct temporal t;
	uint64_t heap = 0, left = 0;
	temporal_init(&t);
	for (uint32_t ms = 0; ms < 250; ms++) {
		temporal_clock(&t, ms, ms, heap);
		for (uint32_t i = 0; i < 2000; i++) {
			uint32_t stamp = temporal_stamp(&t);
			heap += 8;
			temporal_heap(&t, ms, heap);
			if (i % 2)
				continue;
			temporal_survivor(&t, ms * 2000 + i, stamp, 8, 1);
			left += 8;
		}
	}
	temporal_end(&t);
	assert_false(t.failed);
	assert_in_range(t.instants.len, 8, 16);
	uint64_t sum = 0;
	for (size_t i = 0; i < t.cap; i++)
		sum += t.entries[i].key ? t.entries[i].bytes : 0;
	assert_int_equal(sum, left);
	temporal_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives_are_counted),
		cmocka_unit_test(test_one_slot_has_the_peak),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_many_rows_take_fewer_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
