/* SPDX-License-Identifier: Apache-2.0 */
/* base/hash.c - the u64 -> u64 map of the hot tables.
 * Knows: keys and values. Does not know: what they stand for.
 * Called by record/, analysis/ and symbolize/; calls libc. */
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

void mt_map_deinit(struct mt_map *map)
{
	free(map->slots);
	free(map->used);
	*map = (struct mt_map)MT_MAP_INIT;
}

void mt_map_clear(struct mt_map *map)
{
	if (map->used)
		memset(map->used, 0, map->cap);
	map->len = 0;
}

uint64_t *mt_map_get(const struct mt_map *map, uint64_t key)
{
	if (!map->len)
		return NULL;
	size_t mask = map->cap - 1;
	for (size_t i = mt_hash64(key) & mask; map->used[i]; i = (i + 1) & mask)
		if (map->slots[i].key == key)
			return &map->slots[i].value;
	return NULL;
}

static void map_insert_new(struct mt_map *map, uint64_t key, uint64_t value)
{
	size_t mask = map->cap - 1, i = mt_hash64(key) & mask;
	while (map->used[i])
		i = (i + 1) & mask;
	map->used[i] = 1;
	map->slots[i] = (struct mt_map_slot){ key, value };
	map->len++;
}

static bool map_grow(struct mt_map *map)
{
	struct mt_map bigger = { .cap = map->cap ? map->cap * 2 : 64 };
	bigger.slots = malloc(bigger.cap * sizeof(*bigger.slots));
	bigger.used = calloc(bigger.cap, 1);
	if (!bigger.slots || !bigger.used) {
		mt_map_deinit(&bigger);
		return false;
	}
	for (size_t i = 0; i < map->cap; i++)
		if (map->used[i])
			map_insert_new(&bigger, map->slots[i].key, map->slots[i].value);
	mt_map_deinit(map);
	*map = bigger;
	return true;
}

bool mt_map_put(struct mt_map *map, uint64_t key, uint64_t value)
{
	uint64_t *there = mt_map_get(map, key);
	if (there) {
		*there = value;
		return true;
	}
	if (map->len * 4 >= map->cap * 3 && !map_grow(map))
		return false;
	map_insert_new(map, key, value);
	return true;
}

bool mt_map_delete(struct mt_map *map, uint64_t key, uint64_t *value_ret)
{
	if (!map->len)
		return false;
	size_t mask = map->cap - 1, i = mt_hash64(key) & mask;
	while (map->used[i] && map->slots[i].key != key)
		i = (i + 1) & mask;
	if (!map->used[i])
		return false;
	if (value_ret)
		*value_ret = map->slots[i].value;
	/* Close the gap so that no probe sequence is cut and no tombstone stays. */
	for (size_t j = (i + 1) & mask; map->used[j]; j = (j + 1) & mask) {
		size_t home = mt_hash64(map->slots[j].key) & mask;
		if (((j - home) & mask) >= ((j - i) & mask)) {
			map->slots[i] = map->slots[j];
			i = j;
		}
	}
	map->used[i] = 0;
	map->len--;
	return true;
}

const struct mt_map_slot *mt_map_next(const struct mt_map *map, size_t *pos)
{
	while (*pos < map->cap) {
		size_t i = (*pos)++;
		if (map->used[i])
			return &map->slots[i];
	}
	return NULL;
}
