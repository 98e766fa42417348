/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_pyline.c - line tables of any content, in all three formats.
 * Knows: symbolize/pyline.h. Does not know: what a good table looks like.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/pyline/.
 *
 * First byte: the format; the next two: the first line. */
#include "symbolize/pyline.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > 4096)
		return 0;
	enum pyline_format format = data[0] % 3;
	uint32_t first = data[1] | (uint32_t)data[2] << 8;
	static const uint32_t far[] = { 0x10000, INT32_MAX, UINT32_MAX - 1, UINT32_MAX };
	for (uint32_t offset = 0; offset < 64; offset++)
		if (pyline_lookup(format, data + 3, size - 3, first, offset) > INT32_MAX)
			abort();
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		if (pyline_lookup(format, data + 3, size - 3, UINT32_MAX - first, far[i]) > INT32_MAX)
			abort();
	return 0;
}
