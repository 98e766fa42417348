/* SPDX-License-Identifier: Apache-2.0 */
/* capture/columns.h - the events of one block, field by field: written and read.
 *
 * Fields of one kind stand together, because they look alike: compression is several times
 * faster and better than over records. Times are kept in units of 2^shift ticks, the order of
 * events exactly. Pointers are differences to the last one of the same thread.
 *
 * Writing: column_writer_begin(), column_writer_put() while column_writer_full() says no, then
 * column_writer_take(). Reading: column_reader_begin(), then column_reader_next() until it gives
 * none. The layout is described at CAPTURE_BLOCK_COLUMNS in capture/format.h. */
#ifndef MT_CAPTURE_COLUMNS_H
#define MT_CAPTURE_COLUMNS_H

#include "base/buf.h"
#include "base/cursor.h"
#include "capture/writer.h"

enum column {
	COLUMN_TAG,
	COLUMN_THREAD,
	COLUMN_TIME,
	COLUMN_ADDRESS,
	COLUMN_SIZE,
	COLUMN_STACK,
	COLUMN_COUNT,
};

#define COLUMN_EVENTS (128u << 10)	/* of a block, at most */
#define COLUMN_THREADS 4096u		/* of a block, at most */

/* ---- writing ---- */

struct column_writer {
	uint8_t *pos[COLUMN_COUNT], *start[COLUMN_COUNT];
	uint64_t ticks, base;		/* of the last event and of the first, in units */
	uint32_t count;
	uint32_t thread;		/* of the last event ... */
	uint32_t local;			/* ... and its place in the block's list */
	unsigned shift;

	uint64_t *addresses;		/* last one of each thread of the block */
	uint32_t *threads;		/* the block's list */
	uint32_t thread_count;
	uint32_t *local_of;		/* by thread: place in the list + 1, 0: not in it */
	uint32_t local_cap;
	uint8_t *memory;
};

bool column_writer_init(struct column_writer *w);	/* false: out of memory */
void column_writer_deinit(struct column_writer *w);
void column_writer_begin(struct column_writer *w);
static inline bool column_writer_full(const struct column_writer *w)
{
	return w->count >= COLUMN_EVENTS || w->thread_count >= COLUMN_THREADS;
}
/* Puts events until all are in the block or it is full, and returns how many; fewer than that: out of
 * memory. Times that run backwards become the one before. */
size_t column_writer_put(struct column_writer *w, const struct capture_event *events, size_t count);
/* Appends base, shift, count, `tables` and the columns: all of the payload but the first ids. */
void column_writer_take(const struct column_writer *w, const struct mt_buf *tables,
			struct mt_buf *out);

/* ---- reading ---- */

struct column_reader {
	const uint8_t *pos[COLUMN_COUNT], *end[COLUMN_COUNT];
	uint64_t ticks;
	uint32_t left;			/* events */
	uint32_t stack_limit;		/* stacks from here on do not exist */
	unsigned shift;
	uint32_t thread_count;
	struct column_thread {
		uint64_t address;
		uint32_t thread;
	} *threads;
	struct mt_cursor tables;	/* records of frames, nodes and stacks */
};

void column_reader_deinit(struct column_reader *r);
/* `c` stands after the first ids. What does not fit together sets c->failed. */
struct mt_error *column_reader_begin(struct column_reader *r, struct mt_cursor *c) MT_MUST_CHECK;
/* Up to `cap` further events; less than that: they are all, or (*good_ret) the rest is damaged. The
 * payload must be followed by BLOCK_SLACK readable bytes. */
size_t column_reader_next(struct column_reader *r, struct capture_event *events, size_t cap,
			  bool *good_ret);

#endif
