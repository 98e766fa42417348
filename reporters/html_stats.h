/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/html_stats.h - what `memtrace stats` and `summary` tell, as tables of a page. */
#ifndef MT_REPORTERS_HTML_STATS_H
#define MT_REPORTERS_HTML_STATS_H

#include "base/buf.h"
#include "reporters/report.h"

/* Facts of the capture, allocation functions, sizes, packages, and the functions with most memory in
 * the report's view. All text is escaped; read without JavaScript. */
struct mt_error *html_stats(struct mt_buf *out, const struct report *r) MT_MUST_CHECK;

#endif
