/* SPDX-License-Identifier: Apache-2.0 */
/* capture/arena.c - memory that lives as long as its capture.
 * Knows: sizes. Does not know: what is kept in it.
 * Called by the reader; calls libc. */
#include "capture/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE (64u << 10)

struct arena_chunk {
	struct arena_chunk *next;
	_Alignas(16) unsigned char data[];
};

void arena_deinit(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;
		free(a->chunks);
		a->chunks = next;
	}
	*a = (struct arena){ 0 };
}

void *arena_alloc(struct arena *a, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	if (a->cap - a->used < size) {
		size_t cap = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		struct arena_chunk *c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		c->next = a->chunks;
		a->chunks = c;
		a->used = 0;
		a->cap = cap;
	}
	void *p = a->chunks->data + a->used;
	a->used += size;
	return memset(p, 0, size);
}

char *arena_copy(struct arena *a, const void *data, size_t size)
{
	if (size == SIZE_MAX)
		return NULL;
	char *p = arena_alloc(a, size + 1);
	if (p && size)
		memcpy(p, data, size);
	return p;
}
