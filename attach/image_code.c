/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_code.c - finds executable memory that lies in no image.
 * Knows: maps, the segments of images. Does not know: what makes code there.
 * Called by attach/image.c. */
#include "attach/image_private.h"

#include <string.h>
#include <sys/mman.h>

static bool is_anonymous(const struct proc_map *m)
{
	return !m->inode && (!*m->path || !strncmp(m->path, "[anon:", 6));
}

/* Nothing that belongs to an image, and no hole between an image's segments. */
static bool is_free(const struct images *images, const struct proc_map *m)
{
	return !images_find(images, m->start);
}

/* A piece of an image's file, mapped once more: V8 moves its builtins close to what it compiles. */
static bool alias_of(const struct images *images, const struct proc_map *m, struct image_code *ret)
{
	uint64_t identity = image_map_identity(m);
	for (size_t i = 0; m->inode && i < images->by_start.len; i++) {
		const struct image *img = images->by_start.items[i];
		if (img->dev_inode != identity)
			continue;
		for (size_t k = 0; k < img->segment_count; k++) {
			const struct image_segment *s = &img->segments[k];
			uint64_t offset = image_page_down(s->offset);
			if (!(s->flags & PF_X) || m->offset < offset || m->offset - s->offset >= s->filesz)
				continue;
			uint64_t vaddr = image_page_down(s->vaddr) + (m->offset - offset);
			*ret = (struct image_code){ m->start, m->end, m->start - vaddr, img };
			return true;
		}
	}
	return false;
}

/* Anonymous memory with code in it, and what is reserved behind it: compilers reserve a range and
 * fill it, so that the range stays while its parts come and go. Returns the first map after it. */
static size_t take_run(const struct images *images, const struct proc_maps *maps, size_t i,
		       struct image_code *ret)
{
	const struct proc_map *m = maps->maps.items;
	size_t end = i + 1, last = i;
	while (end < maps->maps.len && m[end].start == m[end - 1].end && is_anonymous(&m[end]) &&
	       is_free(images, &m[end])) {
		if (m[end].prot & PROT_EXEC || m[end].prot == PROT_NONE)
			last = end;
		end++;
	}
	*ret = (struct image_code){ m[i].start, m[last].end, 0, NULL };
	return last + 1;
}

static bool same_aliases(const struct image_code_list *a, const struct image_code_list *b)
{
	size_t i = 0, k = 0;
	for (;; i++, k++) {
		while (i < a->len && !a->items[i].image)
			i++;
		while (k < b->len && !b->items[k].image)
			k++;
		if (i == a->len || k == b->len)
			return i == a->len && k == b->len;
		if (a->items[i].start != b->items[k].start || a->items[i].bias != b->items[k].bias ||
		    a->items[i].end != b->items[k].end || a->items[i].image != b->items[k].image)
			return false;
	}
}

static bool is_jitdump(const struct proc_map *m)
{
	const char *base = strrchr(m->path, '/');
	size_t len = base ? strlen(base) : 0;
	return m->inode && len > 10 && !strncmp(base, "/jit-", 5) && !strcmp(base + len - 5, ".dump");
}

/* It is mapped, executable, for no other purpose than to be found so. */
static struct mt_error *take_jitdump(struct images *images, const struct proc_map *m, bool *changed)
{
	if (images->jitdump.path)
		return NULL;
	images->jitdump = (struct image_jitdump){ m->start, m->end, m->inode, strdup(m->path) };
	*changed = true;
	return images->jitdump.path ? NULL : &mt_enomem;
}

struct mt_error *image_find_code(struct images *images, const struct proc_maps *maps, bool *changed)
{
	struct image_code_list found = { 0 };
	for (size_t i = 0; i < maps->maps.len;) {
		const struct proc_map *m = &maps->maps.items[i];
		struct image_code code;
		struct mt_error *err = is_jitdump(m) ? take_jitdump(images, m, changed) : NULL;
		if (err) {
			mt_array_deinit(&found);
			return err;
		}
		bool wanted = m->prot & PROT_EXEC && is_free(images, m);
		if (wanted && is_anonymous(m)) {
			i = take_run(images, maps, i, &code);
		} else {
			wanted = wanted && alias_of(images, m, &code);
			i++;
		}
		if (wanted && !mt_array_push(&found, code)) {
			mt_array_deinit(&found);
			return &mt_enomem;
		}
	}
	if (!same_aliases(&found, &images->code))
		*changed = true;
	mt_array_deinit(&images->code);
	images->code = found;
	return NULL;
}
