/* SPDX-License-Identifier: Apache-2.0 */
/* base/large.h - memory for tables that are looked at all over: huge pages where there are any.
 *
 * In a table of some megabytes nearly every look is also a miss of the TLB, which in a virtual machine costs
 * more than that of the cache. */
#ifndef MT_BASE_LARGE_H
#define MT_BASE_LARGE_H

#include <stddef.h>

/* Zeroed, and begins a cache line; for free(). NULL: out of memory. */
void *mt_large_alloc(size_t count, size_t size);

#endif
