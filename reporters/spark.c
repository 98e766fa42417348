/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/spark.c - a curve as one line of characters.
 * Knows: block characters. Does not know: what the values are.
 * Called by reporters/; calls base/. */
#include "reporters/spark.h"

void spark_put(struct mt_buf *out, const uint64_t *values, size_t count, size_t width, bool ascii)
{
	static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const plain[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
	uint64_t most = 1;
	for (size_t i = 0; i < count; i++)
		most = values[i] > most ? values[i] : most;
	if (width > count)
		width = count;
	for (size_t i = 0; i < width; i++) {
		uint64_t v = values[(i + 1) * count / width - 1];
		unsigned level = v ? (unsigned)((double)v / (double)most * 7 + 0.5) : 0;
		if (!v)
			mt_buf_put_str(out, ascii ? " " : "·");
		else
			mt_buf_put_str(out, (ascii ? plain : blocks)[level]);
	}
}
