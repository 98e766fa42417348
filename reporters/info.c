/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/info.c - what a capture is and how it was made.
 * Knows: everything a capture says but the stacks. Does not know: views, symbols of frames.
 * Called by cmds/info.c; calls capture/ and base/. */
#include "reporters/info.h"
#include "analysis/views.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* ---- gathering ----------------------------------------------------------------------------- */

struct gather {
	struct info *info;
	void (*progress)(double, void *);
	void *arg;
};

static struct mt_error *count_events(const struct capture_event *events, size_t count, void *arg)
{
	struct gather *g = arg;
	struct info *info = g->info;
	for (size_t i = 0; i < count; i++) {
		unsigned kind = events[i].kind % WIRE_REC_LIMIT;
		info->kind_count[kind]++;
		info->kind_bytes[kind] += events[i].size;
	}
	info->events += count;
	if (count)
		info->last_ticks = events[count - 1].ticks;
	if (g->progress)
		g->progress(capture_progress(info->cap), g->arg);
	return NULL;
}

/* An aggregated capture has counted them. */
static struct mt_error *take_counts(struct info *info)
{
	auto_views struct views *v = NULL;
	struct mt_error *err = views_compute(info->cap, &(struct view_options){ .temporary_threshold = 1 }, &v);
	if (err)
		return err;
	memcpy(info->kind_count, v->kind_count, sizeof(info->kind_count));
	memcpy(info->kind_bytes, v->kind_bytes, sizeof(info->kind_bytes));
	info->events = v->events;
	info->last_ticks = v->last_ticks;
	return NULL;
}

static struct mt_error *count_module_frames(struct info *info)
{
	for (uint32_t i = 1; i < info->tables.frame_count; i++) {
		const struct capture_frame *f = &info->tables.frames[i];
		if (f->is_python || !f->module_plus_1)
			continue;
		uint64_t *n = mt_map_get(&info->module_frames, f->module_plus_1 - 1);
		if (n)
			++*n;
		else if (!mt_map_put(&info->module_frames, f->module_plus_1 - 1, 1))
			return &mt_enomem;
	}
	return NULL;
}

static uint64_t frames_in(const struct info *info, uint32_t module)
{
	const uint64_t *n = mt_map_get(&info->module_frames, module);
	return n ? *n : 0;
}

struct mt_error *info_gather(struct capture *cap, void (*progress)(double, void *), void *arg,
			     struct info *ret)
{
	auto_info struct info info = { .cap = cap };
	struct gather g = { &info, progress, arg };
	struct mt_error *err = capture_aggregated(cap) ? take_counts(&info) :
							   capture_events(cap, count_events, &g);
	if (!err)
		err = capture_load_tables(cap, &info.tables);
	if (!err)
		err = count_module_frames(&info);
	if (!err)
		err = facts_init(cap, info.last_ticks, &info.facts);
	if (err)
		return err;
	*ret = info;
	info = (struct info){ 0 };
	return NULL;
}

void info_deinit(struct info *info)
{
	facts_deinit(&info->facts);
	mt_map_deinit(&info->module_frames);
}

const char *capture_symbol_status_name(enum capture_symbol_status status)
{
	static const char *const names[] = {
		[CAPTURE_SYMBOLS_NONE] = "none",
		[CAPTURE_SYMBOLS_TABLE] = "symbol table",
		[CAPTURE_SYMBOLS_DWARF] = "debug information",
		[CAPTURE_SYMBOLS_MISMATCH] = "another build",
		[CAPTURE_SYMBOLS_DAMAGED] = "damaged",
	};
	return status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}

const char *info_build_id(const struct capture_module *m, char buf[INFO_BUILD_ID_MAX])
{
	buf[0] = '\0';
	for (size_t i = 0; i < m->build_id_size && i * 2 + 2 < INFO_BUILD_ID_MAX; i++)
		snprintf(buf + i * 2, 3, "%02x", m->build_id[i]);
	return buf;
}

static const struct capture_module_symbols *symbols_of(const struct capture *cap, uint32_t module)
{
	size_t count;
	const struct capture_module_symbols *all = capture_module_symbols(cap, &count);
	for (size_t i = 0; i < count; i++)
		if (all[i].module == module)
			return &all[i];
	return NULL;
}

/* Meta values that are shown as they are. */
static const struct {
	const char *title, *key, *json;
} meta_rows[] = {
	{ "Executable", CAPTURE_META_EXE, "executable" },
	{ "Host", CAPTURE_META_HOST, "hostname" },
	{ "Kernel", CAPTURE_META_KERNEL, "kernel" },
	{ "C library", CAPTURE_META_LIBC, "libc" },
	{ "Allocator", CAPTURE_META_ALLOCATOR, "allocator" },
	{ "Python", CAPTURE_META_PYTHON, "python_version" },
	{ "Python allocator", CAPTURE_META_PYTHON_ALLOCATOR, "python_allocator" },
	{ "Options", CAPTURE_META_OPTIONS, "options" },
	{ "Sample, one every", CAPTURE_META_SAMPLE, "sample_bytes" },
	{ "Mode", CAPTURE_META_MODE, "mode" },
	{ "Ended by", CAPTURE_META_END_REASON, "end_reason" },
	{ "Recorded with", CAPTURE_META_TOOL, "memtrace_version" },
	{ "Note", CAPTURE_META_NOTE, "note" },
};
#define META_ROWS (sizeof(meta_rows) / sizeof(meta_rows[0]))

/* ---- text ---------------------------------------------------------------------------------- */

static void row(FILE *out, const char *title, const char *fmt, ...) MT_PRINTF(3, 4);
static void row(FILE *out, const char *title, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(out, "%-18s", title);
	vfprintf(out, fmt, ap);
	fputc('\n', out);
	va_end(ap);
}

static struct mt_error *text_file(const struct info *info, FILE *out)
{
	const struct capture_file_header *h = capture_header(info->cap);
	const char *damage = capture_damage(info->cap);
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	auto_free char *path = mt_text_clean(capture_path(info->cap));
	if (!path)
		return &mt_enomem;
	row(out, "File", "%s", path);
	row(out, "Size", "%s (%s bytes), format %u", mt_text_size(a, capture_size(info->cap)),
	    mt_text_count(b, capture_size(info->cap)), h->version);
	row(out, "State", "%s%s", damage ? "damaged: " : "whole", damage ? damage : "");
	row(out, "Symbols", "%s", capture_has_symbols(info->cap) ? "in the file" :
	    "not in the file; 'memtrace symbolize' adds them");
	return NULL;
}

static struct mt_error *text_facts(const struct info *info, FILE *out)
{
	const struct facts *f = &info->facts;
	char a[MT_TEXT_MAX];
	row(out, "Command", "%s", *f->command ? f->command : "unknown");
	row(out, "Process", "%" PRIu64, f->pid);
	row(out, "Started", "%s", f->start_ns ? mt_text_time(a, f->start_ns) : "unknown");
	row(out, "Ended", "%s", f->end_ns ? mt_text_time(a, f->end_ns) :
	    "not recorded: the capture was cut off");
	row(out, "Duration", "%s", mt_text_duration(a, f->duration_ns));
	for (size_t i = 0; i < META_ROWS; i++) {
		if (!capture_meta(info->cap, meta_rows[i].key, NULL))
			continue;
		auto_free char *value = facts_meta(info->cap, meta_rows[i].key, "");
		if (!value)
			return &mt_enomem;
		row(out, meta_rows[i].title, "%s", value);
	}
	return NULL;
}

static void text_events(const struct info *info, FILE *out)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	fprintf(out, "\nEvents: %s", mt_text_count(a, info->events));
	if (capture_aggregated(info->cap))
		fputs(", sums of them by stack", out);
	else if (info->events)
		fprintf(out, ", %.1f bytes of the file each",
			(double)capture_size(info->cap) / (double)info->events);
	fputc('\n', out);
	for (unsigned k = 0; k < WIRE_REC_LIMIT; k++)
		if (info->kind_count[k])
			fprintf(out, "  %-16s %15s%s%s\n", wire_record_name(k),
				mt_text_count(a, info->kind_count[k]),
				info->kind_bytes[k] ? "  of " : "",
				info->kind_bytes[k] ? mt_text_size(b, info->kind_bytes[k]) : "");
	fprintf(out, "  from %u stacks of %u frames\n",
		info->tables.stack_count ? info->tables.stack_count - 1 : 0,
		info->tables.frame_count ? info->tables.frame_count - 1 : 0);
}

/* produced = written + dropped, or by how much not; and whether the file holds what was written. */
static void text_conservation(const struct info *info, FILE *out)
{
	const struct facts *f = &info->facts;
	int64_t missing = facts_missing(f);
	char a[MT_TEXT_MAX];
	if (!missing)
		fputs("  all accounted for: produced = written + dropped\n", out);
	else
		fprintf(out, "  NOT accounted for: %s events %s\n",
			mt_text_count(a, (uint64_t)(missing < 0 ? -missing : missing)),
			missing < 0 ? "more were written and dropped than produced" :
			"were produced but neither written nor dropped");
	if (info->events != f->written)
		fprintf(out, "  the file holds %s of them\n", mt_text_count(a, info->events));
}

static void text_counters(const struct info *info, FILE *out)
{
	const struct facts *f = &info->facts;
	uint64_t hz = capture_meta_u64(info->cap, CAPTURE_META_TSC_HZ, 0);
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	if (!f->has_counters) {
		fputs("\nCounters: not recorded, the capture was cut off\n", out);
		return;
	}
	fputs("\nCounters:\n", out);
	fprintf(out, "  %-16s %15s\n", "produced", mt_text_count(a, f->produced));
	fprintf(out, "  %-16s %15s\n", "written", mt_text_count(a, f->written));
	fprintf(out, "  %-16s %15s\n", "dropped", mt_text_count(a, f->dropped));
	fprintf(out, "  %-16s %15s  in signal handlers, not recorded\n", "nested",
		mt_text_count(a, f->nested));
	fprintf(out, "  %-16s %15s  for room in a ring", "waits", mt_text_count(a, f->waits));
	if (hz && f->waits)
		fprintf(out, ", %s in all", mt_text_duration(b, (uint64_t)((double)f->wait_ticks /
									(double)hz * 1e9)));
	fputc('\n', out);
	if (f->late_loads)
		fprintf(out, "  %-16s %15s  used before they were seen\n", "late libraries",
			mt_text_count(a, f->late_loads));
	text_conservation(info, out);
}

static void text_samples(const struct info *info, FILE *out)
{
	size_t count;
	const struct capture_sample *s = capture_samples(info->cap, &count);
	uint64_t most = 0;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX];
	if (!count)
		return;
	for (size_t i = 0; i < count; i++)
		most = s[i].rss > most ? s[i].rss : most;
	fprintf(out, "\nResident memory: %s at the start, %s at most, %s at the end"
		" (%zu samples)\n", mt_text_size(a, s[0].rss), mt_text_size(b, most),
		mt_text_size(c, s[count - 1].rss), count);
}

static struct mt_error *text_threads(const struct info *info, FILE *out)
{
	size_t count;
	const struct capture_thread *t = capture_threads(info->cap, &count);
	fprintf(out, "\nThreads and their names: %zu\n", count);
	for (size_t i = 0; i < count; i++) {
		auto_free char *name = mt_text_clean(t[i].name);
		char a[MT_TEXT_MAX];
		if (!name)
			return &mt_enomem;
		fprintf(out, "  %-8u %-24s", t[i].tid, name);
		if (t[i].ticks)
			fprintf(out, " from %s",
				mt_text_duration(a, capture_ticks_to_ns(info->cap, t[i].ticks)));
		fputc('\n', out);
	}
	return NULL;
}

static struct mt_error *text_modules(const struct info *info, FILE *out)
{
	size_t count;
	const struct capture_module *m = capture_modules(info->cap, &count);
	fprintf(out, "\nModules: %zu\n", count);
	for (size_t i = 0; i < count; i++) {
		char id[INFO_BUILD_ID_MAX], n[MT_TEXT_MAX];
		const struct capture_module_symbols *s = symbols_of(info->cap, m[i].id);
		auto_free char *path = mt_text_clean(m[i].path);
		auto_free char *from = s && s->path ? mt_text_clean(s->path) : NULL;
		if (!path)
			return &mt_enomem;
		info_build_id(&m[i], id);
		fprintf(out, "  %016" PRIx64 "-%016" PRIx64 " %s\n    build-id %s", m[i].start,
			m[i].end, path, *id ? id : "none");
		fprintf(out, ", %s frames", mt_text_count(n, frames_in(info, m[i].id)));
		if (s && frames_in(info, m[i].id))
			fprintf(out, ", symbols: %s%s%s", capture_symbol_status_name(s->status),
				from && *from ? " from " : "", from ? from : "");
		fprintf(out, "%s\n", m[i].unload_ticks ? ", unloaded" : "");
	}
	return NULL;
}

struct mt_error *info_write_text(const struct info *info, FILE *out)
{
	struct mt_error *err = text_file(info, out);
	if (!err)
		err = text_facts(info, out);
	if (err)
		return err;
	text_events(info, out);
	text_counters(info, out);
	text_samples(info, out);
	err = text_threads(info, out);
	return err ? err : text_modules(info, out);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_facts(struct mt_json *j, const struct info *info)
{
	const struct facts *f = &info->facts;
	const struct capture_file_header *h = capture_header(info->cap);
	char a[MT_TEXT_MAX];
	mt_json_str(j, "file", capture_path(info->cap));
	mt_json_u64(j, "file_size", capture_size(info->cap));
	mt_json_u64(j, "format_version", h->version);
	mt_json_str(j, "damage", capture_damage(info->cap));
	mt_json_bool(j, "symbolized", capture_has_symbols(info->cap));
	mt_json_bool(j, "has_native_traces", h->features & CAPTURE_FEATURE_NATIVE);
	mt_json_str(j, "command_line", f->command);
	mt_json_u64(j, "pid", f->pid);
	mt_json_u64(j, "main_thread_id", f->main_tid);
	mt_json_str(j, "start_time", f->start_ns ? mt_text_time(a, f->start_ns) : NULL);
	mt_json_str(j, "end_time", f->end_ns ? mt_text_time(a, f->end_ns) : NULL);
	mt_json_u64(j, "duration_ns", f->duration_ns);
	mt_json_u64(j, "ticks_per_second",
		    capture_meta_u64(info->cap, CAPTURE_META_TSC_HZ, 0));
	for (size_t i = 0; i < META_ROWS; i++) {
		size_t size = 0;
		const char *value = capture_meta(info->cap, meta_rows[i].key, &size);
		if (value)
			mt_json_strn(j, meta_rows[i].json, value, size);
		else
			mt_json_null(j, meta_rows[i].json);
	}
}

static void json_events(struct mt_json *j, const struct info *info)
{
	mt_json_u64(j, "events", info->events);
	mt_json_open(j, "events_by_kind", '{');
	for (unsigned k = 0; k < WIRE_REC_LIMIT; k++)
		if (info->kind_count[k])
			mt_json_u64(j, wire_record_name(k), info->kind_count[k]);
	mt_json_close(j);
	mt_json_u64(j, "stacks", info->tables.stack_count ? info->tables.stack_count - 1 : 0);
	mt_json_u64(j, "frames", info->tables.frame_count ? info->tables.frame_count - 1 : 0);
	if (!info->facts.has_counters) {
		mt_json_null(j, "counters");
		return;
	}
	mt_json_open(j, "counters", '{');
	mt_json_u64(j, CAPTURE_COUNTER_PRODUCED, info->facts.produced);
	mt_json_u64(j, CAPTURE_COUNTER_WRITTEN, info->facts.written);
	mt_json_u64(j, CAPTURE_COUNTER_DROPPED, info->facts.dropped);
	mt_json_u64(j, CAPTURE_COUNTER_NESTED, info->facts.nested);
	mt_json_u64(j, CAPTURE_COUNTER_WAITS, info->facts.waits);
	mt_json_u64(j, CAPTURE_COUNTER_WAIT_TICKS, info->facts.wait_ticks);
	mt_json_u64(j, CAPTURE_COUNTER_LATE_LOADS, info->facts.late_loads);
	mt_json_bool(j, "conserved", !facts_missing(&info->facts));
	mt_json_close(j);
}

static void json_threads(struct mt_json *j, const struct info *info)
{
	size_t count;
	const struct capture_thread *t = capture_threads(info->cap, &count);
	mt_json_open(j, "threads", '[');
	for (size_t i = 0; i < count; i++) {
		mt_json_open(j, NULL, '{');
		mt_json_u64(j, "index", t[i].index);
		mt_json_u64(j, "tid", t[i].tid);
		mt_json_str(j, "name", t[i].name);
		mt_json_u64(j, "from_ns", capture_ticks_to_ns(info->cap, t[i].ticks));
		mt_json_close(j);
	}
	mt_json_close(j);
}

static void json_modules(struct mt_json *j, const struct info *info)
{
	size_t count;
	const struct capture_module *m = capture_modules(info->cap, &count);
	mt_json_open(j, "modules", '[');
	for (size_t i = 0; i < count; i++) {
		char id[INFO_BUILD_ID_MAX];
		const struct capture_module_symbols *s = symbols_of(info->cap, m[i].id);
		mt_json_open(j, NULL, '{');
		mt_json_str(j, "path", m[i].path);
		mt_json_str(j, "build_id", *info_build_id(&m[i], id) ? id : NULL);
		mt_json_u64(j, "start", m[i].start);
		mt_json_u64(j, "end", m[i].end);
		mt_json_u64(j, "frames", frames_in(info, m[i].id));
		mt_json_bool(j, "unloaded", m[i].unload_ticks != 0);
		mt_json_str(j, "symbols", s ? capture_symbol_status_name(s->status) : NULL);
		mt_json_str(j, "symbol_file", s ? s->path : NULL);
		mt_json_close(j);
	}
	mt_json_close(j);
}

static void json_samples(struct mt_json *j, const struct info *info)
{
	size_t count;
	const struct capture_sample *s = capture_samples(info->cap, &count);
	uint64_t most = 0;
	for (size_t i = 0; i < count; i++)
		most = s[i].rss > most ? s[i].rss : most;
	mt_json_u64(j, "memory_samples", count);
	mt_json_u64(j, "rss_peak", most);
}

struct mt_error *info_write_json(const struct info *info, FILE *out)
{
	struct mt_json j = mt_json_make(out, true);
	mt_json_open(&j, NULL, '{');
	json_facts(&j, info);
	json_events(&j, info);
	json_samples(&j, info);
	json_threads(&j, info);
	json_modules(&j, info);
	mt_json_close(&j);
	return NULL;
}
