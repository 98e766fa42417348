/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/spark.h - a curve as one line of characters. */
#ifndef MT_REPORTERS_SPARK_H
#define MT_REPORTERS_SPARK_H

#include "base/buf.h"

/* At most `width` characters for `count` values from left to right, each the last value of those it
 * stands for, as a share of the largest; 0 is a dot (`ascii`: a space, and no block characters). */
void spark_put(struct mt_buf *out, const uint64_t *values, size_t count, size_t width, bool ascii);

#endif
