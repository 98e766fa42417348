/* SPDX-License-Identifier: Apache-2.0 */
/* capture/writer.h - writes a capture file as it goes.
 *
 * capture_writer_create() opens the file (O_CREAT|O_EXCL, mode 0600, never through a symlink);
 * with `overwrite` a regular file that is there is replaced. Then any number of put calls; events
 * in ascending time. capture_writer_finish() writes the rest, index and end mark and closes.
 * capture_writer_destroy() without finish leaves a cut file that is readable up to the last
 * flushed block.
 *
 * Errors of the disk (full, quota, I/O) are returned by the call that met them; the writer is
 * then failed: further puts return the same kind of error, destroy still closes. What was flushed
 * before stays readable. Not thread-safe. */
#ifndef MT_CAPTURE_WRITER_H
#define MT_CAPTURE_WRITER_H

#include "base/error.h"
#include "capture/format.h"

#include <stddef.h>
#include <stdint.h>

struct capture_writer;

struct capture_segment {
	uint64_t vaddr, size, file_offset;
	uint32_t flags;		/* PF_R, PF_W, PF_X */
};

struct capture_module {		/* all pointers borrowed */
	uint32_t id;
	uint64_t load_ticks, unload_ticks;
	uint64_t start, end, bias;
	const char *path;
	const uint8_t *build_id;
	size_t build_id_size;
	const struct capture_segment *segments;
	size_t segment_count;
};

struct capture_code {		/* a Python code object; all pointers borrowed */
	uint32_t id;
	uint32_t first_line;
	uint32_t first_traceable;	/* bytes */
	const char *file, *name;	/* UTF-8, not NUL-terminated */
	size_t file_size, name_size;
	const uint8_t *line_table;
	size_t line_table_size;
};

struct capture_sample {
	uint64_t ticks, monotonic_ns, realtime_ns;
	uint64_t rss, rss_anon, rss_file, rss_shmem, swap;	/* bytes */
};

struct capture_event {
	uint64_t ticks;
	uint64_t address;
	uint64_t size;		/* 0 where the kind has none */
	uint32_t stack;		/* stack id of an allocation, else 0 */
	uint32_t thread;	/* thread index */
	uint8_t kind;		/* enum wire_record, 8..31 */
};

struct mt_error *capture_writer_create(const char *path, bool overwrite, uint32_t features,
				       struct capture_writer **ret) MT_MUST_CHECK;
void capture_writer_destroy(struct capture_writer *w);	/* NULL accepted */

/* `value` is bytes; meta is written with the next flush. */
struct mt_error *capture_writer_meta(struct capture_writer *w, const char *key, const void *value,
				     size_t size) MT_MUST_CHECK;
struct mt_error *capture_writer_module(struct capture_writer *w, const struct capture_module *m)
	MT_MUST_CHECK;
struct mt_error *capture_writer_code(struct capture_writer *w, const struct capture_code *c)
	MT_MUST_CHECK;
struct mt_error *capture_writer_thread(struct capture_writer *w, uint32_t index, uint32_t tid,
				       uint64_t ticks, const char *name) MT_MUST_CHECK;
struct mt_error *capture_writer_sample(struct capture_writer *w, const struct capture_sample *s)
	MT_MUST_CHECK;
struct mt_error *capture_writer_counter(struct capture_writer *w, const char *name, uint64_t value)
	MT_MUST_CHECK;

/* New ids, ascending from 1. The caller interns: each distinct one is put once. */
struct mt_error *capture_writer_frame_native(struct capture_writer *w, uint32_t module_plus_1,
					     uint64_t address, uint32_t *id_ret) MT_MUST_CHECK;
struct mt_error *capture_writer_frame_python(struct capture_writer *w, uint32_t code, bool entry,
					     uint32_t instr_plus_1, uint32_t *id_ret) MT_MUST_CHECK;
struct mt_error *capture_writer_node(struct capture_writer *w, uint32_t parent, uint32_t frame,
				     uint32_t *id_ret) MT_MUST_CHECK;
struct mt_error *capture_writer_stack(struct capture_writer *w, uint32_t native_node,
				      uint32_t python_node, uint32_t flags, uint32_t *id_ret)
	MT_MUST_CHECK;
struct mt_error *capture_writer_event(struct capture_writer *w, const struct capture_event *ev)
	MT_MUST_CHECK;

/* Writes everything gathered so far as blocks, to the kernel. Call about once a second. */
struct mt_error *capture_writer_flush(struct capture_writer *w) MT_MUST_CHECK;
struct mt_error *capture_writer_finish(struct capture_writer *w) MT_MUST_CHECK;
uint64_t capture_writer_bytes(const struct capture_writer *w);	/* in the file so far */
uint64_t capture_writer_events(const struct capture_writer *w);

/* A raw block, for tools that copy or extend captures (symbolize). */
struct mt_error *capture_writer_raw_block(struct capture_writer *w, enum capture_block_type type,
					  const void *raw, size_t size) MT_MUST_CHECK;

#endif
