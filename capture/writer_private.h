/* SPDX-License-Identifier: Apache-2.0 */
/* capture/writer_private.h - what the files of the writer share; nobody else includes it. */
#ifndef MT_CAPTURE_WRITER_PRIVATE_H
#define MT_CAPTURE_WRITER_PRIVATE_H

#include "base/array.h"
#include "base/buf.h"
#include "capture/block.h"
#include "capture/columns.h"
#include "capture/writer.h"

#define BLOCK_TYPES (CAPTURE_BLOCK_TOTALS + 1)

struct pending {		/* records of a block that is not written yet */
	struct mt_buf buf;
	uint64_t count;
};

struct index_entry {
	uint64_t offset;
	uint32_t raw_size;
	uint8_t type;
};

struct table_ids {		/* of frames, nodes, stacks */
	uint32_t frame, node, stack;
};

struct writer_file {		/* what changes with the file that is written to */
	int fd;
	uint64_t size, sequence;
	MT_ARRAY(struct index_entry) index;
};

struct capture_writer {
	/* the block being filled */
	struct column_writer columns;
	struct mt_buf tables;
	struct table_ids first, next;
	uint64_t event_count;

	struct writer_file file;
	struct writer_file old;	/* while the file is written anew: the one that holds until then */
	char *anew;		/* what the new one is called until it takes the old one's place */
	bool anew_named;	/* it has that name by now */
	bool rewriting;
	int failed;		/* errno of the write that failed, 0: none */
	char *path;
	struct capture_file_header header;
	struct pending pending[BLOCK_TYPES];
	struct mt_buf scratch;
	struct block_packer packer;
};

/* ---- capture/writer.c ---- */

struct mt_error *writer_failed(const struct capture_writer *w) MT_MUST_CHECK;
struct mt_error *writer_write_at(struct capture_writer *w, uint64_t offset, const void *data,
				 size_t size) MT_MUST_CHECK;
struct mt_error *writer_put_header(struct capture_writer *w) MT_MUST_CHECK;
/* All that was gathered, as blocks. */
struct mt_error *writer_put_events(struct capture_writer *w) MT_MUST_CHECK;
struct mt_error *writer_put_block(struct capture_writer *w, enum capture_block_type type,
				  const void *raw, size_t size) MT_MUST_CHECK;

#endif
