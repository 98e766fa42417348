/* SPDX-License-Identifier: Apache-2.0 */
/* capture/numbers.h - tables of numbers in the payload of a block: written and read.
 *
 * In memory a table stands row by row, in the payload column by column (capture/format.h, at the
 * aggregated capture): numbers of one kind look alike, which is what compression lives on. */
#ifndef MT_CAPTURE_NUMBERS_H
#define MT_CAPTURE_NUMBERS_H

#include "base/buf.h"
#include "base/cursor.h"
#include "base/error.h"

#define NUMBERS_COLUMNS_MAX 64u

/* `values`: `rows` rows of `columns` numbers. Out of memory is found in `out`. */
void numbers_put(struct mt_buf *out, const uint64_t *values, size_t columns, size_t rows);

/* The caller's array of rows * columns numbers, to be freed; columns that are not there are 0, those that
 * nobody asked for are left out, and a row of zeros follows the last one. More than `max_rows`, and what does not fit, sets c->failed. */
struct mt_error *numbers_take(struct mt_cursor *c, size_t columns, size_t max_rows, uint64_t **ret,
			      size_t *rows_ret) MT_MUST_CHECK;

#endif
