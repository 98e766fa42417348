/* SPDX-License-Identifier: Apache-2.0 */
/* capture/writer.h - writes a capture file as it goes.
 *
 * capture_writer_create() opens the file (O_CREAT|O_EXCL, mode 0600, never through a symlink);
 * with `overwrite` a regular file that is there is replaced. Then any number of put calls; events
 * in ascending time (an earlier one gets the time of the one before). capture_writer_finish()
 * writes the rest, index and end mark and closes the file. capture_writer_destroy() always frees;
 * without finish it leaves a cut file that is readable up to the last flushed block.
 *
 * Errors of the disk (full, quota, I/O) are returned by the call that met them; the writer is
 * then failed: further puts return the same kind of error, destroy still closes. What was flushed
 * before stays readable. A file deleted meanwhile is such an error, met by flush and finish.
 * Not thread-safe. */
#ifndef MT_CAPTURE_WRITER_H
#define MT_CAPTURE_WRITER_H

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/format.h"
#include "capture/wire.h"

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

/* Kinds 8..23 allocate and have size and stack; of the others those that release a range have a
 * size. */
static inline bool capture_kind_allocates(unsigned kind)
{
	return kind < WIRE_REC_FREE;
}

static inline bool capture_kind_has_size(unsigned kind)
{
	const uint32_t mask = 0x00ffff00u | 1u << WIRE_REC_MUNMAP | 1u << WIRE_REC_MREMAP_UNMAP |
			      1u << WIRE_REC_BRK_SHRINK;
	return mask >> kind & 1;
}

struct mt_error *capture_writer_create(const char *path, bool overwrite, uint32_t features,
				       struct capture_writer **ret) MT_MUST_CHECK;
/* More of enum capture_feature than it was created with. */
struct mt_error *capture_writer_add_features(struct capture_writer *w, uint32_t features) MT_MUST_CHECK;
/* Over a file that has no name; *fd_ret, the caller's, is to read it by (/proc/self/fd). */
struct mt_error *capture_writer_create_in_memory(uint32_t features, int *fd_ret,
						 struct capture_writer **ret) MT_MUST_CHECK;
void capture_writer_destroy(struct capture_writer *w);	/* NULL accepted */
MT_DEFINE_CLEANUP(capture_writer, struct capture_writer *, capture_writer_destroy)
#define auto_capture_writer mt_auto(mt_cleanup_capture_writer)

/* Event times are kept in units of 2^shift ticks (0: exactly); before the first event. */
void capture_writer_time_unit(struct capture_writer *w, unsigned shift);

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
struct mt_error *capture_writer_jit(struct capture_writer *w, uint64_t address, const char *name,
				    bool changed) MT_MUST_CHECK;
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
struct mt_error *capture_writer_put_events(struct capture_writer *w, const struct capture_event *events,
					   size_t count) MT_MUST_CHECK;

/* Writes everything gathered so far as blocks, to the kernel. Call about once a second. */
struct mt_error *capture_writer_flush(struct capture_writer *w) MT_MUST_CHECK;
struct mt_error *capture_writer_finish(struct capture_writer *w) MT_MUST_CHECK;
uint64_t capture_writer_bytes(const struct capture_writer *w);	/* in the file so far */
uint64_t capture_writer_events(const struct capture_writer *w);
/* Where the file was at the last flush or finish: it may have been renamed. Borrowed until the next
 * call. */
const char *capture_writer_path(const struct capture_writer *w);

/* For tools that copy or extend captures (symbolize). A raw block is packed and written as it is;
 * a stored block (head and payload, from capture_block()) is checked and written with a new
 * sequence number; an index block is left out, finish writes one. set_header takes page size,
 * pointer size and machine from the capture that is copied. */
struct mt_error *capture_writer_raw_block(struct capture_writer *w, enum capture_block_type type,
					  const void *raw, size_t size) MT_MUST_CHECK;
struct mt_error *capture_writer_copy_block(struct capture_writer *w, const void *stored,
					   size_t size) MT_MUST_CHECK;
struct mt_error *capture_writer_set_header(struct capture_writer *w,
					   const struct capture_file_header *from) MT_MUST_CHECK;

/* The file anew, beside: begin copies all blocks but those of the types whose bits are in `without`; then
 * put calls write to the new file, and commit gives it the old one's name, in one step. Until then, and
 * when anything fails, the old one is whole; abort goes on with it. Not for files in memory. */
struct mt_error *capture_writer_rewrite_begin(struct capture_writer *w, uint32_t without) MT_MUST_CHECK;
struct mt_error *capture_writer_rewrite_commit(struct capture_writer *w) MT_MUST_CHECK;
void capture_writer_rewrite_abort(struct capture_writer *w);	/* nothing when none was begun */

#endif
