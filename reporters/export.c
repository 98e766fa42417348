/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export.c - what all formats need: numbered frames, and the path of a row.
 * Knows: rows, stacks. Does not know: formats.
 * Called by reporters/export_*.c and cmds/transform.c; calls symbolize/ and base/. */
#include "reporters/export.h"
#include "reporters/labels.h"

#include <string.h>

void export_deinit(struct export *x)
{
	tree_destroy(x->tree);
	free(x->leaf);
	mt_array_deinit(&x->path);
	*x = (struct export){ 0 };
}

static struct mt_error *add_row(struct export *x, size_t i, bool interpreter,
				struct symbol_frame **kept, size_t *room)
{
	static const struct symbol_frame unknown = { LABEL_UNKNOWN, "", "", 0, FRAME_MARK, 0 };
	const struct symbol_frame *frames = NULL;
	size_t count = 0, n = 0;
	struct mt_error *err = symbolizer_stack(x->r->sym, x->r->views->rows[i].stack, &frames,
						&count);
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
	return n ? tree_add_stack(x->tree, *kept, n, &x->leaf[i]) :
	       tree_add_stack(x->tree, &unknown, 1, &x->leaf[i]);
}

struct mt_error *export_init(struct export *x, const struct report *r, bool interpreter)
{
	struct symbol_frame *kept = NULL;
	size_t room = 0;
	*x = (struct export){ .r = r, .leaf = calloc(r->views->row_count + 1, sizeof(*x->leaf)) };
	struct mt_error *err = x->leaf ? tree_create(&x->tree) : &mt_enomem;
	for (size_t i = 0; !err && i < r->views->row_count; i++)
		err = add_row(x, i, interpreter, &kept, &room);
	free(kept);
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
