/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_capture.c - any bytes as a capture: opened, asked everything, computed, copied.
 * Knows: capture/reader.h, analysis/views.h. Does not know: symbols, output.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/capture/.
 *
 * The checksums of the input are put right first (by a build of its own the fuzzer would never get
 * past them), unless its last byte is odd. */
#include "analysis/views.h"
#include "capture/block.h"
#include "capture/reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void touch(const void *p, size_t size)
{
	const uint8_t *bytes = p;
	for (size_t i = 0; i < size; i++)
		sink += bytes[i];
}

static void drop(struct mt_error *err)
{
	if (err && (!err->message || strchr(err->message, '\n')))
		abort();		/* errors are one line */
	mt_error_destroy(err);
}

/* ---- input ---- */

static void put_right(uint8_t *data, size_t size)
{
	struct capture_file_header h;
	struct capture_block_head b;
	if (size < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	h.checksum = block_hash(&h, offsetof(struct capture_file_header, checksum));
	memcpy(data, &h, sizeof(h));
	for (size_t at = sizeof(h); size - at >= sizeof(b); at += sizeof(b) + b.stored_size) {
		memcpy(&b, data + at, sizeof(b));
		if (b.magic != CAPTURE_BLOCK_MAGIC || b.stored_size > size - at - sizeof(b))
			return;
		b.checksum = block_checksum(&b, data + at + sizeof(b));
		memcpy(data + at, &b, sizeof(b));
	}
}

static int input_file(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	int fd = memfd_create("capture", MFD_CLOEXEC);
	if (!copy || fd < 0)
		abort();
	memcpy(copy, data, size);
	if (size && !(data[size - 1] & 1))
		put_right(copy, size);
	if (write(fd, copy, size) != (ssize_t)size)
		abort();
	free(copy);
	return fd;
}

/* ---- all questions ---- */

static void ask_sides(struct capture *cap)
{
	size_t n, size;
	const struct capture_module *modules = capture_modules(cap, &n);
	for (size_t i = 0; i < n; i++) {
		touch(modules[i].path, strlen(modules[i].path));
		touch(modules[i].build_id, modules[i].build_id_size);
		touch(modules[i].segments, modules[i].segment_count * sizeof(*modules->segments));
	}
	const struct capture_thread *threads = capture_threads(cap, &n);
	for (size_t i = 0; i < n; i++) {
		const char *name = capture_thread_name(cap, threads[i].index, NULL);
		touch(name, strlen(name));
	}
	touch(capture_samples(cap, &n), n * sizeof(struct capture_sample));
	const struct capture_module_symbols *m = capture_module_symbols(cap, &n);
	for (size_t i = 0; i < n; i++)
		touch(m[i].path ? m[i].path : "", m[i].path ? strlen(m[i].path) : 0);
	const char *value = capture_meta(cap, CAPTURE_META_COMMAND, &size);
	touch(value ? value : "", value ? size + 1 : 0);
	sink += capture_meta_u64(cap, CAPTURE_META_PID, 7);
	uint64_t counter;
	sink += capture_counter(cap, CAPTURE_COUNTER_WRITTEN, &counter);
	touch(capture_header(cap), sizeof(struct capture_file_header));
	sink += capture_size(cap) + capture_ticks_to_ns(cap, UINT64_MAX);
}

static void ask_frame(const struct capture *cap, const struct capture_frame *f, uint32_t id)
{
	if (f->is_python) {
		const struct capture_code *code = capture_code_by_id(cap, f->module_plus_1);
		if (!code)
			return;
		touch(code->file, code->file_size);
		touch(code->name, code->name_size);
		touch(code->line_table, code->line_table_size);
		return;
	}
	const struct capture_location *l;
	size_t n = capture_symbols(cap, id, &l);
	for (size_t i = 0; i < n; i++) {
		touch(l[i].function ? l[i].function : "", l[i].function ? strlen(l[i].function) : 0);
		touch(l[i].file ? l[i].file : "", l[i].file ? strlen(l[i].file) : 0);
	}
}

static void ask_tables(struct capture *cap)
{
	struct capture_tables t;
	struct mt_error *err = capture_load_tables(cap, &t);
	if (err) {
		drop(err);
		return;
	}
	for (uint32_t i = 0; i < t.frame_count; i++)
		ask_frame(cap, &t.frames[i], i);
	for (uint32_t i = 0; i < t.node_count; i++)	/* a tree, and inside the tables */
		if (i && (t.nodes[i].parent >= i || t.nodes[i].frame >= t.frame_count))
			abort();
	for (uint32_t i = 0; i < t.stack_count; i++)
		if (t.stacks[i].native_node >= t.node_count ||
		    t.stacks[i].python_node >= t.node_count)
			abort();
}

struct pass {
	uint64_t events, hash, last_ticks;
	uint32_t stack_count;
};

static struct mt_error *on_events(const struct capture_event *events, size_t count, void *arg)
{
	struct pass *p = arg;
	for (size_t i = 0; i < count; i++) {
		if (p->stack_count && events[i].stack >= p->stack_count)
			abort();
		p->hash = p->hash * 31 + events[i].address + events[i].size + events[i].stack;
		sink += capture_kind_has_size(events[i].kind);
	}
	p->events += count;
	return NULL;
}

static void ask_events(struct capture *cap)
{
	struct capture_tables t;
	struct pass first = { 0 }, second = { 0 };
	struct mt_error *err = capture_events(cap, on_events, &first);
	if (!err)
		err = capture_load_tables(cap, &t);
	if (!err) {
		second.stack_count = t.stack_count;
		err = capture_events(cap, on_events, &second);
		if (!err && (first.events != second.events || first.hash != second.hash))
			abort();	/* two readings of one file */
	}
	drop(err);
}

static void ask_lives(const struct views *v)
{
	for (size_t i = 0; v->temporal && i < v->temporal->cap; i++) {
		const struct temporal_entry *e = &v->temporal->entries[i];
		if (e->key && (temporal_row(e) >= v->row_count || temporal_born(e) > v->temporal->instants.len ||
			       (temporal_gone(e) != TEMPORAL_NEVER &&
				temporal_gone(e) > v->temporal->instants.len)))
			abort();
	}
	for (size_t i = 0; v->growth && i < v->row_count; i++) {
		uint64_t bytes[GROWTH_SLOTS] = { 0 }, count[GROWTH_SLOTS] = { 0 };
		growth_series(v->growth, &v->growth->rows.items[i], bytes, count);
		sink += bytes[0] + count[growth_slots(v->growth) - 1];
	}
}

static void ask_views(struct capture *cap)
{
	static const struct view_options options[] = {
		{ .split_threads = true, .temporary_threshold = 1 },
		{ .temporal = true, .temporary_threshold = 1 },
		{ .growth = true, .temporary_threshold = 1 },
	};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		auto_views struct views *v = NULL;
		struct mt_error *err = views_compute(cap, &options[i], &v);
		if (!err) {
			touch(v->rows, v->row_count * sizeof(*v->rows));
			touch(v->points, v->point_count * sizeof(*v->points));
			ask_lives(v);
		}
		drop(err);
	}
}

static void ask_blocks(const struct capture *cap)
{
	for (size_t i = 0; i < capture_block_count(cap); i++) {
		const void *bytes;
		size_t size;
		capture_block(cap, i, &bytes, &size);
		touch(bytes, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	auto_capture struct capture *cap = NULL;
	int fd = input_file(data, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct mt_error *err = capture_open(path, &cap);
	drop(err);
	if (!err) {
		ask_sides(cap);
		ask_events(cap);
		ask_tables(cap);
		ask_views(cap);
		ask_blocks(cap);
		const char *damage = capture_damage(cap);
		touch(damage ? damage : "", damage ? strlen(damage) : 0);
	}
	close(fd);
	return 0;
}
