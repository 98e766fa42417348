/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/leaks.h - what was allocated and never freed, site by site, the likeliest leak first.
 *
 *	leaks_compute(report, older than, &leaks)	the report was opened with growth
 *	leaks_sort(&leaks, order)
 *	leaks_write_text(&leaks, &options, FILE *), leaks_write_json(...)
 *	leaks_deinit(&leaks)
 *
 * Likeliest: by the score of analysis/trend.h over the site's live bytes, then by bytes. A site
 * whose memory keeps growing comes before a larger one that came early and stayed. */
#ifndef MT_REPORTERS_LEAKS_H
#define MT_REPORTERS_LEAKS_H

#include "analysis/trend.h"
#include "base/array.h"
#include "base/buf.h"
#include "reporters/labels.h"
#include "reporters/report.h"

#include <stdio.h>

struct leak_site {
	const char *name;		/* borrowed from the labels; foreign: clean it */
	uint64_t bytes, count;		/* survivors; with an age limit those that reach it */
	uint64_t allocated, released;	/* blocks, all of the site */
	uint32_t longest_ms;		/* the longest life of a released one */
	uint32_t oldest_ms;		/* survivor */
	uint64_t age_bytes[GROWTH_AGES], age_count[GROWTH_AGES];
	uint64_t live[GROWTH_SLOTS], blocks[GROWTH_SLOTS];	/* over time */
	struct trend trend;
	uint32_t stack;			/* of the row with most survivors */
	uint64_t stack_bytes;
};

struct leaks {
	const struct report *r;
	struct labels *labels;
	MT_ARRAY(struct leak_site) sites;
	uint64_t bytes, count;		/* of all sites */
	uint32_t slots, slot_ms, end_ms, older_than_ms;
};

#define auto_leaks mt_auto(leaks_deinit)
void leaks_deinit(struct leaks *l);

struct mt_error *leaks_compute(const struct report *r, struct leaks *ret) MT_MUST_CHECK;

enum leaks_order { LEAKS_LIKELY, LEAKS_BYTES, LEAKS_COUNT };
void leaks_sort(struct leaks *l, enum leaks_order order);

struct leaks_options {
	size_t max_sites, max_frames;	/* 0: all */
	size_t width;			/* of the terminal */
	bool color, ascii;		/* ascii: no block characters */
};

struct mt_error *leaks_write_text(const struct leaks *l, const struct leaks_options *options,
				  FILE *out) MT_MUST_CHECK;
struct mt_error *leaks_write_json(const struct leaks *l, const struct leaks_options *options,
				  FILE *out) MT_MUST_CHECK;
/* leaks_html.c: a page that needs no script; `width` and colours do not count. */
struct mt_error *leaks_write_html(const struct leaks *l, const struct leaks_options *options,
				  FILE *out) MT_MUST_CHECK;

/* Resident memory of the process at the first and the last sample; 0, 0: there is none. */
struct leaks_rss {
	uint64_t first, last;
};
struct leaks_rss leaks_rss(const struct capture *cap);
/* ", 40.0% of the growth of resident memory", or that it is more than that: what is allocated need not
 * be touched, and may lie where something else was freed. Nothing when either did not grow. */
void leaks_share_of_growth(const struct leaks *l, const struct leak_site *s,
			   const struct leaks_rss *rss, struct mt_buf *out);
/* "under 1 s" */
const char *leaks_age_name(unsigned age);
/* "function (file.c:12)"; foreign: clean it. */
void leaks_frame_text(const struct symbol_frame *f, struct mt_buf *out);

/* How long the curve is that the site's trend is of. */
uint64_t leaks_span_ms(const struct leaks *l, const struct leak_site *s);
/* "Grew without pause, 1.20 MiB/s, 40 blocks/s; nothing of it was freed." */
void leaks_sentence(const struct leaks *l, const struct leak_site *s, struct mt_buf *out);

#endif
