/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/live.c - growth of the table of live blocks.
 * Knows: addresses. Does not know: what blocks are counted for.
 * Called by analysis/views.c. */
#include "analysis/live.h"

bool live_grow(struct live_blocks *live)
{
	struct live_blocks bigger = { .cap = live->cap ? live->cap * 2 : 1024 };
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < live->cap; i++)
		if (live->slots[i].address && !live_add(&bigger, &live->slots[i])) {
			live_deinit(&bigger);
			return false;
		}
	live_deinit(live);
	*live = bigger;
	return true;
}
