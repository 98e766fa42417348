/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_leaks.c - curves and their names, growth against a plain model, the leaks report.
 * Knows: analysis/trend.h, analysis/growth.h, reporters/leaks.h. Does not know: commands.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/growth.h"
#include "reporters/leaks.h"
#include "tests/unit/synthetic.h"

static void test_trends(void **state)
{
	static const struct {
		const char *name;
		uint32_t slots;
		uint64_t values[12];
		enum trend_kind kind;
		double net;
	} rows[] = {
		{ "nothing", 0, { 0 }, TREND_SHORT, 0 },
		{ "one slot", 1, { 7 }, TREND_SHORT, 0 },
		{ "too few", 5, { 1, 2, 3, 4, 5 }, TREND_SHORT, 4 },
		{ "a line", 12, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, TREND_STEADY, 7 },
		{ "flat", 12, { 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9 }, TREND_LEVEL, 0 },
		{ "a start", 12, { 1, 50, 80, 99, 100, 100, 100, 100, 100, 100, 100, 100 },
		  TREND_LEVEL, 0 },
		{ "stairs", 12, { 0, 0, 0, 10, 10, 10, 10, 20, 20, 20, 30, 30 }, TREND_STEPS, 20 },
		{ "one step", 12, { 0, 0, 0, 0, 0, 0, 50, 50, 50, 50, 50, 50 }, TREND_STEP, 50 },
		{ "waves", 12, { 0, 9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9 }, TREND_WAVES, 7 },
		{ "falling", 12, { 9, 9, 9, 9, 9, 8, 7, 6, 5, 4, 3, 2 }, TREND_FALLING, -7 },
		{ "huge", 6, { 0, 0, 0, UINT64_MAX / 3, UINT64_MAX / 2, UINT64_MAX }, TREND_STEADY,
		  18446744073709551615.0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct trend t = trend_of(rows[i].values, rows[i].slots);
		if (t.kind != rows[i].kind)
			fail_msg("%s: %s", rows[i].name, trend_name(t.kind));
		assert_true(t.kept >= 0 && t.kept <= 1);
		if (rows[i].kind != TREND_SHORT)
			assert_true(t.net == rows[i].net);
		assert_true(t.score >= 0 && (t.net > 0 || t.score == 0));
	}
}

/* Whatever the length of the capture, a slot has the last value in it. */
static void test_growth_against_a_model(void **state)
{
	enum { LENGTH = 5000, ROWS = 3 };
	static uint64_t model[ROWS][LENGTH];
	(void)state;
	for (uint32_t length = 1; length < LENGTH; length += length / 3 + 1) {
		struct growth g;
		uint64_t random = length, now[ROWS] = { 0 };
		growth_init(&g, 0);
		assert_true(growth_rows(&g, ROWS));
		for (uint32_t ms = 0; ms < length; ms++) {
			random = random * 6364136223846793005ull + 1;
			uint32_t row = (random >> 33) % ROWS;
			growth_clock(&g, ms);
			if (random >> 60 < 9) {		/* not in every millisecond */
				assert_true(growth_before(&g, row, now[row], now[row] / 2));
				now[row] = random >> 40;
				growth_most(&g, row, now[row], now[row] / 2);
			}
			if (random >> 60 == 15)		/* looked at, as a live view does */
				for (uint32_t r = 0; r < ROWS; r++)
					assert_true(growth_settle(&g, r, now[r], now[r] / 2));
			for (uint32_t r = 0; r < ROWS; r++)
				model[r][ms] = now[r];
		}
		for (uint32_t r = 0; r < ROWS; r++)
			assert_true(growth_settle(&g, r, now[r], now[r] / 2));
		growth_end(&g, length - 1);
		uint32_t slots = growth_slots(&g);
		assert_true(slots <= GROWTH_SLOTS && (length < 64 || slots > GROWTH_SLOTS / 2));
		for (uint32_t r = 0; r < ROWS; r++) {
			uint64_t bytes[GROWTH_SLOTS] = { 0 }, count[GROWTH_SLOTS] = { 0 };
			growth_series(&g, &g.rows.items[r], bytes, count);
			for (uint32_t s = 0; s < slots; s++) {
				uint32_t last = (s + 1) * g.slot_ms - 1;
				last = last < length ? last : length - 1;
				assert_int_equal(bytes[s], model[r][last]);
				assert_int_equal(count[s], model[r][last] / 2);
			}
		}
		growth_deinit(&g);
	}
}

/* A leak of 64 bytes a millisecond, a cache of 1 MiB, a mapping of which half is given back. */
static void make_leaky(struct synthetic *s)
{
	synthetic_begin(s);
	uint32_t main_ = synthetic_native(s, "main", "main.c", 1, 0);
	uint32_t leak = synthetic_native(s, "leak", "leak.c", 2, 0);
	uint32_t cache = synthetic_native(s, "cache</script>", "cache.c", 3, 0);
	uint32_t map = synthetic_native(s, "map\033[2J", "map.c", 4, 0);
	uint32_t leaks = synthetic_stack(s, (uint32_t[]){ main_, leak, 0 }, (uint32_t[]){ 0 }, 0);
	uint32_t caches = synthetic_stack(s, (uint32_t[]){ main_, cache, 0 }, (uint32_t[]){ 0 }, 0);
	uint32_t maps = synthetic_stack(s, (uint32_t[]){ main_, map, 0 }, (uint32_t[]){ 0 }, 0);
	synthetic_event(s, WIRE_REC_MALLOC, 0x900000, 1 << 20, caches, 1);
	synthetic_event(s, WIRE_REC_MMAP, 0x100000, 8192, maps, 1);
	synthetic_event(s, WIRE_REC_MUNMAP, 0x100000, 4096, 0, 1);
	for (uint64_t i = 0; i < 2500; i++) {
		s->ticks = 1000 + i * 1000000;		/* of 1 GHz */
		synthetic_event(s, WIRE_REC_MALLOC, 0x200000 + i * 64, 64, leaks, 1);
		synthetic_event(s, WIRE_REC_MALLOC, 0x10, 500000, leaks, 1);
		synthetic_event(s, WIRE_REC_FREE, 0x10, 0, 0, 1);
	}
	synthetic_end(s, true);
}

static void open_leaks(const struct synthetic *s, uint64_t older_than_ms, struct report *r,
		       struct leaks *l)
{
	auto_open_args struct open_args args = {
		.file = s->path, .view = VIEW_LEAKS, .growth = true,
		.older_than_ns = older_than_ms * 1000000, .no_debuginfod = true,
	};
	synthetic_ok(open_report(&args, r));
	synthetic_ok(leaks_compute(r, l));
	leaks_sort(l, LEAKS_LIKELY);
}

static void test_sites(void **state)
{
	struct synthetic s;
	auto_report struct report r = { 0 };
	auto_leaks struct leaks l = { 0 };
	(void)state;
	make_leaky(&s);
	open_leaks(&s, 0, &r, &l);
	assert_int_equal(l.sites.len, 3);
	const struct leak_site *leak = &l.sites.items[0], *cache = &l.sites.items[1];
	const struct leak_site *map = &l.sites.items[2];
	assert_string_equal(leak->name, "leak:leak.c:2");
	assert_int_equal(leak->trend.kind, TREND_STEADY);
	assert_int_equal(leak->bytes, 2500 * 64);
	assert_int_equal(leak->count, 2500);
	assert_int_equal(leak->allocated, 5000);
	assert_int_equal(leak->released, 2500);
	assert_int_equal(leak->longest_ms, 0);
	assert_int_equal(leak->oldest_ms, 2500);
	assert_int_equal(leak->age_count[0], 999);	/* the capture ended at 2,500 ms */
	assert_int_equal(leak->age_count[1], 1501);
	assert_int_equal(cache->trend.kind, TREND_LEVEL);
	assert_int_equal(cache->bytes, 1 << 20);
	assert_int_equal(map->bytes, 4096);
	assert_int_equal(map->count, 1);
	assert_int_equal(l.bytes, r.views->total_bytes[VIEW_LEAKS]);
	assert_int_equal(l.count, r.views->total_count[VIEW_LEAKS]);
	synthetic_remove(&s);
}

static void test_older_than(void **state)
{
	struct synthetic s;
	auto_report struct report r = { 0 };
	auto_leaks struct leaks l = { 0 };
	(void)state;
	make_leaky(&s);
	open_leaks(&s, 2000, &r, &l);
	assert_int_equal(l.sites.items[0].count, 501);	/* born in 0..500 ms */
	assert_int_equal(l.sites.items[0].bytes, 501 * 64);
	synthetic_remove(&s);
}

static char *text_of(const struct leaks *l, const struct leaks_options *o, bool json)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	synthetic_ok((json ? leaks_write_json : leaks_write_text)(l, o, out));
	fclose(out);
	return text;
}

static void test_text(void **state)
{
	struct synthetic s;
	auto_report struct report r = { 0 };
	auto_leaks struct leaks l = { 0 };
	const struct leaks_options wide = { .width = 120 }, ascii = { .width = 40, .ascii = true };
	(void)state;
	make_leaky(&s);
	open_leaks(&s, 0, &r, &l);
	auto_free char *text = text_of(&l, &wide, false);
	assert_non_null(strstr(text, " 1. leak:leak.c:2\n"));
	assert_non_null(strstr(text, "Grew without pause, 62.5 KiB/s, 1000 blocks/s; 50.0% of its "
				     "5,000 blocks were freed, none of them older than 1.0 ms."));
	assert_non_null(strstr(text, "map\\x1b[2J"));
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "      leak (leak.c:2)\n      main (main.c:1)\n"));
	auto_free char *narrow = text_of(&l, &ascii, false);
	for (const char *p = strchr(narrow, '|'); p && *p != '\n'; p++)
		assert_true((unsigned char)*p < 0x80);
	auto_free char *json = text_of(&l, &wide, true);
	assert_non_null(strstr(json, "\"leaked_count\": 2502"));
	synthetic_remove(&s);
}

/* One event, and a file that was cut. */
static void test_small(void **state)
{
	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		struct synthetic s;
		auto_report struct report r = { 0 };
		auto_leaks struct leaks l = { 0 };
		const struct leaks_options o = { .width = 80 };
		synthetic_begin(&s);
		synthetic_event(&s, WIRE_REC_MALLOC, 0x1000, 24, 0, 1);
		synthetic_end(&s, whole);
		open_leaks(&s, 0, &r, &l);
		assert_int_equal(l.sites.len, 1);
		assert_string_equal(l.sites.items[0].name, LABEL_UNKNOWN);
		auto_free char *text = text_of(&l, &o, false);
		assert_non_null(strstr(text, "24 B in 1 block, 100.0% of what is left"));
		synthetic_remove(&s);
	}
}

/* Beside what resident memory grew by: a part of it, more than all of it, nothing to be beside. */
static void test_share_of_growth(void **state)
{
	static const struct {
		uint64_t first, last, live;
		double net;
		const char *text;
	} rows[] = {
		{ 1 << 20, 3 << 20, 1 << 20, 1, ", 50.0% of the growth of resident memory" },
		{ 1 << 20, 3 << 20, 2 << 20, 1, ", 100.0% of the growth of resident memory" },
		{ 1 << 20, 3 << 20, 9 << 20, 1, ", more than resident memory grew by (2.00 MiB)" },
		{ 1 << 20, 3 << 20, 1 << 20, 0, "" },
		{ 3 << 20, 1 << 20, 1 << 20, 1, "" },
		{ 0, 0, 1 << 20, 1, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct leaks l = { .slots = 2 };
		const struct leak_site site = { .live = { 0, rows[i].live }, .trend.net = rows[i].net };
		const struct leaks_rss rss = { rows[i].first, rows[i].last };
		auto_buf struct mt_buf out = MT_BUF_INIT;
		leaks_share_of_growth(&l, &site, &rss, &out);
		mt_buf_put(&out, "", 1);
		assert_string_equal((const char *)out.data, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trends),	     cmocka_unit_test(test_growth_against_a_model),
		cmocka_unit_test(test_sites),	     cmocka_unit_test(test_older_than),
		cmocka_unit_test(test_text),	     cmocka_unit_test(test_small),
		cmocka_unit_test(test_share_of_growth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
