/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/names.c - what views and kinds of events are called.
 * Knows: names. Does not know: what is in a view.
 * Called through analysis/views.h. */
#include "analysis/views.h"

#include <string.h>

static const char *const view_names[VIEW_COUNT] = {
	[VIEW_PEAK] = "peak", [VIEW_LEAKS] = "leaks", [VIEW_ALLOCATED] = "allocated",
	[VIEW_TEMPORARY] = "temporary",
};

const char *view_name(enum view_kind kind)
{
	return (unsigned)kind < VIEW_COUNT ? view_names[kind] : "unknown";
}

bool view_parse(const char *name, enum view_kind *ret)
{
	for (unsigned i = 0; i < VIEW_COUNT; i++)
		if (!strcmp(name, view_names[i])) {
			*ret = (enum view_kind)i;
			return true;
		}
	return false;
}

const char *wire_record_name(unsigned kind)
{
	static const char *const names[WIRE_REC_LIMIT] = {
		[WIRE_REC_MALLOC] = "malloc", [WIRE_REC_CALLOC] = "calloc",
		[WIRE_REC_REALLOC] = "realloc", [WIRE_REC_POSIX_MEMALIGN] = "posix_memalign",
		[WIRE_REC_ALIGNED_ALLOC] = "aligned_alloc", [WIRE_REC_MEMALIGN] = "memalign",
		[WIRE_REC_VALLOC] = "valloc", [WIRE_REC_PVALLOC] = "pvalloc",
		[WIRE_REC_MMAP] = "mmap", [WIRE_REC_MREMAP] = "mremap", [WIRE_REC_BRK] = "brk",
		[WIRE_REC_FREE] = "free", [WIRE_REC_REALLOC_FREE] = "realloc-free",
		[WIRE_REC_MUNMAP] = "munmap", [WIRE_REC_MREMAP_UNMAP] = "mremap-unmap",
		[WIRE_REC_BRK_SHRINK] = "brk-shrink",
		[WIRE_REC_PYMALLOC_MALLOC] = "pymalloc_malloc",
		[WIRE_REC_PYMALLOC_CALLOC] = "pymalloc_calloc",
		[WIRE_REC_PYMALLOC_REALLOC] = "pymalloc_realloc",
		[WIRE_REC_PYMALLOC_FREE] = "pymalloc_free",
	};
	return kind < WIRE_REC_LIMIT && names[kind] ? names[kind] : "unknown";
}
