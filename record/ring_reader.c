/* SPDX-License-Identifier: Apache-2.0 */
/* record/ring_reader.c - decodes one thread's ring.
 * Knows: the record format of capture/wire.h. Does not know: other rings, files.
 * Called by record/recorder.c; calls record/intern.h and record/code.h. */
#include "record/ring_reader.h"

#include "base/cursor.h"

#include <stdatomic.h>
#include <string.h>

/* Everything a record takes is inlined into two loops, of which one has instructions that make of a
 * varint three of them. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

void ring_reader_start(struct ring_reader *r, uint32_t thread)
{
	r->position = atomic_load_explicit(&r->ring->tail, memory_order_relaxed);
	r->ticks = r->pointer = r->pc = 0;
	r->native.len = r->python.len = 0;
	r->native_flags = r->python_flags = r->stack = 0;
	r->python_shim = false;
	r->thread = thread;
	r->tid = r->ring->tid;
	memset(r->name, 0, sizeof(r->name));
	r->owned = true;
	r->damaged = r->has_next = false;
}

void ring_reader_deinit(struct ring_reader *r)
{
	mt_array_deinit(&r->native);
	mt_array_deinit(&r->python);
}

void ring_reader_release(struct ring_reader *r)
{
	atomic_store_explicit(&r->ring->tail, r->position, memory_order_release);
}

/* One past the last frame kept; false: the record does not fit the stack. */
static bool stack_keep(uint32_t *len, uint64_t keep)
{
	if (keep > *len)
		return false;
	*len = (uint32_t)keep;
	return true;
}

struct stack_head {
	uint64_t keep, flags, count;
};

static ALWAYS_INLINE struct stack_head take_head(struct mt_cursor *c)
{
	struct stack_head h;
	h.keep = mt_cursor_varint(c);
	h.flags = mt_cursor_varint(c) >> 1;
	h.count = mt_cursor_varint(c);
	if (h.count > WIRE_FRAMES_PER_RECORD)
		c->failed = true;
	return h;
}

static ALWAYS_INLINE struct mt_error *read_native(struct ring_reader *r, struct mt_cursor *c, struct intern *in)
{
	struct stack_head h = take_head(c);
	uint32_t len = (uint32_t)r->native.len;
	if (c->failed || !stack_keep(&len, h.keep)) {
		c->failed = true;
		return NULL;
	}
	r->native.len = len;
	r->native_flags = (uint32_t)h.flags;
	r->stack = 0;
	if (!mt_array_reserve(&r->native, len + h.count))
		return &mt_enomem;
	uint32_t node = len ? r->native.items[len - 1] : 0;
	for (uint64_t i = 0; i < h.count && !c->failed; i++) {
		r->pc += (uint64_t)mt_cursor_svarint(c);
		struct mt_error *err = intern_native(in, node, r->pc, &node);
		if (err)
			return err;
		r->native.items[r->native.len++] = node;
	}
	return NULL;
}

/* Shims take a place in the stack, as the tracer counts them, but no node. */
static ALWAYS_INLINE struct mt_error *read_python(struct ring_reader *r, struct mt_cursor *c, struct intern *in)
{
	struct stack_head h = take_head(c);
	uint32_t len = (uint32_t)r->python.len;
	if (c->failed || !stack_keep(&len, h.keep)) {
		c->failed = true;
		return NULL;
	}
	r->python.len = len;
	r->python_flags = (uint32_t)h.flags;
	r->stack = 0;
	if (!mt_array_reserve(&r->python, len + h.count))
		return &mt_enomem;
	uint32_t node = len ? r->python.items[len - 1] : 0;
	bool shim = len > 1 ? node == r->python.items[len - 2] : len && !node;
	for (uint64_t i = 0; i < h.count && !c->failed; i++) {
		uint64_t code_entry = mt_cursor_varint(c), offset1 = mt_cursor_varint(c);
		uint32_t code = (uint32_t)(code_entry >> 1);
		if (code) {
			struct mt_error *err = intern_python(in, node, code, shim || (code_entry & 1),
							     offset1, &node);
			if (err)
				return err;
		}
		shim = !code;
		r->python.items[r->python.len++] = node;
	}
	return NULL;
}

static struct mt_error *read_code(struct mt_cursor *c, struct codes *codes)
{
	uint64_t id = mt_cursor_varint(c), total = mt_cursor_varint(c), offset = mt_cursor_varint(c);
	uint64_t size = mt_cursor_varint(c);
	const void *bytes = mt_cursor_bytes(c, size);
	if (!bytes)
		return NULL;
	return codes_chunk(codes, (uint32_t)id, total, offset, bytes, size);
}

static bool kind_is_event(uint8_t kind)
{
	const uint32_t mask = (2u << WIRE_REC_PYMALLOC_REALLOC) - (1u << WIRE_REC_MALLOC) +
			      (2u << WIRE_REC_PYMALLOC_FREE) - (1u << WIRE_REC_FREE);
	return kind < WIRE_REC_LIMIT && mask >> kind & 1;
}

/* The stacks as they stand now. */
static struct mt_error *current_stack(struct ring_reader *r, struct intern *in)
{
	if (!r->native.len && !r->python.len && !r->native_flags)
		return NULL;
	uint32_t native = r->native.len ? r->native.items[r->native.len - 1] : 0;
	uint32_t python = r->python.len ? r->python.items[r->python.len - 1] : 0;
	return intern_stack(in, native, python, r->native_flags | r->python_flags << 4, &r->stack);
}

static ALWAYS_INLINE struct mt_error *set_event(struct ring_reader *r, uint8_t tag, uint64_t time,
					 uint64_t delta, uint64_t size, struct intern *in)
{
	uint8_t kind = tag & WIRE_TAG_MASK;
	r->ticks += (uint64_t)varint_unzigzag(time);
	r->pointer += (uint64_t)varint_unzigzag(delta) << (tag & WIRE_TAG_ALIGNED ? 4 : 0);
	r->has_next = true;
	r->next = (struct capture_event){ .ticks = r->ticks, .address = r->pointer, .size = size,
					  .thread = r->thread, .kind = kind };
	if (!capture_kind_allocates(kind))
		return NULL;
	struct mt_error *err = r->stack ? NULL : current_stack(r, in);
	r->next.stack = r->stack;
	return err;
}

static ALWAYS_INLINE struct mt_error *read_event(struct ring_reader *r, struct mt_cursor *c, uint8_t tag,
				   struct intern *in)
{
	uint64_t time = mt_cursor_varint(c), delta = mt_cursor_varint(c), size = 0;
	if (capture_kind_has_size(tag & WIRE_TAG_MASK))
		size = mt_cursor_varint(c);
	return c->failed ? NULL : set_event(r, tag, time, delta, size, in);
}

static ALWAYS_INLINE struct mt_error *read_record(struct ring_reader *r, struct mt_cursor *c, uint8_t tag,
				    struct intern *in, struct codes *codes)
{
	switch (tag) {
	case WIRE_REC_NATIVE:
		return read_native(r, c, in);
	case WIRE_REC_PYTHON:
		return read_python(r, c, in);
	case WIRE_REC_CODE:
		return read_code(c, codes);
	default:
		if (!kind_is_event(tag & WIRE_TAG_MASK)) {
			c->failed = true;
			return NULL;
		}
		return read_event(r, c, tag, in);
	}
}

#define EVENT_MAX (1 + 3 * VARINT_MAX)

/* One record, checked byte by byte. */
static ALWAYS_INLINE struct mt_error *step(struct ring_reader *r, const uint8_t *p, uint64_t left,
			     struct intern *in, struct codes *codes)
{
	struct mt_cursor c = mt_cursor_make(p, left);
	struct mt_error *err = read_record(r, &c, mt_cursor_u8(&c), in, codes);
	if (err)
		return err;
	if (c.failed) {
		r->damaged = true;	/* the target wrote over its ring */
		r->has_next = false;
		return NULL;
	}
	r->position += mt_cursor_offset(&c);
	return NULL;
}

static ALWAYS_INLINE struct mt_error *advance(struct ring_reader *r, struct intern *in, struct codes *codes)
{
	r->has_next = false;
	while (r->position < r->limit && !r->has_next && !r->damaged) {
		uint64_t at = r->position & (r->size - 1);
		uint64_t left = r->limit - r->position, to_end = r->size - at;
		const uint8_t *p = r->data + at;
		uint8_t tag = *p;
		struct mt_error *err;
		if (to_end < left)
			left = to_end;
		if (left >= EVENT_MAX && kind_is_event(tag & WIRE_TAG_MASK)) {
			/* What nearly all records are: whatever they say, they end before `left`. */
			uint64_t time, delta, size = 0;
			const uint8_t *end = varint_get(varint_get(p + 1, &time), &delta);
			if (capture_kind_has_size(tag & WIRE_TAG_MASK))
				end = varint_get(end, &size);
			r->position += (uint64_t)(end - p);
			err = set_event(r, tag, time, delta, size, in);
		} else if (tag == WIRE_REC_PAD) {
			r->position += to_end;
			continue;
		} else {
			err = step(r, p, left, in, codes);
		}
		if (err)
			return err;
	}
	return NULL;
}

struct mt_error *ring_reader_advance(struct ring_reader *r, struct intern *in, struct codes *codes)
{
	return advance(r, in, codes);
}

static ALWAYS_INLINE struct mt_error *take(struct ring_reader *r, uint64_t until, struct intern *in,
					   struct codes *codes, struct capture_event *events,
					   size_t cap, size_t *count_ret)
{
	struct mt_error *err = NULL;
	size_t n = 0;
	while (n < cap && r->has_next && r->next.ticks <= until && !err) {
		events[n++] = r->next;
		err = advance(r, in, codes);
	}
	*count_ret = n;
	return err;
}

#ifdef __x86_64__
__attribute__((target("bmi,bmi2"))) static struct mt_error *take_bmi2(
	struct ring_reader *r, uint64_t until, struct intern *in, struct codes *codes,
	struct capture_event *events, size_t cap, size_t *count_ret)
{
	return take(r, until, in, codes, events, cap, count_ret);
}

static bool have_bmi2(void)
{
	return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#else
#define take_bmi2 take
static bool have_bmi2(void)
{
	return false;
}
#endif

struct mt_error *ring_reader_take(struct ring_reader *r, uint64_t until, struct intern *in,
				  struct codes *codes, struct capture_event *events, size_t cap,
				  size_t *count_ret)
{
	return have_bmi2() ? take_bmi2(r, until, in, codes, events, cap, count_ret) :
			     take(r, until, in, codes, events, cap, count_ret);
}
