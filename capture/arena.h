/* SPDX-License-Identifier: Apache-2.0 */
/* capture/arena.h - memory that lives as long as its capture: many small pieces, freed at once. */
#ifndef MT_CAPTURE_ARENA_H
#define MT_CAPTURE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;	/* newest first */
	size_t used, cap;		/* of the newest */
};

void arena_deinit(struct arena *a);
/* Zeroed and aligned for any type; NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy with a NUL behind it; NULL when out of memory. */
char *arena_copy(struct arena *a, const void *data, size_t size);

#endif
