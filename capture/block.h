/* SPDX-License-Identifier: Apache-2.0 */
/* capture/block.h - one block of a capture file: checksum, compression, head.
 *
 * The packer makes the stored form of a block (head and payload in one buffer, so that it goes to
 * the kernel in one write); the unpacker checks a stored block and gives its payload back. Both
 * keep their buffers for the next block. Nothing here touches a file. */
#ifndef MT_CAPTURE_BLOCK_H
#define MT_CAPTURE_BLOCK_H

#include "base/error.h"
#include "capture/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

struct block_packer {
	struct ZSTD_CCtx_s *zstd;
	uint8_t *out;		/* head and payload of the last packed block */
	size_t out_cap;
};

struct block_unpacker {
	struct ZSTD_DCtx_s *zstd;
	uint8_t *raw;
	size_t raw_cap;
};

#define BLOCK_SLACK 64u		/* zero bytes after an unpacked payload: the longest event, and more */

void block_packer_deinit(struct block_packer *p);
/* The stored form of a block, in p->out (borrowed until the next call). */
struct mt_error *block_pack(struct block_packer *p, enum capture_block_type type,
			    uint64_t sequence, const void *raw, size_t size, size_t *stored_ret)
	MT_MUST_CHECK;

uint64_t block_checksum(const struct capture_block_head *head, const void *payload);
uint64_t block_hash(const void *data, size_t size);	/* XXH3, for headers and end marks */
/* The head's own fields are possible (says nothing about the checksum). */
bool block_head_sane(const struct capture_block_head *head);

void block_unpacker_deinit(struct block_unpacker *u);
/* Payload of a stored block whose checksum was checked; *ret is borrowed until the next call and
 * BLOCK_SLACK zero bytes follow it. A payload that does not unpack is no error: *what_ret says then
 * what is wrong with it (a literal; NULL: nothing). */
struct mt_error *block_unpack(struct block_unpacker *u, const struct capture_block_head *head,
			      const void *payload, const uint8_t **ret, const char **what_ret)
	MT_MUST_CHECK;

#endif
