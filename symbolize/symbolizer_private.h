/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/symbolizer_private.h - what the files of the symbolizer share; nobody else includes it. */
#ifndef MT_SYMBOLIZE_SYMBOLIZER_PRIVATE_H
#define MT_SYMBOLIZE_SYMBOLIZER_PRIVATE_H

#include "base/array.h"
#include "symbolize/merge.h"
#include "symbolize/native.h"
#include "symbolize/notes.h"
#include "symbolize/pyline.h"
#include "symbolize/symbolize.h"

struct eval_range {
	uint64_t start, end;
};

struct frame_lines {		/* of a native frame: lines.items[first .. first + count) */
	uint32_t first, count;
};

struct shown {			/* a frame as it is shown, root to leaf */
	uint32_t first, count;	/* of symbolizer.frames; count 0: not made yet */
};

struct symbolizer {
	struct capture *cap;
	struct symbolize_options options;
	struct capture_tables tables;
	struct string_pool pool;
	struct file_search search;
	MT_ARRAY(struct eval_range) evals;
	bool has_pyline;
	enum pyline_format pyline;
	bool resolved;

	struct frame_lines *native;	/* by frame id */
	struct source_lines lines;
	uint8_t *merge_flags;		/* by frame id: enum merge_native or enum merge_python */
	struct shown *shown;		/* by frame id */
	MT_ARRAY(struct symbol_frame) frames;
	struct capture_module_symbols *module_notes;	/* by module id */
	size_t module_note_count;
	MT_ARRAY(struct native_module *) kept;	/* by module id, of a capture that grows; NULL: not open */
	bool growing;
	struct symbol_notes notes;
	bool counted;			/* notes and the counts are made */
	uint32_t native_count, named, lined;

	/* of symbolizer_stack() */
	MT_ARRAY(uint32_t) native_ids, python_ids;
	MT_ARRAY(uint8_t) native_flags, python_flags;
	MT_ARRAY(struct merge_item) items;
	MT_ARRAY(struct symbol_frame) out;
};

/* ---- symbolize/symbolizer.c ---- */

/* The module of a native frame; NULL: none, or not known. */
const struct capture_module *symbolizer_module(const struct symbolizer *s,
					       const struct capture_frame *f);
/* Room for and flags of the frames from `from` on; what is known of those before stays. */
/* What the capture says of its interpreter. */
struct mt_error *symbolizer_read_python(struct symbolizer *s) MT_MUST_CHECK;
struct mt_error *symbolizer_set_flags(struct symbolizer *s, uint32_t from) MT_MUST_CHECK;
/* The flags alone, of frames that there is room for. */
void symbolizer_flag_frames(struct symbolizer *s, uint32_t from, uint32_t to);

#endif
