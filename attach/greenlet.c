/* SPDX-License-Identifier: Apache-2.0 */
/* attach/greenlet.c - finds the functions that greenlets begin in.
 * Knows: names in greenlet's library. Does not know: its structures, stacks.
 * Called by attach/backtrace.c and inject/; calls attach/image.c. */
#include "attach/greenlet.h"

#include <string.h>

/* Since greenlet 2.0. Their arguments differ between versions, and compilers make parts (.cold) of them. */
static const struct {
	const char *prefix;
	enum greenlet_part part;
} names[] = {
	{ "_ZN8greenlet12UserGreenlet15inner_bootstrap", GREENLET_ROOT },
	{ "_ZN8greenlet12UserGreenlet13g_initialstub", GREENLET_START },
};

bool greenlet_is_library(struct tracee *t, struct image *img)
{
	struct image_symbol sym;
	/* The path first: this is asked of every library. */
	return strstr(img->path, "greenlet") &&
	       (image_find_symbol(t, img, "PyInit__greenlet", &sym) ||
		image_find_symbol(t, img, "PyInit_greenlet", &sym));	/* before 1.0 */
}

enum greenlet_part greenlet_part_named(const char *symbol)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(symbol, names[i].prefix, strlen(names[i].prefix)))
			return names[i].part;
	return GREENLET_OTHER;
}

static bool is_root(const char *name, const struct image_symbol *sym, void *arg)
{
	(void)sym;
	*(bool *)arg = greenlet_part_named(name) == GREENLET_ROOT;
	return !*(bool *)arg;
}

enum greenlet_part greenlet_part_at(struct tracee *t, struct image *img, uint64_t pc)
{
	struct image_symbol sym;
	bool named = false;
	const char *name = image_function_at(t, img, pc, &sym);
	if (name && greenlet_part_named(name) != GREENLET_OTHER)
		return greenlet_part_named(name);
	image_each_symbol(t, img, is_root, &named);
	return named ? GREENLET_OTHER : GREENLET_START;
}
