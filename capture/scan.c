/* SPDX-License-Identifier: Apache-2.0 */
/* capture/scan.c - finds and reads the blocks of a capture, also of a cut or damaged one.
 * Knows: block heads, the index, where a block may begin. Does not know: what payloads mean.
 * Called by the reader; calls capture/block. */
#include "capture/reader_private.h"

#include "base/cursor.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE sizeof(struct capture_block_head)
#define SCAN_CHUNK (64u << 10)

static const char end_magic[8] = { 'm', 't', 'i', 'n', 'd', 'e', 'x', '1' };

/* ---- reading one block ---- */

void block_reader_deinit(struct block_reader *r)
{
	free(r->stored);
	block_unpacker_deinit(&r->unpacker);
	*r = (struct block_reader){ 0 };
}

static bool block_reader_reserve(struct block_reader *r, size_t size)
{
	if (size <= r->stored_cap)
		return true;
	uint8_t *p = malloc(size);
	if (!p)
		return false;
	free(r->stored);
	r->stored = p;
	r->stored_cap = size;
	return true;
}

struct mt_error *block_reader_load(struct block_reader *r, const struct capture *cap,
				   const struct block_ref *ref, const char **what_ret)
{
	struct capture_block_head head;
	r->stored_size = HEAD_SIZE + ref->stored_size;
	if (!block_reader_reserve(r, r->stored_size))
		return &mt_enomem;
	*what_ret = NULL;
	/* Each block is read, not mapped: a file that shrinks meanwhile must not be a signal. */
	if (!capture_read_at(cap, ref->offset, r->stored, r->stored_size)) {
		*what_ret = "a block cannot be read";
		return NULL;
	}
	memcpy(&head, r->stored, HEAD_SIZE);
	if (!block_head_sane(&head) || head.stored_size != ref->stored_size ||
	    head.type != ref->type)
		*what_ret = "the head of a block is damaged";
	else if (block_checksum(&head, r->stored + HEAD_SIZE) != head.checksum)
		*what_ret = "the checksum of a block does not match";
	return NULL;
}

struct mt_error *block_reader_fetch(struct block_reader *r, const struct capture *cap,
				    const struct block_ref *ref, const uint8_t **ret,
				    size_t *size_ret, const char **what_ret)
{
	struct mt_error *err = block_reader_load(r, cap, ref, what_ret);
	if (err || *what_ret)
		return err;
	struct capture_block_head head;
	memcpy(&head, r->stored, HEAD_SIZE);
	*size_ret = head.raw_size;
	return block_unpack(&r->unpacker, &head, r->stored + HEAD_SIZE, ret, what_ret);
}

struct mt_error *block_reader_unpack(struct block_reader *r, struct capture *cap,
				     struct block_ref *ref, const uint8_t **ret, size_t *size_ret)
{
	const char *what = NULL;
	*ret = NULL;
	if (ref->bad)
		return NULL;
	struct mt_error *err = block_reader_fetch(r, cap, ref, ret, size_ret, &what);
	if (err || !what)
		return err;
	*ret = NULL;
	block_note_bad(cap, ref, what);
	return NULL;
}

void block_note_bad(struct capture *cap, struct block_ref *ref, const char *what)
{
	ref->bad = true;
	capture_note_damage(cap, ref->offset, what);
}

/* ---- by the index ---- */

static bool end_mark_valid(const struct capture *cap, struct capture_end *ret)
{
	if (cap->size < sizeof(struct capture_file_header) + HEAD_SIZE + sizeof(*ret) ||
	    !capture_read_at(cap, cap->size - sizeof(*ret), ret, sizeof(*ret)))
		return false;
	return !memcmp(ret->magic, end_magic, sizeof(end_magic)) &&
	       ret->checksum == block_hash(ret, offsetof(struct capture_end, checksum)) &&
	       ret->index_offset >= sizeof(struct capture_file_header) &&
	       ret->index_offset <= cap->size - sizeof(*ret) - HEAD_SIZE;
}

/* Blocks are contiguous: the next offset gives the size. */
static bool close_block(struct capture *cap, uint64_t end)
{
	if (!cap->blocks.len)
		return end == sizeof(struct capture_file_header);
	struct block_ref *ref = &cap->blocks.items[cap->blocks.len - 1];
	if (end < ref->offset + HEAD_SIZE || end - ref->offset - HEAD_SIZE > CAPTURE_BLOCK_RAW_MAX)
		return false;
	ref->stored_size = (uint32_t)(end - ref->offset - HEAD_SIZE);
	return true;
}

static struct mt_error *parse_index(struct capture *cap, const uint8_t *raw, size_t size,
				    uint64_t index_offset, bool *ret)
{
	struct mt_cursor c = mt_cursor_make(raw, size);
	uint64_t count = mt_cursor_varint(&c), offset = 0;
	cap->blocks.len = 0;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t type = mt_cursor_varint(&c);
		offset += mt_cursor_varint(&c);
		mt_cursor_varint(&c);
		if (c.failed || !type || type > UINT8_MAX || offset > index_offset ||
		    !close_block(cap, offset))
			return NULL;
		if (!mt_array_push(&cap->blocks,
				   (struct block_ref){ .offset = offset, .type = (uint8_t)type }))
			return &mt_enomem;
	}
	*ret = !c.failed && c.pos == c.end && close_block(cap, index_offset);
	return NULL;
}

static struct mt_error *find_by_index(struct capture *cap, bool *ret)
{
	struct capture_end end;
	struct capture_block_head head;
	if (!end_mark_valid(cap, &end))
		return NULL;
	uint64_t stored = cap->size - sizeof(end) - end.index_offset - HEAD_SIZE;
	if (!capture_read_at(cap, end.index_offset, &head, HEAD_SIZE) || !block_head_sane(&head) ||
	    head.type != CAPTURE_BLOCK_INDEX || head.stored_size != stored)
		return NULL;
	struct block_reader reader = { 0 };
	struct block_ref ref = { end.index_offset, (uint32_t)stored, CAPTURE_BLOCK_INDEX, false };
	const char *what;
	const uint8_t *raw;
	struct mt_error *err = block_reader_load(&reader, cap, &ref, &what);
	if (!err && !what)
		err = block_unpack(&reader.unpacker, &head, reader.stored + HEAD_SIZE, &raw, &what);
	if (!err && !what)
		err = parse_index(cap, raw, head.raw_size, end.index_offset, ret);
	block_reader_deinit(&reader);
	return err;
}

/* ---- by walking ---- */

struct walk {
	struct capture *cap;
	struct block_reader reader;
	uint64_t offset;
	uint64_t budget;	/* bytes that may still be hashed in search of a block */
	bool finished;		/* an end mark is there */
};

/* A block's head stands at `offset` and the block fits into the file. */
static bool head_at(const struct walk *w, uint64_t offset, struct block_ref *ret)
{
	struct capture_block_head head;
	uint64_t left = w->cap->size - offset;
	if (left < HEAD_SIZE || !capture_read_at(w->cap, offset, &head, HEAD_SIZE) ||
	    !block_head_sane(&head) || head.stored_size > left - HEAD_SIZE)
		return false;
	*ret = (struct block_ref){ offset, head.stored_size, head.type, false };
	return true;
}

/* What follows the block looks like the next one, so its size is believable. */
static bool next_believable(const struct walk *w, uint64_t next)
{
	uint64_t left = w->cap->size - next;
	uint32_t magic;
	char end[sizeof(end_magic)];
	if (left < sizeof(magic))
		return true;
	if (left == sizeof(struct capture_end) &&
	    capture_read_at(w->cap, next, end, sizeof(end)) && !memcmp(end, end_magic, sizeof(end)))
		return true;
	return capture_read_at(w->cap, next, &magic, sizeof(magic)) && magic == CAPTURE_BLOCK_MAGIC;
}

static struct mt_error *checksum_matches(struct walk *w, const struct block_ref *ref, bool *ret)
{
	const char *what;
	*ret = false;
	if (ref->stored_size > w->budget)
		return NULL;
	w->budget -= ref->stored_size;
	struct mt_error *err = block_reader_load(&w->reader, w->cap, ref, &what);
	*ret = !err && !what;
	return err;
}

/* The first whole block from `from` on. */
static struct mt_error *resync(struct walk *w, uint64_t from, bool *found_ret,
			       struct block_ref *ret)
{
	static const uint32_t magic = CAPTURE_BLOCK_MAGIC;
	auto_free uint8_t *chunk = malloc(SCAN_CHUNK);
	if (!chunk)
		return &mt_enomem;
	*found_ret = false;
	while (w->cap->size - from >= HEAD_SIZE && w->budget) {
		size_t n = SCAN_CHUNK;
		if (n > w->cap->size - from)
			n = (size_t)(w->cap->size - from);
		if (!capture_read_at(w->cap, from, chunk, n))
			return NULL;
		const uint8_t *hit = memmem(chunk, n, &magic, sizeof(magic));
		if (!hit) {
			from += n - sizeof(magic) + 1;
			continue;
		}
		from += (uint64_t)(hit - chunk);
		if (head_at(w, from, ret)) {
			struct mt_error *err = checksum_matches(w, ret, found_ret);
			if (err || *found_ret)
				return err;
		}
		from++;
		w->budget -= w->budget < SCAN_CHUNK ? w->budget : SCAN_CHUNK / 16;
	}
	return NULL;
}

static bool at_end_mark(struct walk *w)
{
	struct capture_end end;
	if (w->cap->size - w->offset != sizeof(end))
		return false;
	w->finished = end_mark_valid(w->cap, &end);
	return w->finished;
}

static struct mt_error *walk_next(struct walk *w, bool *found_ret, struct block_ref *ret)
{
	*found_ret = false;
	if (head_at(w, w->offset, ret)) {
		*found_ret = next_believable(w, w->offset + HEAD_SIZE + ret->stored_size);
		if (*found_ret)
			return NULL;
		struct mt_error *err = checksum_matches(w, ret, found_ret);
		if (err || *found_ret)
			return err;
	}
	struct mt_error *err = resync(w, w->offset + 1, found_ret, ret);
	if (!err && *found_ret)
		capture_note_damage(w->cap, w->offset, "a block is unreadable");
	return err;
}

static struct mt_error *walk_all(struct walk *w)
{
	struct capture *cap = w->cap;
	cap->blocks.len = 0;
	while (w->offset < cap->size && !at_end_mark(w)) {
		struct block_ref ref;
		bool found;
		struct mt_error *err = walk_next(w, &found, &ref);
		if (err)
			return err;
		if (!found)
			break;
		if (ref.type != CAPTURE_BLOCK_INDEX && !mt_array_push(&cap->blocks, ref))
			return &mt_enomem;
		w->offset = ref.offset + HEAD_SIZE + ref.stored_size;
	}
	return NULL;
}

static struct mt_error *find_by_walking(struct capture *cap)
{
	struct walk w = {
		.cap = cap,
		.offset = sizeof(struct capture_file_header),
		.budget = 4 * cap->size + (64u << 20),
	};
	struct mt_error *err = walk_all(&w);
	block_reader_deinit(&w.reader);
	if (err)
		return err;
	if (w.finished)
		capture_note_damage(cap, w.offset, "the index is damaged");
	else
		capture_note_cut(cap, w.offset,
				 w.offset < cap->size ? "the last block is not complete" :
							"the capture was not finished");
	return NULL;
}

struct mt_error *capture_find_blocks(struct capture *cap)
{
	bool whole = false;
	struct mt_error *err = find_by_index(cap, &whole);
	return err || whole ? err : find_by_walking(cap);
}
