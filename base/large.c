/* SPDX-License-Identifier: Apache-2.0 */
/* base/large.c - memory for tables that are looked at all over.
 * Knows: huge pages. Does not know: what is in the tables.
 * Called by analysis/; calls the kernel. */
#include "base/large.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LINE 64u
#define HUGE (2u << 20)

void *mt_large_alloc(size_t count, size_t size)
{
	if (size && count > (SIZE_MAX - HUGE) / size)
		return NULL;
	size_t align = count * size >= HUGE ? HUGE : LINE;
	size_t bytes = (count * size + align - 1) & ~(align - 1);
	void *p = aligned_alloc(align, bytes);
	if (!p)
		return NULL;
	if (align == HUGE)
		madvise(p, bytes, MADV_HUGEPAGE);	/* where the kernel has none, the others do */
	return memset(p, 0, bytes);
}
