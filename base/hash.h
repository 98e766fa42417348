/* SPDX-License-Identifier: Apache-2.0 */
/* base/hash.h - a u64 -> u64 hash map (open addressing, linear probing, backward-shift delete).
 *
 * For the hot tables: live blocks, interning. Key 0 is allowed. Not thread-safe. Growing doubles
 * the table; a failed growth is reported by put and leaves the map as it was. */
#ifndef MT_BASE_HASH_H
#define MT_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mt_map {
	struct mt_map_slot {
		uint64_t key, value;
	} *slots;
	uint8_t *used;
	size_t cap, len;	/* cap is 0 or a power of two */
};

#define MT_MAP_INIT { NULL, NULL, 0, 0 }

static inline uint64_t mt_hash64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	return x;
}

static inline uint64_t mt_hash_pair(uint64_t a, uint64_t b)
{
	return mt_hash64(a ^ mt_hash64(b + 0x9e3779b97f4a7c15ull));
}

void mt_map_deinit(struct mt_map *map);
void mt_map_clear(struct mt_map *map);
/* Pointer to the value, or NULL. Valid until the next put or delete. */
uint64_t *mt_map_get(const struct mt_map *map, uint64_t key);
/* Inserts or overwrites; false when out of memory. */
bool mt_map_put(struct mt_map *map, uint64_t key, uint64_t value);
/* Removes; true and the old value when it was there (value_ret may be NULL). */
bool mt_map_delete(struct mt_map *map, uint64_t key, uint64_t *value_ret);
/* Iterates: start with *pos = 0; NULL at the end. The map must not change meanwhile. */
const struct mt_map_slot *mt_map_next(const struct mt_map *map, size_t *pos);

#endif
