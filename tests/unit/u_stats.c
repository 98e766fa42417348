/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_stats.c - histogram, JSON and text of stats; the table of summary.
 * Knows: reporters/stats.h, reporters/summary.h. Does not know: commands.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reporters/stats.h"
#include "reporters/summary.h"
#include "tests/unit/synthetic.h"

#include <inttypes.h>

static void test_histogram(void **state)
{
	static const struct {
		unsigned widths[4];	/* bit widths of sizes that were seen, ended by 99 */
		size_t bins;
		struct stats_bin first, last;
	} rows[] = {
		{ { 99 }, 0, { 0, 0, 0 }, { 0, 0, 0 } },
		{ { 0, 99 }, 10, { 0, 0, 1 }, { 256, 511, 0 } },
		{ { 10, 99 }, 10, { 512, 1023, 1 }, { 1ull << 18, (1ull << 19) - 1, 0 } },
		{ { 1, 10, 99 }, 10, { 1, 1, 1 }, { 512, 1023, 1 } },
		{ { 1, 11, 99 }, 10, { 1, 3, 1 }, { 1ull << 18, (1ull << 20) - 1, 0 } },
		{ { 0, 20, 99 }, 10, { 0, 3, 1 }, { 1ull << 26, (1ull << 29) - 1, 0 } },
		{ { 0, 64, 99 }, 10, { 0, 63, 1 }, { 1ull << 62, UINT64_MAX, 1 } },
		{ { 63, 64, 99 }, 2, { 1ull << 62, (1ull << 63) - 1, 1 },
		  { 1ull << 63, UINT64_MAX, 1 } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct views v = { 0 };
		struct stats_bin bins[VIEW_HISTOGRAM_BINS] = { { 0 } };
		uint64_t sum = 0, want = 0;
		for (const unsigned *w = rows[i].widths; *w != 99; w++, want++)
			v.size_class[*w] = 1;
		size_t n = stats_histogram(&v, bins);
		assert_int_equal(n, rows[i].bins);
		for (size_t k = 0; k < n; k++)
			sum += bins[k].count;
		assert_int_equal(sum, want);
		for (size_t k = 1; k < n; k++)
			assert_true(bins[k].min == bins[k - 1].max + 1);
		if (n) {
			assert_memory_equal(&bins[0], &rows[i].first, sizeof(bins[0]));
			assert_memory_equal(&bins[n - 1], &rows[i].last, sizeof(bins[0]));
		}
	}
}

static char *json(const struct synthetic *s, enum view_kind view, size_t top, bool text)
{
	auto_report struct report r = { 0 };
	char *out_text = NULL;
	size_t size = 0;
	synthetic_open(s, view, METRIC_BYTES, false, &r);
	FILE *out = open_memstream(&out_text, &size);
	assert_non_null(out);
	synthetic_ok((text ? stats_write_text : stats_write_json)(&r, top, out));
	fclose(out);
	return out_text;
}

static char *summary(const struct synthetic *s, enum view_kind view,
		     const struct summary_options *options)
{
	auto_report struct report r = { 0 };
	char *text = NULL;
	size_t size = 0;
	synthetic_open(s, view, METRIC_BYTES, false, &r);
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	synthetic_ok(summary_write(&r, options, out));
	fclose(out);
	return text;
}

static void expect_part(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in:\n%s", part, text);
}

#define LIST(...) (const uint32_t[]){ __VA_ARGS__, 0 }
#define NONE ((const uint32_t[]){ 0 })

/* main -> recurse -> recurse -> operator new; a Python line; a small leak in a library. */
static void make_capture(struct synthetic *s, bool whole)
{
	synthetic_begin(s);
	s->dropped = 3;
	uint32_t main_ = synthetic_native(s, "main", "main.c", 10, 0);
	uint32_t recurse = synthetic_native(s, "recurse", "main.c", 20, 0);
	uint32_t new_ = synthetic_native(s, "operator new(unsigned long)", NULL, 0, 2);
	uint32_t lib = synthetic_native(s, "cache_put", NULL, 0, 3);
	uint32_t py = synthetic_python(s, "handle", "/srv/app/views.py", 30);
	uint32_t deep = synthetic_stack(s, LIST(main_, recurse, recurse, new_), NONE, 0);
	uint32_t leak = synthetic_stack(s, LIST(main_, lib), NONE, 0);
	uint32_t python = synthetic_stack(s, LIST(main_), LIST(py), 0);
	synthetic_event(s, WIRE_REC_MALLOC, 0x1000, 6000, deep, 1);
	synthetic_event(s, WIRE_REC_MALLOC, 0x3000, 1000, leak, 1);
	synthetic_event(s, WIRE_REC_CALLOC, 0x4000, 3000, python, 1);
	synthetic_event(s, WIRE_REC_FREE, 0x1000, 0, 0, 1);
	synthetic_event(s, WIRE_REC_FREE, 0x4000, 0, 0, 1);
	for (int i = 0; i < 4; i++) {
		synthetic_event(s, WIRE_REC_MALLOC, 0x5000, 10, leak, 2);
		synthetic_event(s, WIRE_REC_FREE, 0x5000, 0, 0, 2);
	}
	synthetic_end(s, whole);
}

static void test_json(void **state)
{
	static const char *const parts[] = {
		"{\n  \"total_num_allocations\": 7,\n  \"total_bytes_allocated\": 10040,\n"
		"  \"allocation_size_histogram\": [\n    {\n      \"min_bytes\": 8,\n"
		"      \"max_bytes\": 15,\n      \"count\": 4\n    },",
		"  \"allocator_type_distribution\": {\n    \"MALLOC\": 6,\n    \"CALLOC\": 1\n  },",
		"  \"top_allocations_by_size\": [\n    {\n"
		"      \"location\": \"recurse:main.c:20\",\n      \"size\": 6000\n    },\n    {\n"
		"      \"location\": \"handle:/srv/app/views.py:30\",\n"
		"      \"size\": 3000\n    }\n  ],",
		"  \"top_allocations_by_count\": [\n    {\n"
		"      \"location\": \"cache_put:libfoo.so.1\",\n      \"count\": 5\n    },",
		"  \"top_modules_by_allocation_size\": [\n    {\n      \"module\": \"app\",\n"
		"      \"num_allocations\": 1,\n      \"total_bytes\": 6000\n    },\n    {\n"
		"      \"module\": \"views\",",
		"    \"start_time\": \"2023-11-14 22:13:20.000000+00:00\",\n"
		"    \"end_time\": \"2023-11-14 22:13:22.500000+00:00\",\n"
		"    \"total_allocations\": 7,\n    \"total_frames\": 5,\n"
		"    \"peak_memory\": 10000,\n"
		"    \"command_line\": \"python3 app.py --size '1 2'\",\n    \"pid\": 4711,\n"
		"    \"main_thread_id\": 4711,\n    \"python_allocator\": \"pymalloc\",\n"
		"    \"has_native_traces\": true,\n    \"trace_python_allocators\": false,\n"
		"    \"file_format\": \"ALL_ALLOCATIONS\",",
		"    \"duration_ns\": 2500000000,", "    \"leaked_bytes\": 1000,",
		"    \"leaked_count\": 1,", "    \"temporary_bytes\": 3040,",
		"    \"produced\": 16,\n    \"written\": 13,\n    \"dropped\": 3,\n"
		"    \"damage\": null\n  }\n}\n",
	};
	struct synthetic s;
	(void)state;
	make_capture(&s, true);
	auto_free char *text = json(&s, VIEW_ALLOCATED, 2, false);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		expect_part(text, parts[i]);
	auto_free char *leaks = json(&s, VIEW_LEAKS, 2, false);
	expect_part(leaks, "\"top_allocations_by_size\": [\n    {\n"
			   "      \"location\": \"cache_put:libfoo.so.1\",\n"
			   "      \"size\": 1000\n    }\n  ],");
	synthetic_remove(&s);
}

static void test_text(void **state)
{
	static const char *const parts[] = {
		"Command:                 python3 app.py --size '1 2'\n",
		"Duration:                2.5 s\n",
		"Dropped:                 3 events\n",
		"Allocated in all:        9.80 KiB in 7 allocations\n",
		"Peak:                    9.77 KiB in 3 allocations\n",
		"Live at the end:         1000 B in 1 allocation\n",
		"Sizes of allocations, from 10 B to 5.86 KiB:\n",
		"Top 1 locations by size (allocated: size, allocations):\n"
		"    5.86 KiB               1  recurse:main.c:20\n",
		"Top 1 locations by count (allocated: allocations, size):\n"
		"           5        1.02 KiB  cache_put:libfoo.so.1\n",
	};
	struct synthetic s;
	(void)state;
	make_capture(&s, true);
	auto_free char *text = json(&s, VIEW_ALLOCATED, 1, true);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		expect_part(text, parts[i]);
	synthetic_remove(&s);
}

static void test_summary(void **state)
{
	struct summary_options options = { .sort_column = 1, .max_rows = 20, .width = 100 };
	struct synthetic s;
	(void)state;
	make_capture(&s, true);
	auto_free char *text = summary(&s, VIEW_PEAK, &options);
	assert_string_equal(text,
		"Command      python3 app.py --size '1 2'\n"
		"Process      4711, recorded for 2.5 s\n"
		"Peak         9.77 KiB in 3 blocks, 2 ns after the start\n"
		"Live at end  1000 B in 1 block\n"
		"Allocated    9.80 KiB in 7 allocations, 71.4% of them temporary\n"
		"Dropped      3 of 16 events: the numbers are too low\n"
		"\nView: peak\n"
		"Location                     [Total Memory]  Total %  Own Memory  Own %"
		"  Allocation Count\n"
		"main at main.c                     9.77 KiB   100.0%         0 B   0.0%"
		"                 3\n"
		"recurse at main.c                  5.86 KiB    60.0%    5.86 KiB  60.0%"
		"                 1\n"
		"handle at /srv/app/views.py        2.93 KiB    30.0%    2.93 KiB  30.0%"
		"                 1\n"
		"cache_put at libfoo.so.1             1000 B    10.0%      1000 B  10.0%"
		"                 1\n");
	options.sort_column = 3;
	options.max_rows = 1;
	auto_free char *own = summary(&s, VIEW_PEAK, &options);
	expect_part(own, "Total %  [Own Memory]  Own %");
	expect_part(own, "\n3 more functions are not shown; -r shows more rows\n");
	/* 60 and 30 and 10 percent: the third makes it 95. */
	options.max_rows = 20;
	auto_free char *covered = summary(&s, VIEW_PEAK, &options);
	expect_part(covered, "\n1 more function is not shown: the rows above hold 95 % of the "
			     "view\n");
	synthetic_remove(&s);
}

static void test_summary_color(void **state)
{
	struct summary_options options = { .sort_column = 1, .max_rows = 20, .width = 60,
					   .color = true };
	struct synthetic s;
	(void)state;
	make_capture(&s, true);
	auto_free char *text = summary(&s, VIEW_PEAK, &options);
	expect_part(text, "\033[1;31m9.77 KiB\033[0m");	/* over 60 % */
	expect_part(text, "\033[33m5.86 KiB\033[0m");	/* over 20 % */
	expect_part(text, "\033[32m");				/* over 5 % */
	expect_part(text, "[Total]       %       Own      %  Count");
	/* A terminal too narrow for the numbers still shows who it is about. */
	expect_part(text, "handle at\xe2\x80\xa6p/views.py");
	synthetic_remove(&s);
}

static void test_cut(void **state)
{
	struct synthetic s;
	(void)state;
	make_capture(&s, false);
	auto_free char *text = json(&s, VIEW_ALLOCATED, 2, false);
	expect_part(text, "\"total_num_allocations\": 7,");
	expect_part(text, "\"produced\": null,");
	expect_part(text, "\"damage\": \"");
	synthetic_remove(&s);
}

static void test_empty(void **state)
{
	struct summary_options options = { .sort_column = 1, .max_rows = 20, .width = 100 };
	struct synthetic s;
	(void)state;
	synthetic_begin(&s);
	synthetic_end(&s, true);
	auto_free char *data = json(&s, VIEW_ALLOCATED, 5, false);
	expect_part(data, "\"total_num_allocations\": 0,");
	expect_part(data, "\"allocation_size_histogram\": [],");
	expect_part(data, "\"top_allocations_by_size\": [],");
	auto_free char *text = json(&s, VIEW_ALLOCATED, 5, true);
	expect_part(text, "\nNo allocations were recorded.\n");
	auto_free char *table = summary(&s, VIEW_PEAK, &options);
	expect_part(table, "\nNo allocations were recorded.\n");
	synthetic_remove(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histogram), cmocka_unit_test(test_json),
		cmocka_unit_test(test_text), cmocka_unit_test(test_summary),
		cmocka_unit_test(test_summary_color), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
