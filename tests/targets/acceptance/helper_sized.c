/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/acceptance/helper_sized.c - free_sized() and free_aligned_sized() of C23 for a C library without.
 * Knows: free. Does not know: memtrace.
 * Loaded before helper.c, which calls them. */
#include <stdlib.h>

void free_sized(void *p, size_t size)
{
	(void)size;
	free(p);
}

void free_aligned_sized(void *p, size_t alignment, size_t size)
{
	(void)alignment;
	(void)size;
	free(p);
}
