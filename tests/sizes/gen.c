/* SPDX-License-Identifier: Apache-2.0 */
/* tests/sizes/gen.c - writes captures that are extreme in one way.
 * Knows: capture/writer.h. Does not know: reports.
 * Called by tests/sizes/test_sizes.py: gen sites|deep|threads N FILE; what the capture holds goes to
 * standard output as JSON. */
#include "capture/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generator {
	struct capture_writer *w;
	uint64_t ticks, address;
	uint32_t codes;
	uint64_t allocations, bytes, left_count, left_bytes;
};

static void check(struct mt_error *err)
{
	if (!err)
		return;
	fprintf(stderr, "gen: %s\n", err->message);
	exit(1);
}

static uint32_t python_frame(struct generator *g, const char *name, const char *file, uint32_t line)
{
	/* PEP 657: one entry of eight code units without columns, line delta 0 */
	static const uint8_t table[] = { 0x80 | 13 << 3 | 7, 0 };
	struct capture_code code = {
		.id = ++g->codes, .first_line = line,
		.file = file, .file_size = strlen(file), .name = name, .name_size = strlen(name),
		.line_table = table, .line_table_size = sizeof(table),
	};
	uint32_t id;
	check(capture_writer_code(g->w, &code));
	check(capture_writer_frame_python(g->w, code.id, false, 1, &id));
	return id;
}

static uint32_t node(struct generator *g, uint32_t parent, uint32_t frame)
{
	uint32_t id;
	check(capture_writer_node(g->w, parent, frame, &id));
	return id;
}

static uint32_t stack(struct generator *g, uint32_t native, uint32_t python)
{
	uint32_t id;
	check(capture_writer_stack(g->w, native, python, 0, &id));
	return id;
}

/* The block's address; `stays` or it is released at once. */
static void block(struct generator *g, uint32_t of, uint32_t thread, uint64_t size, bool stays)
{
	struct capture_event ev = { .ticks = g->ticks += 1000, .address = g->address += 4096, .size = size,
				    .stack = of, .thread = thread, .kind = WIRE_REC_MALLOC };
	check(capture_writer_event(g->w, &ev));
	g->allocations++;
	g->bytes += size;
	if (stays) {
		g->left_count++;
		g->left_bytes += size;
		return;
	}
	ev = (struct capture_event){ .ticks = g->ticks += 1000, .address = ev.address, .thread = thread,
				     .kind = WIRE_REC_FREE };
	check(capture_writer_event(g->w, &ev));
}

/* Every site is a function of its own. */
static void make_sites(struct generator *g, uint32_t n)
{
	uint32_t root = node(g, 0, python_frame(g, "<module>", "/srv/app/main.py", 1));
	char name[32], file[48];
	check(capture_writer_thread(g->w, 1, 4711, 0, "main"));
	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "site_%07" PRIu32, i);
		snprintf(file, sizeof(file), "/srv/app/part_%04" PRIu32 ".py", i / 1000);
		block(g, stack(g, 0, node(g, root, python_frame(g, name, file, 1 + i % 1000))), 1,
		      64 + i % 1000, i % 3 != 0);
	}
}

/* A recursion in Python, and one in native code without a name. */
static void make_deep(struct generator *g, uint32_t n)
{
	uint32_t down[2] = { python_frame(g, "down", "/srv/app/deep.py", 10),
			     python_frame(g, "down", "/srv/app/deep.py", 20) };
	uint32_t native, python = node(g, 0, python_frame(g, "<module>", "/srv/app/deep.py", 1)), at = 0;
	struct capture_segment segment = { 0, 0x100000, 0, 5 };
	struct capture_module m = { .start = 0x400000, .end = 0x500000, .bias = 0x400000,
				    .path = "/nowhere/deep", .segments = &segment, .segment_count = 1 };
	check(capture_writer_module(g->w, &m));
	check(capture_writer_frame_native(g->w, 1, 0x1230, &native));
	check(capture_writer_thread(g->w, 1, 4711, 0, "main"));
	for (uint32_t i = 0; i < n; i++) {
		python = node(g, python, down[i / 3 % 2]);
		at = node(g, at, native);
		if (i + 1 == n / 2)
			block(g, stack(g, 0, python), 1, 5000, false);
	}
	block(g, stack(g, 0, python), 1, 10000, true);
	block(g, stack(g, at, 0), 1, 20000, true);
}

static void make_threads(struct generator *g, uint32_t n)
{
	uint32_t run = node(g, 0, python_frame(g, "run", "/srv/app/pool.py", 5));
	uint32_t stays = stack(g, 0, node(g, run, python_frame(g, "stays", "/srv/app/pool.py", 8)));
	uint32_t passes = stack(g, 0, node(g, run, python_frame(g, "passes", "/srv/app/pool.py", 9)));
	char name[16];
	for (uint32_t i = 1; i <= n; i++) {
		snprintf(name, sizeof(name), "worker-%" PRIu32, i);
		check(capture_writer_thread(g->w, i, 4711 + i, g->ticks, name));
		block(g, stays, i, 100 + i % 50, true);
		block(g, passes, i, 300, false);
	}
}

static void put_meta(struct generator *g)
{
	static const struct {
		const char *key, *value;
	} rows[] = {
		{ CAPTURE_META_PID, "4711" }, { CAPTURE_META_TSC_HZ, "1000000000" },
		{ CAPTURE_META_START_TICKS, "0" }, { CAPTURE_META_PYTHON, "3.11" },
		{ CAPTURE_META_COMMAND, "python3" }, { CAPTURE_META_OPTIONS, "native,python" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(capture_writer_meta(g->w, rows[i].key, rows[i].value, strlen(rows[i].value)));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*make)(struct generator *g, uint32_t n);
	} kinds[] = { { "sites", make_sites }, { "deep", make_deep }, { "threads", make_threads } };
	struct generator g = { .address = 0x10000 };
	for (size_t i = 0; argc == 4 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name))
			continue;
		check(capture_writer_create(argv[3], false, CAPTURE_FEATURE_NATIVE | CAPTURE_FEATURE_PYTHON,
					    &g.w));
		put_meta(&g);
		kinds[i].make(&g, (uint32_t)strtoul(argv[2], NULL, 10));
		uint64_t events = capture_writer_events(g.w);
		check(capture_writer_counter(g.w, CAPTURE_COUNTER_PRODUCED, events));
		check(capture_writer_counter(g.w, CAPTURE_COUNTER_WRITTEN, events));
		check(capture_writer_counter(g.w, CAPTURE_COUNTER_DROPPED, 0));
		check(capture_writer_finish(g.w));
		capture_writer_destroy(g.w);
		printf("{\"allocations\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"left_count\": %" PRIu64
		       ", \"left_bytes\": %" PRIu64 "}\n", g.allocations, g.bytes, g.left_count, g.left_bytes);
		return 0;
	}
	fprintf(stderr, "usage: gen sites|deep|threads N FILE\n");
	return 2;
}
