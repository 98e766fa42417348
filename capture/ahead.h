/* SPDX-License-Identifier: Apache-2.0 */
/* capture/ahead.h - blocks of events read and unpacked by other threads, before they are asked for.
 *
 *	ahead_begin(cap, &a)		NULL: not worth it, or no thread can be had; read without
 *	ahead_take(a, &block)		the next block of events, in the order of the file
 *	ahead_end(a)
 *
 * Meanwhile no block is added to the capture. */
#ifndef MT_CAPTURE_AHEAD_H
#define MT_CAPTURE_AHEAD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct ahead;
struct capture;

struct ahead_block {
	const uint8_t *raw;	/* followed by BLOCK_SLACK bytes; borrowed until the next call */
	size_t size;
	const char *what;	/* what is wrong with it, a literal: then there is nothing else; or NULL */
};

void ahead_begin(const struct capture *cap, struct ahead **ret);
struct mt_error *ahead_take(struct ahead *a, struct ahead_block *ret) MT_MUST_CHECK;
void ahead_end(struct ahead *a);	/* NULL accepted */

#endif
