/* SPDX-License-Identifier: Apache-2.0 */
/* attach/linkmap.h - the dynamic loader's own list of what it has loaded (struct r_debug).
 *
 * linkmap_read() walks the list; it is what symbol lookup order and dlopen handles come from. The
 * list may change under our eyes: a walk that does not end cleanly is an MT_ERROR_BUSY.
 * linkmap_changed() is a cheap look (one system call) whether it is still the list that was read. */
#ifndef MT_ATTACH_LINKMAP_H
#define MT_ATTACH_LINKMAP_H

#include "attach/image.h"

struct linkmap_entry {
	uint64_t address;	/* of the struct link_map: glibc's dlopen handle */
	uint64_t bias, dynamic;
};

struct linkmap {
	uint64_t r_debug;	/* address, 0: the program has none */
	uint64_t first;		/* r_map */
	bool consistent;	/* r_state is RT_CONSISTENT */
	MT_ARRAY(struct linkmap_entry) entries;	/* lookup order */
	uint64_t last_words[5];	/* the last entry as it was read */
	uint64_t namespace_address, namespace_count;	/* glibc's count of loaded objects */
};

struct mt_error *linkmap_read(struct tracee *t, const struct images *images, struct linkmap *ret)
	MT_MUST_CHECK;
void linkmap_deinit(struct linkmap *map);
/* True also when it cannot be told. */
bool linkmap_changed(struct tracee *t, const struct linkmap *map);
/* The entry of an image, NULL: not in the list. */
const struct linkmap_entry *linkmap_find(const struct linkmap *map, const struct image *img);

#endif
