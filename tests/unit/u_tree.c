/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_tree.c - stacks become one tree, and its sums are right.
 * Knows: reporters/tree.h. Does not know: captures. */
#include "reporters/tree.h"

#include "reporters/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static const struct symbol_frame main_ = { "main", "a.py", "", 1, FRAME_PYTHON, 0 };
static const struct symbol_frame a1 = { "a", "a.py", "", 10, FRAME_PYTHON, 0 };
static const struct symbol_frame a2 = { "a", "a.py", "", 11, FRAME_PYTHON, 0 };
static const struct symbol_frame eval = { "_PyEval_EvalFrameDefault", "", "python3.11", 0, FRAME_NATIVE,
					  FRAME_INTERPRETER };
static const struct symbol_frame ext = { "encode", "", "_json.so", 0, FRAME_NATIVE, 0 };
static const struct symbol_frame libc = { "qsort_r", "", "libc.so.6", 0, FRAME_NATIVE, 0 };

static struct tree *new_tree(void)
{
	struct tree *t = NULL;
	assert_null(tree_create(&t));
	return t;
}

/* The value stands in every view, times the view's number. */
static uint32_t put(struct tree *t, uint64_t bytes, uint64_t count, size_t n,
		    const struct symbol_frame *frames)
{
	uint32_t node;
	uint64_t b[VIEW_COUNT], c[VIEW_COUNT];
	for (unsigned v = 0; v < VIEW_COUNT; v++) {
		b[v] = bytes * (v + 1);
		c[v] = count * (v + 1);
	}
	assert_null(tree_add_stack(t, frames, n, &node));
	tree_add_value(t, node, b, c);
	return node;
}

#define PUT(t, bytes, count, ...)                                                       \
	put(t, bytes, count,                                                            \
	    sizeof((struct symbol_frame[]){ __VA_ARGS__ }) / sizeof(struct symbol_frame), \
	    (struct symbol_frame[]){ __VA_ARGS__ })

static void test_empty(void **state)
{
	(void)state;
	auto_tree struct tree *t = new_tree();
	uint32_t count;
	assert_int_equal(tree_nodes(t, &count)[0].first_child, 0);
	assert_int_equal(count, 1);
	assert_string_equal(tree_string(t, 0), "");
	auto_free struct tree_site *sites = NULL;
	size_t site_count = 7;
	assert_null(tree_sites(t, VIEW_PEAK, &sites, &site_count));
	assert_int_equal(site_count, 0);
	auto_free struct tree_value *totals = NULL;
	assert_null(tree_totals(t, &totals));
	assert_int_equal(totals[0].bytes[VIEW_PEAK], 0);
}

static void test_common_prefix_is_one_path(void **state)
{
	(void)state;
	auto_tree struct tree *t = new_tree();
	uint32_t x = PUT(t, 100, 1, main_, a1), y = PUT(t, 10, 2, main_, a2), z = PUT(t, 1, 3, main_, a1);
	assert_int_equal(x, z);
	assert_int_not_equal(x, y);
	uint32_t count;
	const struct tree_node *n = tree_nodes(t, &count);
	assert_int_equal(count, 4);	/* root, main, a:10, a:11 */
	assert_int_equal(n[x].parent, n[y].parent);
	assert_int_equal(n[n[x].parent].first_child, x);
	assert_int_equal(n[x].next, y);
	assert_int_equal(n[y].next, 0);
	assert_int_equal(tree_self(t, x)->bytes[VIEW_PEAK], 101);
	assert_int_equal(tree_self(t, x)->count[VIEW_LEAKS], 8);
	auto_free struct tree_value *totals = NULL;
	assert_null(tree_totals(t, &totals));
	assert_int_equal(totals[0].bytes[VIEW_PEAK], 111);
	assert_int_equal(totals[0].count[VIEW_TEMPORARY], 24);
	assert_int_equal(totals[n[x].parent].bytes[VIEW_ALLOCATED], 333);
}

/* Every field makes a frame another one; equal text at another address does not. */
static void test_frame_identity(void **state)
{
	(void)state;
	char copy[] = "main";
	struct symbol_frame same = main_, other = main_;
	same.function = copy;
	auto_tree struct tree *t = new_tree();
	uint32_t first = PUT(t, 1, 1, main_);
	assert_int_equal(PUT(t, 1, 1, same), first);
	memset(copy, 'x', 4);		/* strings are copied */
	uint32_t count;
	const struct tree_node *n = tree_nodes(t, &count);
	assert_string_equal(tree_string(t, tree_frames(t, &count)[n[first].frame].function), "main");
	other.line = 2;
	assert_int_not_equal(PUT(t, 1, 1, other), first);
	other = main_, other.file = "b.py";
	assert_int_not_equal(PUT(t, 1, 1, other), first);
	other = main_, other.module = "m";
	assert_int_not_equal(PUT(t, 1, 1, other), first);
	other = main_, other.kind = FRAME_NATIVE;
	assert_int_not_equal(PUT(t, 1, 1, other), first);
	other = main_, other.flags = FRAME_INLINED;
	assert_int_not_equal(PUT(t, 1, 1, other), first);
	/* The same texts in other fields. */
	other = main_, other.function = "a.py", other.file = "main";
	assert_int_not_equal(PUT(t, 1, 1, other), first);
	tree_nodes(t, &count);
	assert_int_equal(count, 8);
}

static void test_empty_stack_is_the_root(void **state)
{
	(void)state;
	auto_tree struct tree *t = new_tree();
	assert_int_equal(put(t, 5, 1, 0, NULL), 0);
	assert_int_equal(tree_self(t, 0)->bytes[VIEW_PEAK], 5);
}

static void test_deep(void **state)
{
	(void)state;
	enum { DEPTH = 100000 };
	auto_tree struct tree *t = new_tree();
	struct symbol_frame *frames = malloc(DEPTH * sizeof(*frames));
	assert_non_null(frames);
	for (size_t i = 0; i < DEPTH; i++)
		frames[i] = i % 2 ? a1 : a2;
	put(t, 3, 1, DEPTH, frames);
	put(t, 4, 1, DEPTH / 2, frames);
	free(frames);
	auto_free struct tree_value *totals = NULL;
	assert_null(tree_totals(t, &totals));
	assert_int_equal(totals[1].bytes[VIEW_PEAK], 7);
	assert_int_equal(totals[DEPTH].bytes[VIEW_PEAK], 3);
}

/* The same choice as site_find() makes, for whole stacks. */
static void test_sites(void **state)
{
	(void)state;
	auto_tree struct tree *t = new_tree();
	PUT(t, 100, 1, main_, eval);
	PUT(t, 10, 1, main_, a1, eval, libc);
	PUT(t, 1000, 1, main_, a1, ext);	/* Python code called the extension */
	PUT(t, 2000, 5, ext, libc, libc);	/* native only: not libc */
	PUT(t, 7, 1, eval, libc);		/* nothing better than the interpreter */
	PUT(t, 3, 1, libc);
	const struct symbol_frame stacks[][4] = { { main_, eval }, { main_, a1, eval, libc },
						  { ext, libc, libc }, { eval, libc }, { libc } };
	static const size_t sizes[] = { 2, 4, 3, 2, 1 };
	static const char *const found[] = { "main", "a", "encode", "_PyEval_EvalFrameDefault", "qsort_r" };
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(site_find(stacks[i], sizes[i])->function, found[i]);
	auto_free struct tree_site *sites = NULL;
	size_t count;
	uint32_t frames;
	assert_null(tree_sites(t, VIEW_ALLOCATED, &sites, &count));
	const struct tree_frame *f = tree_frames(t, &frames);
	static const struct {
		const char *function;
		uint64_t bytes, blocks;
	} want[] = { { "encode", 2000, 5 }, { "a", 1010, 2 }, { "main", 100, 1 },
		     { "_PyEval_EvalFrameDefault", 7, 1 }, { "qsort_r", 3, 1 } };
	assert_int_equal(count, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(tree_string(t, f[sites[i].frame].function), want[i].function);
		assert_int_equal(sites[i].value.bytes[VIEW_PEAK], want[i].bytes);
		assert_int_equal(sites[i].value.count[VIEW_ALLOCATED], want[i].blocks * 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_common_prefix_is_one_path),
		cmocka_unit_test(test_frame_identity),
		cmocka_unit_test(test_empty_stack_is_the_root),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_sites),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
