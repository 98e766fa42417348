/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/code_page.h - code made at run time, in memory of its own: no table covers it.
 * Knows: mmap. Does not know: what the code does. */
#ifndef MT_TESTS_CODE_PAGE_H
#define MT_TESTS_CODE_PAGE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A page that begins with this code. */
static void *code_page(const void *code, size_t size)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	memcpy(p, code, size);
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC))
		abort();
	return p;
}

#endif
