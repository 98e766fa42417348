/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/stats.h - totals, sizes, allocators and the top places of a capture.
 *
 * Totals, histogram and allocators are of all allocations; the top lists are of the report's view
 * (allocated unless asked otherwise). The JSON has Memray's field names and some more. */
#ifndef MT_REPORTERS_STATS_H
#define MT_REPORTERS_STATS_H

#include "reporters/report.h"

#include <stdio.h>

struct stats_bin {		/* sizes min..max, both included */
	uint64_t min, max, count;
};

/* At most VIEW_HISTOGRAM_BINS bins over the sizes that were seen, bounds at powers of two; 0 bins
 * when there was no allocation. */
size_t stats_histogram(const struct views *v, struct stats_bin bins[VIEW_HISTOGRAM_BINS]);

struct mt_error *stats_write_text(const struct report *r, size_t top, FILE *out) MT_MUST_CHECK;
struct mt_error *stats_write_json(const struct report *r, size_t top, FILE *out) MT_MUST_CHECK;

#endif
