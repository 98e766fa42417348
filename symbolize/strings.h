/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/strings.h - every name once, at an address that stays until the pool ends. */
#ifndef MT_SYMBOLIZE_STRINGS_H
#define MT_SYMBOLIZE_STRINGS_H

#include "base/array.h"

#include <stddef.h>
#include <stdint.h>

#define STRING_NAME_MAX 4096u

struct string_pool {
	struct string_chunk *chunks;
	struct string_slot {
		const char *text;	/* NULL: free */
		uint32_t hash, id;
	} *slots;
	uint32_t cap, len;		/* cap is 0 or a power of two */
};

void string_pool_deinit(struct string_pool *pool);
/* The pool's copy, NUL-terminated: equal bytes give the same pointer. NULL: out of memory. */
const char *string_pool_put(struct string_pool *pool, const char *s, size_t len);
/* The same of a function's or file's name: what is longer than anybody can read ends in "...". */
const char *string_pool_put_name(struct string_pool *pool, const char *name);
/* Number of a string: 0, 1, ... in the order of first use (so a pool can be written as a table). */
const char *string_pool_number(struct string_pool *pool, const char *s, uint32_t *id_ret);

#endif
