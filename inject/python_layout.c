/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python_layout.c - frame layouts of CPython by version and by its own debug offsets.
 * Knows: struct offsets. Does not know: processes, symbols.
 * Called by inject/python.c; calls base/. */
#include "inject/python_layout.h"

#include <string.h>

#define NONE WIRE_NO_FIELD
#define VERSION_OF(hex) ((hex) >> 16)

/* ---- up to 3.12: as offsetof() gives them with each version's own headers, x86-64 ---- */

/* Py_DEBUG builds are the same since 3.8; those with Py_TRACE_REFS (3.7's debug builds too) not. */
#define STR_OLD .str_length = 16, .str_state = 32, .str_ascii_data = 48, .str_compact_data = 72, \
	.str_kind_shift = 2
#define STR_312 .str_length = 16, .str_state = 32, .str_ascii_data = 40, .str_compact_data = 56, \
	.str_kind_shift = 2
#define OBJECTS .object_type = 8, .bytes_size = 16, .bytes_data = 32, .frame_tlbc = NONE, \
	.code_tlbc = NONE
/* PyGILState_GetThisThreadState() answers for the main interpreter up to 3.11. */
#define RUNTIME(interpreters, current, thread) .runtime_interpreters = (interpreters), \
	.runtime_current = (current), .tstate_thread = (thread)
#define NO_RUNTIME RUNTIME(NONE, NONE, NONE)
/* A heap frame each, and a C-level eval loop each. */
#define FRAMES_OLD .flags = WIRE_PYTHON_ALL_ENTRY, .tstate_cframe = NONE, .tstate_frame = 24, \
	.frame_code = 32, .frame_previous = 24, .frame_owner = NONE, .frame_is_entry = NONE, \
	.code_qualname = NONE, .code_first_instr = NONE, .code_firsttraceable = NONE, \
	.owner_shim = WIRE_NO_SHIM, .tstate_chunk = NONE

static const struct wire_python table[] = {
	{
		.version = 0x0307, RUNTIME(24, 1480, 176),
		FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 104, .instr_scale = 1,
		.code_filename = 96, .code_name = 104, .code_firstlineno = 36, .code_linetable = 112,
	},
	{
		.version = 0x0308, RUNTIME(32, 1368, 176),
		FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 104, .instr_scale = 1,
		.code_filename = 104, .code_name = 112, .code_firstlineno = 40, .code_linetable = 120,
	},
	{
		.version = 0x0309, RUNTIME(32, 568, 176),
		FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 104, .instr_scale = 1,
		.code_filename = 104, .code_name = 112, .code_firstlineno = 40, .code_linetable = 120,
	},
	{
		.version = 0x030a, RUNTIME(32, 568, 176),
		FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 96, .instr_scale = 2,
		.code_filename = 104, .code_name = 112, .code_firstlineno = 40, .code_linetable = 120,
	},
	{
		.version = 0x030b, RUNTIME(40, 576, 152), OBJECTS, STR_OLD,
		.tstate_cframe = 56, .tstate_frame = 8, .tstate_chunk = 296,
		.frame_code = 32, .frame_previous = 48, .frame_instr = 56, .frame_owner = 69,
		.frame_is_entry = 68, .owner_shim = WIRE_NO_SHIM,
		.code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 72,
		.code_linetable = 136, .code_first_instr = 184, .code_firsttraceable = 168,
	},
	{	/* Since 3.12 a shim frame stands where a C-level eval loop begins. */
		.version = 0x030c, NO_RUNTIME, OBJECTS, STR_312,
		.tstate_cframe = 56, .tstate_frame = 0, .tstate_chunk = 232,
		.frame_code = 0, .frame_previous = 8, .frame_instr = 56, .frame_owner = 70,
		.frame_is_entry = NONE, .owner_shim = 3,
		.code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68,
		.code_linetable = 136, .code_first_instr = 192, .code_firsttraceable = 176,
	},
};

/* ---- from 3.13 on: struct _Py_DebugOffsets, read by its 8-byte words ---- */

enum { WORD_COOKIE, WORD_VERSION, WORD_FREE_THREADED };

struct field {
	uint8_t word;		/* of the struct; what it holds is an offset */
	uint16_t to;		/* member of struct wire_python it goes to */
};
#define FIELD(word, member) { word, (uint16_t)offsetof(struct wire_python, member) }
#define FIELDS 19

/* What the offsets do not tell, for builds with the GIL [0] and without [1]. */
struct untold {
	uint8_t kind_shift;		/* in the state of a str */
	uint8_t traceable_back;		/* from co_code_adaptive back to _co_firsttraceable */
	uint8_t tag_mask;		/* low bits of f_executable that are not the pointer's */
};

static const struct told {
	uint32_t version;
	uint16_t size;			/* of the whole struct */
	uint8_t frame_size, code_size;	/* words: sizes of the two structs */
	struct untold untold[2];
	struct field fields[FIELDS];
} told[] = {
	{
		.version = 0x030d, .size = 584, .frame_size = 28, .code_size = 34,
		.untold = { { 2, 16, 0 }, { 2, 16, 0 } },
		.fields = {
			FIELD(23, tstate_frame), FIELD(29, frame_previous), FIELD(30, frame_code),
			FIELD(31, frame_instr), FIELD(33, frame_owner), FIELD(35, code_filename),
			FIELD(36, code_name), FIELD(37, code_qualname), FIELD(38, code_linetable),
			FIELD(39, code_firstlineno), FIELD(43, code_first_instr), FIELD(45, object_type),
			FIELD(65, bytes_size), FIELD(66, bytes_data), FIELD(68, str_state),
			FIELD(69, str_length), FIELD(70, str_ascii_data),
		},
	},
	{
		.version = 0x030e, .size = 760, .frame_size = 31, .code_size = 39,
		.untold = { { 2, 16, 3 }, { 8, 24, 3 } },
		.fields = {
			FIELD(26, tstate_frame), FIELD(32, frame_previous), FIELD(33, frame_code),
			FIELD(34, frame_instr), FIELD(36, frame_owner), FIELD(38, frame_tlbc),
			FIELD(40, code_filename), FIELD(41, code_name), FIELD(42, code_qualname),
			FIELD(43, code_linetable), FIELD(44, code_firstlineno),
			FIELD(48, code_first_instr), FIELD(49, code_tlbc), FIELD(51, object_type),
			FIELD(75, bytes_size), FIELD(76, bytes_data), FIELD(78, str_state),
			FIELD(79, str_length), FIELD(80, str_ascii_data),
		},
	},
	{
		.version = 0x030f, .size = 888, .frame_size = 39, .code_size = 47,
		.untold = { { 2, 16, 3 }, { 8, 24, 3 } },
		.fields = {
			FIELD(26, tstate_frame), FIELD(40, frame_previous), FIELD(41, frame_code),
			FIELD(42, frame_instr), FIELD(44, frame_owner), FIELD(46, frame_tlbc),
			FIELD(48, code_filename), FIELD(49, code_name), FIELD(50, code_qualname),
			FIELD(51, code_linetable), FIELD(52, code_firstlineno),
			FIELD(56, code_first_instr), FIELD(57, code_tlbc), FIELD(59, object_type),
			FIELD(87, bytes_size), FIELD(88, bytes_data), FIELD(90, str_state),
			FIELD(91, str_length), FIELD(92, str_ascii_data),
		},
	},
};

static uint64_t word_at(const struct python_build *b, unsigned word)
{
	uint64_t value;
	memcpy(&value, b->debug_offsets + 8 * word, sizeof(value));
	return value;
}

/* A str that is not ASCII has two more fields in its header: utf8_length and utf8. */
#define COMPACT_HEADER_MORE 16u

static bool read_fields(const struct python_build *b, const struct told *row, struct wire_python *py)
{
	for (int i = 0; i < FIELDS; i++) {
		const struct field *f = &row->fields[i];
		uint64_t value = f->to ? word_at(b, f->word) : 0;
		if (value >= 4096)
			return false;
		if (f->to)
			memcpy((char *)py + f->to, &(uint16_t){ (uint16_t)value }, sizeof(uint16_t));
	}
	uint64_t frame_size = word_at(b, row->frame_size), code_size = word_at(b, row->code_size);
	return py->frame_instr < frame_size && py->frame_owner < frame_size &&
	       py->code_linetable < code_size && py->code_first_instr <= code_size &&
	       py->code_qualname < code_size;
}

static bool layout_told(const struct python_build *b, const struct told *row, struct wire_python *ret,
			const char **why)
{
	if (!b->debug_offsets || b->debug_offsets_size < row->size ||
	    word_at(b, WORD_FREE_THREADED) > 1 ||
	    memcmp(b->debug_offsets, "xdebugpy", 8) ||
	    VERSION_OF(word_at(b, WORD_VERSION)) != row->version) {
		*why = "its debug offsets cannot be found";
		return false;
	}
	/* Layouts are frozen with the first release candidate. */
	if ((word_at(b, WORD_VERSION) >> 4 & 15) < 0xc) {
		*why = "it is an alpha or beta release";
		return false;
	}
	bool free_threaded = word_at(b, WORD_FREE_THREADED);
	struct wire_python py = {
		.version = row->version, .tstate_cframe = NONE, .frame_is_entry = NONE, .owner_shim = 3,
		.frame_tlbc = NONE, .code_tlbc = NONE, .tstate_chunk = NONE, NO_RUNTIME,
		.str_kind_shift = row->untold[free_threaded].kind_shift,
		.frame_tag_mask = row->untold[free_threaded].tag_mask,
	};
	if (!read_fields(b, row, &py)) {
		*why = "its debug offsets make no sense";
		return false;
	}
	if (!free_threaded)	/* these are 0 there */
		py.frame_tlbc = py.code_tlbc = NONE;
	py.str_compact_data = (uint16_t)(py.str_ascii_data + COMPACT_HEADER_MORE);
	py.code_firsttraceable =
		(uint16_t)(py.code_first_instr - row->untold[free_threaded].traceable_back);
	*ret = py;
	return true;
}

bool python_layout(const struct python_build *b, struct wire_python *ret, const char **why)
{
	uint32_t version = VERSION_OF(b->hex);
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (told[i].version == version)
			return layout_told(b, &told[i], ret, why);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].version != version)
			continue;
		if (b->trace_refs) {
			*why = "it is a build that traces references";
			return false;
		}
		*ret = table[i];
		return true;
	}
	*why = version ? "this version is not known" : "its version cannot be told";
	return false;
}

/* ---- the lists of thread states ---- */

static const struct {
	uint32_t version;
	struct python_lists lists;
} lists_table[] = {
	{ 0x0307, { 24, 0, 8, 8, 176 } },
	{ 0x0308, { 32, 0, 8, 8, 176 } },
	{ 0x0309, { 32, 0, 8, 8, 176 } },
	{ 0x030a, { 32, 0, 8, 8, 176 } },
	{ 0x030b, { 40, 0, 16, 8, 152 } },
	{ 0x030c, { 40, 0, 72, 8, 136 } },
};

/* Words of struct _Py_DebugOffsets; the first three are where they are since 3.13. */
enum { WORD_INTERPRETERS = 5, WORD_INTERPRETER_NEXT = 8, WORD_INTERPRETER_THREADS = 9 };
static const struct {
	uint32_t version;
	uint8_t tstate_next, tstate_thread;
} lists_words[] = {
	{ 0x030d, 21, 24 },
	{ 0x030e, 24, 27 },
	{ 0x030f, 24, 30 },
};

static bool lists_told(const struct python_build *b, unsigned tstate_next, unsigned tstate_thread,
		       struct python_lists *ret)
{
	const unsigned words[5] = { WORD_INTERPRETERS, WORD_INTERPRETER_NEXT, WORD_INTERPRETER_THREADS,
				    tstate_next, tstate_thread };
	uint16_t v[5];
	for (int i = 0; i < 5; i++) {
		if (word_at(b, words[i]) > UINT16_MAX)
			return false;
		v[i] = (uint16_t)word_at(b, words[i]);
	}
	*ret = (struct python_lists){ v[0], v[1], v[2], v[3], v[4] };
	return true;
}

bool python_lists(const struct python_build *b, struct python_lists *ret)
{
	struct wire_python py;
	const char *why;
	if (!python_layout(b, &py, &why))
		return false;
	for (size_t i = 0; i < sizeof(lists_table) / sizeof(lists_table[0]); i++)
		if (lists_table[i].version == py.version) {
			*ret = lists_table[i].lists;
			return true;
		}
	for (size_t i = 0; i < sizeof(lists_words) / sizeof(lists_words[0]); i++)
		if (lists_words[i].version == py.version)
			return lists_told(b, lists_words[i].tstate_next, lists_words[i].tstate_thread,
					  ret);
	return false;
}
