/* SPDX-License-Identifier: Apache-2.0 */
/* record/merge.h - the order in which rings give their events: a heap by time.
 *
 * A ring without an event ahead is in the heap too while its thread is busy: with the time before
 * which it cannot publish anything more. When such a ring comes first, nothing later may be written
 * yet. */
#ifndef MT_RECORD_MERGE_H
#define MT_RECORD_MERGE_H

#include "record/ring_reader.h"

struct merge {
	struct merge_entry {
		uint64_t ticks;
		struct ring_reader *reader;
		bool busy;
	} *heap;
	uint32_t len, cap;
};

struct mt_error *merge_init(struct merge *m, uint32_t rings) MT_MUST_CHECK;
void merge_deinit(struct merge *m);
static inline void merge_clear(struct merge *m)
{
	m->len = 0;
}
/* `idle_since` is not 0 for a thread that was not busy then. */
void merge_add(struct merge *m, struct ring_reader *r, uint64_t idle_since);
/* The ring whose next event is due, not later than `until`; NULL: none may be written now. */
struct ring_reader *merge_first(const struct merge *m, uint64_t until);
/* Up to when the first ring's events come before those of all others; not later than `until`. */
static inline uint64_t merge_run(const struct merge *m, uint64_t until)
{
	for (uint32_t i = 1; i < 3 && i < m->len; i++)
		if (m->heap[i].ticks < until)
			until = m->heap[i].ticks;
	return until;
}
/* Events of the first ring were taken and the ring advanced. */
void merge_again(struct merge *m, struct ring_reader *r);

#endif
