/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/thread.c - a thread's ring and caches, made at its first event.
 * Knows: rings, mmap. Does not know: what is recorded.
 * Called by the hooks; calls the kernel. */
#include "inject/tracer/proof.h"

#define FIRST_DEPTH 256u
#define PAGE 4096ull

/* ---- which thread is this? ---- */

#ifdef TRACER_NO_TLS

static inline uint64_t thread_pointer(void)
{
	uint64_t tp;
	__asm__("mov %%fs:0, %0" : "=r"(tp));	/* the block's first word is its address */
	return tp;
}

/* A thread pointer serves one thread after another; their ids tell them apart. */
static inline uint32_t thread_id(uint64_t tp)
{
	if (unlikely(!tracer.tid_offset))
		return (uint32_t)sys_call(SYS_gettid, 0, 0, 0, 0);
	return __atomic_load_n((uint32_t *)(tp + tracer.tid_offset), __ATOMIC_RELAXED);
}

static inline struct thread_entry *entry_at(uint64_t tp, uint32_t probe)
{
	uint64_t hash = (tp >> 4) * 0x9e3779b97f4a7c15ull >> 32;
	return &tracer.entries[(hash + probe) & tracer.entry_mask];
}

static inline bool ring_is_of(const struct thread *t, uint32_t tid)
{
	const struct wire_ring *ring = t ? t->ring : NULL;
	return ring && ring->tid == tid &&
	       __atomic_load_n((uint32_t *)&ring->state, __ATOMIC_ACQUIRE) == WIRE_RING_OWNED;
}

struct thread *thread_self(void)
{
	uint64_t tp = thread_pointer();
	for (uint32_t i = 0; i < THREAD_PROBES; i++) {
		struct thread_entry *e = entry_at(tp, i);
		uint64_t owner = __atomic_load_n(&e->owner, __ATOMIC_RELAXED);
		if (likely(owner == tp)) {
			uint32_t tid = thread_id(tp);
			return likely(e->tid == tid && ring_is_of(e->thread, tid)) ? e->thread : NULL;
		}
		if (!owner)
			return NULL;
	}
	return NULL;
}

/* Takes this thread's entry: the one of its pointer, else a free one or one of a thread that is
 * dead. False: all near ones are in use. */
static bool thread_remember(struct thread *t)
{
	uint64_t tp = thread_pointer();
	struct thread_entry *e = NULL;
	for (uint32_t i = 0; i < THREAD_PROBES && !e; i++)
		if (__atomic_load_n(&entry_at(tp, i)->owner, __ATOMIC_RELAXED) == tp)
			e = entry_at(tp, i);
	for (uint32_t i = 0; i < THREAD_PROBES && !e; i++) {
		struct thread_entry *other = entry_at(tp, i);
		uint64_t owner = __atomic_load_n(&other->owner, __ATOMIC_RELAXED);
		if (owner && ring_is_of(other->thread, other->tid))
			continue;
		if (__atomic_compare_exchange_n(&other->owner, &owner, tp, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			e = other;
	}
	if (!e)
		return false;
	e->thread = t;
	e->tid = t->ring->tid;
	return true;
}

#else

__thread struct thread *tracer_self __attribute__((tls_model("initial-exec")));

static bool thread_remember(struct thread *t)
{
	tracer_self = t;
	return true;
}

#endif

/* ---- its ring ---- */

/* Low rings first: what is touched once stays touched. */
static void note_ring_used(struct wire_header *h, uint32_t slot)
{
	uint32_t high = __atomic_load_n((uint32_t *)&h->ring_high, __ATOMIC_RELAXED);
	while (high <= slot && !__atomic_compare_exchange_n((uint32_t *)&h->ring_high, &high, slot + 1,
							    false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	__atomic_store_n((uint32_t *)&h->ring_hint, slot + 1, __ATOMIC_RELAXED);
}

static void read_name(struct wire_ring *ring)
{
	uint64_t name[2] = { 0, 0 };
	if (tracer.header->options & WIRE_OPT_NO_PROBE)
		return;
	sys_call(SYS_prctl, PR_GET_NAME, name, 0, 0);
	for (int i = 0; i < 2; i++)
		if (__atomic_load_n((uint64_t *)&ring->name[i], __ATOMIC_RELAXED) != name[i])
			__atomic_store_n((uint64_t *)&ring->name[i], name[i], __ATOMIC_RELAXED);
}

/* Most threads that get a name get it in their beginning. A look takes 0.1 us: at each of the first
 * allocations, later at every 50th, but not before 0.1 ms have passed. */
#define NAME_LOOKS_FIRST 32u
#define NAME_EVENTS 50u
#define NAME_TICKS (1u << 18)

void thread_look_at_name(struct thread *t, uint64_t now)
{
	bool first = t->name_looks < NAME_LOOKS_FIRST;
	t->name_left = first ? 1 : NAME_EVENTS;
	if (now < t->name_due)
		return;
	t->name_looks += first;
	t->name_due = first ? 0 : now + NAME_TICKS;
	read_name(t->ring);
}

static struct wire_ring *ring_take(uint32_t *slot_ret)
{
	struct wire_header *h = tracer.header;
	uint32_t start = __atomic_load_n((uint32_t *)&h->ring_hint, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < h->ring_count; i++) {
		uint32_t slot = (start + i) % h->ring_count;
		struct wire_ring *ring = &tracer.rings[slot];
		uint32_t expected = WIRE_RING_FREE;
		if (__atomic_load_n((uint32_t *)&ring->state, __ATOMIC_RELAXED) != WIRE_RING_FREE)
			continue;
		/* The id goes in before the ring is seen as owned: the controller asks the kernel
		 * whether that thread lives. A loser of the race overwrites nothing: it is only
		 * written by whoever takes the ring. */
		if (__atomic_compare_exchange_n((uint32_t *)&ring->state, &expected,
						WIRE_RING_TAKING, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			note_ring_used(h, slot);
			ring->tid = (uint32_t)sys_call(SYS_gettid, 0, 0, 0, 0);
			read_name(ring);
			__atomic_fetch_add((uint32_t *)&h->ring_owners, 1, __ATOMIC_RELEASE);
			__atomic_store_n((uint32_t *)&ring->state, WIRE_RING_OWNED, __ATOMIC_RELEASE);
			*slot_ret = slot;
			return ring;
		}
	}
	return NULL;
}

static void *map_wiped(size_t size)
{
	void *p = sys_map(size);
	if (p && sys_call(SYS_madvise, p, size, MADV_WIPEONFORK, 0) < 0) {
		sys_call(SYS_munmap, p, size, 0, 0);
		return NULL;
	}
	return p;
}

static size_t native_bytes(uint32_t capacity)
{
	return (1 + 2 * (size_t)capacity) * sizeof(struct frame) +
	       (PAIR_BATCH + 3 * (size_t)capacity) * sizeof(struct pair) +
	       (TWIN_BATCH + (size_t)capacity) * sizeof(struct twin);
}

static size_t python_bytes(uint32_t capacity)
{
	return capacity * (2 * sizeof(struct py_frame) + sizeof(struct py_proof));
}

/* What stands before the arrays. */
static void put_ends(struct frame *frames, struct pair *pairs, struct twin *twins)
{
	static const uint64_t zero[2];
	frames[-1] = (struct frame){ .sp = ~0ull };
	for (int i = 1; i <= (int)PAIR_BATCH; i++)
		pairs[-i] = (struct pair){ .address = (uint64_t)zero };
	for (int i = 1; i <= (int)TWIN_BATCH; i++)
		twins[-i] = (struct twin){ .address = (uint64_t)zero };
}

/* The frames kept so far move; scratch too, it may be in use. */
bool thread_grow_native(struct thread *t)
{
	uint32_t capacity = t->capacity ? t->capacity * 2 : FIRST_DEPTH;
	if (capacity > WIRE_NATIVE_DEPTH_MAX)
		return false;
	uint8_t *p = map_wiped(native_bytes(capacity));
	if (!p)
		return false;
	struct frame *frames = (struct frame *)p + 1, *scratch = frames + capacity;
	struct pair *pairs = (struct pair *)(scratch + capacity) + PAIR_BATCH;
	struct twin *twins = (struct twin *)(pairs + 3 * (size_t)capacity) + TWIN_BATCH;
	put_ends(frames, pairs, twins);
	if (t->frames) {
		__builtin_memcpy(frames, t->frames, t->capacity * sizeof(*frames));
		__builtin_memcpy(scratch, t->scratch, t->capacity * sizeof(*scratch));
		__builtin_memcpy(pairs, t->pairs, 3 * (size_t)t->capacity * sizeof(*pairs));
		__builtin_memcpy(twins, t->twins, t->capacity * sizeof(*twins));
		sys_call(SYS_munmap, t->frames - 1, native_bytes(t->capacity), 0, 0);
	}
	t->frames = frames;
	t->scratch = scratch;
	t->pairs = pairs;
	t->twins = twins;
	t->capacity = capacity;
	return true;
}

bool thread_grow_python(struct thread *t)
{
	uint32_t capacity = t->py_capacity ? t->py_capacity * 2 : FIRST_DEPTH;
	if (capacity > WIRE_PYTHON_DEPTH_MAX)
		return false;
	uint8_t *p = map_wiped(python_bytes(capacity));
	if (!p)
		return false;
	struct py_frame *frames = (struct py_frame *)p, *scratch = frames + capacity;
	struct py_proof *proofs = (struct py_proof *)(scratch + capacity);
	if (t->py_frames) {
		__builtin_memcpy(frames, t->py_frames, t->py_capacity * sizeof(*frames));
		__builtin_memcpy(scratch, t->py_scratch, t->py_capacity * sizeof(*scratch));
		__builtin_memcpy(proofs, t->py_proofs, t->py_capacity * sizeof(*proofs));
		sys_call(SYS_munmap, t->py_frames, python_bytes(t->py_capacity), 0, 0);
	}
	t->py_frames = frames;
	t->py_scratch = scratch;
	t->py_proofs = proofs;
	t->py_capacity = capacity;
	return true;
}

/* A ring that had an owner before keeps its counters and position; the reader starts a new owner
 * with empty stacks and zero deltas (it sees the generation). */
static void thread_reset(struct thread *t, struct wire_ring *ring, uint32_t slot)
{
	t->ring = ring;
	t->slot = slot;
	t->data = tracer.base + tracer.header->ring_data_offset + slot * tracer.ring_size;
	t->at = t->room = t->data;
	t->head_bias = __atomic_load_n((uint64_t *)&ring->head, __ATOMIC_RELAXED) - (uint64_t)t->at;
	t->last_ticks = t->last_pointer = t->last_pc = 0;
	t->name_due = tracer.header->options & WIRE_OPT_NO_PROBE ? ~0ull : 0;
	t->name_looks = 0;
	t->name_left = 1;
	t->generation = 0;
	t->impatient = t->plain = false;
	t->good_start = t->good_end = 0;
	t->unmaps = __atomic_load_n(&tracer.unmaps, __ATOMIC_ACQUIRE);
	t->depth = t->py_depth = t->py_base = 0;
	t->py_chunk = CHUNK_UNKNOWN;
	t->native_flags = t->py_flags = 0;
	t->native_resync = t->py_resync = false;
	__builtin_memset(t->py_index, 0, sizeof(t->py_index));
	sample_begin(t);
}

static struct thread *thread_create(uint32_t slot)
{
	struct thread *t = map_wiped(sizeof(*t));
	if (!t)
		return NULL;
	if (!thread_grow_native(t) || !thread_grow_python(t)) {
		sys_call(SYS_munmap, t, sizeof(*t), 0, 0);
		return NULL;
	}
	tracer.local->threads[slot] = t;
	return t;
}

struct thread *thread_register(void)
{
	struct local *local = tracer.local;
	if (!local || (unlikely(!local->alive) && !tracer_join_family()) || !tracer_armed())
		return NULL;
	uint32_t slot = 0;
	struct wire_ring *ring = ring_take(&slot);
	struct thread *t = ring ? local->threads[slot] : NULL;
	if (ring && !t)
		t = thread_create(slot);
	if (t) {
		thread_reset(t, ring, slot);
		if (!thread_remember(t))
			t = NULL;
	}
	if (!t) {
		if (ring)
			__atomic_store_n((uint32_t *)&ring->state, WIRE_RING_FREE, __ATOMIC_RELEASE);
		__atomic_fetch_add((uint64_t *)&tracer.header->unringed, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	return t;
}

/* Neighbours go in one call: each takes the lock of the whole address space, for which thousands of
 * threads stand in line. */
struct run {
	uint64_t start, end;
};

static void unmap_run(struct run *run)
{
	if (run->end > run->start)
		sys_call(SYS_munmap, run->start, run->end - run->start, 0, 0);
	run->start = run->end = 0;
}

static void unmap_with(struct run *run, const void *p, size_t size)
{
	uint64_t start = (uint64_t)p, end = (start + size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	if (end == run->start) {
		run->start = start;
	} else if (start == run->end) {
		run->end = end;
	} else {
		unmap_run(run);
		*run = (struct run){ start, end };
	}
}

void threads_unmap(void)
{
	struct local *local = tracer.local;
	struct run run = { 0, 0 };
	for (uint32_t i = 0; i < tracer.header->ring_count; i++) {
		struct thread *t = local->threads[i];
		if (!t)
			continue;
		struct { const void *p; size_t size; } parts[] = {
			{ t, sizeof(*t) },
			{ t->frames - 1, native_bytes(t->capacity) },
			{ t->py_frames, python_bytes(t->py_capacity) },
		};
		/* Its own memory is gone with the first of them. */
		for (uint32_t k = 0; k < 3; k++)
			unmap_with(&run, parts[k].p, parts[k].size);
	}
	unmap_run(&run);
}
