/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/ring.c - finds room in this thread's ring when the short way (event.h) has none.
 * Knows: the ring's positions, back-pressure. Does not know: what is written.
 * Called by the hooks and the stack readers; calls the kernel when the ring fills. */
#include "inject/tracer/event.h"

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

static uint64_t ring_head(const struct thread *t)
{
	return (uint64_t)t->at + t->head_bias;
}

static uint64_t ring_used(const struct thread *t)
{
	return ring_head(t) - __atomic_load_n((uint64_t *)&t->ring->tail, __ATOMIC_ACQUIRE);
}

static bool ring_has_room(const struct thread *t, uint64_t need)
{
	return ring_used(t) + need <= tracer.ring_size;
}

static bool ring_wait(struct thread *t, uint64_t need)
{
	struct wire_ring *ring = t->ring;
	/* It was told when the ring became full; a call of the kernel for each event that is
	 * dropped would cost the target more than the recording. */
	if (t->impatient)
		return false;
	tracer_wake_controller();
	if (tracer.header->options & WIRE_OPT_DROP)
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
	return room || ring_has_room(t, need);
}

static void ring_move(struct thread *t, uint64_t head)
{
	t->at = t->data + (head & (tracer.ring_size - 1));
	t->head_bias = head - (uint64_t)t->at;
}

/* A record lies in one piece: what is left at the end is passed over. */
uint8_t *ring_make_room(struct thread *t, uint32_t size)
{
	ring_move(t, ring_head(t));	/* from the end to the start, which is the same */
	t->room = t->at;
	uint64_t to_end = tracer.ring_size - (uint64_t)(t->at - t->data);
	uint64_t skipped = to_end < size ? to_end : 0;
	t->impatient = !ring_has_room(t, skipped + size) && !ring_wait(t, skipped + size);
	if (t->impatient)
		return NULL;
	if (skipped) {
		*t->at = WIRE_REC_PAD;
		ring_move(t, ring_head(t) + skipped);
		to_end = tracer.ring_size;
	}
	/* Half full tells a sleeping controller, once: the next look is at the half, or past it. */
	uint64_t used = ring_used(t), half = tracer.ring_size / 2;
	uint64_t run = tracer.ring_size - used;
	if (used + size > half)
		tracer_wake_controller();
	else
		run = half - used;
	t->room = t->at + (run < to_end ? run : to_end);
	return t->at;
}

__attribute__((cold)) uint8_t *event_put_wide(uint8_t *p, uint64_t time, uint64_t place)
{
	return varint_put(varint_put(p, time), place);
}

void event_drop(struct thread *t)
{
	struct wire_ring *ring = t->ring;
	if (!tracer_armed())	/* waited until the capture was over: not part of it */
		return;
	__atomic_store_n((uint64_t *)&ring->dropped, ring->dropped + 1, __ATOMIC_RELAXED);
	__atomic_store_n((uint64_t *)&ring->produced, ring->produced + 1, __ATOMIC_RELAXED);
}
