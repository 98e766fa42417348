/* SPDX-License-Identifier: Apache-2.0 */
/* inject/cold_part.h - finds the part of a function that the compiler moved away.
 *
 * gcc puts what seldom runs into NAME.cold, far from NAME; a stripped file has no symbol for it.
 * But the function jumps there, into the middle of what its call frame information calls another
 * function, which nothing else in it does. */
#ifndef MT_INJECT_COLD_PART_H
#define MT_INJECT_COLD_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code_bytes {
	const uint8_t *data;
	size_t size;
	uint64_t address;
};

struct cold_part {
	uint64_t start, end;
};

/* `code` is the function, `hdr` the .eh_frame_hdr of its image as linkers write it. False when
 * there is no such part, or it cannot be told. */
bool cold_part_find(const struct code_bytes *code, const struct code_bytes *hdr,
		    struct cold_part *ret);

#endif
