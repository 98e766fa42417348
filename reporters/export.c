/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export.c - what all formats need: numbered frames, and the path of a row.
 * Knows: rows, stacks. Does not know: formats.
 * Called by reporters/export_*.c and cmds/transform.c; calls symbolize/ and base/. */
#include "reporters/export.h"
#include "base/hash.h"
#include "reporters/labels.h"

#include <string.h>

void export_deinit(struct export *x)
{
	tree_destroy(x->tree);
	free(x->leaf);
	mt_array_deinit(&x->path);
	*x = (struct export){ 0 };
}

/* Rows differ in thread and kind too: most stacks come several times. */
static struct mt_error *add_row(struct export *x, size_t i, bool interpreter, struct mt_map *leaves,
				struct symbol_frame **kept, size_t *room)
{
	uint32_t stack = x->r->views->rows[i].stack;
	const uint64_t *known = mt_map_get(leaves, stack);
	if (known) {
		x->leaf[i] = (uint32_t)*known;
		return NULL;
	}
	static const struct symbol_frame unknown = { LABEL_UNKNOWN, "", "", 0, FRAME_MARK, 0 };
	const struct symbol_frame *frames = NULL;
	size_t count = 0, n = 0;
	struct mt_error *err = symbolizer_stack(x->r->sym, stack, &frames, &count);
	if (err)
		return err;
	if (count > *room) {
		free(*kept);
		*kept = malloc(count * sizeof(**kept));
		*room = *kept ? count : 0;
		if (!*kept)
			return &mt_enomem;
	}
	for (size_t k = 0; k < count; k++)
		if (interpreter || !(frames[k].flags & FRAME_INTERPRETER))
			(*kept)[n++] = frames[k];
	err = n ? tree_add_stack(x->tree, *kept, n, &x->leaf[i]) :
		  tree_add_stack(x->tree, &unknown, 1, &x->leaf[i]);
	if (!err && !mt_map_put(leaves, stack, x->leaf[i]))
		err = &mt_enomem;
	return err;
}

struct mt_error *export_init(struct export *x, const struct report *r, bool interpreter)
{
	struct symbol_frame *kept = NULL;
	size_t room = 0;
	struct mt_map leaves = MT_MAP_INIT;
	*x = (struct export){ .r = r, .leaf = calloc(r->views->row_count + 1, sizeof(*x->leaf)) };
	struct mt_error *err = x->leaf ? tree_create(&x->tree) : &mt_enomem;
	for (size_t i = 0; !err && i < r->views->row_count; i++)
		err = add_row(x, i, interpreter, &leaves, &kept, &room);
	free(kept);
	mt_map_deinit(&leaves);
	if (err)
		export_deinit(x);
	return err;
}

struct mt_error *export_path(struct export *x, uint32_t node)
{
	uint32_t count;
	const struct tree_node *nodes = tree_nodes(x->tree, &count);
	x->path.len = 0;
	for (; node; node = nodes[node].parent)
		if (!mt_array_push(&x->path, nodes[node].frame))
			return &mt_enomem;
	return NULL;
}

const struct tree_frame *export_frame(const struct export *x, uint32_t frame)
{
	uint32_t count;
	return &tree_frames(x->tree, &count)[frame];
}

const char *export_function(const struct export *x, uint32_t frame)
{
	return tree_string(x->tree, export_frame(x, frame)->function);
}

const char *export_place(const struct export *x, uint32_t frame)
{
	const char *file = tree_string(x->tree, export_frame(x, frame)->file);
	return *file ? file : tree_string(x->tree, export_frame(x, frame)->module);
}
