/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/parse.c - every record of a capture as a line of text.
 * Knows: every field of the reader. Does not know: what they add up to.
 * Called by cmds/parse.c; calls capture/ and base/. */
#include "reporters/parse.h"
#include "analysis/views.h"
#include "base/hash.h"
#include "base/text.h"
#include "reporters/info.h"

#include <inttypes.h>
#include <string.h>

static void put_strn(FILE *out, const char *key, const char *s, size_t len)
{
	fprintf(out, " %s=", key);
	mt_json_quote(out, s, len);
}

static void put_str(FILE *out, const char *key, const char *s)
{
	put_strn(out, key, s ? s : "", s ? strlen(s) : 0);
}

static void put_time(FILE *out, const struct capture *cap, const char *key, uint64_t ticks)
{
	fprintf(out, " %s_ns=%" PRIu64 " %s_ticks=%" PRIu64, key, capture_ticks_to_ns(cap, ticks),
		key, ticks);
}

static void write_header(const struct capture *cap, FILE *out)
{
	const struct capture_file_header *h = capture_header(cap);
	fprintf(out, "header version=%u min_reader=%u features=%#x native=%d python=%d symbols=%d"
		     " byte_order=%u pointer_size=%u machine=%u page_size=%" PRIu64
		     " file_size=%" PRIu64, h->version, h->min_reader, h->features,
		!!(h->features & CAPTURE_FEATURE_NATIVE), !!(h->features & CAPTURE_FEATURE_PYTHON),
		!!(h->features & CAPTURE_FEATURE_SYMBOLS), h->byte_order, h->pointer_size,
		h->machine, h->page_size, capture_size(cap));
	put_str(out, "damage", capture_damage(cap));
	fputc('\n', out);
}

static void write_blocks(const struct capture *cap, FILE *out)
{
	static const char *const names[] = {
		[CAPTURE_BLOCK_META] = "meta", [CAPTURE_BLOCK_MODULES] = "modules",
		[CAPTURE_BLOCK_EVENTS] = "events", [CAPTURE_BLOCK_CODE] = "code",
		[CAPTURE_BLOCK_THREADS] = "threads", [CAPTURE_BLOCK_SAMPLES] = "samples",
		[CAPTURE_BLOCK_COUNTERS] = "counters", [CAPTURE_BLOCK_SYMBOLS] = "symbols",
		[CAPTURE_BLOCK_INDEX] = "index", [CAPTURE_BLOCK_COLUMNS] = "events",
		[CAPTURE_BLOCK_JIT] = "jit", [CAPTURE_BLOCK_ROWS] = "rows",
		[CAPTURE_BLOCK_LIVES] = "lives", [CAPTURE_BLOCK_TOTALS] = "totals",
	};
	for (size_t i = 0; i < capture_block_count(cap); i++) {
		const void *bytes = NULL;
		size_t size = 0;
		unsigned type = capture_block(cap, i, &bytes, &size);
		const char *name = type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
		fprintf(out, "block number=%zu type=%s size=%zu\n", i,
			name ? name : "unknown", size);
	}
}

static void write_meta(const struct capture *cap, FILE *out)
{
	static const char *const keys[] = {
		CAPTURE_META_COMMAND, CAPTURE_META_PID, CAPTURE_META_EXE, CAPTURE_META_HOST,
		CAPTURE_META_KERNEL, CAPTURE_META_START, CAPTURE_META_END, CAPTURE_META_LIBC,
		CAPTURE_META_ALLOCATOR, CAPTURE_META_PYTHON, CAPTURE_META_PYTHON_ALLOCATOR,
		CAPTURE_META_PYTHON_EVAL, CAPTURE_META_OPTIONS, CAPTURE_META_MODE, CAPTURE_META_SAMPLE,
		CAPTURE_META_TOOL,
		CAPTURE_META_TSC_HZ, CAPTURE_META_START_TICKS, CAPTURE_META_END_REASON,
		CAPTURE_META_MAIN_TID, CAPTURE_META_NOTE,
	};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t size = 0;
		const char *value = capture_meta(cap, keys[i], &size);
		if (!value)
			continue;
		fprintf(out, "meta key=%s", keys[i]);
		put_strn(out, "value", value, size);
		fputc('\n', out);
	}
}

static void write_modules(const struct capture *cap, FILE *out)
{
	size_t count;
	const struct capture_module *m = capture_modules(cap, &count);
	for (size_t i = 0; i < count && !ferror(out); i++) {
		char id[INFO_BUILD_ID_MAX];
		fprintf(out, "module id=%u start=%#" PRIx64 " end=%#" PRIx64 " bias=%#" PRIx64,
			m[i].id, m[i].start, m[i].end, m[i].bias);
		put_time(out, cap, "load", m[i].load_ticks);
		if (m[i].unload_ticks)
			put_time(out, cap, "unload", m[i].unload_ticks);
		fprintf(out, " build_id=%s", info_build_id(&m[i], id));
		put_str(out, "path", m[i].path);
		fputc('\n', out);
		for (size_t k = 0; k < m[i].segment_count; k++) {
			const struct capture_segment *s = &m[i].segments[k];
			fprintf(out, "segment module=%u vaddr=%#" PRIx64 " size=%" PRIu64
				     " file_offset=%#" PRIx64 " flags=%#x\n", m[i].id, s->vaddr,
				s->size, s->file_offset, s->flags);
		}
	}
}

static void write_threads(const struct capture *cap, FILE *out)
{
	size_t count;
	const struct capture_thread *t = capture_threads(cap, &count);
	for (size_t i = 0; i < count && !ferror(out); i++) {
		fprintf(out, "thread index=%u tid=%u", t[i].index, t[i].tid);
		put_time(out, cap, "time", t[i].ticks);
		put_str(out, "name", t[i].name);
		fputc('\n', out);
	}
}

static void write_samples(const struct capture *cap, FILE *out)
{
	size_t count;
	const struct capture_sample *s = capture_samples(cap, &count);
	for (size_t i = 0; i < count && !ferror(out); i++) {
		fputs("sample", out);
		put_time(out, cap, "time", s[i].ticks);
		fprintf(out, " monotonic_ns=%" PRIu64 " realtime_ns=%" PRIu64 " rss=%" PRIu64
			     " rss_anon=%" PRIu64 " rss_file=%" PRIu64 " rss_shmem=%" PRIu64
			     " swap=%" PRIu64 "\n", s[i].monotonic_ns, s[i].realtime_ns, s[i].rss,
			s[i].rss_anon, s[i].rss_file, s[i].rss_shmem, s[i].swap);
	}
}

static void write_counters(const struct capture *cap, FILE *out)
{
	static const char *const names[] = {
		CAPTURE_COUNTER_PRODUCED, CAPTURE_COUNTER_WRITTEN, CAPTURE_COUNTER_DROPPED,
		CAPTURE_COUNTER_NESTED, CAPTURE_COUNTER_WAITS, CAPTURE_COUNTER_WAIT_TICKS,
		CAPTURE_COUNTER_LATE_LOADS,
	};
	uint64_t value;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (capture_counter(cap, names[i], &value))
			fprintf(out, "counter name=%s value=%" PRIu64 "\n", names[i], value);
}

static void write_module_symbols(const struct capture *cap, FILE *out)
{
	size_t count;
	const struct capture_module_symbols *s = capture_module_symbols(cap, &count);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "symbols module=%u", s[i].module);
		put_str(out, "status", capture_symbol_status_name(s[i].status));
		put_str(out, "path", s[i].path);
		fputc('\n', out);
	}
}

/* ---- events -------------------------------------------------------------------------------- */

struct event_writer {
	const struct capture *cap;
	FILE *out;
	struct mt_error *end;	/* returned to end the pass */
};

static struct mt_error *write_events(const struct capture_event *e, size_t count, void *arg)
{
	struct event_writer *w = arg;
	for (size_t i = 0; i < count; i++) {
		fputs("event", w->out);
		put_time(w->out, w->cap, "time", e[i].ticks);
		fprintf(w->out, " kind=%s thread=%u address=%#" PRIx64 " size=%" PRIu64
				" stack=%u\n", wire_record_name(e[i].kind), e[i].thread,
			e[i].address, e[i].size, e[i].stack);
	}
	if (!ferror(w->out))
		return NULL;
	/* A closed pipe: the rest of a large capture would be decoded for nobody. */
	w->end = mt_error_create(MT_ERROR_OTHER, "cannot write");
	return w->end;
}

/* ---- tables -------------------------------------------------------------------------------- */

static void write_code(const struct capture *cap, uint32_t id, FILE *out)
{
	const struct capture_code *c = capture_code_by_id(cap, id);
	if (!c)
		return;
	fprintf(out, "code id=%u first_line=%u first_traceable=%u line_table_size=%zu", id,
		c->first_line, c->first_traceable, c->line_table_size);
	put_strn(out, "name", c->name, c->name_size);
	put_strn(out, "file", c->file, c->file_size);
	fputc('\n', out);
}

static void write_native_frame(const struct capture *cap, uint32_t id,
			       const struct capture_frame *f, FILE *out)
{
	const struct capture_location *lines = NULL;
	size_t count = capture_symbols(cap, id, &lines);
	if (f->module_plus_1)
		fprintf(out, "frame id=%u kind=native module=%u address=%#" PRIx64 "\n", id,
			f->module_plus_1 - 1, f->address);
	else
		fprintf(out, "frame id=%u kind=native module=none address=%#" PRIx64 "\n", id,
			f->address);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "symbol frame=%u inlined=%d line=%u", id, i + 1 < count,
			lines[i].line);
		put_str(out, "function", lines[i].function);
		put_str(out, "file", lines[i].file);
		fputc('\n', out);
	}
}

static void write_frames(const struct capture *cap, const struct capture_tables *t, FILE *out)
{
	for (uint32_t i = 1; i < t->frame_count && !ferror(out); i++) {
		const struct capture_frame *f = &t->frames[i];
		if (f->is_python)
			fprintf(out, "frame id=%u kind=python code=%u instruction=%" PRId64
				     " entry=%u\n", i, f->module_plus_1, (int64_t)f->address - 1,
				f->entry);
		else
			write_native_frame(cap, i, f, out);
	}
}

/* Code objects have no list of their own: the ids are those that frames use, any 32-bit number. */
static struct mt_error *write_codes(const struct capture *cap, const struct capture_tables *t,
				    FILE *out)
{
	struct mt_map seen = MT_MAP_INIT;
	bool enough_memory = true;
	for (uint32_t i = 1; i < t->frame_count && enough_memory && !ferror(out); i++) {
		uint32_t id = t->frames[i].module_plus_1;
		if (!t->frames[i].is_python || mt_map_get(&seen, id))
			continue;
		enough_memory = mt_map_put(&seen, id, 1);
		write_code(cap, id, out);
	}
	mt_map_deinit(&seen);
	return enough_memory ? NULL : &mt_enomem;
}

static void write_stacks(const struct capture_tables *t, FILE *out)
{
	for (uint32_t i = 1; i < t->node_count && !ferror(out); i++)
		fprintf(out, "node id=%u parent=%u frame=%u\n", i, t->nodes[i].parent,
			t->nodes[i].frame);
	for (uint32_t i = 1; i < t->stack_count && !ferror(out); i++)
		fprintf(out, "stack id=%u native=%u python=%u native_truncated=%d"
			     " python_truncated=%d\n", i, t->stacks[i].native_node,
			t->stacks[i].python_node, !!(t->stacks[i].flags & WIRE_STACK_TRUNCATED),
			!!(t->stacks[i].flags >> 4 & WIRE_STACK_TRUNCATED));
}

struct mt_error *parse_write(struct capture *cap, FILE *out)
{
	struct capture_tables tables;
	write_header(cap, out);
	write_blocks(cap, out);
	write_meta(cap, out);
	write_modules(cap, out);
	write_threads(cap, out);
	write_samples(cap, out);
	write_counters(cap, out);
	write_module_symbols(cap, out);
	struct event_writer w = { .cap = cap, .out = out };
	struct mt_error *err = capture_events(cap, write_events, &w);
	if (err && err == w.end) {
		mt_error_destroy(err);
		return NULL;
	}
	if (!err)
		err = capture_load_tables(cap, &tables);
	if (err)
		return err;
	err = write_codes(cap, &tables, out);
	if (err)
		return err;
	write_frames(cap, &tables, out);
	write_stacks(&tables, out);
	return NULL;
}
