/* SPDX-License-Identifier: Apache-2.0 */
/* capture/reader_private.h - what the files of the reader share; nobody else includes it. */
#ifndef MT_CAPTURE_READER_PRIVATE_H
#define MT_CAPTURE_READER_PRIVATE_H

#include "base/array.h"
#include "base/hash.h"
#include "capture/arena.h"
#include "capture/block.h"
#include "capture/reader.h"

struct block_ref {
	uint64_t offset;
	uint32_t stored_size;
	uint8_t type;
	bool bad;		/* noted as damage already */
};

static inline bool block_has_events(uint8_t type)
{
	return type == CAPTURE_BLOCK_EVENTS || type == CAPTURE_BLOCK_COLUMNS;
}

struct block_reader {		/* buffers of one reading loop */
	uint8_t *stored;	/* head and payload */
	size_t stored_cap, stored_size;
	struct block_unpacker unpacker;
};

struct meta_entry {
	const char *key, *value;
	size_t size;
};

struct counter_entry {
	const char *name;
	uint64_t value;
};

struct location_range {
	uint32_t first, count;
};

struct capture {
	int fd;
	char *path;
	uint64_t size;
	struct capture_file_header header;
	MT_ARRAY(struct block_ref) blocks;

	/* damage: the first place of it, how many, and where the file is cut */
	uint64_t damage_offset, damage_count, cut_offset;
	const char *damage_what, *cut_what;	/* literals; NULL: none */
	char damage[256];

	struct arena arena;
	uint64_t side_bytes;	/* payload of all blocks but events so far */
	MT_ARRAY(struct meta_entry) meta;
	MT_ARRAY(struct capture_module) modules;
	size_t modules_seen;
	MT_ARRAY(struct capture_code) code;
	struct mt_map code_by_id;
	MT_ARRAY(struct capture_thread) threads;
	struct mt_map thread_by_index;
	MT_ARRAY(struct capture_sample) samples;
	MT_ARRAY(struct counter_entry) counters;
	MT_ARRAY(struct capture_jit) jit;
	struct mt_map jit_by_address;
	bool has_symbols;
	MT_ARRAY(struct capture_module_symbols) module_symbols;
	MT_ARRAY(struct capture_location) locations;
	struct mt_map locations_by_frame;	/* first << 32 | count */
	uint64_t start_ticks, ticks_per_second;

	MT_ARRAY(struct capture_frame) frames;
	MT_ARRAY(struct capture_node) nodes;
	MT_ARRAY(struct capture_stack) stacks;
	bool tables_complete;
	bool growing;			/* then they never are */
	uint64_t grown;
	uint64_t progress_done, progress_total;
	struct block_reader raw;		/* of capture_block() */
};

/* ---- capture/reader.c ---- */

/* One more damaged place; `what` is a literal. */
void capture_note_damage(struct capture *cap, uint64_t offset, const char *what);
void capture_note_cut(struct capture *cap, uint64_t offset, const char *what);
/* The file and its header alone. */
struct mt_error *capture_open_header(const char *path, const char *name, struct capture **ret)
	MT_MUST_CHECK;
/* What blocks of meta say that is asked for at every event. */
void capture_take_meta(struct capture *cap);
bool capture_block_is_side(uint8_t type);
bool capture_read_at(const struct capture *cap, uint64_t offset, void *buf, size_t size);

/* ---- capture/scan.c ---- */

/* Fills cap->blocks; what is missing is noted as damage. */
struct mt_error *capture_find_blocks(struct capture *cap) MT_MUST_CHECK;
void block_reader_deinit(struct block_reader *r);
/* The stored bytes of a block into r->stored, checked. *what_ret is NULL, or says what is wrong. */
struct mt_error *block_reader_load(struct block_reader *r, const struct capture *cap,
				   const struct block_ref *ref, const char **what_ret)
	MT_MUST_CHECK;
/* The same, unpacked, when nothing is wrong. Notes nothing: for any thread. */
struct mt_error *block_reader_fetch(struct block_reader *r, const struct capture *cap,
				    const struct block_ref *ref, const uint8_t **ret,
				    size_t *size_ret, const char **what_ret) MT_MUST_CHECK;
void block_note_bad(struct capture *cap, struct block_ref *ref, const char *what);
/* The same; a bad block is noted as damage once and gives *ret = NULL. */
struct mt_error *block_reader_unpack(struct block_reader *r, struct capture *cap,
				     struct block_ref *ref, const uint8_t **ret, size_t *size_ret)
	MT_MUST_CHECK;

/* ---- capture/tables.c ---- */

/* Reads the payload of a block that is not events; unknown types are skipped. */
struct mt_error *capture_load_block(struct capture *cap, const struct block_ref *ref,
				    const uint8_t *raw, size_t size) MT_MUST_CHECK;

#endif
