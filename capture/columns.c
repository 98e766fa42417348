/* SPDX-License-Identifier: Apache-2.0 */
/* capture/columns.c - the events of one block, field by field.
 * Knows: the payload of COLUMNS blocks. Does not know: blocks, files, tables.
 * Called by capture/writer.c and capture/events.c. */
#include "capture/columns.h"

#include <stdlib.h>
#include <string.h>

/* Which kinds have the field: all ones or zero, so that a field can be written and read without a
 * branch. Programs allocate and release in no order that a processor could foresee. */
static inline uint64_t if_size(unsigned kind)
{
	return -(uint64_t)capture_kind_has_size(kind);
}

static inline uint64_t if_stack(unsigned kind)
{
	return -(uint64_t)capture_kind_allocates(kind);
}

/* ---- writing ---- */

static const uint8_t column_bytes[COLUMN_COUNT] = {	/* of an event, at most */
	1, VARINT_MAX, VARINT_MAX, VARINT_MAX, VARINT_MAX, VARINT_MAX,
};

#define COLUMN_SLACK 64u	/* fields that are not there are written beyond the end */

bool column_writer_init(struct column_writer *w)
{
	size_t size = 0;
	*w = (struct column_writer){ 0 };
	for (int i = 0; i < COLUMN_COUNT; i++)
		size += (size_t)column_bytes[i] * COLUMN_EVENTS + COLUMN_SLACK;
	w->memory = malloc(size);	/* what is not used is never touched */
	w->addresses = malloc(COLUMN_THREADS * sizeof(*w->addresses));
	w->threads = malloc(COLUMN_THREADS * sizeof(*w->threads));
	if (!w->memory || !w->addresses || !w->threads)
		return false;
	uint8_t *p = w->memory;
	for (int i = 0; i < COLUMN_COUNT; i++) {
		w->start[i] = p;
		p += (size_t)column_bytes[i] * COLUMN_EVENTS + COLUMN_SLACK;
	}
	column_writer_begin(w);
	return true;
}

void column_writer_deinit(struct column_writer *w)
{
	free(w->memory);
	free(w->addresses);
	free(w->threads);
	free(w->local_of);
	*w = (struct column_writer){ 0 };
}

void column_writer_begin(struct column_writer *w)
{
	memcpy(w->pos, w->start, sizeof(w->pos));
	for (uint32_t i = 0; i < w->thread_count; i++)
		w->local_of[w->threads[i]] = 0;
	w->thread_count = w->count = 0;
	w->thread = UINT32_MAX;
}

static bool grow_locals(struct column_writer *w, uint32_t thread)
{
	uint64_t cap = w->local_cap ? w->local_cap : 64;
	while (cap <= thread)
		cap *= 2;
	uint32_t *p = realloc(w->local_of, cap * sizeof(*p));
	if (!p)
		return false;
	memset(p + w->local_cap, 0, (cap - w->local_cap) * sizeof(*p));
	w->local_of = p;
	w->local_cap = (uint32_t)cap;
	return true;
}

static bool change_thread(struct column_writer *w, uint32_t thread)
{
	if (thread >= w->local_cap && !grow_locals(w, thread))
		return false;
	if (!w->local_of[thread]) {
		w->threads[w->thread_count] = thread;
		w->addresses[w->thread_count] = 0;
		w->local_of[thread] = ++w->thread_count;
	}
	w->local = w->local_of[thread] - 1;
	w->thread = thread;
	return true;
}

/* The field is there when `mask` is all ones. */
static inline uint8_t *put_if(uint8_t *p, uint64_t v, uint64_t mask)
{
	return p + ((uint64_t)(varint_put(p, v) - p) & mask);
}

static inline __attribute__((always_inline)) size_t put_events(struct column_writer *w,
							       const struct capture_event *events, size_t count)
{
	uint8_t *pos[COLUMN_COUNT];
	uint64_t last = w->ticks;
	size_t i = 0;
	memcpy(pos, w->pos, sizeof(pos));
	if (count > COLUMN_EVENTS - w->count)
		count = COLUMN_EVENTS - w->count;
	if (!w->count && count)
		w->base = last = events[0].ticks >> w->shift > last ? events[0].ticks >> w->shift : last;
	for (; i < count; i++) {
		const struct capture_event *ev = &events[i];
		if (__builtin_expect(ev->thread != w->thread, 0) &&
		    (w->thread_count >= COLUMN_THREADS || !change_thread(w, ev->thread)))
			break;
		uint64_t ticks = ev->ticks >> w->shift, *address = &w->addresses[w->local];
		if (ticks < last)
			ticks = last;
		int64_t delta = (int64_t)(ev->address - *address);
		bool aligned = !(delta & 15);
		*pos[COLUMN_TAG]++ = (uint8_t)(ev->kind | aligned * WIRE_TAG_ALIGNED);
		pos[COLUMN_THREAD] = varint_put(pos[COLUMN_THREAD], w->local);
		pos[COLUMN_TIME] = varint_put(pos[COLUMN_TIME], ticks - last);
		pos[COLUMN_ADDRESS] = varint_put(pos[COLUMN_ADDRESS], varint_zigzag(delta >> aligned * 4));
		pos[COLUMN_SIZE] = put_if(pos[COLUMN_SIZE], ev->size, if_size(ev->kind));
		pos[COLUMN_STACK] = put_if(pos[COLUMN_STACK], ev->stack, if_stack(ev->kind));
		last = ticks;
		*address = ev->address;
	}
	memcpy(w->pos, pos, sizeof(pos));
	w->ticks = last;
	w->count += (uint32_t)i;
	return i;
}

#ifdef __x86_64__
/* The same with the instructions that shift by any register. */
__attribute__((target("bmi,bmi2"))) static size_t put_events_bmi2(struct column_writer *w,
								  const struct capture_event *events, size_t count)
{
	return put_events(w, events, count);
}

static bool have_bmi2(void)
{
	return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#else
#define put_events_bmi2 put_events
static bool have_bmi2(void)
{
	return false;
}
#endif

size_t column_writer_put(struct column_writer *w, const struct capture_event *events, size_t count)
{
	return have_bmi2() ? put_events_bmi2(w, events, count) : put_events(w, events, count);
}

void column_writer_take(const struct column_writer *w, const struct mt_buf *tables,
			struct mt_buf *out)
{
	/* With one thread there is nothing to say. */
	int first = w->thread_count > 1 ? COLUMN_THREAD : COLUMN_TIME;
	mt_buf_put_varint(out, w->count ? w->base : w->ticks);
	mt_buf_put_varint(out, w->shift);
	mt_buf_put_varint(out, w->count);
	mt_buf_put_varint(out, tables->len);
	mt_buf_put_varint(out, w->thread_count);
	for (uint32_t i = 0; i < w->thread_count; i++)
		mt_buf_put_varint(out, w->threads[i]);
	for (int i = first; i < COLUMN_COUNT; i++)
		mt_buf_put_varint(out, (uint64_t)(w->pos[i] - w->start[i]));
	mt_buf_put(out, tables->data, tables->len);
	for (int i = 0; i < COLUMN_COUNT; i++)
		if (i == COLUMN_TAG || i >= first)
			mt_buf_put(out, w->start[i], (size_t)(w->pos[i] - w->start[i]));
}

/* ---- reading ---- */

void column_reader_deinit(struct column_reader *r)
{
	free(r->threads);
	*r = (struct column_reader){ 0 };
}

/* A number that no file of this size can have reached is damage: tables are as long as it is high,
 * and analysis/ keeps thread, stack and kind in one word. */
#define THREAD_LIMIT (1u << 27)

struct mt_error *column_reader_begin(struct column_reader *r, struct mt_cursor *c)
{
	uint64_t bytes[COLUMN_COUNT] = { 0 };
	r->ticks = mt_cursor_varint(c);
	uint64_t shift = mt_cursor_varint(c), count = mt_cursor_varint(c);
	uint64_t tables = mt_cursor_varint(c), threads = mt_cursor_varint(c);
	if (shift > 32 || count > COLUMN_EVENTS || threads > COLUMN_THREADS || (count && !threads))
		c->failed = true;
	if (c->failed)
		return NULL;
	if (!r->threads && !(r->threads = malloc(COLUMN_THREADS * sizeof(*r->threads))))
		return &mt_enomem;
	r->shift = (unsigned)shift;
	r->left = (uint32_t)count;
	r->thread_count = (uint32_t)threads;
	for (uint64_t i = 0; i < threads; i++) {
		uint64_t thread = mt_cursor_varint(c);
		c->failed |= thread >= THREAD_LIMIT;
		r->threads[i] = (struct column_thread){ .thread = (uint32_t)thread };
	}
	bytes[COLUMN_TAG] = count;
	for (int i = threads > 1 ? COLUMN_THREAD : COLUMN_TIME; i < COLUMN_COUNT; i++)
		bytes[i] = mt_cursor_varint(c);
	const void *p = mt_cursor_bytes(c, tables);
	r->tables = mt_cursor_make(p, p ? tables : 0);
	for (int i = 0; i < COLUMN_COUNT; i++) {
		r->pos[i] = mt_cursor_bytes(c, bytes[i]);
		r->end[i] = r->pos[i] ? r->pos[i] + bytes[i] : NULL;
	}
	c->failed |= c->pos != c->end;
	return NULL;
}

static inline const uint8_t *get_if(const uint8_t *p, uint64_t mask, uint64_t *ret)
{
	const uint8_t *next = varint_get(p, ret);
	*ret &= mask;
	return p + ((uint64_t)(next - p) & mask);
}

static bool is_event(unsigned kind)
{
	return kind >= WIRE_REC_MALLOC && kind < WIRE_REC_LIMIT;
}

/* One event is read without a look at the ends: no field is longer than the slack behind the
 * payload. Then nothing may have been read past its column; `safe`: that is known. */
static inline __attribute__((always_inline)) bool take_event(struct column_reader *r, const uint8_t **pos,
							     struct capture_event *ev, bool safe)
{
	uint64_t local = 0, time, delta, size, stack;
	uint8_t tag = *pos[COLUMN_TAG]++, kind = tag & WIRE_TAG_MASK;
	if (r->thread_count > 1)
		pos[COLUMN_THREAD] = varint_get(pos[COLUMN_THREAD], &local);
	pos[COLUMN_TIME] = varint_get(pos[COLUMN_TIME], &time);
	pos[COLUMN_ADDRESS] = varint_get(pos[COLUMN_ADDRESS], &delta);
	pos[COLUMN_SIZE] = get_if(pos[COLUMN_SIZE], if_size(kind & 31), &size);
	pos[COLUMN_STACK] = get_if(pos[COLUMN_STACK], if_stack(kind), &stack);
	bool bad = !is_event(kind) | (local >= r->thread_count) | (stack >= r->stack_limit);
	for (int i = COLUMN_THREAD; i < COLUMN_COUNT && !safe; i++)
		bad |= pos[i] > r->end[i];
	if (__builtin_expect(bad, 0))
		return false;
	struct column_thread *t = &r->threads[local];
	delta = (uint64_t)varint_unzigzag(delta);
	t->address += delta << (tag & WIRE_TAG_ALIGNED ? 4 : 0);
	r->ticks += time;
	*ev = (struct capture_event){ .ticks = r->ticks << r->shift, .address = t->address, .size = size,
				      .stack = (uint32_t)stack, .thread = t->thread, .kind = kind };
	return true;
}

/* So many events cannot reach the end of any column, whatever is in them. */
static size_t safe_events(const struct column_reader *r, const uint8_t *const *pos)
{
	size_t least = SIZE_MAX;
	for (int i = r->thread_count > 1 ? COLUMN_THREAD : COLUMN_TIME; i < COLUMN_COUNT; i++) {
		size_t n = (size_t)(r->end[i] - pos[i]) / VARINT_MAX;
		least = n < least ? n : least;
	}
	return least;
}

/* Each of them up to `n` events or a damaged one; returns how many. */
static inline __attribute__((always_inline)) size_t take_events(struct column_reader *r, struct capture_event *events,
								size_t n, bool safe)
{
	const uint8_t *pos[COLUMN_COUNT];
	size_t i = 0;
	memcpy(pos, r->pos, sizeof(pos));
	while (i < n && take_event(r, pos, &events[i], safe))
		i++;
	memcpy(r->pos, pos, sizeof(pos));
	return i;
}

static size_t take_carefully(struct column_reader *r, struct capture_event *events, size_t n)
{
	return take_events(r, events, n, false);
}

static size_t take_safely(struct column_reader *r, struct capture_event *events, size_t n)
{
	return take_events(r, events, n, true);
}

#ifdef __x86_64__
/* The same with the instructions that make of a varint three of them. */
__attribute__((target("bmi,bmi2"))) static size_t take_safely_bmi2(struct column_reader *r,
								    struct capture_event *events, size_t n)
{
	return take_events(r, events, n, true);
}
#else
#define take_safely_bmi2 take_safely
#endif

#define SAFE_MIN 8u		/* fewer at once are not worth it */

size_t column_reader_next(struct column_reader *r, struct capture_event *events, size_t cap,
			  bool *good_ret)
{
	size_t n = r->left < cap ? r->left : cap, i = 0, wanted, got;
	do {
		size_t safe = safe_events(r, r->pos);
		wanted = n - i;
		if (safe < SAFE_MIN) {
			got = take_carefully(r, events + i, wanted);
		} else {
			wanted = safe < wanted ? safe : wanted;
			got = have_bmi2() ? take_safely_bmi2(r, events + i, wanted) :
					    take_safely(r, events + i, wanted);
		}
		i += got;
	} while (i < n && got == wanted);
	r->left -= (uint32_t)i;
	*good_ret = i == n;
	return i;
}
