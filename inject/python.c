/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python.c - finds the interpreter in the target and its frame layout.
 * Knows: exported symbols. Does not know: offsets, how frames are read.
 * Called by inject/injection.c; calls attach/image.c, inject/python_layout.c. */
#include "inject/python.h"

#include "inject/cold_part.h"

#include <stdio.h>
#include <string.h>

void python_deinit(struct python *py)
{
	mt_buf_deinit(&py->eval_ranges);
}

/* Before 3.11 no data symbol says the version; each has functions that the one before had not. The name of
 * the file would not do: programs are renamed, and embed the interpreter. Two of each: one that is not
 * found because it could not be read must not make a version older, for its frames would be read wrongly
 * then, by the program itself. */
static uint32_t version_of_exports(struct tracee *t, struct image *img)
{
	static const struct {
		const char *one, *other;
		uint32_t version;	/* 0: has Py_Version, which could not be read */
	} since[] = {
		{ "PyErr_GetHandledException", "PyFrame_GetLasti", 0 },
		{ "Py_NewRef", "PyModule_AddObjectRef", 0x030a },
		{ "PyFrame_GetCode", "PyThreadState_GetFrame", 0x0309 },
		{ "PyCode_NewWithPosOnlyArgs", "PyStatus_Ok", 0x0308 },
		{ "_PyRuntime", "PyThread_tss_create", 0x0307 },
	};
	struct image_symbol sym;
	for (size_t i = 0; i < sizeof(since) / sizeof(since[0]); i++) {
		bool one = image_find_symbol(t, img, since[i].one, &sym);
		if (one != image_find_symbol(t, img, since[i].other, &sym))
			return 0;
		if (one)
			return since[i].version;
	}
	return 0;
}

static uint32_t read_version(struct tracee *t, struct image *img)
{
	struct image_symbol sym;
	uint64_t hex;
	if (!image_find_symbol(t, img, "Py_Version", &sym))	/* since 3.11 */
		return version_of_exports(t, img) << 16;
	return tracee_read_some(t, sym.address, &hex, sizeof(hex)) == sizeof(hex) ? (uint32_t)hex : 0;
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
	auto_close int fd = image_open_file(t, img);
	auto_error struct mt_error *err = image_read_range(t, img, fd, eval->address, eval->size, &code);
	if (!err)
		err = image_read_range(t, img, fd, img->eh_frame_hdr, img->eh_frame_hdr_size, &hdr);
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

static void fill_layout(struct tracee *t, struct image *img, struct python *py)
{
	struct image_symbol sym, state, type;
	uint8_t offsets[PYTHON_DEBUG_OFFSETS_MAX];
	uint64_t runtime = 0;
	struct python_build build = { .hex = read_version(t, img) };
	build.trace_refs = image_find_symbol(t, img, "_Py_PrintReferences", &sym) ||
			   image_find_symbol(t, img, "_Py_AddToAllObjects", &sym);
	if (image_find_symbol(t, img, "_PyRuntime", &sym)) {
		runtime = sym.address;
		build.debug_offsets = offsets;
		build.debug_offsets_size = tracee_read_some(t, sym.address, offsets, sizeof(offsets));
	}
	py->version = build.hex >> 16;
	if (!python_layout(&build, &py->layout, &py->why_unknown))
		return;
	py->why_unknown = "its type of code objects cannot be found";
	if (!image_find_symbol(t, img, "PyGILState_GetThisThreadState", &state) ||
	    !image_find_symbol(t, img, "PyCode_Type", &type))
		return;
	py->layout.get_thread_state = state.address;
	py->layout.code_type = type.address;
	py->layout.runtime = py->layout.runtime_current != WIRE_NO_FIELD ? runtime : 0;
	py->known = true;
	if (python_lists(&build, &py->lists))
		py->runtime = runtime;
}

struct mt_error *python_probe(struct tracee *t, const struct images *images, bool allocators,
			      struct python *ret)
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
		fill_layout(t, img, &py);
		image_each_symbol(t, img, add_eval_range, &py.eval_ranges);
		add_cold_part(t, img, &sym, &py.eval_ranges);
		if (allocators && image_find_symbol(t, img, "_PyRuntime", &sym))
			python_allocators_find(t, images, img, sym.address, &py.allocators);
	}
	struct mt_error *err = mt_buf_error(&py.eval_ranges);
	if (err) {
		python_deinit(&py);
		return err;
	}
	*ret = py;
	return NULL;
}
