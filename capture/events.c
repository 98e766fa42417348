/* SPDX-License-Identifier: Apache-2.0 */
/* capture/events.c - passes over the events, and the frame, node and stack tables they bring.
 * Knows: the records of EVENTS blocks. Does not know: what events mean.
 * Called through capture/reader.h. */
#include "base/cursor.h"
#include "capture/ahead.h"
#include "capture/columns.h"
#include "capture/reader_private.h"

#define BATCH 1024u		/* they stay in the cache until they are used */

#define THREAD_LIMIT (1u << 27)	/* analysis/ keeps thread, stack and kind in one word */

enum place {			/* in the file */
	BETWEEN_BLOCKS,
	IN_RECORDS,
	IN_COLUMNS,
};

struct capture_pass {
	struct capture *cap;
	struct block_reader blocks;
	struct ahead *ahead;		/* who reads instead; NULL: nobody */
	size_t next_block;
	enum place place;
	struct capture_event batch[BATCH];
	size_t batch_len;
	struct column_reader columns;
	/* state of the block */
	uint32_t next_frame, next_node, next_stack;
	/* the same of version 1 */
	struct mt_cursor records;
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

static struct mt_error *begin_tables(struct capture_pass *p, struct mt_cursor *c)
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

static bool put_frame(struct capture_pass *p, struct mt_cursor *c, bool python)
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

static bool put_node(struct capture_pass *p, struct mt_cursor *c)
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

static bool put_stack(struct capture_pass *p, struct mt_cursor *c)
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

static bool put_table(struct capture_pass *p, struct mt_cursor *c, uint8_t tag)
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

/* ---- blocks of version 1: records in order ---- */

/* Threads are numbered as they appear; a number that no file of this size can have reached is
 * damage, since tables are as long as it is high. */
static void put_thread(struct capture_pass *p, struct mt_cursor *c)
{
	uint64_t thread = mt_cursor_varint(c);
	if (thread >= THREAD_LIMIT || thread / 64 > p->cap->size)
		c->failed = true;
	else
		p->thread = (uint32_t)thread;
}

static inline void take_event(struct capture_pass *p, struct mt_cursor *c, uint8_t tag)
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

static struct mt_error *begin_records(struct capture_pass *p, const uint8_t *raw, size_t size)
{
	p->records = mt_cursor_make(raw, size);
	p->place = IN_RECORDS;
	struct mt_error *err = begin_tables(p, &p->records);
	p->ticks = mt_cursor_varint(&p->records);
	mt_cursor_varint(&p->records);		/* event count */
	p->address = p->stack = p->thread = 0;
	return err;
}

/* Up to a full batch or the end of the block; *good_ret: what was there was whole. */
static struct mt_error *read_records(struct capture_pass *p, bool *good_ret)
{
	struct mt_cursor *c = &p->records;
	while (!c->failed && c->pos < c->end && p->batch_len < BATCH) {
		uint8_t tag = *c->pos++;
		if (is_event(tag & WIRE_TAG_MASK))
			take_event(p, c, tag);
		else if (tag == CAPTURE_REC_THREAD)
			put_thread(p, c);
		else if (!put_table(p, c, tag))
			return &mt_enomem;
	}
	*good_ret = !c->failed;
	if (c->failed || c->pos >= c->end)
		p->place = BETWEEN_BLOCKS;
	return NULL;
}

/* ---- blocks of columns ---- */

static struct mt_error *begin_columns(struct capture_pass *p, const uint8_t *raw, size_t size,
				      bool *good_ret)
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
	p->place = IN_COLUMNS;
	*good_ret = true;
	return NULL;
}

static void read_columns(struct capture_pass *p, bool *good_ret)
{
	if (p->columns.left)
		p->batch_len += column_reader_next(&p->columns, p->batch + p->batch_len,
						   BATCH - p->batch_len, good_ret);
	if (!p->columns.left || !*good_ret)
		p->place = BETWEEN_BLOCKS;
}

/* ---- passes ---- */

static uint64_t event_bytes(const struct capture *cap)
{
	uint64_t total = 0;
	for (size_t i = 0; i < cap->blocks.len; i++)
		if (block_has_events(cap->blocks.items[i].type))
			total += cap->blocks.items[i].stored_size;
	return total;
}

/* *ret NULL: it cannot be read, which is noted. */
static struct mt_error *next_payload(struct capture_pass *p, struct block_ref *ref,
				     const uint8_t **ret, size_t *size_ret)
{
	struct ahead_block block;
	if (!p->ahead)
		return block_reader_unpack(&p->blocks, p->cap, ref, ret, size_ret);
	struct mt_error *err = ahead_take(p->ahead, &block);
	if (err)
		return err;
	if (block.what && !ref->bad)
		block_note_bad(p->cap, ref, block.what);
	*ret = ref->bad ? NULL : block.raw;
	*size_ret = block.size;
	return NULL;
}

static struct mt_error *begin_block(struct capture_pass *p, bool *good_ret)
{
	struct block_ref *ref = &p->cap->blocks.items[p->next_block++];
	const uint8_t *raw;
	size_t size;
	if (!block_has_events(ref->type))
		return NULL;
	p->cap->progress_done += ref->stored_size;
	struct mt_error *err = next_payload(p, ref, &raw, &size);
	if (err || !raw)
		return err;
	return ref->type == CAPTURE_BLOCK_COLUMNS ? begin_columns(p, raw, size, good_ret) :
						    begin_records(p, raw, size);
}

/* A step forward: into the next block, or through some of this one. */
static struct mt_error *pass_step(struct capture_pass *p)
{
	struct mt_error *err = NULL;
	bool good = true;
	switch (p->place) {
	case BETWEEN_BLOCKS:
		err = begin_block(p, &good);
		break;
	case IN_RECORDS:
		err = read_records(p, &good);
		break;
	case IN_COLUMNS:
		read_columns(p, &good);
		break;
	}
	if (!good && !p->cap->tables_complete)
		capture_note_damage(p->cap, p->cap->blocks.items[p->next_block - 1].offset,
				    "the content of a block is damaged");
	return err;
}

struct mt_error *capture_pass_begin(struct capture *cap, struct capture_pass **ret)
{
	struct capture_pass *p = calloc(1, sizeof(*p));
	/* Entry 0 of each table is the empty one. */
	if (!p || !TABLE_FILL(&cap->frames, 1) || !TABLE_FILL(&cap->nodes, 1) ||
	    !TABLE_FILL(&cap->stacks, 1)) {
		free(p);
		return &mt_enomem;
	}
	p->cap = cap;
	cap->progress_done = 0;
	cap->progress_total = event_bytes(cap);
	*ret = p;
	return NULL;
}

void capture_pass_end(struct capture_pass *p)
{
	if (!p)
		return;
	ahead_end(p->ahead);
	block_reader_deinit(&p->blocks);
	column_reader_deinit(&p->columns);
	free(p);
}

struct mt_error *capture_pass_next(struct capture_pass *p, const struct capture_event **ret,
				   size_t *count_ret)
{
	struct mt_error *err = NULL;
	p->batch_len = 0;
	while (!err && p->batch_len < BATCH &&
	       (p->place != BETWEEN_BLOCKS || p->next_block < p->cap->blocks.len))
		err = pass_step(p);
	if (err)
		return err;
	if (!p->batch_len)
		p->cap->tables_complete = !p->cap->growing;
	*ret = p->batch;
	*count_ret = p->batch_len;
	return NULL;
}

struct mt_error *capture_events(struct capture *cap, capture_event_fn fn, void *arg)
{
	auto_capture_pass struct capture_pass *p = NULL;
	const struct capture_event *events;
	size_t count = 1;
	struct mt_error *err = capture_pass_begin(cap, &p);
	/* Not for passes in steps: whoever makes them may fork in between. */
	if (!err && !cap->growing)
		ahead_begin(cap, &p->ahead);
	while (!err && count) {
		err = capture_pass_next(p, &events, &count);
		if (!err && count && fn)
			err = fn(events, count, arg);
	}
	return err;
}

struct mt_error *capture_load_tables(struct capture *cap, struct capture_tables *ret)
{
	if (!cap->tables_complete && !cap->growing) {
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
