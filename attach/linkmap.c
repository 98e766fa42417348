/* SPDX-License-Identifier: Apache-2.0 */
/* attach/linkmap.c - reads the dynamic loader's list of loaded objects.
 * Knows: struct r_debug and struct link_map (the public head of both). Does not know: ELF contents.
 * Called by inject/ and attach/; reads memory through attach/tracee.h. */
#include "attach/linkmap.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 65536u
#define TRIES 20
#define TRY_AGAIN_US 100
#define RT_CONSISTENT 0

struct remote_r_debug {
	int32_t version, pad;
	uint64_t map, brk;
	int32_t state, pad2;
	uint64_t ldbase;
};

enum { LM_ADDR, LM_NAME, LM_LD, LM_NEXT, LM_PREV, LM_WORDS };

static uint64_t find_r_debug(struct tracee *t, const struct images *images)
{
	for (size_t i = 0; i < images->list.len; i++) {
		const struct image *img = images->list.items[i];
		if (!img->is_exe || img->unloaded || !img->dynamic)
			continue;
		for (uint64_t at = img->dynamic;; at += sizeof(Elf64_Dyn)) {
			Elf64_Dyn dyn;
			auto_error struct mt_error *err = tracee_read(t, at, &dyn, sizeof(dyn));
			if (err || dyn.d_tag == DT_NULL)
				break;
			if (dyn.d_tag == DT_DEBUG)
				return dyn.d_un.d_ptr;
		}
	}
	return 0;
}

/* glibc's _rtld_global begins with the main namespace: its first object, and how many there are.
 * That count tells a dlopen or dlclose that left the ends of the list as they were. */
static void find_namespace(struct tracee *t, const struct images *images, struct linkmap *map)
{
	for (size_t i = 0; i < images->list.len; i++) {
		struct image *img = images->list.items[i];
		struct image_symbol sym;
		uint64_t words[2];
		if (!img->is_loader || img->unloaded || !image_find_symbol(t, img, "_rtld_global", &sym))
			continue;
		auto_error struct mt_error *err = tracee_read(t, sym.address, words, sizeof(words));
		if (err || words[0] != map->first)
			continue;
		map->namespace_address = sym.address;
		map->namespace_count = words[1];
	}
}

static struct mt_error *walk(struct tracee *t, struct linkmap *map)
{
	uint64_t previous = 0;
	for (uint64_t at = map->first; at;) {
		uint64_t words[LM_WORDS];
		struct mt_error *err = tracee_read(t, at, words, sizeof(words));
		if (err || words[LM_PREV] != previous || map->entries.len > ENTRIES_MAX) {
			mt_error_destroy(err);
			return mt_error_create(MT_ERROR_BUSY, "the target's list of libraries is changing");
		}
		struct linkmap_entry entry = { at, words[LM_ADDR], words[LM_LD] };
		if (!mt_array_push(&map->entries, entry))
			return &mt_enomem;
		memcpy(map->last_words, words, sizeof(words));
		previous = at;
		at = words[LM_NEXT];
	}
	return NULL;
}

static struct mt_error *read_list(struct tracee *t, struct linkmap *map)
{
	struct remote_r_debug debug;
	struct mt_error *err = tracee_read(t, map->r_debug, &debug, sizeof(debug));
	if (err)
		return err;
	map->first = debug.map;
	map->consistent = debug.state == RT_CONSISTENT;
	map->entries.len = 0;
	return walk(t, map);
}

struct mt_error *linkmap_read(struct tracee *t, const struct images *images, struct linkmap *ret)
{
	struct linkmap map = { .r_debug = find_r_debug(t, images) };
	struct mt_error *err;
	if (!map.r_debug)
		return mt_error_create(MT_ERROR_BUSY, "the target's dynamic loader is not ready");
	/* The program loads and unloads meanwhile: a list that is caught half changed is whole soon. */
	for (int tries = 0; (err = read_list(t, &map)) && err->code == MT_ERROR_BUSY && tries < TRIES; tries++) {
		mt_error_destroy(err);
		usleep(TRY_AGAIN_US);
	}
	if (err) {
		linkmap_deinit(&map);
		return err;
	}
	find_namespace(t, images, &map);
	*ret = map;
	return NULL;
}

void linkmap_deinit(struct linkmap *map)
{
	mt_array_deinit(&map->entries);
}

bool linkmap_changed(struct tracee *t, const struct linkmap *map)
{
	struct remote_r_debug debug;
	uint64_t words[LM_WORDS], space[2];
	if (!map->entries.len)
		return true;
	const struct linkmap_entry *last = &map->entries.items[map->entries.len - 1];
	if (tracee_read_some(t, map->r_debug, &debug, sizeof(debug)) != sizeof(debug) ||
	    debug.map != map->first)
		return true;
	if (tracee_read_some(t, last->address, words, sizeof(words)) != sizeof(words) ||
	    memcmp(words, map->last_words, sizeof(words)))
		return true;
	if (!map->namespace_address)
		return false;
	return tracee_read_some(t, map->namespace_address, space, sizeof(space)) != sizeof(space) ||
	       space[1] != map->namespace_count;
}

const struct linkmap_entry *linkmap_find(const struct linkmap *map, const struct image *img)
{
	for (size_t i = 0; i < map->entries.len; i++)
		if (map->entries.items[i].dynamic == img->dynamic)
			return &map->entries.items[i];
	return NULL;
}
