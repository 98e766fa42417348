/* SPDX-License-Identifier: Apache-2.0 */
/* capture/tables.c - reads the payloads of all blocks but events.
 * Knows: capture/format.h. Does not know: the file.
 * Called by capture/reader.c. */
#include "base/cursor.h"
#include "capture/reader_private.h"

/* A count that the bytes left cannot hold is damage and must not become memory. */
static uint64_t take_count(struct mt_cursor *c, size_t smallest)
{
	uint64_t n = mt_cursor_varint(c);
	if (n > mt_cursor_left(c) / smallest)
		c->failed = true;
	return c->failed ? 0 : n;
}

static char *take_text(struct capture *cap, struct mt_cursor *c, size_t *size_ret, bool *oom)
{
	size_t size;
	const char *s = mt_cursor_lstr(c, &size);
	char *copy = arena_copy(&cap->arena, s ? s : "", s ? size : 0);
	if (!copy)
		*oom = true;
	if (size_ret)
		*size_ret = size;
	return copy;
}

static struct mt_error *load_meta(struct capture *cap, struct mt_cursor *c)
{
	bool oom = false;
	for (uint64_t n = take_count(c, 2); n > 0 && !c->failed; n--) {
		struct meta_entry e;
		e.key = take_text(cap, c, NULL, &oom);
		e.value = take_text(cap, c, &e.size, &oom);
		if (oom || (!c->failed && !mt_array_push(&cap->meta, e)))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *take_segments(struct capture *cap, struct mt_cursor *c,
				      struct capture_module *m)
{
	m->segment_count = take_count(c, 4);
	struct capture_segment *s = arena_alloc(&cap->arena, m->segment_count * sizeof(*s) + 1);
	if (!s)
		return &mt_enomem;
	m->segments = s;
	for (size_t i = 0; i < m->segment_count; i++) {
		s[i].vaddr = mt_cursor_varint(c);
		s[i].size = mt_cursor_varint(c);
		s[i].file_offset = mt_cursor_varint(c);
		s[i].flags = (uint32_t)mt_cursor_varint(c);
	}
	return NULL;
}

/* Modules are dense by id; one seen again overrides. */
static struct mt_error *put_module(struct capture *cap, const struct capture_module *m)
{
	/* Each id costs bytes in the file somewhere: a jump far ahead is damage. */
	if (m->id >= 1u << WIRE_MODULE_COUNT_BITS || m->id / 4 > cap->size)
		return NULL;
	while (cap->modules.len <= m->id) {
		struct capture_module empty = { .id = (uint32_t)cap->modules.len, .path = "" };
		if (!mt_array_push(&cap->modules, empty))
			return &mt_enomem;
	}
	cap->modules.items[m->id] = *m;
	return NULL;
}

static struct mt_error *load_modules(struct capture *cap, struct mt_cursor *c)
{
	bool oom = false;
	for (uint64_t n = take_count(c, 9); n > 0 && !c->failed; n--) {
		struct capture_module m = { .id = (uint32_t)mt_cursor_varint(c) };
		m.load_ticks = mt_cursor_varint(c);
		m.unload_ticks = mt_cursor_varint(c);
		m.start = mt_cursor_varint(c);
		m.end = mt_cursor_varint(c);
		m.bias = mt_cursor_varint(c);
		m.path = take_text(cap, c, NULL, &oom);
		m.build_id = (const uint8_t *)take_text(cap, c, &m.build_id_size, &oom);
		struct mt_error *err = oom ? &mt_enomem : take_segments(cap, c, &m);
		if (!err && !c->failed)
			err = put_module(cap, &m);
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *load_code(struct capture *cap, struct mt_cursor *c)
{
	bool oom = false;
	for (uint64_t n = take_count(c, 6); n > 0 && !c->failed; n--) {
		struct capture_code code = { .id = (uint32_t)mt_cursor_varint(c) };
		code.first_line = (uint32_t)mt_cursor_varint(c);
		code.first_traceable = (uint32_t)mt_cursor_varint(c);
		code.file = take_text(cap, c, &code.file_size, &oom);
		code.name = take_text(cap, c, &code.name_size, &oom);
		code.line_table = (const uint8_t *)take_text(cap, c, &code.line_table_size, &oom);
		if (oom)
			return &mt_enomem;
		if (c->failed)
			break;
		if (!mt_map_put(&cap->code_by_id, code.id, cap->code.len) ||
		    !mt_array_push(&cap->code, code))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *load_threads(struct capture *cap, struct mt_cursor *c)
{
	bool oom = false;
	for (uint64_t n = take_count(c, 4); n > 0 && !c->failed; n--) {
		struct capture_thread t = { .index = (uint32_t)mt_cursor_varint(c) };
		t.tid = (uint32_t)mt_cursor_varint(c);
		t.ticks = mt_cursor_varint(c);
		t.name = take_text(cap, c, NULL, &oom);
		if (oom)
			return &mt_enomem;
		if (c->failed)
			break;
		if (!mt_map_put(&cap->thread_by_index, t.index, cap->threads.len) ||
		    !mt_array_push(&cap->threads, t))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *load_samples(struct capture *cap, struct mt_cursor *c)
{
	for (uint64_t n = take_count(c, 8); n > 0 && !c->failed; n--) {
		struct capture_sample s = { .ticks = mt_cursor_varint(c) };
		s.monotonic_ns = mt_cursor_varint(c);
		s.realtime_ns = mt_cursor_varint(c);
		s.rss = mt_cursor_varint(c);
		s.rss_anon = mt_cursor_varint(c);
		s.rss_file = mt_cursor_varint(c);
		s.rss_shmem = mt_cursor_varint(c);
		s.swap = mt_cursor_varint(c);
		if (!c->failed && !mt_array_push(&cap->samples, s))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *load_counters(struct capture *cap, struct mt_cursor *c)
{
	bool oom = false;
	for (uint64_t n = take_count(c, 2); n > 0 && !c->failed; n--) {
		struct counter_entry e = { .name = take_text(cap, c, NULL, &oom) };
		e.value = mt_cursor_varint(c);
		if (oom || (!c->failed && !mt_array_push(&cap->counters, e)))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *load_jit(struct capture *cap, struct mt_cursor *c)
{
	bool oom = false;
	for (uint64_t n = take_count(c, 3); n > 0 && !c->failed; n--) {
		uint64_t address = mt_cursor_varint(c);
		struct capture_jit j = { .changed = mt_cursor_varint(c) & CAPTURE_JIT_CHANGED };
		j.name = take_text(cap, c, NULL, &oom);
		if (oom)
			return &mt_enomem;
		if (c->failed)
			break;
		if (!mt_map_put(&cap->jit_by_address, address, cap->jit.len) ||
		    !mt_array_push(&cap->jit, j))
			return &mt_enomem;
	}
	return NULL;
}

/* ---- symbols ---- */

struct strings {
	const char **items;
	uint64_t count;
};

static const char *string_at(const struct strings *s, uint64_t i)
{
	return i && i < s->count ? s->items[i] : NULL;
}

static struct mt_error *take_strings(struct capture *cap, struct mt_cursor *c, struct strings *ret)
{
	bool oom = false;
	ret->count = take_count(c, 1);
	ret->items = arena_alloc(&cap->arena, ret->count * sizeof(*ret->items) + 1);
	if (!ret->items)
		return &mt_enomem;
	for (uint64_t i = 0; i < ret->count && !oom; i++)
		ret->items[i] = take_text(cap, c, NULL, &oom);
	return oom ? &mt_enomem : NULL;
}

static struct mt_error *take_locations(struct capture *cap, struct mt_cursor *c,
				       const struct strings *strings)
{
	uint32_t frame = (uint32_t)mt_cursor_varint(c);
	uint64_t lines = take_count(c, 3), first = cap->locations.len;
	for (uint64_t i = 0; i < lines; i++) {
		struct capture_location l;
		l.function = string_at(strings, mt_cursor_varint(c));
		l.file = string_at(strings, mt_cursor_varint(c));
		l.line = (uint32_t)mt_cursor_varint(c);
		if (!mt_array_push(&cap->locations, l))
			return &mt_enomem;
	}
	if (c->failed || first > UINT32_MAX)
		return NULL;
	return mt_map_put(&cap->locations_by_frame, frame, first << 32 | (uint32_t)lines) ? NULL :
											    &mt_enomem;
}

static struct mt_error *load_symbols(struct capture *cap, struct mt_cursor *c)
{
	struct strings strings;
	struct mt_error *err = take_strings(cap, c, &strings);
	cap->module_symbols.len = 0;	/* a later block is the whole truth */
	mt_map_clear(&cap->locations_by_frame);
	for (uint64_t n = err ? 0 : take_count(c, 3); n > 0 && !c->failed; n--) {
		struct capture_module_symbols m = { .module = (uint32_t)mt_cursor_varint(c) };
		uint64_t status = mt_cursor_varint(c);
		m.status = status <= CAPTURE_SYMBOLS_DAMAGED ? (enum capture_symbol_status)status :
								CAPTURE_SYMBOLS_NONE;
		m.path = string_at(&strings, mt_cursor_varint(c));
		if (!mt_array_push(&cap->module_symbols, m))
			return &mt_enomem;
	}
	for (uint64_t n = err ? 0 : take_count(c, 2); n > 0 && !c->failed && !err; n--)
		err = take_locations(cap, c, &strings);
	cap->has_symbols = !err && !c->failed;
	return err;
}

struct mt_error *capture_load_block(struct capture *cap, const struct block_ref *ref,
				    const uint8_t *raw, size_t size)
{
	static struct mt_error *(*const loaders[])(struct capture *, struct mt_cursor *) = {
		[CAPTURE_BLOCK_META] = load_meta,	[CAPTURE_BLOCK_MODULES] = load_modules,
		[CAPTURE_BLOCK_CODE] = load_code,	[CAPTURE_BLOCK_THREADS] = load_threads,
		[CAPTURE_BLOCK_SAMPLES] = load_samples, [CAPTURE_BLOCK_COUNTERS] = load_counters,
		[CAPTURE_BLOCK_SYMBOLS] = load_symbols, [CAPTURE_BLOCK_INDEX] = NULL,
		[CAPTURE_BLOCK_JIT] = load_jit,
	};
	if (ref->type >= sizeof(loaders) / sizeof(loaders[0]) || !loaders[ref->type])
		return NULL;	/* of a newer version that says we may read it */
	struct mt_cursor c = mt_cursor_make(raw, size);
	struct mt_error *err = loaders[ref->type](cap, &c);
	if (!err && c.failed)
		capture_note_damage(cap, ref->offset, "the content of a block is damaged");
	return err;
}
