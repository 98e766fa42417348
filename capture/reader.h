/* SPDX-License-Identifier: Apache-2.0 */
/* capture/reader.h - reads a capture file, whole or cut.
 *
 * capture_open() checks the header, finds the blocks (by the index, else by walking), loads all
 * that is not events (meta, modules, code, threads, samples, counters, symbols), and the frames,
 * nodes and stacks come with the first pass over the events. A damaged or cut file opens as long
 * as its header is whole: capture_damage() then says what is missing and where, and everything
 * before is there.
 *
 * capture_events() runs over all events in time order, calling back with batches. It can be
 * called any number of times; the stack tables are complete after the first. Everything returned
 * is borrowed until capture_close(). Not thread-safe. */
#ifndef MT_CAPTURE_READER_H
#define MT_CAPTURE_READER_H

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/format.h"
#include "capture/writer.h"

struct capture;

struct capture_frame {
	uint64_t address;	/* native: pc - bias (no module: pc); Python: instruction offset + 1 */
	uint32_t module_plus_1;	/* native: module id + 1, 0: none; Python: code id */
	uint8_t is_python;
	uint8_t entry;		/* Python: first frame of a C-level eval loop */
};

struct capture_node {
	uint32_t parent, frame;
};

struct capture_stack {
	uint32_t native_node, python_node;
	uint32_t flags;
};

/* Dense tables indexed by id; entry 0 is empty. Ids lost with a damaged block are all zero. */
struct capture_tables {
	const struct capture_frame *frames;
	const struct capture_node *nodes;
	const struct capture_stack *stacks;
	uint32_t frame_count, node_count, stack_count;	/* 1 + highest id */
};

struct capture_thread {
	uint32_t index, tid;
	uint64_t ticks;
	const char *name;
};

struct capture_jit {		/* code that the process compiled while it ran */
	const char *name;
	bool changed;		/* became another function during the capture: not to be believed */
};

struct capture_location {	/* one line of a native frame, innermost inline first */
	const char *function, *file;	/* NULL: unknown */
	uint32_t line;			/* 0: unknown */
};

struct capture_module_symbols {
	uint32_t module;
	enum capture_symbol_status status;
	const char *path;	/* file the symbols came from, NULL: none */
};

struct mt_error *capture_open(const char *path, struct capture **ret) MT_MUST_CHECK;
/* The same, called `name` by errors and capture_path(): for a path that means nothing to a person. */
struct mt_error *capture_open_called(const char *path, const char *name, struct capture **ret)
	MT_MUST_CHECK;
void capture_close(struct capture *cap);	/* NULL accepted */
MT_DEFINE_CLEANUP(capture, struct capture *, capture_close)
#define auto_capture mt_auto(mt_cleanup_capture)

const struct capture_file_header *capture_header(const struct capture *cap);
/* NULL for a whole file; else one line for people ("cut at offset N: ..."). */
const char *capture_damage(const struct capture *cap);
const char *capture_path(const struct capture *cap);
uint64_t capture_size(const struct capture *cap);

/* NULL when the key is absent. The value is followed by a NUL that size does not count. */
const char *capture_meta(const struct capture *cap, const char *key, size_t *size_ret);
uint64_t capture_meta_u64(const struct capture *cap, const char *key, uint64_t missing);
const struct capture_module *capture_modules(const struct capture *cap, size_t *count_ret);
const struct capture_code *capture_code_by_id(const struct capture *cap, uint32_t id);
const struct capture_thread *capture_threads(const struct capture *cap, size_t *count_ret);
/* Last name of a thread index, "" when unknown; its tid in tid_ret (may be NULL). */
const char *capture_thread_name(const struct capture *cap, uint32_t index, uint32_t *tid_ret);
const struct capture_sample *capture_samples(const struct capture *cap, size_t *count_ret);
bool capture_counter(const struct capture *cap, const char *name, uint64_t *ret);

/* The name of a native frame without a module, by its address; NULL: none. */
const struct capture_jit *capture_jit_at(const struct capture *cap, uint64_t address);

/* Symbols of a native frame id; count 0 when there are none (or the file has no symbols). */
bool capture_has_symbols(const struct capture *cap);
size_t capture_symbols(const struct capture *cap, uint32_t frame,
		       const struct capture_location **ret);
const struct capture_module_symbols *capture_module_symbols(const struct capture *cap,
							    size_t *count_ret);

/* Events in order, in batches (borrowed during the call). A callback error ends the pass and is
 * returned. Blocks that cannot be read are skipped and noted in capture_damage(). */
typedef struct mt_error *(*capture_event_fn)(const struct capture_event *events, size_t count,
					     void *arg);
struct mt_error *capture_events(struct capture *cap, capture_event_fn fn, void *arg)
	MT_MUST_CHECK;
/* The same, asked for batch by batch: none is left when *count_ret is 0. Passes of one capture may
 * overlap. The events are borrowed until the next call. */
struct capture_pass;
struct mt_error *capture_pass_begin(struct capture *cap, struct capture_pass **ret) MT_MUST_CHECK;
struct mt_error *capture_pass_next(struct capture_pass *p, const struct capture_event **ret,
				   size_t *count_ret) MT_MUST_CHECK;
void capture_pass_end(struct capture_pass *p);	/* NULL accepted */
MT_DEFINE_CLEANUP(capture_pass, struct capture_pass *, capture_pass_end)
#define auto_capture_pass mt_auto(mt_cleanup_capture_pass)
/* Share of the current pass done, 0..1, for progress bars. */
double capture_progress(const struct capture *cap);
/* Makes the tables complete (a pass over the events when none was made yet). */
struct mt_error *capture_load_tables(struct capture *cap, struct capture_tables *ret)
	MT_MUST_CHECK;

/* A capture that is still being written, of which nothing is read yet: capture_grow() reads what came
 * since, up to the last whole block, and a pass that found no more events finds those of it. Tables
 * and the arrays above move when it grows; what they point to stays. */
struct mt_error *capture_open_growing(const char *path, struct capture **ret) MT_MUST_CHECK;
struct mt_error *capture_grow(struct capture *cap) MT_MUST_CHECK;
/* Bytes from the start that capture_grow() has gone over; when a pass is through, none of them is read
 * again. */
uint64_t capture_grown(const struct capture *cap);

/* Raw blocks, for tools that copy captures. */
size_t capture_block_count(const struct capture *cap);
/* The block's type, and its whole stored bytes (head and payload), borrowed. */
enum capture_block_type capture_block(const struct capture *cap, size_t i, const void **bytes_ret,
				      size_t *size_ret);
enum capture_block_type capture_block_type_of(const struct capture *cap, size_t i);
/* Its content, borrowed until the next call of this or of capture_block(); NULL for a damaged one, which is
 * noted. capture_block_damaged(): so it is, by what stands in it. */
struct mt_error *capture_block_payload(struct capture *cap, size_t i, const uint8_t **ret,
				       size_t *size_ret) MT_MUST_CHECK;
void capture_block_damaged(struct capture *cap, size_t i);

/* It was made with --aggregate: there are no events, and analysis/ makes the views of their sums. */
bool capture_aggregated(const struct capture *cap);

/* Time of an event in ns since the start of the capture. */
uint64_t capture_ticks_to_ns(const struct capture *cap, uint64_t ticks);

#endif
