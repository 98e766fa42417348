/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python.c - finds the interpreter in the target and its frame layout.
 * Knows: exported symbols, offsets by version. Does not know: how frames are read.
 * Called by inject/injection.c; calls attach/image.c. */
#include "inject/python.h"

#include "inject/cold_part.h"

#include <stdio.h>
#include <string.h>

#define NONE WIRE_NO_FIELD

/* Offsets on x86-64 release builds, as offsetof() gives them with each version's own headers. */
#define STR_OLD .str_length = 16, .str_state = 32, .str_ascii_data = 48, .str_compact_data = 72, \
	.str_kind_shift = 2
#define STR_312 .str_length = 16, .str_state = 32, .str_ascii_data = 40, .str_compact_data = 56, \
	.str_kind_shift = 2
#define OBJECTS .object_type = 8, .bytes_size = 16, .bytes_data = 32
/* A heap frame each, and a C-level eval loop each. */
#define FRAMES_OLD .flags = WIRE_PYTHON_ALL_ENTRY, .tstate_cframe = NONE, .tstate_frame = 24, \
	.frame_code = 32, .frame_previous = 24, .frame_owner = NONE, .frame_is_entry = NONE, \
	.code_qualname = NONE, .code_first_instr = NONE, .code_firsttraceable = NONE, .owner_shim = 0xff
/* Since 3.12 a shim frame stands where a C-level eval loop begins. */
#define FRAMES_312 .frame_code = 0, .frame_previous = 8, .frame_instr = 56, .frame_owner = 70, \
	.frame_is_entry = NONE, .owner_shim = 3

static const struct wire_python layouts[] = {
	{
		.version = 0x0307, FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 104, .instr_scale = 1,
		.code_filename = 96, .code_name = 104, .code_firstlineno = 36, .code_linetable = 112,
	},
	{
		.version = 0x0308, FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 104, .instr_scale = 1,
		.code_filename = 104, .code_name = 112, .code_firstlineno = 40, .code_linetable = 120,
	},
	{
		.version = 0x0309, FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 104, .instr_scale = 1,
		.code_filename = 104, .code_name = 112, .code_firstlineno = 40, .code_linetable = 120,
	},
	{
		.version = 0x030a, FRAMES_OLD, OBJECTS, STR_OLD, .frame_instr = 96, .instr_scale = 2,
		.code_filename = 104, .code_name = 112, .code_firstlineno = 40, .code_linetable = 120,
	},
	{
		.version = 0x030b, OBJECTS, STR_OLD,
		.tstate_cframe = 56, .tstate_frame = 8,
		.frame_code = 32, .frame_previous = 48, .frame_instr = 56, .frame_owner = 69,
		.frame_is_entry = 68, .owner_shim = 0xff,
		.code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 72,
		.code_linetable = 136, .code_first_instr = 184, .code_firsttraceable = 168,
	},
	{
		.version = 0x030c, FRAMES_312, OBJECTS, STR_312,
		.tstate_cframe = 56, .tstate_frame = 0,
		.code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68,
		.code_linetable = 136, .code_first_instr = 192, .code_firsttraceable = 176,
	},
	{
		.version = 0x030d, FRAMES_312, OBJECTS, STR_312,
		.tstate_cframe = NONE, .tstate_frame = 72,
		.code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68,
		.code_linetable = 136, .code_first_instr = 200, .code_firsttraceable = 184,
	},
};

void python_deinit(struct python *py)
{
	mt_buf_deinit(&py->eval_ranges);
}

/* Debug and free-threaded builds lay their objects out differently. */
static bool is_other_build(struct tracee *t, struct image *img, uint32_t version)
{
	struct image_symbol sym;
	uint64_t words[3];
	if (image_find_symbol(t, img, "_Py_RefTotal", &sym) ||
	    image_find_symbol(t, img, "_Py_DumpRefs", &sym))
		return true;
	if (version < 0x030d)
		return false;
	/* _PyRuntime begins with _Py_DebugOffsets: cookie, version, free-threaded. */
	if (!image_find_symbol(t, img, "_PyRuntime", &sym) ||
	    tracee_read_some(t, sym.address, words, sizeof(words)) != sizeof(words))
		return true;
	return memcmp(words, "xdebugpy", 8) || words[2];
}

/* Before 3.11 no data symbol says the version; programs and libraries are named for it. */
static uint32_t version_of_name(const struct image *img)
{
	const char *base = strrchr(img->path, '/');
	const char *at = strstr(base ? base + 1 : img->path, "python3.");
	unsigned minor;
	int used = 0;
	if (!at || sscanf(at, "python3.%u%n", &minor, &used) != 1 || minor > 10 ||
	    (at[used] && at[used] != '.' && strncmp(at + used, "m.so", 4) && strcmp(at + used, "m")))
		return 0;
	return 0x0300 | minor;
}

static uint32_t read_version(struct tracee *t, struct image *img)
{
	struct image_symbol sym;
	uint64_t hex;
	if (!image_find_symbol(t, img, "Py_Version", &sym))	/* since 3.11 */
		return version_of_name(img);
	return tracee_read_some(t, sym.address, &hex, sizeof(hex)) == sizeof(hex) ?
		       (uint32_t)(hex >> 16) & 0xffff : 0;
}

#define EVAL_NAME "_PyEval_EvalFrameDefault"

/* The eval loop, and the parts of it that the compiler moved away (.cold, clones). */
static bool add_eval_range(const char *name, const struct image_symbol *sym, void *arg)
{
	struct mt_buf *out = arg;
	size_t n = strlen(EVAL_NAME);
	if (strncmp(name, EVAL_NAME, n) || (name[n] && name[n] != '.') || !sym->size)
		return true;
	char range[64];
	snprintf(range, sizeof(range), "%llx-%llx", (unsigned long long)sym->address,
		 (unsigned long long)(sym->address + sym->size));
	if (out->len && memmem(out->data, out->len, range, strlen(range)))
		return true;	/* in both symbol tables */
	mt_buf_printf(out, "%s%s", out->len ? "," : "", range);
	return true;
}

/* Stripped files, as distributions have them, name only the main part of the eval loop. */
static void add_cold_part(struct tracee *t, const struct image *img,
			  const struct image_symbol *eval, struct mt_buf *out)
{
	struct image_bytes code = { 0 }, hdr = { 0 };
	struct cold_part part;
	char start[32];
	if (!eval->size || !img->eh_frame_hdr)
		return;
	auto_error struct mt_error *err = image_read_range(t, img, eval->address, eval->size, &code);
	if (!err)
		err = image_read_range(t, img, img->eh_frame_hdr, img->eh_frame_hdr_size, &hdr);
	const struct code_bytes function = { code.data, code.size, eval->address };
	const struct code_bytes table = { hdr.data, hdr.size, img->eh_frame_hdr };
	bool found = !err && cold_part_find(&function, &table, &part);
	image_bytes_deinit(&code);
	image_bytes_deinit(&hdr);
	if (!found)
		return;
	snprintf(start, sizeof(start), "%llx-", (unsigned long long)part.start);
	if (!memmem(out->data, out->len, start, strlen(start)))	/* else it had a symbol */
		mt_buf_printf(out, "%s%s%llx", out->len ? "," : "", start,
			      (unsigned long long)part.end);
}

static bool fill_layout(struct tracee *t, struct image *img, struct python *py)
{
	struct image_symbol state, type;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (layouts[i].version != py->version || is_other_build(t, img, py->version))
			continue;
		py->layout = layouts[i];
		if (!image_find_symbol(t, img, "PyGILState_GetThisThreadState", &state) ||
		    !image_find_symbol(t, img, "PyCode_Type", &type))
			return false;
		py->layout.get_thread_state = state.address;
		py->layout.code_type = type.address;
		return true;
	}
	return false;
}

struct mt_error *python_probe(struct tracee *t, const struct images *images, struct python *ret)
{
	struct python py = { .eval_ranges = MT_BUF_INIT };
	for (size_t i = 0; i < images->list.len && !py.present; i++) {
		struct image *img = images->list.items[i];
		struct image_symbol sym;
		if (img->unloaded || !image_find_symbol(t, img, "PyGILState_GetThisThreadState", &sym) ||
		    !image_find_symbol(t, img, EVAL_NAME, &sym))
			continue;
		py.present = true;
		py.image = img;
		py.version = read_version(t, img);
		py.known = fill_layout(t, img, &py);
		image_each_symbol(t, img, add_eval_range, &py.eval_ranges);
		add_cold_part(t, img, &sym, &py.eval_ranges);
	}
	struct mt_error *err = mt_buf_error(&py.eval_ranges);
	if (err) {
		python_deinit(&py);
		return err;
	}
	*ret = py;
	return NULL;
}
