/* SPDX-License-Identifier: Apache-2.0 */
/* capture/events.c - passes over the events, and the frame, node and stack tables they bring.
 * Knows: the records of EVENTS blocks. Does not know: what events mean.
 * Called through capture/reader.h. */
#include "base/cursor.h"
#include "capture/columns.h"
#include "capture/reader_private.h"

#define BATCH 1024u		/* they stay in the cache until they are used */

#define THREAD_LIMIT (1u << 27)	/* analysis/ keeps thread, stack and kind in one word */

struct pass {
	struct capture *cap;
	capture_event_fn fn;
	void *arg;
	struct capture_event batch[BATCH];
	size_t batch_len;
	struct column_reader columns;
	/* state of the block */
	uint32_t next_frame, next_node, next_stack;
	/* the same of version 1 */
	uint64_t ticks, address;
	uint32_t stack, thread;
};

/* The ids of a block begin where the writer was; what a lost block had is left empty. Every id
 * costs two bytes of some block, so more than the file could hold, however well it is packed, is
 * damage and must not become memory. After the first pass no id is new. */
static bool ids_possible(const struct capture *cap, uint64_t id, size_t known)
{
	if (cap->tables_complete)
		return id && id <= known;
	return id && id < UINT32_MAX / 2 && id / 64 <= cap->size;
}

#define TABLE_FILL(array, id)					\
	__extension__({						\
		bool ok_ = mt_array_reserve((array), (id));	\
		while (ok_ && (array)->len < (id))		\
			memset(&(array)->items[(array)->len++], 0, sizeof(*(array)->items)); \
		ok_;						\
	})

static struct mt_error *begin_tables(struct pass *p, struct mt_cursor *c)
{
	uint64_t frame = mt_cursor_varint(c), node = mt_cursor_varint(c), stack = mt_cursor_varint(c);
	if (!ids_possible(p->cap, frame, p->cap->frames.len) ||
	    !ids_possible(p->cap, node, p->cap->nodes.len) ||
	    !ids_possible(p->cap, stack, p->cap->stacks.len))
		c->failed = true;
	if (c->failed)
		return NULL;
	p->next_frame = (uint32_t)frame;
	p->next_node = (uint32_t)node;
	p->next_stack = (uint32_t)stack;
	if (p->cap->tables_complete)
		return NULL;
	if (!TABLE_FILL(&p->cap->frames, frame) || !TABLE_FILL(&p->cap->nodes, node) ||
	    !TABLE_FILL(&p->cap->stacks, stack))
		return &mt_enomem;
	return NULL;
}

static bool put_frame(struct pass *p, struct mt_cursor *c, bool python)
{
	uint64_t a = mt_cursor_varint(c), b = mt_cursor_varint(c);
	uint32_t id = p->next_frame++;
	if (p->cap->tables_complete) {
		c->failed |= id >= p->cap->frames.len;	/* the file changed meanwhile */
		return true;
	}
	struct capture_frame f = { .address = b, .is_python = python };
	f.module_plus_1 = (uint32_t)(python ? a >> 1 : a);
	f.entry = python && (a & 1);
	if (id < p->cap->frames.len) {
		p->cap->frames.items[id] = f;
		return true;
	}
	return mt_array_push(&p->cap->frames, f);
}

static bool put_node(struct pass *p, struct mt_cursor *c)
{
	uint64_t parent = mt_cursor_varint(c), frame = mt_cursor_varint(c);
	uint32_t id = p->next_node++;
	if (parent >= id || frame >= p->next_frame)	/* no node is its own ancestor */
		c->failed = true;
	if (p->cap->tables_complete && id >= p->cap->nodes.len)
		c->failed = true;
	if (p->cap->tables_complete || c->failed)
		return true;
	struct capture_node n = { (uint32_t)parent, (uint32_t)frame };
	if (id < p->cap->nodes.len) {
		p->cap->nodes.items[id] = n;
		return true;
	}
	return mt_array_push(&p->cap->nodes, n);
}

static bool put_stack(struct pass *p, struct mt_cursor *c)
{
	uint64_t native = mt_cursor_varint(c), python = mt_cursor_varint(c), flags = mt_cursor_varint(c);
	uint32_t id = p->next_stack++;
	if (native >= p->next_node || python >= p->next_node)
		c->failed = true;
	if (p->cap->tables_complete && id >= p->cap->stacks.len)
		c->failed = true;
	if (p->cap->tables_complete || c->failed)
		return true;
	struct capture_stack s = { (uint32_t)native, (uint32_t)python, (uint32_t)flags };
	if (id < p->cap->stacks.len) {
		p->cap->stacks.items[id] = s;
		return true;
	}
	return mt_array_push(&p->cap->stacks, s);
}

static bool put_table(struct pass *p, struct mt_cursor *c, uint8_t tag)
{
	switch (tag) {
	case CAPTURE_REC_FRAME_NATIVE:
	case CAPTURE_REC_FRAME_PYTHON:
		return put_frame(p, c, tag == CAPTURE_REC_FRAME_PYTHON);
	case CAPTURE_REC_NODE:
		return put_node(p, c);
	case CAPTURE_REC_STACK:
		return put_stack(p, c);
	default:
		c->failed = true;
		return true;
	}
}

static struct mt_error *flush_batch(struct pass *p)
{
	size_t n = p->batch_len;
	p->batch_len = 0;
	return n && p->fn ? p->fn(p->batch, n, p->arg) : NULL;
}

/* ---- blocks of version 1: records in order ---- */

/* Threads are numbered as they appear; a number that no file of this size can have reached is
 * damage, since tables are as long as it is high. */
static void put_thread(struct pass *p, struct mt_cursor *c)
{
	uint64_t thread = mt_cursor_varint(c);
	if (thread >= THREAD_LIMIT || thread / 64 > p->cap->size)
		c->failed = true;
	else
		p->thread = (uint32_t)thread;
}

static inline void take_event(struct pass *p, struct mt_cursor *c, uint8_t tag)
{
	uint8_t kind = tag & WIRE_TAG_MASK;
	struct capture_event *ev = &p->batch[p->batch_len];
	p->ticks += mt_cursor_varint(c);
	uint64_t delta = (uint64_t)mt_cursor_svarint(c);
	p->address += tag & WIRE_TAG_ALIGNED ? delta << 4 : delta;
	*ev = (struct capture_event){ .ticks = p->ticks, .address = p->address, .thread = p->thread,
				      .kind = kind };
	if (capture_kind_has_size(kind))
		ev->size = mt_cursor_varint(c);
	if (capture_kind_allocates(kind)) {
		p->stack += (uint32_t)mt_cursor_svarint(c);
		ev->stack = p->stack;
		if (p->stack >= p->next_stack)
			c->failed = true;
	}
	p->batch_len += !c->failed;
}

static bool is_event(uint8_t kind)
{
	return kind >= WIRE_REC_MALLOC && kind < WIRE_REC_LIMIT;
}

static struct mt_error *read_records(struct pass *p, const uint8_t *raw, size_t size, bool *good_ret)
{
	struct mt_cursor c = mt_cursor_make(raw, size);
	struct mt_error *err = begin_tables(p, &c);
	p->ticks = mt_cursor_varint(&c);
	mt_cursor_varint(&c);		/* event count */
	p->address = p->stack = p->thread = 0;
	while (!err && !c.failed && c.pos < c.end) {
		uint8_t tag = *c.pos++;
		if (is_event(tag & WIRE_TAG_MASK))
			take_event(p, &c, tag);
		else if (tag == CAPTURE_REC_THREAD)
			put_thread(p, &c);
		else if (!put_table(p, &c, tag))
			err = &mt_enomem;
		if (!err && p->batch_len == BATCH)
			err = flush_batch(p);
	}
	*good_ret = !c.failed;
	return err;
}

/* ---- blocks of columns ---- */

static struct mt_error *read_columns(struct pass *p, const uint8_t *raw, size_t size, bool *good_ret)
{
	struct mt_cursor c = mt_cursor_make(raw, size);
	struct mt_error *err = begin_tables(p, &c);
	*good_ret = false;
	if (!err && !c.failed)
		err = column_reader_begin(&p->columns, &c);
	if (err || c.failed)
		return err;
	struct mt_cursor *tables = &p->columns.tables;
	while (!tables->failed && tables->pos < tables->end)
		if (!put_table(p, tables, *tables->pos++))
			return &mt_enomem;
	if (tables->failed)
		return NULL;
	p->columns.stack_limit = p->next_stack;
	for (bool good = true; good && p->columns.left && !err;) {
		p->batch_len += column_reader_next(&p->columns, p->batch + p->batch_len,
						   BATCH - p->batch_len, &good);
		if (p->batch_len == BATCH)
			err = flush_batch(p);
		*good_ret = good;
	}
	*good_ret |= !p->columns.left;
	return err;
}

/* ---- passes ---- */

static bool has_events(uint8_t type)
{
	return type == CAPTURE_BLOCK_EVENTS || type == CAPTURE_BLOCK_COLUMNS;
}

static uint64_t event_bytes(const struct capture *cap)
{
	uint64_t total = 0;
	for (size_t i = 0; i < cap->blocks.len; i++)
		if (has_events(cap->blocks.items[i].type))
			total += cap->blocks.items[i].stored_size;
	return total;
}

static struct mt_error *run_pass(struct pass *p, struct block_reader *reader)
{
	struct capture *cap = p->cap;
	for (size_t i = 0; i < cap->blocks.len; i++) {
		struct block_ref *ref = &cap->blocks.items[i];
		const uint8_t *raw;
		size_t size;
		bool good = true;
		if (!has_events(ref->type))
			continue;
		struct mt_error *err = block_reader_unpack(reader, cap, ref, &raw, &size);
		if (!err && raw)
			err = ref->type == CAPTURE_BLOCK_COLUMNS ? read_columns(p, raw, size, &good) :
								   read_records(p, raw, size, &good);
		if (err)
			return err;
		if (!good && !cap->tables_complete)
			capture_note_damage(cap, ref->offset, "the content of a block is damaged");
		cap->progress_done += ref->stored_size;
	}
	return flush_batch(p);
}

struct mt_error *capture_events(struct capture *cap, capture_event_fn fn, void *arg)
{
	struct pass *p = calloc(1, sizeof(*p));
	struct block_reader reader = { 0 };
	if (!p)
		return &mt_enomem;
	p->cap = cap;
	p->fn = fn;
	p->arg = arg;
	cap->progress_done = 0;
	cap->progress_total = event_bytes(cap);
	/* Entry 0 of each table is the empty one. */
	struct mt_error *err = TABLE_FILL(&cap->frames, 1) && TABLE_FILL(&cap->nodes, 1) &&
			TABLE_FILL(&cap->stacks, 1) ? NULL : &mt_enomem;
	if (!err)
		err = run_pass(p, &reader);
	if (!err)
		cap->tables_complete = true;
	block_reader_deinit(&reader);
	column_reader_deinit(&p->columns);
	free(p);
	return err;
}

struct mt_error *capture_load_tables(struct capture *cap, struct capture_tables *ret)
{
	if (!cap->tables_complete) {
		struct mt_error *err = capture_events(cap, NULL, NULL);
		if (err)
			return err;
	}
	*ret = (struct capture_tables){
		.frames = cap->frames.items, .nodes = cap->nodes.items, .stacks = cap->stacks.items,
		.frame_count = (uint32_t)cap->frames.len, .node_count = (uint32_t)cap->nodes.len,
		.stack_count = (uint32_t)cap->stacks.len,
	};
	return NULL;
}
