/* SPDX-License-Identifier: Apache-2.0 */
/* lib/reader.c - the library over the offline rooms: their types in, those of lib/memtrace.h out.
 * Knows: which room answers what, what is computed once. Does not know: files, formats, output.
 * Called by other programs; calls symbolize/, analysis/ and capture/. */
#include "lib/memtrace.h"

#include "analysis/views.h"
#include "base/array.h"
#include "base/version.h"
#include "base/hash.h"
#include "capture/reader.h"
#include "lib/same.h"
#include "symbolize/symbolize.h"

#include <string.h>

/* The numbers of the public header never move; ours must not either. */
#define SAME(name, inner) _Static_assert((int)MEMTRACE_##name == (int)(inner), #name)

/* Errors of ours go out as they are; the public type is opaque. */
#define CHECK(call)								\
	do {									\
		struct mt_error *err_ = (call);					\
		if (err_)							\
			return (struct memtrace_error *)err_;			\
	} while (0)

static const struct mt_error *inner(const struct memtrace_error *err)
{
	return (const struct mt_error *)err;
}

struct memtrace_reader {
	struct capture *cap;
	struct symbolizer *sym;		/* NULL: not asked for yet */
	bool resolved;
	struct same_stacks same;	/* count 0: not asked for yet */
	struct views *views;		/* of the flags and threshold below; NULL: not computed yet */
	uint32_t views_flags, views_threshold;
	bool views_temporal;
	MT_ARRAY(struct memtrace_frame) frames;
};

struct memtrace_events {
	struct capture *cap;
	struct capture_pass *pass;
	MT_ARRAY(struct memtrace_event) batch;
};

/* ---- errors ---- */

int memtrace_error_code(const struct memtrace_error *err)
{
	switch (inner(err)->code) {
	case MT_ERROR_OS:
		return MEMTRACE_ERROR_OS;
	case MT_ERROR_NOMEM:
		return MEMTRACE_ERROR_NO_MEMORY;
	case MT_ERROR_CORRUPT:
		return MEMTRACE_ERROR_CORRUPT;
	default:
		return MEMTRACE_ERROR_OTHER;
	}
}

int memtrace_error_errno(const struct memtrace_error *err)
{
	return inner(err)->errnum;
}

const char *memtrace_error_message(const struct memtrace_error *err)
{
	return inner(err)->message;
}

const char *memtrace_error_hint(const struct memtrace_error *err)
{
	return inner(err)->hint;
}

void memtrace_error_free(struct memtrace_error *err)
{
	mt_error_destroy((struct mt_error *)err);
}

void memtrace_free(void *memory)
{
	free(memory);
}

/* ---- a capture ---- */

const char *memtrace_version(void)
{
	return MT_VERSION;
}

struct memtrace_error *memtrace_reader_open(const char *path, struct memtrace_reader **ret)
{
	auto_free struct memtrace_reader *r = calloc(1, sizeof(*r));
	if (!r)
		CHECK(&mt_enomem);
	CHECK(capture_open(path, &r->cap));
	*ret = take_ptr(&r);
	return NULL;
}

void memtrace_reader_close(struct memtrace_reader *r)
{
	if (!r)
		return;
	views_destroy(r->views);
	same_stacks_deinit(&r->same);
	symbolizer_destroy(r->sym);
	capture_close(r->cap);
	mt_array_deinit(&r->frames);
	free(r);
}

const char *memtrace_reader_damage(struct memtrace_reader *r)
{
	return capture_damage(r->cap);
}

const char *memtrace_reader_meta(struct memtrace_reader *r, const char *key, size_t *size_ret)
{
	return capture_meta(r->cap, key, size_ret);
}

int memtrace_reader_counter(struct memtrace_reader *r, const char *name, uint64_t *ret)
{
	return capture_counter(r->cap, name, ret);
}

const char *memtrace_reader_thread(struct memtrace_reader *r, uint32_t thread, uint32_t *tid_ret)
{
	return capture_thread_name(r->cap, thread, tid_ret);
}

SAME(NATIVE, CAPTURE_FEATURE_NATIVE);
SAME(PYTHON, CAPTURE_FEATURE_PYTHON);
SAME(SYMBOLS, CAPTURE_FEATURE_SYMBOLS);
SAME(SAMPLED, CAPTURE_FEATURE_SAMPLED);
SAME(PYMALLOC, CAPTURE_FEATURE_PYMALLOC);
SAME(AGGREGATED, CAPTURE_FEATURE_AGGREGATED);

uint32_t memtrace_reader_features(struct memtrace_reader *r)
{
	return capture_header(r->cap)->features &
	       (MEMTRACE_NATIVE | MEMTRACE_PYTHON | MEMTRACE_SYMBOLS | MEMTRACE_SAMPLED |
		MEMTRACE_PYMALLOC | MEMTRACE_AGGREGATED);
}

/* ---- views ---- */

static struct mt_error *symbolizer_of(struct memtrace_reader *r)
{
	struct symbolize_options options = { .no_debuginfod = true };
	return r->sym ? NULL : symbolizer_create(r->cap, &options, &r->sym);
}

static struct mt_error *compute(struct memtrace_reader *r, uint32_t flags, uint32_t threshold,
				bool temporal)
{
	struct view_options options = {
		.split_threads = flags & MEMTRACE_SPLIT_THREADS,
		.temporary_threshold = threshold,
		.temporal = temporal,
	};
	if (r->views && r->views_flags == flags && r->views_threshold == threshold &&
	    r->views_temporal >= temporal)
		return NULL;
	views_destroy(r->views);
	r->views = NULL;
	r->views_flags = flags;
	r->views_threshold = threshold;
	r->views_temporal = temporal;
	return views_compute(r->cap, &options, &r->views);
}

/* Those of any flags: totals and points do not depend on them. */
static struct mt_error *compute_any(struct memtrace_reader *r)
{
	return r->views ? NULL : compute(r, 0, 1, false);
}

static struct mt_error *find_same(struct memtrace_reader *r)
{
	struct mt_error *err = symbolizer_of(r);
	return err || r->same.count ? err : same_stacks_init(&r->same, r->cap, r->sym);
}

struct memtrace_error *memtrace_reader_totals(struct memtrace_reader *r, struct memtrace_totals *ret)
{
	struct capture_tables tables;
	CHECK(compute_any(r));
	CHECK(capture_load_tables(r->cap, &tables));
	const struct views *v = r->views;
	*ret = (struct memtrace_totals){
		.allocations = v->allocations, .releases = v->releases,
		.allocated_bytes = v->total_bytes[VIEW_ALLOCATED],
		.peak_bytes = v->total_bytes[VIEW_PEAK], .peak_count = v->total_count[VIEW_PEAK],
		.leaked_bytes = v->total_bytes[VIEW_LEAKS], .leaked_count = v->total_count[VIEW_LEAKS],
		.start_ns = capture_meta_u64(r->cap, CAPTURE_META_START, 0),
		.end_ns = capture_meta_u64(r->cap, CAPTURE_META_END, 0),
		.peak_ns = capture_ticks_to_ns(r->cap, v->peak_ticks),
		.frames = tables.frame_count ? tables.frame_count - 1 : 0,
	};
	return NULL;
}

SAME(PEAK, VIEW_PEAK);
SAME(LEAKS, VIEW_LEAKS);
SAME(ALLOCATED, VIEW_ALLOCATED);
SAME(TEMPORARY, VIEW_TEMPORARY);

static struct mt_error *check_view(struct memtrace_reader *r, uint32_t view, uint32_t flags)
{
	if (view >= VIEW_COUNT)
		return mt_error_create(MT_ERROR_OTHER, "there is no view %u", view);
	if (flags & ~(uint32_t)MEMTRACE_SPLIT_THREADS)
		return mt_error_create(MT_ERROR_OTHER, "unknown flags %#x", flags);
	if (view == MEMTRACE_TEMPORARY && capture_meta_u64(r->cap, CAPTURE_META_SAMPLE, 0))
		return mt_error_create(MT_ERROR_OTHER,
				       "a sample does not tell which blocks were temporary");
	return NULL;
}

/* Adds a row to the record of the same stack, thread and allocator. */
static struct mt_error *add_row(const struct memtrace_reader *r, const struct view_row *row,
				uint32_t view, struct mt_map *places, struct memtrace_record *records,
				size_t *count)
{
	uint32_t stack = same_stack(&r->same, row->stack);
	/* Kinds are below 32 and thread indexes below 2^27, as in analysis/. */
	uint64_t key = (uint64_t)row->thread << 37 | (uint64_t)stack << 5 | row->kind;
	const uint64_t *there = mt_map_get(places, key);
	struct memtrace_record *record = &records[there ? *there : *count];
	if (!there) {
		*record = (struct memtrace_record){ .stack = stack, .thread = row->thread,
						    .allocator = row->kind };
		if (!mt_map_put(places, key, (*count)++))
			return &mt_enomem;
	}
	record->bytes += row->bytes[view];
	record->count += row->count[view];
	return NULL;
}

struct memtrace_error *memtrace_reader_records(struct memtrace_reader *r, uint32_t view,
					       uint32_t flags, uint32_t threshold,
					       struct memtrace_record **ret, size_t *count_ret)
{
	CHECK(check_view(r, view, flags));
	/* The other views are the same for every threshold. */
	if (view != MEMTRACE_TEMPORARY)
		threshold = r->views ? r->views_threshold : 1;
	CHECK(compute(r, flags, threshold, false));
	CHECK(find_same(r));
	const struct views *v = r->views;
	auto_free struct memtrace_record *records = malloc((v->row_count + 1) * sizeof(*records));
	struct mt_map places = MT_MAP_INIT;
	struct mt_error *err = records ? NULL : &mt_enomem;
	size_t count = 0;
	for (size_t i = 0; i < v->row_count && !err; i++)
		if (v->rows[i].count[view] || v->rows[i].bytes[view])
			err = add_row(r, &v->rows[i], view, &places, records, &count);
	mt_map_deinit(&places);
	CHECK(err);
	*ret = take_ptr(&records);
	*count_ret = count;
	return NULL;
}

/* ---- memory over time ---- */

static uint64_t time_of(const struct memtrace_reader *r, uint64_t ticks)
{
	return capture_meta_u64(r->cap, CAPTURE_META_START, 0) + capture_ticks_to_ns(r->cap, ticks);
}

struct memtrace_error *memtrace_reader_snapshots(struct memtrace_reader *r,
						 struct memtrace_snapshot **ret, size_t *count_ret)
{
	CHECK(compute_any(r));
	const struct views *v = r->views;
	struct memtrace_snapshot *points = malloc((v->point_count + 1) * sizeof(*points));
	if (!points)
		CHECK(&mt_enomem);
	for (size_t i = 0; i < v->point_count; i++)
		points[i] = (struct memtrace_snapshot){
			.time_ns = time_of(r, v->points[i].ticks),
			.rss = v->points[i].rss, .heap = v->points[i].heap,
		};
	*ret = points;
	*count_ret = v->point_count;
	return NULL;
}

static struct memtrace_snapshot *copy_instants(const struct memtrace_reader *r,
					       const struct temporal *t)
{
	struct memtrace_snapshot *instants = malloc((t->instants.len + 1) * sizeof(*instants));
	for (size_t i = 0; instants && i < t->instants.len; i++)
		instants[i] = (struct memtrace_snapshot){
			.time_ns = time_of(r, t->instants.items[i].ticks),
			.heap = t->instants.items[i].heap,
		};
	return instants;
}

static struct memtrace_lifetime *copy_lifetimes(const struct memtrace_reader *r,
						const struct temporal *t, size_t *count_ret)
{
	struct memtrace_lifetime *found = malloc((t->len + 1) * sizeof(*found));
	size_t count = 0;
	for (size_t i = 0; found && i < t->cap; i++) {
		const struct temporal_entry *e = &t->entries[i];
		if (!e->key)
			continue;
		const struct view_row *row = &r->views->rows[temporal_row(e)];
		uint32_t gone = temporal_gone(e);
		found[count++] = (struct memtrace_lifetime){
			.stack = same_stack(&r->same, row->stack), .thread = row->thread,
			.allocator = row->kind, .born = temporal_born(e),
			.gone = gone == TEMPORAL_NEVER ? MEMTRACE_NEVER : gone,
			.bytes = e->bytes, .count = e->count,
		};
	}
	*count_ret = count;
	return found;
}

struct memtrace_error *memtrace_reader_lifetimes(struct memtrace_reader *r, uint32_t flags,
						 struct memtrace_lifetime **ret, size_t *count_ret,
						 struct memtrace_snapshot **instants_ret,
						 size_t *instant_count_ret)
{
	CHECK(check_view(r, MEMTRACE_PEAK, flags));
	CHECK(compute(r, flags, r->views ? r->views_threshold : 1, true));
	CHECK(find_same(r));
	const struct temporal *t = r->views->temporal;
	size_t count = 0;
	if (!t)
		CHECK(&mt_enomem);
	auto_free struct memtrace_lifetime *lifetimes = copy_lifetimes(r, t, &count);
	auto_free struct memtrace_snapshot *instants = copy_instants(r, t);
	if (!lifetimes || !instants)
		CHECK(&mt_enomem);
	*ret = take_ptr(&lifetimes);
	*count_ret = count;
	*instants_ret = take_ptr(&instants);
	*instant_count_ret = t->instants.len;
	return NULL;
}

/* ---- allocators ---- */

SAME(MALLOC, WIRE_REC_MALLOC);
SAME(CALLOC, WIRE_REC_CALLOC);
SAME(REALLOC, WIRE_REC_REALLOC);
SAME(POSIX_MEMALIGN, WIRE_REC_POSIX_MEMALIGN);
SAME(ALIGNED_ALLOC, WIRE_REC_ALIGNED_ALLOC);
SAME(MEMALIGN, WIRE_REC_MEMALIGN);
SAME(VALLOC, WIRE_REC_VALLOC);
SAME(PVALLOC, WIRE_REC_PVALLOC);
SAME(MMAP, WIRE_REC_MMAP);
SAME(MREMAP, WIRE_REC_MREMAP);
SAME(BRK, WIRE_REC_BRK);
SAME(FREE, WIRE_REC_FREE);
SAME(REALLOC_FREE, WIRE_REC_REALLOC_FREE);
SAME(MUNMAP, WIRE_REC_MUNMAP);
SAME(MREMAP_UNMAP, WIRE_REC_MREMAP_UNMAP);
SAME(BRK_SHRINK, WIRE_REC_BRK_SHRINK);
SAME(PYMALLOC_MALLOC, WIRE_REC_PYMALLOC_MALLOC);
SAME(PYMALLOC_CALLOC, WIRE_REC_PYMALLOC_CALLOC);
SAME(PYMALLOC_REALLOC, WIRE_REC_PYMALLOC_REALLOC);
SAME(PYMALLOC_FREE, WIRE_REC_PYMALLOC_FREE);

const char *memtrace_allocator_name(uint32_t allocator)
{
	return wire_record_name(allocator);
}

/* ---- stacks ---- */

static struct mt_error *resolve(struct memtrace_reader *r)
{
	struct mt_error *err = r->resolved ? NULL : symbolizer_resolve(r->sym, NULL, NULL);
	r->resolved = !err;
	return err;
}

static uint32_t frame_flags(const struct symbol_frame *f)
{
	return (f->kind == FRAME_PYTHON ? MEMTRACE_FRAME_PYTHON : 0) |
	       (f->kind == FRAME_MARK ? MEMTRACE_FRAME_MARK : 0) |
	       (f->flags & FRAME_INLINED ? MEMTRACE_FRAME_INLINED : 0) |
	       (f->flags & FRAME_INTERPRETER ? MEMTRACE_FRAME_INTERPRETER : 0) |
	       (f->flags & FRAME_IMPORT ? MEMTRACE_FRAME_IMPORT : 0);
}

struct memtrace_error *memtrace_reader_stack(struct memtrace_reader *r, uint32_t stack, uint32_t kind,
					     const struct memtrace_frame **ret, size_t *count_ret)
{
	static const enum stack_part parts[] = {
		[MEMTRACE_STACK_HYBRID] = STACK_MERGED, [MEMTRACE_STACK_PYTHON] = STACK_PYTHON,
		[MEMTRACE_STACK_NATIVE] = STACK_NATIVE,
	};
	const struct symbol_frame *frames;
	size_t count;
	if (kind >= sizeof(parts) / sizeof(parts[0]))
		CHECK(mt_error_create(MT_ERROR_OTHER, "there is no kind %u of stack", kind));
	CHECK(symbolizer_of(r));
	if (kind != MEMTRACE_STACK_PYTHON)
		CHECK(resolve(r));
	CHECK(symbolizer_stack_part(r->sym, stack, parts[kind], &frames, &count));
	if (!mt_array_reserve(&r->frames, count + 1))
		CHECK(&mt_enomem);
	r->frames.len = count;
	for (size_t i = 0; i < count; i++)
		r->frames.items[i] = (struct memtrace_frame){
			.function = frames[i].function, .file = frames[i].file,
			.module = frames[i].module, .line = frames[i].line,
			.flags = frame_flags(&frames[i]),
		};
	*ret = r->frames.items;
	*count_ret = count;
	return NULL;
}

/* ---- events ---- */

struct memtrace_error *memtrace_events_begin(struct memtrace_reader *r, struct memtrace_events **ret)
{
	if (capture_aggregated(r->cap))
		CHECK(mt_error_create(MT_ERROR_OTHER, "'%s' is an aggregated capture: it has no single events",
				      capture_path(r->cap)));
	auto_free struct memtrace_events *e = calloc(1, sizeof(*e));
	if (!e)
		CHECK(&mt_enomem);
	e->cap = r->cap;
	CHECK(capture_pass_begin(r->cap, &e->pass));
	*ret = take_ptr(&e);
	return NULL;
}

struct memtrace_error *memtrace_events_next(struct memtrace_events *e,
					    const struct memtrace_event **ret, size_t *count_ret)
{
	const struct capture_event *events;
	size_t count;
	CHECK(capture_pass_next(e->pass, &events, &count));
	if (!mt_array_reserve(&e->batch, count + 1))
		CHECK(&mt_enomem);
	for (size_t i = 0; i < count; i++)
		e->batch.items[i] = (struct memtrace_event){
			.time_ns = capture_ticks_to_ns(e->cap, events[i].ticks),
			.address = events[i].address, .size = events[i].size,
			.stack = events[i].stack, .thread = events[i].thread,
			.allocator = events[i].kind,
		};
	*ret = e->batch.items;
	*count_ret = count;
	return NULL;
}

void memtrace_events_end(struct memtrace_events *e)
{
	if (!e)
		return;
	capture_pass_end(e->pass);
	mt_array_deinit(&e->batch);
	free(e);
}
