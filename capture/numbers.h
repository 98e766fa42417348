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
#include "base/varint.h"

#define NUMBERS_COLUMNS_MAX 64u

/* Piece by piece, for large tables: the head, then for each column numbers_column() and every row's number by
 * varint_put() (base/varint.h), of column 0 varint_zigzag() of the difference to the one before; then
 * numbers_column_end() with the end. NULL: out of memory, which `out` tells too. */
void numbers_begin(struct mt_buf *out, size_t columns, size_t rows);
uint8_t *numbers_column(struct mt_buf *out, size_t rows);
static inline void numbers_column_end(struct mt_buf *out, const uint8_t *end)
{
	out->len = (size_t)(end - out->data);
}

/* At once. `values`: `rows` rows of `columns` numbers. */
void numbers_put(struct mt_buf *out, const uint64_t *values, size_t columns, size_t rows);

/* The caller's array of rows * columns numbers, to be freed; columns that are not there are 0, those that
 * nobody asked for are left out, and a row of zeros follows the last one. More than `max_rows`, and what does not fit, sets c->failed. */
struct mt_error *numbers_take(struct mt_cursor *c, size_t columns, size_t max_rows, uint64_t **ret,
			      size_t *rows_ret) MT_MUST_CHECK;

#endif
