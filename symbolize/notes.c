/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/notes.c - says which modules have no names, and why.
 * Knows: what a module's status means. Does not know: how it came about.
 * Called by symbolize/symbolizer.c; calls base/. */
#include "symbolize/notes.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void symbol_notes_deinit(struct symbol_notes *notes)
{
	for (size_t i = 0; i < notes->len; i++)
		free(notes->items[i]);
	mt_array_deinit(notes);
}

struct mt_error *symbol_notes_add(struct symbol_notes *notes, const struct capture_module *m,
				  enum capture_symbol_status status, uint32_t frames)
{
	const char *text, *end = NULL;
	switch (status) {
	case CAPTURE_SYMBOLS_DAMAGED:
		text = "part of its symbols or debug information cannot be read";
		end = "may lack names or lines";
		break;
	case CAPTURE_SYMBOLS_NONE:
		text = "no file with symbols found";
		break;
	case CAPTURE_SYMBOLS_MISMATCH:
		text = "the file on disk is of another build: not used";
		break;
	default:
		return NULL;
	}
	if (!*m->path || !frames)
		return NULL;
	const char *base = strrchr(m->path, '/');
	char *clean = mt_text_clean(base && base[1] ? base + 1 : m->path);
	char *note = NULL;
	int n = 0;
	if (clean && end)
		n = asprintf(&note, "%s: %s; %u frame%s %s", clean, text, frames, frames == 1 ? "" : "s", end);
	else if (clean)
		n = asprintf(&note, "%s: %s; %u frame%s shown as %s", clean, text, frames,
			     frames == 1 ? " is" : "s are", frames == 1 ? "an address" : "addresses");
	if (n < 0)
		note = NULL;
	free(clean);
	if (note && mt_array_push(notes, note))
		return NULL;
	free(note);
	return &mt_enomem;
}

struct mt_error *symbol_notes_add_jit(struct symbol_notes *notes, uint32_t frames, bool changed)
{
	char *note = NULL;
	if (!frames)
		return NULL;
	if (asprintf(&note, "code compiled at run time: %s; %u frame%s shown as %s",
		     changed ? "it was replaced by other code during the capture" :
			       "no perf map or jitdump names it", frames, frames == 1 ? " is" : "s are",
		     frames == 1 ? "an address" : "addresses") < 0)
		return &mt_enomem;
	if (mt_array_push(notes, note))
		return NULL;
	free(note);
	return &mt_enomem;
}
