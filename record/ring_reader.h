/* SPDX-License-Identifier: Apache-2.0 */
/* record/ring_reader.h - decodes one thread's ring into events.
 *
 * A reader keeps what the records are relative to: last time, pointer, program counter, and the
 * two stacks as arrays of nodes. It reads up to a given head, one event at a time, so that several
 * rings can be merged by time. Bytes come from another process's memory: every field is checked,
 * and damage makes the ring unreadable with an error, never this process. */
#ifndef MT_RECORD_RING_READER_H
#define MT_RECORD_RING_READER_H

#include "base/array.h"
#include "capture/wire.h"
#include "record/code.h"
#include "record/intern.h"

struct ring_reader {
	struct wire_ring *ring;
	const uint8_t *data;
	uint64_t size;			/* of the ring */
	uint64_t position, limit;	/* bytes consumed; head as last read */
	uint64_t ticks, pointer, pc;
	MT_ARRAY(uint32_t) native, python;	/* node of frames 0..i, root first */
	bool python_shim;		/* the next Python frame begins an eval loop */
	uint32_t native_flags, python_flags;
	uint32_t stack;			/* id of the stacks as they stand, 0: to be made */
	uint32_t thread;		/* index in the capture */
	uint32_t tid;
	char name[16];			/* in the ring, when its thread was last asked for its name */
	bool owned, damaged;

	struct capture_event next;	/* the event ahead, when has_next */
	bool has_next;
};

/* Starts reading for a new owner of the ring. */
void ring_reader_start(struct ring_reader *r, uint32_t thread);
void ring_reader_deinit(struct ring_reader *r);
/* Decodes up to the next event; has_next says whether there is one before `limit`. */
struct mt_error *ring_reader_advance(struct ring_reader *r, struct intern *in, struct codes *codes)
	MT_MUST_CHECK;
/* Takes the event ahead and those after it that are not later than `until`, at most `cap`; the next
 * one is ahead then. */
struct mt_error *ring_reader_take(struct ring_reader *r, uint64_t until, struct intern *in,
				  struct codes *codes, struct capture_event *events, size_t cap,
				  size_t *count_ret) MT_MUST_CHECK;
/* Gives what was decoded back to the tracer. */
void ring_reader_release(struct ring_reader *r);

#endif
