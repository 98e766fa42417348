/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/resolve.c - looks up native frames in the files of their modules, and keeps what was found.
 * Knows: frames by module, what a SYMBOLS block is. Does not know: DWARF, stacks.
 * Called through symbolize/symbolize.h; calls native.h, notes.h. */
#include "symbolize/symbolizer_private.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "symbolize/jit.h"

#include <stdlib.h>
#include <string.h>

static struct mt_error *find_frame(struct symbolizer *s, struct native_module *nm, uint32_t id)
{
	uint32_t first = (uint32_t)s->lines.len;
	struct mt_error *err = native_module_find(nm, s->tables.frames[id].address, &s->pool, &s->lines);
	s->native[id] = (struct frame_lines){ first, (uint32_t)s->lines.len - first };
	return err;
}

struct frame_order {
	const struct capture_frame *frames;
};

static int by_module_and_address(const void *a, const void *b, void *arg)
{
	const struct frame_order *o = arg;
	const struct capture_frame *x = &o->frames[*(const uint32_t *)a],
				   *y = &o->frames[*(const uint32_t *)b];
	if (x->module_plus_1 != y->module_plus_1)
		return x->module_plus_1 < y->module_plus_1 ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Of a capture that grows: the module stays open, for the frames to come. */
static struct mt_error *keep_module(struct symbolizer *s, const struct capture_module *m,
				    struct native_module **ret)
{
	while (s->kept.len <= m->id)
		if (!mt_array_push(&s->kept, NULL))
			return &mt_enomem;
	if (!s->kept.items[m->id]) {
		auto_free struct native_module *nm = malloc(sizeof(*nm));
		if (!nm)
			return &mt_enomem;
		struct mt_error *err = native_module_open(&s->search, m, &s->pool, nm);
		if (err)
			return err;
		s->kept.items[m->id] = take_ptr(&nm);
	}
	*ret = s->kept.items[m->id];
	return NULL;
}

static struct mt_error *find_frames(struct symbolizer *s, const struct capture_module *m,
				    struct native_module *nm, const uint32_t *ids, size_t count)
{
	struct mt_error *err = NULL;
	for (size_t i = 0; i < count && !err; i++)
		err = find_frame(s, nm, ids[i]);
	const struct elf_file *used = nm->debug.elf ? &nm->debug : &nm->main;
	s->module_notes[m->id].status = native_module_status(nm);
	if (!err && used->path) {
		s->module_notes[m->id].path = string_pool_put(&s->pool, used->path, strlen(used->path));
		if (!s->module_notes[m->id].path)
			err = &mt_enomem;
	}
	return err;
}

/* Frames of no module: what the runtime told of the code it made. */
static struct mt_error *resolve_jit(struct symbolizer *s, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct capture_jit *j = capture_jit_at(s->cap, s->tables.frames[ids[i]].address);
		struct source_line line;
		if (!j || j->changed)
			continue;
		struct mt_error *err = jit_name_read(j->name, &s->pool, &line);
		if (err)
			return err;
		s->native[ids[i]] = (struct frame_lines){ (uint32_t)s->lines.len, 1 };
		if (!mt_array_push(&s->lines, line))
			return &mt_enomem;
	}
	return NULL;
}

/* The frames ids[0 .. count) of one module. */
static struct mt_error *resolve_module(struct symbolizer *s, const uint32_t *ids, size_t count)
{
	struct native_module once, *nm = &once;
	const struct capture_module *m = symbolizer_module(s, &s->tables.frames[ids[0]]);
	if (!s->tables.frames[ids[0]].module_plus_1)
		return resolve_jit(s, ids, count);
	if (!m || s->merge_flags[ids[0]] & MERGE_HIDDEN)
		return NULL;
	struct mt_error *err = s->growing ? keep_module(s, m, &nm) :
			       native_module_open(&s->search, m, &s->pool, &once);
	if (err)
		return err;
	err = find_frames(s, m, nm, ids, count);
	if (!s->growing)
		native_module_close(&once);
	return err;
}

static struct mt_error *resolve_sorted(struct symbolizer *s, const uint32_t *ids, size_t count,
				       void (*progress)(double, void *), void *arg)
{
	const struct capture_frame *frames = s->tables.frames;
	for (size_t i = 0; i < count;) {
		size_t end = i + 1;
		while (end < count && frames[ids[end]].module_plus_1 == frames[ids[i]].module_plus_1)
			end++;
		struct mt_error *err = resolve_module(s, ids + i, end - i);
		if (err)
			return err;
		i = end;
		if (progress)
			progress((double)i / (double)count, arg);
	}
	return NULL;
}

/* Frames of each module, by module id: shown ones of files, not memtrace's own. */
static uint32_t *count_module_frames(const struct symbolizer *s, size_t modules)
{
	uint32_t *counts = calloc(modules + 1, sizeof(*counts));
	for (uint32_t i = 1; counts && i < s->tables.frame_count; i++) {
		const struct capture_frame *f = &s->tables.frames[i];
		if (!f->is_python && symbolizer_module(s, f) && !(s->merge_flags[i] & MERGE_HIDDEN))
			counts[f->module_plus_1 - 1]++;
	}
	return counts;
}

/* Frames of no module that stay addresses. */
static struct mt_error *note_jit(struct symbolizer *s)
{
	uint32_t unnamed = 0, changed = 0;
	for (uint32_t i = 1; i < s->tables.frame_count; i++) {
		const struct capture_frame *f = &s->tables.frames[i];
		if (f->is_python || f->module_plus_1 || !f->address)
			continue;
		const struct capture_jit *j = capture_jit_at(s->cap, f->address);
		unnamed += !j;
		changed += j && j->changed;
	}
	struct mt_error *err = symbol_notes_add_jit(&s->notes, unnamed, false);
	return err ? err : symbol_notes_add_jit(&s->notes, changed, true);
}

/* The same notes whether names were looked up now or when the capture was symbolized. */
static struct mt_error *make_notes(struct symbolizer *s)
{
	size_t modules, count;
	const struct capture_module *m = capture_modules(s->cap, &modules);
	const struct capture_module_symbols *notes = capture_module_symbols(s->cap, &count);
	auto_free uint32_t *frames = count_module_frames(s, modules);
	if (!frames)
		return &mt_enomem;
	if (s->resolved) {
		notes = s->module_notes;
		count = modules;
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t id = notes[i].module;
		struct mt_error *err = NULL;
		if (id < modules)
			err = symbol_notes_add(&s->notes, &m[id], notes[i].status, frames[id]);
		if (err)
			return err;
		if (id < modules)
			frames[id] = 0;		/* a damaged capture may name it twice */
	}
	return note_jit(s);
}

static struct mt_error *count_names(struct symbolizer *s)
{
	if (s->counted)
		return NULL;
	s->counted = true;
	for (uint32_t i = 1; i < s->tables.frame_count; i++) {
		const struct capture_location *l;
		if (s->tables.frames[i].is_python)
			continue;
		if (capture_has_symbols(s->cap) && !s->resolved) {
			size_t n = capture_symbols(s->cap, i, &l);
			s->named += n && l[n - 1].function;
			s->lined += n && l[n - 1].line;
		} else if (s->native[i].count) {
			const struct source_line *last =
				&s->lines.items[s->native[i].first + s->native[i].count - 1];
			s->named += last->function != NULL;
			s->lined += last->line != 0;
		}
	}
	return make_notes(s);
}

/* Looks up the native frames from `from` on. */
static struct mt_error *resolve_from(struct symbolizer *s, uint32_t from,
				     void (*progress)(double, void *), void *arg)
{
	size_t count = 0;
	auto_free uint32_t *ids = malloc((s->tables.frame_count + 1) * sizeof(*ids));
	if (!ids)
		return &mt_enomem;
	for (uint32_t i = from ? from : 1; i < s->tables.frame_count; i++)
		if (!s->tables.frames[i].is_python)
			ids[count++] = i;
	struct frame_order order = { s->tables.frames };
	qsort_r(ids, count, sizeof(*ids), by_module_and_address, &order);
	return resolve_sorted(s, ids, count, progress, arg);
}

static struct mt_error *have_module_notes(struct symbolizer *s)
{
	size_t modules;
	capture_modules(s->cap, &modules);
	struct capture_module_symbols *notes = realloc(s->module_notes,
						       (modules + 1) * sizeof(*notes));
	if (!notes)
		return &mt_enomem;
	s->module_notes = notes;
	for (size_t i = s->module_note_count; i < modules; i++)
		notes[i] = (struct capture_module_symbols){ .module = (uint32_t)i };
	s->module_note_count = modules;
	return NULL;
}

struct mt_error *symbolizer_resolve(struct symbolizer *s, void (*progress)(double, void *), void *arg)
{
	if (s->resolved || (capture_has_symbols(s->cap) && !s->options.again))
		return count_names(s);
	struct mt_error *err = have_module_notes(s);
	if (!err)
		err = resolve_from(s, 0, progress, arg);
	s->resolved = !err;
	return err ? err : count_names(s);
}

struct mt_error *symbolizer_grow(struct symbolizer *s)
{
	uint32_t from = s->growing ? s->tables.frame_count : 0;
	struct mt_error *err = capture_load_tables(s->cap, &s->tables);
	s->growing = s->resolved = true;
	if (!err)
		err = have_module_notes(s);
	size_t evals = s->evals.len;
	if (!err)
		err = symbolizer_read_python(s);
	if (!err)
		err = symbolizer_set_flags(s, from);
	/* An interpreter that came meanwhile may have frames among the old ones. */
	if (!err && s->evals.len != evals)
		symbolizer_flag_frames(s, 0, from);
	return err ? err : resolve_from(s, from, NULL, NULL);
}

const char *const *symbolizer_notes(const struct symbolizer *s, size_t *count_ret)
{
	*count_ret = s->notes.len;
	return (const char *const *)s->notes.items;
}

char *symbolizer_servers(const struct symbolizer *s, bool *dead_ret)
{
	return file_search_warning(&s->search, dead_ret);
}

void symbolizer_counts(const struct symbolizer *s, uint32_t *frames_ret, uint32_t *named_ret,
		       uint32_t *lined_ret)
{
	*frames_ret = s->native_count;
	*named_ret = s->named;
	*lined_ret = s->lined;
}

/* ---- the SYMBOLS block ---- */

struct encoder {
	struct string_pool pool;
	MT_ARRAY(const char *) strings;
	bool failed;
};

static uint32_t number(struct encoder *e, const char *text)
{
	uint32_t id = 0;
	if (!text || !*text)
		return 0;
	const char *copy = string_pool_number(&e->pool, text, &id);
	if (!copy) {
		e->failed = true;
		return 0;
	}
	if (id == e->strings.len && !mt_array_push(&e->strings, copy))
		e->failed = true;
	return id + 1;		/* 0 is the empty string */
}

static void encode_modules(struct symbolizer *s, struct encoder *e, struct mt_buf *out)
{
	size_t count;
	capture_modules(s->cap, &count);
	mt_buf_put_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		mt_buf_put_varint(out, i);
		mt_buf_put_varint(out, s->module_notes[i].status);
		mt_buf_put_varint(out, number(e, s->module_notes[i].path));
	}
}

static void encode_locations(struct symbolizer *s, struct encoder *e, struct mt_buf *out)
{
	uint64_t count = 0;
	for (uint32_t i = 1; i < s->tables.frame_count; i++)
		count += s->native[i].count != 0;
	mt_buf_put_varint(out, count);
	for (uint32_t i = 1; i < s->tables.frame_count; i++) {
		if (!s->native[i].count)
			continue;
		mt_buf_put_varint(out, i);
		mt_buf_put_varint(out, s->native[i].count);
		for (uint32_t k = 0; k < s->native[i].count; k++) {
			const struct source_line *l = &s->lines.items[s->native[i].first + k];
			mt_buf_put_varint(out, number(e, l->function));
			mt_buf_put_varint(out, number(e, l->file));
			mt_buf_put_varint(out, l->line);
		}
	}
}

struct mt_error *symbolizer_encode(struct symbolizer *s, void **ret, size_t *size_ret)
{
	struct encoder e = { 0 };
	auto_buf struct mt_buf body = MT_BUF_INIT, out = MT_BUF_INIT;
	if (!s->resolved)
		return mt_error_create(MT_ERROR_OTHER, "nothing was symbolized");
	encode_modules(s, &e, &body);
	encode_locations(s, &e, &body);
	mt_buf_put_varint(&out, e.strings.len + 1);
	mt_buf_put_lstr(&out, "", 0);
	for (size_t i = 0; i < e.strings.len; i++)
		mt_buf_put_lstr(&out, e.strings.items[i], strlen(e.strings.items[i]));
	mt_buf_put(&out, body.data, body.len);
	bool failed = e.failed || body.failed || out.failed;
	string_pool_deinit(&e.pool);
	mt_array_deinit(&e.strings);
	if (failed)
		return &mt_enomem;
	*size_ret = out.len;
	*ret = out.data;
	out = (struct mt_buf)MT_BUF_INIT;
	return NULL;
}
