/* SPDX-License-Identifier: Apache-2.0 */
/* capture/grow.c - reads a capture while it is being written.
 * Knows: that blocks are appended whole, or torn at the end. Does not know: who writes.
 * Called through capture/reader.h. */
#include "capture/reader_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct mt_error *capture_open_growing(const char *path, struct capture **ret)
{
	struct mt_error *err = capture_open_header(path, path, ret);
	if (err)
		return err;
	(*ret)->growing = true;
	(*ret)->grown = sizeof((*ret)->header);
	return NULL;
}

/* A whole block begins at `grown`; false: not yet, or something else does (the end mark). */
static bool next_block(const struct capture *cap, struct block_ref *ret)
{
	struct capture_block_head head;
	uint64_t left = cap->size - cap->grown;
	if (left < sizeof(head) || !capture_read_at(cap, cap->grown, &head, sizeof(head)) ||
	    !block_head_sane(&head) || head.stored_size > left - sizeof(head))
		return false;
	*ret = (struct block_ref){ cap->grown, head.stored_size, head.type, false };
	return true;
}

static struct mt_error *take_block(struct capture *cap, struct block_reader *reader,
				   struct block_ref *ref)
{
	const uint8_t *raw;
	size_t size;
	if (ref->type == CAPTURE_BLOCK_EVENTS || ref->type == CAPTURE_BLOCK_COLUMNS)
		return mt_array_push(&cap->blocks, *ref) ? NULL : &mt_enomem;	/* for passes */
	if (!capture_block_is_side(ref->type))
		return NULL;
	struct mt_error *err = block_reader_unpack(reader, cap, ref, &raw, &size);
	return err || !raw ? err : capture_load_block(cap, ref, raw, size);
}

struct mt_error *capture_grow(struct capture *cap)
{
	struct block_reader reader = { 0 };
	struct block_ref ref;
	struct stat st;
	struct mt_error *err = NULL;
	if (fstat(cap->fd, &st))
		return mt_error_os(errno, "cannot read '%s'", cap->path);
	cap->size = (uint64_t)st.st_size;
	while (!err && cap->size > cap->grown && next_block(cap, &ref)) {
		err = take_block(cap, &reader, &ref);
		cap->grown += sizeof(struct capture_block_head) + ref.stored_size;
	}
	block_reader_deinit(&reader);
	capture_take_meta(cap);
	return err;
}

uint64_t capture_grown(const struct capture *cap)
{
	return cap->grown;
}
