/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/notes.h - one line about each module whose frames have no names. */
#ifndef MT_SYMBOLIZE_NOTES_H
#define MT_SYMBOLIZE_NOTES_H

#include "base/array.h"
#include "base/error.h"
#include "capture/format.h"
#include "capture/writer.h"

#include <stdbool.h>

struct symbol_notes {
	MT_ARRAY(char *);
};

void symbol_notes_deinit(struct symbol_notes *notes);
/* Adds what people should know about a module with `frames` native frames, if anything. Any
 * status is accepted: it may come from a damaged capture. */
struct mt_error *symbol_notes_add(struct symbol_notes *notes, const struct capture_module *m,
				  enum capture_symbol_status status, uint32_t frames)
	MT_MUST_CHECK;
/* The same about code that was compiled at run time: without a name, or with more than one. */
struct mt_error *symbol_notes_add_jit(struct symbol_notes *notes, uint32_t frames, bool changed)
	MT_MUST_CHECK;

#endif
