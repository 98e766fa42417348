/* SPDX-License-Identifier: Apache-2.0 */
/* attach/safepoint_private.h - what safepoint.c and safepoint_ranges.c share. */
#ifndef MT_ATTACH_SAFEPOINT_PRIVATE_H
#define MT_ATTACH_SAFEPOINT_PRIVATE_H

#include "attach/image.h"
#include "attach/safepoint.h"

struct range {
	uint64_t start, end;
	enum safepoint_reason reason;
};

struct ranges {
	struct range *items;
	size_t len, cap;
};

bool ranges_add(struct ranges *r, uint64_t start, uint64_t end, enum safepoint_reason reason);
/* Fills r anew from what is loaded; false when out of memory. */
bool ranges_build(struct ranges *r, struct tracee *t, const struct images *images);
enum safepoint_reason ranges_find(const struct ranges *r, uint64_t address);

#endif
