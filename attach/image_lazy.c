/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_lazy.c - a table in the target's memory, read piece by piece as it is used.
 * Knows: address, size, pieces. Does not know: what the table holds.
 * Called by attach/image_*.c; reads through attach/tracee.h. */
#include "attach/image_private.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_SHIFT 15
#define PIECE (1ull << PIECE_SHIFT)

enum { PIECE_NEW, PIECE_LOADED, PIECE_UNREADABLE };

bool image_lazy_init(struct image_lazy *lazy, struct tracee *t, const struct image *img,
		     uint64_t address, uint64_t size)
{
	*lazy = (struct image_lazy){ .t = t, .address = address };
	if (!address || !size || !image_holds(img, address, 1))
		return false;
	if (size > img->end - address)
		size = img->end - address;
	/* Untouched pages of these cost nothing, however large the image says the table is. */
	lazy->data = malloc(size);
	lazy->loaded = calloc((size >> PIECE_SHIFT) + 1, 1);
	if (!lazy->data || !lazy->loaded) {
		image_lazy_deinit(lazy);
		return false;
	}
	lazy->size = size;
	return true;
}

void image_lazy_deinit(struct image_lazy *lazy)
{
	free(lazy->data);
	free(lazy->loaded);
	*lazy = (struct image_lazy){ 0 };
}

static bool load_piece(struct image_lazy *lazy, uint64_t piece)
{
	if (lazy->loaded[piece] == PIECE_NEW) {
		uint64_t from = piece << PIECE_SHIFT;
		size_t size = lazy->size - from < PIECE ? lazy->size - from : PIECE;
		size_t got = tracee_read_some(lazy->t, lazy->address + from, lazy->data + from,
					      size);
		lazy->loaded[piece] = got == size ? PIECE_LOADED : PIECE_UNREADABLE;
	}
	return lazy->loaded[piece] == PIECE_LOADED;
}

const void *image_lazy_get(struct image_lazy *lazy, uint64_t offset, size_t size)
{
	if (!size || offset >= lazy->size || size > lazy->size - offset)
		return NULL;
	uint64_t last = (offset + size - 1) >> PIECE_SHIFT;
	for (uint64_t piece = offset >> PIECE_SHIFT; piece <= last; piece++)
		if (!load_piece(lazy, piece))
			return NULL;
	return lazy->data + offset;
}

const char *image_lazy_string(struct image_lazy *lazy, uint64_t offset)
{
	const char *start = (const char *)lazy->data + offset;
	for (uint64_t at = offset; at < lazy->size;) {
		uint64_t piece = at >> PIECE_SHIFT, end = (piece + 1) << PIECE_SHIFT;
		if (end > lazy->size)
			end = lazy->size;
		if (!load_piece(lazy, piece))
			return NULL;
		if (memchr(lazy->data + at, 0, end - at))
			return start;
		at = end;
	}
	return NULL;
}
