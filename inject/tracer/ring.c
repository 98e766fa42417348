/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/ring.c - writes records into this thread's ring.
 * Knows: the record format, back-pressure. Does not know: stacks.
 * Called by the hooks and the stack readers; calls the kernel only when the ring is full. */
#include "base/varint.h"
#include "inject/tracer/tracer.h"

/* A controller that is alive but does not drain (stopped, a disk that hangs) may hold a thread
 * this long once without a sign of life; from then on the thread drops until it sees room again. */
#define PATIENCE_NS 500000000ll
#define WAIT_SLICE_NS 10000000ll

void tracer_wake_controller(void)
{
	struct wire_header *h = tracer.header;
	__atomic_fetch_add((uint32_t *)&h->wake, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n((uint32_t *)&h->asleep, __ATOMIC_SEQ_CST))
		sys_call(SYS_futex, &h->wake, FUTEX_WAKE, 1, 0);
}

static bool ring_has_room(struct thread *t, uint64_t need)
{
	t->tail_seen = __atomic_load_n((uint64_t *)&t->ring->tail, __ATOMIC_ACQUIRE);
	return t->head + need - t->tail_seen <= tracer.ring_size;
}

static bool ring_wait(struct thread *t, uint64_t need)
{
	struct wire_ring *ring = t->ring;
	if (ring_has_room(t, need)) {
		t->impatient = false;
		return true;
	}
	tracer_wake_controller();
	if (tracer.header->options & WIRE_OPT_DROP || t->impatient)
		return false;
	__atomic_fetch_add((uint64_t *)&ring->waits, 1, __ATOMIC_RELAXED);
	uint64_t begin = sys_ticks(), drained = 0;
	bool room = false;
	for (int64_t waited = 0; tracer_armed() && waited < PATIENCE_NS; waited += WAIT_SLICE_NS) {
		uint64_t progress = __atomic_load_n((uint64_t *)&tracer.header->drained, __ATOMIC_RELAXED);
		if (progress != drained)
			waited = 0;
		drained = progress;
		uint32_t seen = __atomic_load_n((uint32_t *)&ring->full_wait, __ATOMIC_SEQ_CST);
		room = ring_has_room(t, need);
		if (room)
			break;
		struct sys_timespec ts = { 0, WAIT_SLICE_NS };
		sys_call(SYS_futex, &ring->full_wait, FUTEX_WAIT, seen, &ts);
		tracer_wake_controller();
	}
	__atomic_fetch_add((uint64_t *)&ring->wait_ticks, sys_ticks() - begin, __ATOMIC_RELAXED);
	if (!room)
		room = ring_has_room(t, need);
	t->impatient = !room;
	return room;
}

uint8_t *ring_reserve(struct thread *t, uint32_t size)
{
	uint64_t at = t->head & (tracer.ring_size - 1), to_end = tracer.ring_size - at;
	uint64_t need = size;
	if (unlikely(to_end < size))
		need += to_end;
	if (unlikely(t->head + need - t->tail_seen > tracer.ring_size) && !ring_wait(t, need))
		return NULL;
	if (unlikely(to_end < size)) {
		t->data[at] = WIRE_REC_PAD;
		t->head += to_end;
		at = 0;
	}
	return t->data + at;
}

void ring_commit(struct thread *t, uint8_t *end)
{
	uint64_t at = t->head & (tracer.ring_size - 1);
	uint64_t used = (uint64_t)(end - (t->data + at));
	uint64_t before = t->head - t->tail_seen;
	t->head += used;
	__atomic_store_n((uint64_t *)&t->ring->head, t->head, __ATOMIC_RELEASE);
	/* Half full by what was last seen of the tail: tell a sleeping controller, once. */
	uint64_t half = tracer.ring_size / 2;
	if (unlikely(before < half && before + used >= half)) {
		t->tail_seen = __atomic_load_n((uint64_t *)&t->ring->tail, __ATOMIC_ACQUIRE);
		if (t->head - t->tail_seen >= half)
			tracer_wake_controller();
	}
}

void event_write(struct thread *t, const struct event *ev)
{
	struct wire_ring *ring = t->ring;
	uint8_t *p = ring_reserve(t, 1 + 3 * VARINT_MAX + 8);
	if (unlikely(!p)) {
		if (!tracer_armed())	/* waited until the capture was over: not part of it */
			return;
		__atomic_store_n((uint64_t *)&ring->dropped, ring->dropped + 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n((uint64_t *)&ring->produced, ring->produced + 1, __ATOMIC_RELAXED);
	if (unlikely(!p))
		return;
	int64_t delta = (int64_t)(ev->pointer - t->last_pointer);
	uint8_t *tag = p++;
	uint8_t aligned = 0;
	if (likely(!(delta & 15))) {
		delta >>= 4;
		aligned = WIRE_TAG_ALIGNED;
	}
	*tag = ev->kind | aligned;
	/* A block's release and its reuse may carry stamps of before and after in either order of
	 * writing (realloc): the delta is signed. */
	p = varint_put(p, varint_zigzag((int64_t)(ev->ticks - t->last_ticks)));
	p = varint_put(p, varint_zigzag(delta));
	if (ev->has_size)
		p = varint_put(p, ev->size);
	t->last_ticks = ev->ticks;
	t->last_pointer = ev->pointer;
	ring_commit(t, p);
}
