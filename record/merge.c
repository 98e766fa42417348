/* SPDX-License-Identifier: Apache-2.0 */
/* record/merge.c - merges rings by time.
 * Knows: the next time of each ring. Does not know: what events are.
 * Called by record/recorder.c. */
#include "record/merge.h"

#include <stdlib.h>

struct mt_error *merge_init(struct merge *m, uint32_t rings)
{
	*m = (struct merge){ .cap = rings };
	m->heap = calloc(rings ? rings : 1, sizeof(*m->heap));
	return m->heap ? NULL : &mt_enomem;
}

void merge_deinit(struct merge *m)
{
	free(m->heap);
	m->heap = NULL;
}

static void sift_down(struct merge *m, uint32_t i)
{
	struct merge_entry e = m->heap[i];
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= m->len)
			break;
		if (child + 1 < m->len && m->heap[child + 1].ticks < m->heap[child].ticks)
			child++;
		if (m->heap[child].ticks >= e.ticks)
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = e;
}

static void sift_up(struct merge *m, uint32_t i)
{
	struct merge_entry e = m->heap[i];
	while (i && m->heap[(i - 1) / 2].ticks > e.ticks) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = e;
}

void merge_add(struct merge *m, struct ring_reader *r, uint64_t idle_since)
{
	bool busy = !idle_since;
	if (m->len == m->cap || (!r->has_next && !busy))
		return;
	/* Inside a stamp: not earlier than what it published last. */
	uint64_t ticks = r->has_next ? r->next.ticks : r->ticks;
	m->heap[m->len] = (struct merge_entry){ ticks, r, busy };
	sift_up(m, m->len++);
}

struct ring_reader *merge_first(const struct merge *m, uint64_t until)
{
	if (!m->len || m->heap[0].ticks > until || !m->heap[0].reader->has_next)
		return NULL;
	return m->heap[0].reader;
}

void merge_again(struct merge *m, struct ring_reader *r)
{
	struct merge_entry *first = &m->heap[0];
	if (r->has_next) {
		first->ticks = r->next.ticks;
	} else if (first->busy) {
		first->ticks = r->ticks;
	} else {
		m->heap[0] = m->heap[--m->len];
		if (!m->len)
			return;
	}
	sift_down(m, 0);
}
