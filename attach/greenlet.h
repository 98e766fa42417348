/* SPDX-License-Identifier: Apache-2.0 */
/* attach/greenlet.h - where the stacks of greenlets end.
 *
 * A greenlet's part of the stack is copied away and back when greenlets switch. It begins in the
 * function by which greenlet enters a new one; the words that are older belong to whoever runs there at
 * the moment, and following them gives callers that never called. Nothing in call frame information says
 * so: it is told by names that greenlet's library exports. */
#ifndef MT_ATTACH_GREENLET_H
#define MT_ATTACH_GREENLET_H

#include "attach/image.h"

enum greenlet_part {
	GREENLET_OTHER,
	GREENLET_ROOT,		/* the oldest function of a greenlet; runs nowhere else, never returns */
	GREENLET_START,		/* its caller: what lies beyond is not known */
};

/* Is it greenlet's library? */
bool greenlet_is_library(struct tracee *t, struct image *img);
/* A function of that library, by the name of its symbol. */
enum greenlet_part greenlet_part_named(const char *symbol);
/* Of the library's code. What it has no names for (before 2.0, or stripped) is GREENLET_START. */
enum greenlet_part greenlet_part_at(struct tracee *t, struct image *img, uint64_t pc);

#endif
