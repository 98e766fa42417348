/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/synthetic.h - makes small captures with known contents, and runs reports over them.
 *
 *	struct synthetic s;
 *	synthetic_begin(&s);
 *	uint32_t main_ = synthetic_native(&s, "main", "main.c", 10, 1);
 *	uint32_t f = synthetic_python(&s, "f", "app.py", 3);
 *	uint32_t stack = synthetic_stack(&s, (uint32_t[]){ main_, 0 }, (uint32_t[]){ f, 0 }, 0);
 *	synthetic_alloc(&s, WIRE_REC_MALLOC, 0x1000, 64, stack, 1);
 *	synthetic_end(&s, true);		s.path is a capture now
 *	... synthetic_open(&s, view, metric, split, &report) ...
 *	synthetic_remove(&s);
 *
 * Include cmocka.h first. */
#ifndef MT_TESTS_SYNTHETIC_H
#define MT_TESTS_SYNTHETIC_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "capture/reader.h"
#include "capture/wire.h"
#include "capture/writer.h"
#include "cmds/open.h"
#include "reporters/report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SYNTHETIC_MODULES 4		/* 0 app, 1 libc.so.6, 2 libstdc++.so.6, 3 libfoo.so.1 */
#define SYNTHETIC_SYMBOLS 4096

struct synthetic {
	char path[64];
	struct capture_writer *w;
	uint64_t ticks, dropped;
	uint32_t next_code, next_address;
	struct {
		uint32_t frame, line;
		const char *function, *file;
	} symbol[SYNTHETIC_SYMBOLS];
	uint32_t symbol_count;
};

#define synthetic_ok(call)						\
	do {								\
		struct mt_error *err_ = (call);				\
		if (err_)						\
			fail_msg("%s: %s", #call, err_->message);	\
	} while (0)

static inline void synthetic_meta(struct synthetic *s, const char *key, const char *value,
				  size_t size)
{
	synthetic_ok(capture_writer_meta(s->w, key, value, size));
}

static inline void synthetic_modules(struct synthetic *s)
{
	static const char *const paths[SYNTHETIC_MODULES] = {
		"/nowhere/app", "/nowhere/libc.so.6", "/nowhere/libstdc++.so.6",
		"/nowhere/libfoo.so.1",
	};
	static const uint8_t id[4] = { 0xde, 0xad, 0xbe, 0xef };
	for (uint32_t i = 0; i < SYNTHETIC_MODULES; i++) {
		struct capture_segment segment = { 0, 0x100000, 0, 5 };
		struct capture_module m = {
			.id = i, .start = 0x10000000ull * (i + 1),
			.end = 0x10000000ull * (i + 1) + 0x100000, .bias = 0x10000000ull * (i + 1),
			.path = paths[i], .build_id = id, .build_id_size = sizeof(id),
			.segments = &segment, .segment_count = 1,
		};
		synthetic_ok(capture_writer_module(s->w, &m));
	}
}

#define SYNTHETIC_COMMAND "python3\0app.py\0--size\0" "1 2\0"
#define SYNTHETIC_START 1700000000000000000ull

static inline void synthetic_begin(struct synthetic *s)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "/tmp/memtrace-unit.XXXXXX");
	int fd = mkstemp(s->path);
	assert_true(fd >= 0);
	close(fd);
	s->ticks = 1000;
	synthetic_ok(capture_writer_create(s->path, true,
					   CAPTURE_FEATURE_NATIVE | CAPTURE_FEATURE_PYTHON, &s->w));
	synthetic_meta(s, CAPTURE_META_COMMAND, SYNTHETIC_COMMAND, sizeof(SYNTHETIC_COMMAND) - 1);
	synthetic_meta(s, CAPTURE_META_PID, "4711", 4);
	synthetic_meta(s, CAPTURE_META_MAIN_TID, "4711", 4);
	synthetic_meta(s, CAPTURE_META_START, "1700000000000000000", 19);
	synthetic_meta(s, CAPTURE_META_END, "1700000002500000000", 19);
	synthetic_meta(s, CAPTURE_META_TSC_HZ, "1000000000", 10);
	synthetic_meta(s, CAPTURE_META_START_TICKS, "1000", 4);
	synthetic_meta(s, CAPTURE_META_PYTHON, "3.11", 4);
	synthetic_meta(s, CAPTURE_META_PYTHON_ALLOCATOR, "pymalloc", 8);
	synthetic_meta(s, CAPTURE_META_OPTIONS, "native,python", 13);
	synthetic_modules(s);
	synthetic_ok(capture_writer_thread(s->w, 1, 4711, 1000, "main"));
	synthetic_ok(capture_writer_thread(s->w, 2, 4712, 1000, "wor;ker"));
}

/* A native frame at a new address of module `module`; function NULL: no symbol. */
static inline uint32_t synthetic_native(struct synthetic *s, const char *function,
					const char *file, uint32_t line, uint32_t module)
{
	uint32_t id;
	synthetic_ok(capture_writer_frame_native(s->w, module + 1, 0x1000 + 16 * ++s->next_address,
						 &id));
	if (function) {
		assert_true(s->symbol_count < SYNTHETIC_SYMBOLS);
		s->symbol[s->symbol_count].frame = id;
		s->symbol[s->symbol_count].function = function;
		s->symbol[s->symbol_count].file = file;
		s->symbol[s->symbol_count++].line = line;
	}
	return id;
}

static inline uint32_t synthetic_python(struct synthetic *s, const char *name, const char *file,
					uint32_t line)
{
	/* PEP 657: one entry of eight code units without columns, line delta 0 */
	static const uint8_t table[] = { 0x80 | 13 << 3 | 7, 0 };
	struct capture_code code = {
		.id = ++s->next_code, .first_line = line,
		.file = file, .file_size = strlen(file), .name = name, .name_size = strlen(name),
		.line_table = table, .line_table_size = sizeof(table),
	};
	uint32_t id;
	synthetic_ok(capture_writer_code(s->w, &code));
	synthetic_ok(capture_writer_frame_python(s->w, code.id, false, 1, &id));
	return id;
}

/* Frames root to leaf, ended by 0. The writer does not intern and neither does this: equal
 * stacks get different nodes, which a reader must bear. */
static inline uint32_t synthetic_nodes(struct synthetic *s, const uint32_t *frames)
{
	uint32_t node = 0;
	for (; *frames; frames++)
		synthetic_ok(capture_writer_node(s->w, node, *frames, &node));
	return node;
}

static inline uint32_t synthetic_stack(struct synthetic *s, const uint32_t *native,
				       const uint32_t *python, uint32_t flags)
{
	uint32_t id;
	uint32_t native_node = synthetic_nodes(s, native);
	uint32_t python_node = synthetic_nodes(s, python);
	synthetic_ok(capture_writer_stack(s->w, native_node, python_node, flags, &id));
	return id;
}

static inline void synthetic_event(struct synthetic *s, uint8_t kind, uint64_t address,
				   uint64_t size, uint32_t stack, uint32_t thread)
{
	struct capture_event e = { s->ticks++, address, size, stack, thread, kind };
	synthetic_ok(capture_writer_event(s->w, &e));
}

static inline uint32_t symbol_string(struct mt_buf *strings, uint32_t *count, const char *text)
{
	if (!text)
		return 0;
	mt_buf_put_lstr(strings, text, strlen(text));
	return (*count)++;
}

/* capture/format.h, SYMBOLS payload. */
static inline void synthetic_put_symbols(struct synthetic *s)
{
	auto_buf struct mt_buf raw = MT_BUF_INIT, strings = MT_BUF_INIT, locations = MT_BUF_INIT;
	uint32_t count = 0;
	symbol_string(&strings, &count, "");
	for (uint32_t i = 0; i < s->symbol_count; i++) {
		mt_buf_put_varint(&locations, s->symbol[i].frame);
		mt_buf_put_varint(&locations, 1);
		mt_buf_put_varint(&locations,
				  symbol_string(&strings, &count, s->symbol[i].function));
		mt_buf_put_varint(&locations, symbol_string(&strings, &count, s->symbol[i].file));
		mt_buf_put_varint(&locations, s->symbol[i].line);
	}
	mt_buf_put_varint(&raw, count);
	mt_buf_put(&raw, strings.data, strings.len);
	mt_buf_put_varint(&raw, 1);
	mt_buf_put_varint(&raw, 0);
	mt_buf_put_varint(&raw, CAPTURE_SYMBOLS_DWARF);
	mt_buf_put_varint(&raw, 0);
	mt_buf_put_varint(&raw, s->symbol_count);
	mt_buf_put(&raw, locations.data, locations.len);
	assert_false(raw.failed || strings.failed || locations.failed);
	synthetic_ok(capture_writer_raw_block(s->w, CAPTURE_BLOCK_SYMBOLS, raw.data, raw.len));
}

static inline void synthetic_end(struct synthetic *s, bool whole)
{
	uint64_t written = capture_writer_events(s->w);
	synthetic_put_symbols(s);
	if (whole) {
		synthetic_ok(capture_writer_counter(s->w, CAPTURE_COUNTER_PRODUCED,
						    written + s->dropped));
		synthetic_ok(capture_writer_counter(s->w, CAPTURE_COUNTER_WRITTEN, written));
		synthetic_ok(capture_writer_counter(s->w, CAPTURE_COUNTER_DROPPED, s->dropped));
		synthetic_ok(capture_writer_finish(s->w));
	} else {
		synthetic_ok(capture_writer_flush(s->w));
	}
	capture_writer_destroy(s->w);
	s->w = NULL;
}

static inline void synthetic_remove(struct synthetic *s)
{
	unlink(s->path);
}

static inline void synthetic_open(const struct synthetic *s, enum view_kind view,
				  enum report_metric metric, bool split, struct report *ret)
{
	auto_open_args struct open_args args = {
		.file = s->path, .view = view, .metric = metric, .split_threads = split,
		.no_debuginfod = true,
	};
	synthetic_ok(open_report(&args, ret));
}

#endif
