/* SPDX-License-Identifier: Apache-2.0 */
/* lib/same.h - which stacks are the same to a person: those that differ only in the instruction within
 * a line of Python.
 *
 *	struct same_stacks same;
 *	same_stacks_init(&same, cap, sym)
 *	same_stack(&same, stack)		one number for all of them: the lowest
 *	same_stacks_deinit(&same) */
#ifndef MT_LIB_SAME_H
#define MT_LIB_SAME_H

#include "base/error.h"
#include "capture/reader.h"
#include "symbolize/symbolize.h"

struct same_stacks {
	uint32_t *first;	/* by stack */
	uint32_t count;
};

struct mt_error *same_stacks_init(struct same_stacks *same, struct capture *cap,
				  struct symbolizer *sym) MT_MUST_CHECK;
void same_stacks_deinit(struct same_stacks *same);

static inline uint32_t same_stack(const struct same_stacks *same, uint32_t stack)
{
	return stack < same->count ? same->first[stack] : stack;
}

#endif
