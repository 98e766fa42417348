/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/diff.h - what changed between two captures, function by function.
 *
 *	struct diff d;
 *	diff_compute(base report, new report, &d)	both of the same view
 *	diff_write_text(&d, &options, FILE *), diff_write_json(&d, FILE *)
 *	diff_deinit(&d)
 *
 * Functions match by name and base name of the file (else of the module): lines move, and another
 * build lies in another folder. Suffixes that a compiler gives to parts and copies of a function
 * (.cold, .isra.0, ...) are no part of the name, nor is what follows ".so" of a library's.
 * Functions that have no name are one for each module. Numbers are a function's own: those of
 * the stacks whose site it is (reporters/site.h). */
#ifndef MT_REPORTERS_DIFF_H
#define MT_REPORTERS_DIFF_H

#include "base/array.h"
#include "base/buf.h"
#include "reporters/report.h"

#include <stdio.h>

struct diff_row {
	const char *name;		/* owned by the diff; foreign: clean it */
	uint64_t bytes[2], count[2];	/* base, new */
};

struct diff {
	const struct report *r[2];
	void *names;			/* struct string_pool */
	MT_ARRAY(struct diff_row) rows;	/* largest change of the metric first */
};

struct diff_options {
	size_t max_rows, width;		/* max_rows 0: all */
	bool color;
};

#define auto_diff mt_auto(diff_deinit)
void diff_deinit(struct diff *d);
struct mt_error *diff_compute(const struct report *base, const struct report *new,
			      struct diff *ret) MT_MUST_CHECK;
/* How many rows have a change: they are the first. */
size_t diff_changed(const struct diff *d);
struct mt_error *diff_write_text(const struct diff *d, const struct diff_options *options,
				 FILE *out) MT_MUST_CHECK;
struct mt_error *diff_write_json(const struct diff *d, FILE *out) MT_MUST_CHECK;
/* diff_html.c: a flame graph of both, coloured by what changed, and the rows as a table. */
struct mt_error *diff_write_html(const struct diff *d, FILE *out) MT_MUST_CHECK;

/* "parse.isra.0 at /build/1/parse.c" to "parse at parse.c". */
void diff_key(const char *label, struct mt_buf *out);
/* The parts of it: "parse.isra.0" to "parse", "/build/1/libx.so.1" to "libx.so". */
void diff_function(const char *name, struct mt_buf *out);
void diff_place(const char *path, struct mt_buf *out);

#endif
