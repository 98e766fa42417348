/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/flamegraph.h - one HTML page that holds a whole report and opens offline.
 *
 *	struct flamegraph g = { .tree = tree, ... };
 *	flamegraph_describe(&g, cap, views, 2000)	facts of the capture
 *	flamegraph_split(&g, cap, views, row_nodes)	rows are by thread: a tree for each
 *	flamegraph_temporal(&g, cap, views, row_nodes)
 *	flamegraph_write(&g, FILE *)
 *	flamegraph_deinit(&g)			what describe gathered; the rest is borrowed
 *
 * The page's data is a gzip stream in base64, decoded by reporters/web/model.js; numbers LEB128,
 * texts a length and bytes:
 *	"MTFG" 3
 *	facts: count, (name, value) texts
 *	notes: count, (level 0 information, 1 warning; text)
 *	threads: count, texts; when there are some, the entries below have a column thread behind node, and
 *		what is shown is a tree for each thread (stacks are in the page once)
 *	strings: count, texts (string 0 is empty)
 *	frames: count; columns function, file, module (strings), line, kind | flags << 2
 *	source lines: count; columns frame (delta), text
 *	nodes: count; pre-order without the root: levels back up before this node, column frame
 *	views, 4 times: entries; columns node (delta), bytes, count
 *	memory over time: points; columns ns (delta), heap, rss (0: not known)
 *	temporal (analysis/temporal.h): instants; columns ns (delta), heap; entries by node, thread, born, gone;
 *		columns node (delta), born (delta within node and thread), 0 for never, else gone - born, bytes,
 *		count */
#ifndef MT_REPORTERS_FLAMEGRAPH_H
#define MT_REPORTERS_FLAMEGRAPH_H

#include "analysis/views.h"
#include "base/array.h"
#include "base/error.h"
#include "base/buf.h"
#include "base/hash.h"
#include "reporters/source.h"
#include "reporters/tree.h"

#include <stdio.h>

struct flamegraph_fact {
	char *name, *value;
};

struct flamegraph_note {
	bool warning;
	char *text;
};

struct flamegraph_point {
	uint64_t ns, heap, rss;
};

struct flamegraph_life {	/* what one instant saw first and another saw gone */
	uint32_t node, thread;
	uint16_t born, gone;
	uint64_t bytes, count;
};

struct flamegraph_share {	/* what a thread has of a node, itself */
	uint32_t node, thread;
	uint64_t bytes[VIEW_COUNT], count[VIEW_COUNT];
};

struct flamegraph_words {	/* of a page whose tree has other values than the four views */
	const char *views[VIEW_COUNT];		/* what the page calls them, one word each */
	const char *sites_title, *sites_about;
};

struct flamegraph {
	const struct tree *tree;		/* borrowed */
	enum view_kind view;			/* shown first */
	bool by_count, inverted;		/* shown first */
	const struct flamegraph_words *words;	/* borrowed; NULL: the usual ones */
	const struct mt_buf *sites;		/* borrowed HTML, thead and tbody; NULL: those of the tree */
	const struct sources *sources;		/* borrowed; NULL: none */
	const struct mt_buf *stats;		/* borrowed HTML: reporters/html_stats.h; NULL: none */
	/* owned; filled by the calls below */
	MT_ARRAY(struct flamegraph_fact) facts;
	MT_ARRAY(struct flamegraph_note) notes;
	MT_ARRAY(struct flamegraph_point) points, instants;	/* rss of instants: 0 */
	MT_ARRAY(struct flamegraph_life) lives;
	MT_ARRAY(char *) threads;			/* names; none: the page is not by thread */
	struct mt_map thread_numbers;			/* thread index of the capture -> number of its name */
	MT_ARRAY(struct flamegraph_share) shares;
};

void flamegraph_deinit(struct flamegraph *g);
/* Copies. Known facts: command, pid, start_ns, duration_ns, peak_ns, allocations, releases,
 * dropped, python, allocator, host, mode, version, temporary_threshold. */
struct mt_error *flamegraph_fact(struct flamegraph *g, const char *name, const char *fmt, ...)
	MT_PRINTF(3, 4) MT_MUST_CHECK;
struct mt_error *flamegraph_note(struct flamegraph *g, bool warning, const char *fmt, ...)
	MT_PRINTF(3, 4) MT_MUST_CHECK;
/* At most about `max_points` points of memory over time. */
struct mt_error *flamegraph_describe(struct flamegraph *g, struct capture *cap,
				     const struct views *views, size_t max_points) MT_MUST_CHECK;
/* What to think of leaks when Python's allocator kept objects to itself. */
struct mt_error *flamegraph_note_arenas(struct flamegraph *g, struct capture *cap) MT_MUST_CHECK;
/* flamegraph_threads.c: keeps threads apart. The tree is of all of them, with no frames for threads. */
struct mt_error *flamegraph_split(struct flamegraph *g, const struct capture *cap,
				  const struct views *views, const uint32_t *row_nodes) MT_MUST_CHECK;
/* Sorts shares whose nodes are numbers of the page, and makes one of those that are of one thread and node. */
void flamegraph_merge_shares(struct flamegraph_share *shares, size_t *count);
/* What lived when; `row_nodes` as tree_build() filled it in. */
struct mt_error *flamegraph_temporal(struct flamegraph *g, struct capture *cap,
				     const struct views *views, const uint32_t *row_nodes)
	MT_MUST_CHECK;
/* Writes the page; the stream is not flushed. */
struct mt_error *flamegraph_write(const struct flamegraph *g, FILE *out) MT_MUST_CHECK;

#endif
