/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/strings.c - a string table over chunks of memory.
 * Knows: bytes. Does not know: what they name.
 * Called by symbolize/; calls base/. */
#include "symbolize/strings.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 65536u

struct string_chunk {
	struct string_chunk *next;
	size_t used, size;
	char bytes[];
};

void string_pool_deinit(struct string_pool *pool)
{
	struct string_chunk *next;
	for (struct string_chunk *c = pool->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(pool->slots);
	*pool = (struct string_pool){ 0 };
}

static uint32_t hash_bytes(const char *s, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)s[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static char *chunk_alloc(struct string_pool *pool, size_t size)
{
	struct string_chunk *c = pool->chunks;
	if (!c || c->size - c->used < size) {
		size_t want = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		c = malloc(sizeof(*c) + want);
		if (!c)
			return NULL;
		*c = (struct string_chunk){ pool->chunks, 0, want };
		pool->chunks = c;
	}
	char *p = c->bytes + c->used;
	c->used += size;
	return p;
}

static bool grow(struct string_pool *pool)
{
	uint32_t cap = pool->cap ? pool->cap * 2 : 1024;
	struct string_slot *slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return false;
	for (uint32_t i = 0; i < pool->cap; i++) {
		if (!pool->slots[i].text)
			continue;
		uint32_t at = pool->slots[i].hash & (cap - 1);
		while (slots[at].text)
			at = (at + 1) & (cap - 1);
		slots[at] = pool->slots[i];
	}
	free(pool->slots);
	pool->slots = slots;
	pool->cap = cap;
	return true;
}

static const struct string_slot *put(struct string_pool *pool, const char *s, size_t len)
{
	if (pool->len >= pool->cap / 4 * 3 && !grow(pool))
		return NULL;
	uint32_t hash = hash_bytes(s, len), at = hash & (pool->cap - 1);
	for (; pool->slots[at].text; at = (at + 1) & (pool->cap - 1)) {
		const struct string_slot *slot = &pool->slots[at];
		if (slot->hash == hash && !strncmp(slot->text, s, len) && !slot->text[len])
			return slot;
	}
	char *copy = chunk_alloc(pool, len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = 0;
	pool->slots[at] = (struct string_slot){ copy, hash, pool->len++ };
	return &pool->slots[at];
}

const char *string_pool_put(struct string_pool *pool, const char *s, size_t len)
{
	/* A name ends at its first NUL wherever it comes from: it is a C string from here on. */
	const struct string_slot *slot = put(pool, s, strnlen(s, len));
	return slot ? slot->text : NULL;
}

const char *string_pool_put_name(struct string_pool *pool, const char *name)
{
	size_t len = strnlen(name, STRING_NAME_MAX + 4);
	if (len <= STRING_NAME_MAX + 3)		/* a demangled one has its dots */
		return string_pool_put(pool, name, len);
	char cut[STRING_NAME_MAX + 4];
	memcpy(cut, name, STRING_NAME_MAX);
	strcpy(cut + STRING_NAME_MAX, "...");
	return string_pool_put(pool, cut, sizeof(cut) - 1);
}

const char *string_pool_number(struct string_pool *pool, const char *s, uint32_t *id_ret)
{
	const struct string_slot *slot = put(pool, s, strlen(s));
	if (slot)
		*id_ret = slot->id;
	return slot ? slot->text : NULL;
}
