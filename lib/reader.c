/* SPDX-License-Identifier: Apache-2.0 */
/* lib/reader.c - the library over the offline rooms: their types in, those of lib/memtrace.h out.
 * Knows: which room answers what, what is computed once. Does not know: files, formats, output.
 * Called by other programs; calls symbolize/, analysis/ and capture/. */
#include "lib/memtrace.h"

#include "analysis/views.h"
#include "base/array.h"
#include "base/version.h"
#include "capture/reader.h"
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
	struct views *views;		/* of the flags and threshold below; NULL: not computed yet */
	uint32_t views_flags, views_threshold;
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

uint32_t memtrace_reader_features(struct memtrace_reader *r)
{
	return capture_header(r->cap)->features &
	       (MEMTRACE_NATIVE | MEMTRACE_PYTHON | MEMTRACE_SYMBOLS | MEMTRACE_SAMPLED);
}

/* ---- views ---- */

static struct mt_error *compute(struct memtrace_reader *r, uint32_t flags, uint32_t threshold)
{
	struct view_options options = {
		.split_threads = flags & MEMTRACE_SPLIT_THREADS,
		.temporary_threshold = threshold,
	};
	if (r->views && r->views_flags == flags && r->views_threshold == threshold)
		return NULL;
	views_destroy(r->views);
	r->views = NULL;
	r->views_flags = flags;
	r->views_threshold = threshold;
	return views_compute(r->cap, &options, &r->views);
}

/* Those of any flags: totals and points do not depend on them. */
static struct mt_error *compute_any(struct memtrace_reader *r)
{
	return r->views ? NULL : compute(r, 0, 1);
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

struct memtrace_error *memtrace_reader_records(struct memtrace_reader *r, uint32_t view,
					       uint32_t flags, uint32_t threshold,
					       struct memtrace_record **ret, size_t *count_ret)
{
	CHECK(check_view(r, view, flags));
	/* The other views are the same for every threshold. */
	if (view != MEMTRACE_TEMPORARY)
		threshold = r->views ? r->views_threshold : 1;
	CHECK(compute(r, flags, threshold));
	const struct views *v = r->views;
	struct memtrace_record *records = malloc((v->row_count + 1) * sizeof(*records));
	size_t count = 0;
	if (!records)
		CHECK(&mt_enomem);
	for (size_t i = 0; i < v->row_count; i++) {
		const struct view_row *row = &v->rows[i];
		if (row->count[view] || row->bytes[view])
			records[count++] = (struct memtrace_record){
				.stack = row->stack, .thread = row->thread, .allocator = row->kind,
				.bytes = row->bytes[view], .count = row->count[view],
			};
	}
	*ret = records;
	*count_ret = count;
	return NULL;
}

struct memtrace_error *memtrace_reader_snapshots(struct memtrace_reader *r,
						 struct memtrace_snapshot **ret, size_t *count_ret)
{
	CHECK(compute_any(r));
	const struct views *v = r->views;
	uint64_t start = capture_meta_u64(r->cap, CAPTURE_META_START, 0);
	struct memtrace_snapshot *points = malloc((v->point_count + 1) * sizeof(*points));
	if (!points)
		CHECK(&mt_enomem);
	for (size_t i = 0; i < v->point_count; i++)
		points[i] = (struct memtrace_snapshot){
			.time_ns = start + capture_ticks_to_ns(r->cap, v->points[i].ticks),
			.rss = v->points[i].rss, .heap = v->points[i].heap,
		};
	*ret = points;
	*count_ret = v->point_count;
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

const char *memtrace_allocator_name(uint32_t allocator)
{
	return wire_record_name(allocator);
}

/* ---- stacks ---- */

static struct mt_error *symbolizer_of(struct memtrace_reader *r, bool native)
{
	struct symbolize_options options = { .no_debuginfod = true };
	struct mt_error *err = r->sym ? NULL : symbolizer_create(r->cap, &options, &r->sym);
	if (!err && native && !r->resolved) {
		err = symbolizer_resolve(r->sym, NULL, NULL);
		r->resolved = !err;
	}
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
	CHECK(symbolizer_of(r, kind != MEMTRACE_STACK_PYTHON));
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
