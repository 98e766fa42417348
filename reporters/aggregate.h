/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/aggregate.h - the rows of a view by place, by package or by function.
 *
 * `own` goes to the site of a stack (reporters/site.h); `total` to every function of the stack,
 * once however often it stands there, but not to the runtime at the root nor to the inside of the
 * Python interpreter. The sums of `own` over all rows are the view's totals. */
#ifndef MT_REPORTERS_AGGREGATE_H
#define MT_REPORTERS_AGGREGATE_H

#include "reporters/labels.h"
#include "reporters/report.h"

struct aggregate_row {
	const char *name;	/* borrowed from the aggregate; as the target spelt it: clean it */
	struct symbol_frame frame;	/* one that fell on the row; its strings are the symbolizer's */
	uint64_t own_bytes, own_count;
	uint64_t total_bytes, total_count;
};

struct aggregate {
	struct aggregate_row *rows;	/* in no order */
	size_t count;
	struct labels *labels;
};

#define auto_aggregate mt_auto(aggregate_deinit)
void aggregate_deinit(struct aggregate *a);

enum aggregate_by {
	AGGREGATE_SITES,	/* "function:file:line"; own alone */
	AGGREGATE_PACKAGES,	/* "django", "libfoo.so.1"; own alone */
	AGGREGATE_FUNCTIONS,	/* "function at file"; own and total */
};

/* Of the report's view; by thread too when the report splits threads (sites and functions). */
struct mt_error *aggregate_compute(const struct report *r, enum aggregate_by by,
				   struct aggregate *ret) MT_MUST_CHECK;

enum aggregate_order {
	AGGREGATE_TOTAL_BYTES, AGGREGATE_OWN_BYTES,		/* largest first */
	AGGREGATE_TOTAL_COUNT, AGGREGATE_OWN_COUNT,
};
/* Equal rows by their other numbers, then by name: the order is the same everywhere. */
void aggregate_sort(struct aggregate *a, enum aggregate_order order);

#endif
