/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/data.h - what one page of the terminal shows, made from a report once.
 *
 * Nothing in it changes after data_make(), so that one thread may make the next while another shows
 * this one. Function and file names are the symbolizer's or the data's own and stay until both end.
 * The rows of the report's views must be by thread (view_options.split_threads). */
#ifndef MT_REPORTERS_TUI_DATA_H
#define MT_REPORTERS_TUI_DATA_H

#include "reporters/aggregate.h"
#include "reporters/leaks.h"
#include "reporters/tree.h"

enum data_page { PAGE_TABLE, PAGE_TREE, PAGE_LEAKS };

#define DATA_ALL_THREADS UINT32_MAX

struct data_request {
	enum data_page page;
	enum view_kind view;		/* of the table and the tree */
	uint32_t thread;		/* index, or DATA_ALL_THREADS */
	uint8_t hide;			/* enum frame_flags, of the tree */
	bool no_native, inverted;
	bool thread_roots;		/* a node for each thread */
	enum report_metric metric;	/* what is big: of `biggest` alone */
	size_t biggest;			/* stacks in the tree, the others become one node; 0: all */
};

static inline bool data_request_same(const struct data_request *a, const struct data_request *b)
{
	return a->page == b->page && a->view == b->view && a->thread == b->thread &&
	       a->hide == b->hide && a->no_native == b->no_native && a->inverted == b->inverted &&
	       a->thread_roots == b->thread_roots && a->metric == b->metric &&
	       a->biggest == b->biggest;
}

struct data_thread {
	uint32_t index, tid;
	char *name;			/* clean */
};

#define DATA_POINTS 256u

struct data {
	struct data_request request;	/* what was asked for */
	char *command;			/* clean */
	uint64_t pid, sample_rate;
	uint64_t start_ns, duration_ns;	/* start: CLOCK_REALTIME */
	uint64_t bytes[VIEW_COUNT], count[VIEW_COUNT];	/* of all threads */
	uint64_t whole_bytes, whole_count;	/* of the view and the thread of the request */
	MT_ARRAY(struct data_thread) threads;	/* with something in the view */
	uint64_t heap[DATA_POINTS], rss[DATA_POINTS];	/* over time, the most of each slot */
	size_t points;
	uint64_t heap_now, rss_now, rss_most;

	/* of the page that was asked for; the others are empty */
	struct aggregate functions;
	struct tree *tree;
	struct tree_value *totals;	/* by node of the tree */
	struct leaks leaks;
};

struct mt_error *data_make(const struct report *r, const struct data_request *request,
			   struct data **ret) MT_MUST_CHECK;
void data_destroy(struct data *d);	/* NULL accepted */
MT_DEFINE_CLEANUP(data, struct data *, data_destroy)
#define auto_data mt_auto(mt_cleanup_data)

#endif
