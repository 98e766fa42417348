/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_lazy.c - a table in the target's memory, read piece by piece as it is used.
 * Knows: address, size, pieces. Does not know: what the table holds.
 * Called by attach/image_*.c; reads through attach/tracee.h. */
#include "attach/image_private.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_SHIFT 15
#define PIECE (1ull << PIECE_SHIFT)

bool image_lazy_init(struct image_lazy *lazy, struct tracee *t, const struct image *img,
		     uint64_t address, uint64_t size)
{
	*lazy = (struct image_lazy){ .t = t, .address = address };
	if (!address || !size || !image_holds(img, address, 1))
		return false;
	if (size > img->end - address)
		size = img->end - address;
	if (size > IMAGE_TABLE_MAX)
		size = IMAGE_TABLE_MAX;
	/* Untouched pages of these cost nothing, however large the image says the table is. */
	lazy->data = malloc(size);
	lazy->valid = calloc((size >> PIECE_SHIFT) + 1, sizeof(*lazy->valid));
	if (!lazy->data || !lazy->valid) {
		image_lazy_deinit(lazy);
		return false;
	}
	lazy->size = size;
	return true;
}

void image_lazy_deinit(struct image_lazy *lazy)
{
	free(lazy->data);
	free(lazy->valid);
	*lazy = (struct image_lazy){ 0 };
}

/* Offset up to which the piece's bytes are there. A table may end before an unmapped page, and its
 * true size is not always known, so the readable part of a piece counts. */
static uint64_t load_piece(struct image_lazy *lazy, uint64_t piece)
{
	uint64_t from = piece << PIECE_SHIFT;
	if (!lazy->valid[piece]) {
		size_t size = lazy->size - from < PIECE ? lazy->size - from : PIECE;
		size_t got = tracee_read_some(lazy->t, lazy->address + from, lazy->data + from,
					      size);
		lazy->valid[piece] = (uint32_t)got + 1;
	}
	return from + lazy->valid[piece] - 1;
}

const void *image_lazy_get(struct image_lazy *lazy, uint64_t offset, size_t size)
{
	if (!size || offset >= lazy->size || size > lazy->size - offset)
		return NULL;
	uint64_t end = offset + size;
	for (uint64_t piece = offset >> PIECE_SHIFT; piece << PIECE_SHIFT < end; piece++) {
		uint64_t piece_end = (piece + 1) << PIECE_SHIFT;
		if (load_piece(lazy, piece) < (end < piece_end ? end : piece_end))
			return NULL;
	}
	return lazy->data + offset;
}

const char *image_lazy_string(struct image_lazy *lazy, uint64_t offset)
{
	for (uint64_t at = offset; at < lazy->size;) {
		uint64_t piece = at >> PIECE_SHIFT, end = load_piece(lazy, piece);
		if (end <= at)
			return NULL;
		if (memchr(lazy->data + at, 0, end - at))
			return (const char *)lazy->data + offset;
		if (end < (piece + 1) << PIECE_SHIFT)
			return NULL;
		at = end;
	}
	return NULL;
}
