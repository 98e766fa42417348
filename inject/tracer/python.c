/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/python.c - this thread's Python stack, read from the interpreter's own frames.
 * Knows: frame and code object layouts by the controller's table. Does not know: the Python API.
 * Called by the hooks; calls ring.c, and the interpreter's PyGILState_GetThisThreadState only.
 *
 * A thread that reads its own frame chain needs no lock, not even the GIL. As in native.c the last
 * stack is kept, root first, and two words a frame are proved: the link to the older frame, which
 * is that frame's address, and the instruction, which lies inside the code. Where it is an index
 * into the code instead, the code is proved, too. A word of an older frame is read only after the
 * younger frame's link was proved.
 *
 * Addresses prove nothing about a code object that was freed: the next of its size gets its place,
 * and its frame and names theirs, so that every word is the same. Hence the type's tp_dealloc is
 * hooked: what is known about a code object ends with it. */
#include "inject/tracer/event.h"

#define NAME_MAX_CHARS 4096u
#define LINE_TABLE_MAX (1u << 20)
#define CODE_PROBES 16u
#define CODE_GONE 0ull		/* fingerprint of an entry whose code object was freed */
#define CHUNK 2048u

static inline uint64_t load64(uint64_t address)
{
	return *(const uint64_t *)address;
}

static inline uint32_t load32(uint64_t address)
{
	return *(const uint32_t *)address;
}

/* ---- describing a code object ---- */

struct chunk_writer {
	struct thread *t;
	uint32_t id;
	uint64_t total, offset;
	bool failed;
};

static void chunk_bytes(struct chunk_writer *c, const uint8_t *data, uint64_t size)
{
	while (size && !c->failed) {
		uint32_t n = size < CHUNK ? (uint32_t)size : CHUNK;
		uint8_t *p = ring_reserve(c->t, 1 + 4 * VARINT_MAX + n + 8);
		if (!p) {
			c->failed = true;
			return;
		}
		*p++ = WIRE_REC_CODE;
		p = varint_put(p, c->id);
		p = varint_put(p, c->total);
		p = varint_put(p, c->offset);
		p = varint_put(p, n);
		__builtin_memcpy(p, data, n);
		ring_commit(c->t, c->t->ring, p + n);
		c->offset += n;
		data += n;
		size -= n;
	}
}

struct text {			/* bytes of a str or bytes object */
	const uint8_t *data;
	uint64_t size;
	uint8_t kind;
};

static struct text text_of_str(uint64_t object)
{
	const struct wire_python *py = &tracer.header->python;
	if (!object)
		return (struct text){ NULL, 0, 0 };
	uint32_t state = load32(object + py->str_state) >> py->str_kind_shift;
	uint32_t kind = state & 7;
	bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
	uint64_t length = load64(object + py->str_length);
	if (!compact || (kind != 1 && kind != 2 && kind != 4))
		return (struct text){ NULL, 0, 0 };
	if (length > NAME_MAX_CHARS)
		length = NAME_MAX_CHARS;
	uint64_t data = object + (ascii ? py->str_ascii_data : py->str_compact_data);
	return (struct text){ (const uint8_t *)data, length * kind, (uint8_t)(ascii ? 0 : kind) };
}

static struct text text_of_bytes(uint64_t object)
{
	const struct wire_python *py = &tracer.header->python;
	if (!object)
		return (struct text){ NULL, 0, 255 };
	uint64_t size = load64(object + py->bytes_size);
	if (size > LINE_TABLE_MAX)
		size = 0;	/* a cut table would give wrong lines */
	return (struct text){ (const uint8_t *)(object + py->bytes_data), size, 255 };
}

static uint8_t *text_head(uint8_t *p, const struct text *text)
{
	*p++ = text->kind;
	return varint_put(p, text->size);
}

static void describe_code(struct thread *t, uint64_t code, uint32_t id)
{
	const struct wire_python *py = &tracer.header->python;
	uint16_t name_field = py->code_qualname != WIRE_NO_FIELD ? py->code_qualname : py->code_name;
	const struct text texts[3] = {
		text_of_str(load64(code + py->code_filename)),
		text_of_str(load64(code + name_field)),
		text_of_bytes(load64(code + py->code_linetable)),
	};
	uint8_t heads[4][2 * VARINT_MAX + 8], *ends[4];
	ends[0] = varint_put(heads[0], load32(code + py->code_firstlineno));
	uint64_t traceable = 0;
	if (py->code_firsttraceable != WIRE_NO_FIELD)
		traceable = load32(code + py->code_firsttraceable) * 2ull;
	ends[0] = varint_put(ends[0], traceable);
	struct chunk_writer c = { .t = t, .id = id };
	c.total = (uint64_t)(ends[0] - heads[0]);
	for (int i = 0; i < 3; i++) {
		ends[i + 1] = text_head(heads[i + 1], &texts[i]);
		c.total += (uint64_t)(ends[i + 1] - heads[i + 1]) + texts[i].size;
	}
	chunk_bytes(&c, heads[0], (uint64_t)(ends[0] - heads[0]));
	for (int i = 0; i < 3; i++) {
		chunk_bytes(&c, heads[i + 1], (uint64_t)(ends[i + 1] - heads[i + 1]));
		chunk_bytes(&c, texts[i].data, texts[i].size);
	}
}

/* Where frees cannot be seen (the field was taken by somebody else), an entry is at least only good
 * while what it was made from is still there. Never CODE_GONE. */
static uint64_t code_fingerprint(uint64_t code)
{
	const struct wire_python *py = &tracer.header->python;
	uint64_t f = load64(code + py->code_filename);
	f = (f ^ f >> 29) * 0x9e3779b97f4a7c15ull + load64(code + py->code_name);
	f = (f ^ f >> 29) * 0x9e3779b97f4a7c15ull + load64(code + py->code_linetable);
	f = (f ^ f >> 29) * 0x9e3779b97f4a7c15ull + load32(code + py->code_firstlineno);
	return f | 1;
}

static uint32_t code_hash(uint64_t code)
{
	return (uint32_t)((code >> 4) * 0x9e3779b1u);
}

static uint32_t code_new_id(struct thread *t, struct wire_code *slot, uint64_t code,
			    uint64_t fingerprint)
{
	uint32_t id = __atomic_add_fetch((uint32_t *)&tracer.header->code_next_id, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->id, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->fingerprint, fingerprint, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->address, code, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->id, id, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->lock, 0, __ATOMIC_RELEASE);
	describe_code(t, code, id);
	return id;
}

static uint32_t code_id(struct thread *t, uint64_t code, uint64_t fingerprint)
{
	uint32_t h = code_hash(code);
	for (uint32_t i = 0; i < CODE_PROBES; i++) {
		struct wire_code *slot = &tracer.codes[(h + i) % WIRE_CODE_SLOTS];
		uint64_t address = __atomic_load_n(&slot->address, __ATOMIC_ACQUIRE);
		if (address == code &&
		    __atomic_load_n(&slot->fingerprint, __ATOMIC_RELAXED) == fingerprint) {
			uint32_t id = __atomic_load_n(&slot->id, __ATOMIC_ACQUIRE);
			return id ? id : WIRE_CODE_UNKNOWN;
		}
		if (address && address != code)
			continue;
		uint32_t unlocked = 0;
		if (!__atomic_compare_exchange_n(&slot->lock, &unlocked, 1, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED)) {
			i--;		/* being filled by another thread, for an instant */
			sys_call(SYS_sched_yield, 0, 0, 0, 0);
			continue;
		}
		if (__atomic_load_n(&slot->address, __ATOMIC_RELAXED) == address &&
		    __atomic_load_n(&slot->fingerprint, __ATOMIC_RELAXED) != fingerprint)
			return code_new_id(t, slot, code, fingerprint);
		__atomic_store_n(&slot->lock, 0, __ATOMIC_RELEASE);
		i--;			/* look again */
	}
	return WIRE_CODE_UNKNOWN;
}

void python_code_gone(uint64_t code)
{
	struct wire_code *first = tracer.codes;
	uint32_t h = code_hash(code);
	for (uint32_t i = 0; i < CODE_PROBES; i++) {
		struct wire_code *slot = &first[(h + i) % WIRE_CODE_SLOTS];
		uint64_t address = __atomic_load_n(&slot->address, __ATOMIC_ACQUIRE);
		if (!address)
			return;		/* never described: in no kept stack either */
		if (address != code)
			continue;
		__atomic_store_n(&slot->fingerprint, CODE_GONE, __ATOMIC_RELEASE);
		__atomic_add_fetch(&tracer.codes_gone, 1, __ATOMIC_RELEASE);
		return;
	}
}

/* ---- the frame chain ---- */

/* Up to 3.11 the answer above is about the main interpreter only. The thread state that holds the
 * GIL is this thread's when it says so; but it may be another's and freed at this moment, so the
 * kernel is asked to read it. Only where there are sub-interpreters. */
static __attribute__((noinline)) uint64_t holder_if_mine(uint64_t tstate)
{
	const struct wire_python *py = &tracer.header->python;
	uint64_t holder = load64(py->runtime + py->runtime_current), thread = 0, self;
	if (!holder || holder == tstate || tracer.header->options & WIRE_OPT_NO_PROBE)
		return tstate;
	if (tracer_read(holder + py->tstate_thread, &thread, sizeof(thread)) != (long)sizeof(thread))
		return tstate;
	__asm__("mov %%fs:0, %0" : "=r"(self));
	return thread == self ? holder : tstate;
}

static uint64_t current_tstate(void)
{
	const struct wire_python *py = &tracer.header->python;
	uint64_t (*get)(void) = (uint64_t (*)(void))py->get_thread_state;
	uint64_t tstate = get();
	if (likely(!py->runtime))
		return tstate;
	uint64_t interpreters = py->runtime + py->runtime_interpreters;
	bool several = load64(interpreters) != load64(interpreters + 8);	/* head, main */
	return unlikely(several) ? holder_if_mine(tstate) : tstate;
}

static uint64_t current_frame(uint64_t tstate)
{
	const struct wire_python *py = &tracer.header->python;
	if (!tstate)
		return 0;
	if (py->tstate_cframe != WIRE_NO_FIELD) {
		tstate = load64(tstate + py->tstate_cframe);
		if (!tstate)
			return 0;
	}
	return load64(tstate + py->tstate_frame);
}

static uint64_t frame_instr(uint64_t frame)
{
	const struct wire_python *py = &tracer.header->python;
	return py->instr_scale ? load32(frame + py->frame_instr) : load64(frame + py->frame_instr);
}

/* Where the instructions begin that this frame's thread runs. */
static uint64_t first_instr(uint64_t frame, uint64_t code)
{
	const struct wire_python *py = &tracer.header->python;
	int32_t copy = py->frame_tlbc != WIRE_NO_FIELD ? (int32_t)load32(frame + py->frame_tlbc) : 0;
	if (likely(copy <= 0))		/* 0: those in the code object itself */
		return code + py->code_first_instr;
	uint64_t copies = load64(code + py->code_tlbc);
	return copies && (uint64_t)copy < load64(copies) ? load64(copies + 8 + 8 * (uint64_t)copy) : 0;
}

/* `old`: what was kept of the frame at this address, or NULL. Its code has the number it had if it
 * is the same; the table of numbers is large, and seldom in a cache. */
static void frame_describe(struct thread *t, struct py_frame *f, const struct py_frame *old)
{
	const struct wire_python *py = &tracer.header->python;
	f->code = load64(f->frame + py->frame_code);
	uint64_t code = f->code & ~(uint64_t)py->frame_tag_mask;
	bool shim = py->owner_shim != WIRE_NO_SHIM && py->frame_owner != WIRE_NO_FIELD &&
		    *(const uint8_t *)(f->frame + py->frame_owner) >= py->owner_shim;
	f->code_id = 0;
	f->fingerprint = f->offset1 = 0;
	f->entry = false;
	if (shim || !code)
		return;
	f->entry = py->flags & WIRE_PYTHON_ALL_ENTRY ||
		   (py->frame_is_entry != WIRE_NO_FIELD &&
		    *(const uint8_t *)(f->frame + py->frame_is_entry));
	if (load64(code + py->object_type) == py->code_type) {
		f->fingerprint = code_fingerprint(code);
		f->code_id = old && old->code == f->code && old->fingerprint == f->fingerprint ?
				     old->code_id : code_id(t, code, f->fingerprint);
	} else {
		f->code_id = WIRE_CODE_UNKNOWN;
	}
	int64_t offset = py->instr_scale ? (int64_t)(int32_t)f->instr * py->instr_scale :
					   (int64_t)(f->instr - first_instr(f->frame, code));
	f->offset1 = offset < 0 ? 0 : (uint64_t)offset + 1;
}

static uint32_t py_hash(uint64_t frame)
{
	return (uint32_t)((frame >> 3) * 0x9e3779b1u) >> 24;
}

static void push_py(struct thread *t, const struct py_frame *f)
{
	const struct wire_python *py = &tracer.header->python;
	uint32_t i = t->py_depth;
	t->py_frames[i] = *f;
	t->py_proofs[i] = (struct py_proof){ load64(f->frame + py->frame_previous), f->instr };
	t->py_index[py_hash(f->frame)] = i + 1;
	t->py_depth = i + 1;
}

/* ---- frames that need no proof ----
 * In 3.11 and 3.12 a thread's frames lie in chunks of 16 KiB, and a chunk is unmapped as soon as its
 * first frame returns. So as long as nothing was unmapped since that frame was found in the stack, it
 * did not return, and all older ones are as they were: they wait for it. What is proved at each event
 * are the frames of the youngest chunk, however deep the stack is. The oldest chunk is never given
 * back and has no such frame. Who knows what allocates the chunks: this is believed from the moment on
 * when one was seen to go. */

#define CHUNK_HEAD 24u		/* previous, size, top */

/* All frames were found to hold, those below `kept` the same as before. */
static __attribute__((noinline)) void py_find_base(struct thread *t, uint64_t tstate, uint32_t kept)
{
	const struct wire_python *py = &tracer.header->python;
	uint64_t chunk = CHUNK_NONE;
	if (py->tstate_chunk != WIRE_NO_FIELD)
		chunk = tstate ? load64(tstate + py->tstate_chunk) : CHUNK_UNKNOWN;
	bool same = chunk == t->py_chunk;
	if (same && t->py_base && t->py_base < kept)
		return;
	t->py_chunk = chunk;
	t->py_base = 0;
	if (chunk <= CHUNK_NONE || !__atomic_load_n(&tracer.chunks_unmapped, __ATOMIC_RELAXED))
		return;
	for (uint32_t i = t->py_depth; i > (same ? kept : 0); i--)
		if (t->py_frames[i - 1].frame == chunk + CHUNK_HEAD) {
			t->py_base = i - 1;
			return;
		}
}

/* Where instructions are numbers the code object is compared, too: an address of one implies it. */
static int64_t py_first_changed_by_number(const struct thread *t, uint32_t c)
{
	const struct wire_python *py = &tracer.header->python;
	uint64_t frame = t->py_frames[c].frame;
	int64_t i = c;
	for (; i >= 0; frame = t->py_proofs[i--].previous)
		if (load32(frame + py->frame_instr) != t->py_proofs[i].instr ||
		    load64(frame + py->frame_previous) != t->py_proofs[i].previous ||
		    load64(frame + py->frame_code) != t->py_frames[i].code)
			break;
	return i;
}

/* The youngest frame from c on whose words changed, or -1. A frame may only be read when the link
 * of the younger one was found to lead there still. */
static int64_t py_first_changed(const struct thread *t, uint32_t c)
{
	const struct wire_python *py = &tracer.header->python;
	if (unlikely(py->instr_scale))
		return py_first_changed_by_number(t, c);
	uint64_t previous = py->frame_previous, instr = py->frame_instr;
	const struct py_proof *p = &t->py_proofs[c];
	uint64_t frame = t->py_frames[c].frame;
	uint64_t left = c >= t->py_base ? c - t->py_base + 1 : c + 1;
#define STEP									\
	if (unlikely(load64(frame + instr) != p->instr ||			\
		     load64(frame + previous) != p->previous))			\
		return p - t->py_proofs;					\
	frame = p->previous;							\
	p--
	/* The end is looked for once in eight frames: a quarter of the instructions. */
	for (; left >= 8; left -= 8) {
		STEP; STEP; STEP; STEP;
		STEP; STEP; STEP; STEP;
	}
	for (; left; left--) {
		STEP;
	}
#undef STEP
	return -1;
}

/* Is this kept frame what it was, as far as it goes? */
static bool py_frame_is(const struct py_frame *f, uint64_t frame)
{
	const struct wire_python *py = &tracer.header->python;
	return f->frame == frame && f->instr == frame_instr(frame) &&
	       (likely(!py->instr_scale) || f->code == load64(frame + py->frame_code));
}

struct py_walk {
	uint32_t kept, new_count, flags;
};

static bool py_room(struct thread *t, struct py_walk *w)
{
	if (likely(w->new_count < t->py_capacity && w->new_count < WIRE_PYTHON_DEPTH_MAX))
		return true;
	if (w->new_count < WIRE_PYTHON_DEPTH_MAX && thread_grow_python(t))
		return true;
	w->flags |= WIRE_STACK_TRUNCATED;
	return false;
}

/* `frame` is kept frame c. Proves what is older; else takes over as new the frames that are still
 * right and returns the first address to go on from, which is that of the frame c becomes. 0: all
 * proved. */
static uint64_t py_meet(struct thread *t, struct py_walk *w, uint32_t *c)
{
	int64_t j = py_first_changed(t, *c);
	if (likely(j < 0)) {
		w->kept = *c + 1;
		return 0;
	}
	for (int64_t i = *c; i > j; i--) {
		if (!py_room(t, w))
			return 0;
		t->py_scratch[w->new_count++] = t->py_frames[i];
	}
	*c = (uint32_t)j;
	return t->py_frames[j].frame;
}

static void py_walk_chain(struct thread *t, struct py_walk *w, uint64_t frame)
{
	const struct wire_python *py = &tracer.header->python;
	uint64_t limit = t->py_depth;	/* kept frames are only met in descending order */
	while (frame) {
		uint32_t c = t->py_index[py_hash(frame)] - 1;
		if (c < limit && py_frame_is(&t->py_frames[c], frame)) {
			limit = c;
			uint64_t next = py_meet(t, w, &c);
			if (!next)
				return;
			frame = next;
		}
		if (!py_room(t, w))
			return;
		const struct py_frame *old = c < t->py_depth ? &t->py_frames[c] : NULL;
		struct py_frame *f = &t->py_scratch[w->new_count++];
		f->frame = frame;
		f->instr = frame_instr(frame);
		frame_describe(t, f, old && old->frame == frame ? old : NULL);
		frame = load64(frame + py->frame_previous);
	}
}

static bool py_write(struct thread *t, const struct py_walk *w)
{
	uint32_t keep = w->kept, left = w->new_count;
	do {
		uint32_t n = left < WIRE_FRAMES_PER_RECORD / 2 ? left : WIRE_FRAMES_PER_RECORD / 2;
		uint8_t *p = ring_reserve(t, 1 + (3 + 2 * n) * VARINT_MAX + 8);
		if (!p)
			return false;
		*p++ = WIRE_REC_PYTHON;
		p = varint_put_small(p, keep);
		p = varint_put_small(p, w->flags << 1 | (left > n));
		p = varint_put_small(p, n);
		for (uint32_t i = 0; i < n; i++) {
			const struct py_frame *f = &t->py_scratch[--left];
			p = varint_put(p, (uint64_t)f->code_id << 1 | f->entry);
			p = varint_put(p, f->offset1);
		}
		ring_commit(t, t->ring, p);
		keep += n;
	} while (left);
	return true;
}

static __attribute__((noinline)) void python_changed(struct thread *t, uint64_t tstate, uint64_t frame)
{
	struct py_walk w = { 0 };
	py_walk_chain(t, &w, frame);
	if (w.kept)
		w.flags = t->py_flags;
	bool changed = w.new_count || w.kept != t->py_depth || w.flags != t->py_flags;
	if (likely(!changed && !t->py_resync))
		return;
	t->py_depth = w.kept;
	while (t->py_capacity < w.kept + w.new_count) {
		if (thread_grow_python(t))
			continue;
		w.kept = t->py_depth = 0;	/* too deep: the new ones are what counts */
		w.flags |= WIRE_STACK_TRUNCATED;
	}
	for (uint32_t i = w.new_count; i > 0; i--)
		push_py(t, &t->py_scratch[i - 1]);
	py_find_base(t, tstate, w.kept);
	t->py_flags = w.flags;
	if (unlikely(t->py_resync)) {
		w.kept = 0;
		w.new_count = t->py_depth;
		for (uint32_t i = 0; i < t->py_depth; i++)
			t->py_scratch[i] = t->py_frames[t->py_depth - 1 - i];
	}
	t->py_resync = !py_write(t, &w);
}

void python_capture(struct thread *t)
{
	const struct wire_python *py = &tracer.header->python;
	if (!__atomic_load_n(&py->version, __ATOMIC_ACQUIRE))	/* an interpreter may come later */
		return;
	uint32_t codes_gone = __atomic_load_n(&tracer.codes_gone, __ATOMIC_ACQUIRE);
	if (unlikely(t->codes_gone != codes_gone)) {
		t->codes_gone = codes_gone;
		t->py_resync |= t->py_depth != 0;
		t->py_depth = 0;
	}
	uint32_t unmaps = __atomic_load_n(&tracer.unmaps, __ATOMIC_ACQUIRE);
	if (unlikely(t->py_unmaps != unmaps)) {
		t->py_unmaps = unmaps;
		t->py_base = 0;
		t->py_chunk = CHUNK_UNKNOWN;
	}
	uint64_t tstate = current_tstate(), frame = current_frame(tstate);
	uint32_t top = t->py_depth - 1;
	if (likely(t->py_depth && frame && !t->py_resync) && py_frame_is(&t->py_frames[top], frame) &&
	    py_first_changed(t, top) < 0) {	/* the same stack again */
		if (unlikely(t->py_chunk == CHUNK_UNKNOWN))
			py_find_base(t, tstate, t->py_depth);
		return;
	}
	python_changed(t, tstate, frame);
}
