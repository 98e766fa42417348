/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/live.c - the table of live blocks anew.
 * Knows: addresses. Does not know: what blocks are counted for.
 * Called by analysis/views.c; calls base/large.h. */
#include "analysis/live.h"

#include "base/large.h"

/* Wider where the living fill more than half of it. */
bool live_renew(struct live_blocks *live)
{
	struct live_blocks next = { .cap = live->cap ? live->cap : 512 };
	if (live->len * 2 >= live->cap)
		next.cap *= 2;
	next.slots = mt_large_alloc(next.cap, sizeof(*next.slots));
	if (!next.slots)
		return false;
	for (size_t i = 0; i < live->cap; i++) {
		if (!live_is(&live->slots[i]))
			continue;
		size_t at = live_home(&next, live_hash(live->slots[i].address));
		while (next.slots[at].address)
			at = (at + 1) & (next.cap - 1);
		next.slots[at] = live->slots[i];
		next.len++;
	}
	next.used = next.len;
	live_deinit(live);
	*live = next;
	return true;
}
