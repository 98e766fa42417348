/* SPDX-License-Identifier: Apache-2.0 */
/* base/array.h - growable typed arrays: `struct { T *items; size_t len, cap; }`.
 *
 *	MT_ARRAY(struct frame) frames = { 0 };
 *	if (!mt_array_push(&frames, f)) return &mt_enomem;
 *	mt_array_deinit(&frames); */
#ifndef MT_BASE_ARRAY_H
#define MT_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define MT_ARRAY(type)			\
	struct {			\
		type *items;		\
		size_t len, cap;	\
	}

/* Room for `need` items in all; false when out of memory (the array is as it was). */
static inline bool mt_array_grow_(void **items, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return true;
	size_t want = *cap ? *cap * 2 : 16;
	if (want < need)
		want = need;
	if (want > (size_t)-1 / size)
		return false;
	void *p = realloc(*items, want * size);
	if (!p)
		return false;
	*items = p;
	*cap = want;
	return true;
}

#define mt_array_reserve(a, need) \
	mt_array_grow_((void **)&(a)->items, &(a)->cap, (need), sizeof(*(a)->items))
#define mt_array_push(a, ...) \
	(mt_array_reserve((a), (a)->len + 1) ? ((a)->items[(a)->len++] = (__VA_ARGS__), true) : false)
#define mt_array_deinit(a)		\
	do {				\
		free((a)->items);	\
		(a)->items = NULL;	\
		(a)->len = (a)->cap = 0; \
	} while (0)

#endif
