/* SPDX-License-Identifier: Apache-2.0 */
/* capture/block.c - one block of a capture file: checksum, compression, head.
 * Knows: zstd, XXH3, the block head. Does not know: files, what payloads mean.
 * Called by the reader and the writer; calls libzstd. */
#include "capture/block.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zstd.h>

#define ZSTD_LEVEL 1	/* captures are written beside a running service: speed before size */

uint64_t block_hash(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

uint64_t block_checksum(const struct capture_block_head *head, const void *payload)
{
	struct capture_block_head h = *head;
	h.checksum = 0;
	return XXH3_64bits_withSeed(payload, head->stored_size, XXH3_64bits(&h, sizeof(h)));
}

bool block_head_sane(const struct capture_block_head *head)
{
	return head->magic == CAPTURE_BLOCK_MAGIC && head->type && head->compression <= 1 &&
	       !head->zero && head->raw_size <= CAPTURE_BLOCK_RAW_MAX &&
	       head->stored_size <= CAPTURE_BLOCK_RAW_MAX &&
	       (head->compression || head->stored_size == head->raw_size);
}

void block_packer_deinit(struct block_packer *p)
{
	ZSTD_freeCCtx(p->zstd);
	free(p->out);
	*p = (struct block_packer){ 0 };
}

struct mt_error *block_pack(struct block_packer *p, enum capture_block_type type,
			    uint64_t sequence, const void *raw, size_t size, size_t *stored_ret)
{
	if (size > CAPTURE_BLOCK_RAW_MAX)
		return mt_error_create(MT_ERROR_OTHER, "a capture block of %zu bytes is too large",
				       size);
	struct capture_block_head head = {
		.magic = CAPTURE_BLOCK_MAGIC,
		.type = (uint8_t)type,
		.raw_size = (uint32_t)size,
		.sequence = sequence,
	};
	size_t need = sizeof(head) + ZSTD_compressBound(size);
	if (need > p->out_cap) {
		uint8_t *out = realloc(p->out, need);
		if (!out)
			return &mt_enomem;
		p->out = out;
		p->out_cap = need;
	}
	if (!p->zstd && !(p->zstd = ZSTD_createCCtx()))
		return &mt_enomem;
	size_t n = ZSTD_compressCCtx(p->zstd, p->out + sizeof(head), p->out_cap - sizeof(head),
				     raw, size, ZSTD_LEVEL);
	head.compression = !ZSTD_isError(n) && n < size;
	if (!head.compression) {
		n = size;
		if (size)
			memcpy(p->out + sizeof(head), raw, size);
	}
	head.stored_size = (uint32_t)n;
	head.checksum = block_checksum(&head, p->out + sizeof(head));
	memcpy(p->out, &head, sizeof(head));
	*stored_ret = sizeof(head) + n;
	return NULL;
}

void block_unpacker_deinit(struct block_unpacker *u)
{
	ZSTD_freeDCtx(u->zstd);
	free(u->raw);
	*u = (struct block_unpacker){ 0 };
}

static bool unpack_reserve(struct block_unpacker *u, size_t size)
{
	size_t need = size + BLOCK_SLACK;
	if (need <= u->raw_cap)
		return true;
	uint8_t *raw = malloc(need);
	if (!raw)
		return false;
	free(u->raw);
	u->raw = raw;
	u->raw_cap = need;
	return true;
}

struct mt_error *block_unpack(struct block_unpacker *u, const struct capture_block_head *head,
			      const void *payload, const uint8_t **ret, const char **what_ret)
{
	/* The frame says its size itself: a head that claims another is not believed, nor given
	 * memory. */
	if (head->compression && ZSTD_getFrameContentSize(payload, head->stored_size) !=
					 head->raw_size) {
		*what_ret = "the size of a compressed block is wrong";
		return NULL;
	}
	if (!unpack_reserve(u, head->raw_size) || (!u->zstd && !(u->zstd = ZSTD_createDCtx())))
		return &mt_enomem;
	if (!head->compression) {
		if (head->raw_size)
			memcpy(u->raw, payload, head->raw_size);
	} else if (ZSTD_decompressDCtx(u->zstd, u->raw, head->raw_size, payload,
				       head->stored_size) != head->raw_size) {
		*what_ret = "a block does not decompress";
		return NULL;
	}
	memset(u->raw + head->raw_size, 0, BLOCK_SLACK);
	*ret = u->raw;
	*what_ret = NULL;
	return NULL;
}
