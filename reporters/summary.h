/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/summary.h - what matters first, then the functions that hold most memory, as a table
 * for the terminal.
 *
 * Rows stop once their own memory makes 95 % of the view. A function counts once a stack in its
 * total, so recursion does not inflate it. */
#ifndef MT_REPORTERS_SUMMARY_H
#define MT_REPORTERS_SUMMARY_H

#include "reporters/report.h"

#include <stdio.h>

struct summary_options {
	unsigned sort_column;	/* 1..5: total, its share, own, its share, total count */
	size_t max_rows;
	size_t width;		/* columns of the terminal */
	bool color;
};

struct mt_error *summary_write(const struct report *r, const struct summary_options *options,
			       FILE *out) MT_MUST_CHECK;

#endif
