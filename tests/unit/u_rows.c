/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_rows.c - lines of the tree on a terminal: unfolded, ordered, searched, kept under the cursor.
 * Knows: reporters/tui/rows.h. Does not know: the terminal.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "reporters/tui/plain.h"
#include "reporters/tui/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

/* Names stay where they are, as those of a symbolizer do. */
static const char *kept(const char *name)
{
	static char names[256][32];
	static size_t count;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return names[i];
	assert_true(count < 256 && strlen(name) < sizeof(names[0]));
	return strcpy(names[count++], name);
}

/* Adds the stack "a b c", root first, with so many bytes and blocks in the view of the peak. */
static void put(struct data *d, const char *stack, uint64_t bytes, uint64_t count)
{
	struct symbol_frame frames[40];
	char copy[256], *rest = copy, *name;
	uint64_t b[VIEW_COUNT] = { bytes }, c[VIEW_COUNT] = { count };
	size_t n = 0;
	uint32_t node;
	snprintf(copy, sizeof(copy), "%s", stack);
	while ((name = strsep(&rest, " ")))
		frames[n++] = (struct symbol_frame){ .function = kept(name), .file = "x.py", .module = "",
						     .line = 1, .kind = FRAME_PYTHON };
	ok(tree_add_stack(d->tree, frames, n, &node));
	tree_add_value(d->tree, node, b, c);
	d->whole_bytes += bytes;
	d->whole_count += count;
}

static struct data *begin(void)
{
	struct data *d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->request = (struct data_request){ .page = PAGE_TREE, .view = VIEW_PEAK };
	ok(tree_create(&d->tree));
	return d;
}

static struct data *shop(void)
{
	struct data *d = begin();
	put(d, "main small", 10, 9);
	put(d, "main run load parse", 100, 1);
	put(d, "main run load", 20, 1);
	put(d, "main run store", 50, 2);
	ok(tree_totals(d->tree, &d->totals));
	return d;
}

/* The lines as text: depth, fold mark, name. */
static void assert_lines(const struct rows *rows, const char *expected)
{
	auto_buf struct mt_buf out = MT_BUF_INIT;
	for (size_t i = 0; i < rows->list.len; i++) {
		const struct row *r = &rows->list.items[i];
		mt_buf_printf(&out, "%u%s%s%s ", r->depth, r->leaf ? "." : r->open ? "-" : "+",
			      i == rows->cursor ? ">" : "", r->function);
	}
	mt_buf_put_char(&out, 0);
	assert_string_equal((char *)out.data, expected);
}

static void test_biggest_chain_is_open(void **state)
{
	(void)state;
	auto_data struct data *d = shop();
	struct rows rows = { 0 };
	ok(rows_restart(&rows, d));
	assert_lines(&rows, "0-><all> 0-main 1-run 2-load 2.parse 2.store 1.small ");
	assert_int_equal(rows.list.items[0].total_bytes, 180);
	assert_int_equal(rows.list.items[3].total_bytes, 120);
	assert_int_equal(rows.list.items[3].own_bytes, 20);
	assert_int_equal(rows.list.items[2].branch, BRANCH_FORK);
	assert_int_equal(rows.list.items[4].branch, BRANCH_BELOW);
	assert_int_equal(rows.list.items[6].branch, BRANCH_LAST);
	rows.order = ORDER_COUNT;
	ok(rows_fill(&rows, d));
	assert_lines(&rows, "0-><all> 0-main 1.small 1-run 2-load 2.parse 2.store ");
	rows_deinit(&rows);
}

static void test_open_and_close(void **state)
{
	(void)state;
	auto_data struct data *d = shop();
	struct rows rows = { 0 };
	ok(rows_restart(&rows, d));
	ok(rows_open(&rows, d, false));
	assert_lines(&rows, "0+><all> ");
	rows_move(&rows, 5);
	rows_move(&rows, -7);
	assert_int_equal(rows.cursor, 0);
	mt_map_clear(&rows.open);
	ok(rows_open_chain(&rows, d));		/* to the first fork */
	assert_lines(&rows, "0-><all> 0-main 1+run 1.small ");
	rows_move_to(&rows, 3);
	rows_to_parent(&rows, d);
	assert_string_equal(rows_at_cursor(&rows)->function, "main");
	rows_deinit(&rows);
}

static void test_search_unfolds(void **state)
{
	(void)state;
	auto_data struct data *d = shop();
	struct rows rows = { 0 };
	bool found;
	ok(rows_restart(&rows, d));
	ok(rows_open(&rows, d, false));
	ok(rows_search(&rows, d, "STORE", true, &found));
	assert_true(found);
	assert_lines(&rows, "0-<all> 0-main 1-run 2-load 2.parse 2.>store 1.small ");
	ok(rows_search(&rows, d, "l", true, &found));		/* small, then around: <all> */
	assert_string_equal(rows_at_cursor(&rows)->function, "small");
	ok(rows_search(&rows, d, "l", true, &found));
	assert_string_equal(rows_at_cursor(&rows)->function, "<all>");
	ok(rows_search(&rows, d, "l", false, &found));
	assert_string_equal(rows_at_cursor(&rows)->function, "small");
	ok(rows_search(&rows, d, "nothing", true, &found));
	assert_false(found);
	assert_string_equal(rows_at_cursor(&rows)->function, "small");
	rows_deinit(&rows);
}

/* What is unfolded and under the cursor is found again in other data. */
static void test_next_data(void **state)
{
	(void)state;
	auto_data struct data *d = shop(), *next = begin();
	struct rows rows = { 0 };
	ok(rows_restart(&rows, d));
	rows_move_to(&rows, 5);
	put(next, "new", 1000, 1);
	put(next, "main run store", 500, 1);
	put(next, "main run load parse", 100, 1);
	ok(tree_totals(next->tree, &next->totals));
	ok(rows_fill(&rows, next));
	assert_lines(&rows, "0-<all> 1.new 1-main 1-run 2.>store 2-load 2.parse ");
	rows_deinit(&rows);
}

static void test_deep_and_empty(void **state)
{
	(void)state;
	auto_data struct data *d = begin(), *empty = begin();
	struct symbol_frame frame = { .function = "f", .file = "", .module = "" };
	struct symbol_frame *frames = calloc(10000, sizeof(*frames));
	struct rows rows = { 0 };
	uint64_t one[VIEW_COUNT] = { 1, 1, 1, 1 };
	uint32_t node;
	assert_non_null(frames);
	for (size_t i = 0; i < 10000; i++)
		frames[i] = frame;
	ok(tree_add_stack(d->tree, frames, 10000, &node));
	tree_add_value(d->tree, node, one, one);
	ok(tree_totals(d->tree, &d->totals));
	ok(rows_restart(&rows, d));
	assert_int_equal(rows.list.len, 10001);
	rows_move_to(&rows, SIZE_MAX);
	rows_fit(&rows, 20);
	assert_int_equal(rows.top, 10001 - 20);
	ok(tree_totals(empty->tree, &empty->totals));
	ok(rows_fill(&rows, empty));
	assert_int_equal(rows.list.len, 1);
	assert_int_equal(rows.cursor, 0);
	rows_fit(&rows, 20);
	assert_int_equal(rows.top, 0);
	rows_deinit(&rows);
	free(frames);
}

static void test_plain(void **state)
{
	(void)state;
	auto_data struct data *d = shop();
	auto_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	ok(plain_write(d, true, out));
	fclose(out);
	assert_string_equal(text,
		"View: peak\n"
		"     Total      %        Own       Count  Stack\n"
		"     180 B 100.0%          -          13  <all>\n"
		"     180 B 100.0%          -          13  main  x.py:1\n"
		"     170 B  94.4%          -           4  |-run  x.py:1\n"
		"     120 B  66.7%       20 B           2    |-load  x.py:1\n"
		"     100 B  55.6%      100 B           1    | parse  x.py:1\n"
		"      50 B  27.8%       50 B           2    `-store  x.py:1\n"
		"      10 B   5.6%       10 B           9  `-small  x.py:1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_biggest_chain_is_open), cmocka_unit_test(test_open_and_close),
		cmocka_unit_test(test_search_unfolds), cmocka_unit_test(test_next_data),
		cmocka_unit_test(test_deep_and_empty), cmocka_unit_test(test_plain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
