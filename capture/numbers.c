/* SPDX-License-Identifier: Apache-2.0 */
/* capture/numbers.c - tables of numbers, column by column.
 * Knows: varints. Does not know: what the numbers mean.
 * Called by analysis/aggregate_write.c and analysis/aggregate_read.c. */
#include "capture/numbers.h"

#include <stdlib.h>

void numbers_begin(struct mt_buf *out, size_t columns, size_t rows)
{
	mt_buf_put_varint(out, columns);
	mt_buf_put_varint(out, rows);
}

uint8_t *numbers_column(struct mt_buf *out, size_t rows)
{
	return mt_buf_reserve(out, rows * VARINT_MAX) ? out->data + out->len : NULL;
}

void numbers_put(struct mt_buf *out, const uint64_t *values, size_t columns, size_t rows)
{
	uint64_t last = 0;
	numbers_begin(out, columns, rows);
	for (size_t k = 0; k < columns; k++) {
		uint8_t *p = numbers_column(out, rows);
		if (!p)
			return;
		for (size_t i = 0; i < rows; i++) {
			uint64_t v = values[i * columns + k];
			p = varint_put(p, k ? v : varint_zigzag((int64_t)(v - last)));
			last = v;
		}
		numbers_column_end(out, p);
	}
}

struct mt_error *numbers_take(struct mt_cursor *c, size_t columns, size_t max_rows, uint64_t **ret,
			      size_t *rows_ret)
{
	uint64_t there = mt_cursor_varint(c), rows = mt_cursor_varint(c), last = 0;
	/* Every number has a byte, so a table that passes is no larger than its block. */
	if (!there || there > NUMBERS_COLUMNS_MAX || rows > max_rows || rows > mt_cursor_left(c) / there)
		c->failed = true;
	if (c->failed)
		rows = 0;
	uint64_t *values = calloc((rows + 1) * columns, sizeof(*values));
	if (!values)
		return &mt_enomem;
	for (size_t k = 0; k < there && !c->failed; k++)
		for (size_t i = 0; i < rows; i++) {
			uint64_t v = k ? mt_cursor_varint(c) :
					 (last += (uint64_t)mt_cursor_svarint(c));
			if (k < columns)
				values[i * columns + k] = v;
		}
	*ret = values;
	*rows_ret = c->failed ? 0 : rows;
	return NULL;
}
