/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/event.h - the short way of a record into this thread's ring.
 * Knows: the record format, where the ring may be written. Does not know: waiting, waking.
 *
 *	uint8_t *p = ring_reserve(t, size);	NULL: no room, drop
 *	...write at most size bytes...
 *	ring_commit(t, t->ring, p);		published with one store */
#ifndef MT_TRACER_EVENT_H
#define MT_TRACER_EVENT_H

#include "base/varint.h"
#include "inject/tracer/tracer.h"

#define EVENT_BYTES_MAX (1 + 3 * VARINT_MAX + 8)

static inline uint8_t *ring_reserve(struct thread *t, uint32_t size)
{
	if (likely((size_t)(t->room - t->at) >= size))
		return t->at;
	return ring_make_room(t, size);
}

static inline void ring_commit(struct thread *t, struct wire_ring *ring, uint8_t *end)
{
	t->at = end;
	__atomic_store_n((uint64_t *)&ring->head, (uint64_t)end + t->head_bias, __ATOMIC_RELEASE);
}

/* Counts that are nearly always small. */
static inline uint8_t *varint_put_small(uint8_t *p, uint64_t v)
{
	if (unlikely(v > 127))
		return varint_put(p, v);
	*p = (uint8_t)(v << 1 | 1);
	return p + 1;
}

static inline void count_event(struct wire_ring *ring)
{
	__atomic_store_n((uint64_t *)&ring->produced, ring->produced + 1, __ATOMIC_RELAXED);
}

/* A block's release and its reuse may carry stamps of before and after in either order of writing
 * (realloc): the time delta is signed. */
static inline __attribute__((always_inline)) void event_write(struct thread *t, uint8_t kind,
							      uint64_t ticks, uint64_t pointer,
							      bool has_size, uint64_t size)
{
	if (unlikely((size_t)(t->room - t->at) < EVENT_BYTES_MAX) &&
	    !ring_make_room(t, EVENT_BYTES_MAX)) {
		event_drop(t);
		return;
	}
	struct wire_ring *ring = t->ring;
	uint8_t *p = t->at;
	int64_t delta = (int64_t)(pointer - t->last_pointer);
	unsigned aligned = !(delta & 15);
	uint64_t time = varint_zigzag((int64_t)(ticks - t->last_ticks));
	uint64_t place = varint_zigzag(delta >> aligned * 4);
	t->last_ticks = ticks;
	t->last_pointer = pointer;
	*p++ = (uint8_t)(kind | aligned * WIRE_TAG_ALIGNED);
	if (unlikely((time | place | (has_size ? size : 0)) >> 56)) {
		p = event_put_wide(p, time, place);
		if (has_size)
			p = varint_put(p, size);
	} else {
		p = varint_put_fitting(varint_put_fitting(p, time), place);
		if (has_size)
			p = varint_put_fitting(p, size);
	}
	count_event(ring);
	ring_commit(t, ring, p);
}

#endif
