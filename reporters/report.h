/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/report.h - what every reporter gets: a capture that was opened, seen through and named.
 *
 * cmds/open.h makes one and owns it; reporters borrow it and write to a FILE. They return errors of
 * what they read; errors of the stream are found by who opened it (cmds/output.h, main). */
#ifndef MT_REPORTERS_REPORT_H
#define MT_REPORTERS_REPORT_H

#include "analysis/views.h"
#include "capture/reader.h"
#include "symbolize/symbolize.h"

#include <stdbool.h>
#include <stdint.h>

enum report_metric { METRIC_BYTES, METRIC_COUNT };

struct report {
	struct capture *cap;
	struct symbolizer *sym;
	struct views *views;
	enum view_kind view;
	enum report_metric metric;
	bool split_threads;		/* rows of `views` are by thread */
	bool no_native;
};

/* Of one row in the report's view. */
static inline uint64_t report_value(const struct report *r, const struct view_row *row)
{
	return r->metric == METRIC_COUNT ? row->count[r->view] : row->bytes[r->view];
}

#endif
