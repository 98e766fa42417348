/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/unfold.h - the nodes of a tree as lines, largest first, below those that are open.
 *
 * A node is known by its path, a hash of the frames from the root to it, which is the same in the
 * next tree of a running process. No recursion: stacks may be ten thousand deep. */
#ifndef MT_REPORTERS_TUI_UNFOLD_H
#define MT_REPORTERS_TUI_UNFOLD_H

#include "reporters/tui/rows.h"

/* Append to rows->list: nodes whose ancestors are all open; all nodes. */
struct mt_error *unfold_visible(struct rows *rows, const struct data *d) MT_MUST_CHECK;
struct mt_error *unfold_all(struct rows *rows, const struct data *d) MT_MUST_CHECK;
/* Open nodes: the biggest child of the biggest child from the root on; an only child of an only child
 * from a line on; the ancestors of a node. */
struct mt_error *unfold_biggest(struct rows *rows, const struct data *d) MT_MUST_CHECK;
struct mt_error *unfold_chain(struct rows *rows, const struct data *d, const struct row *from)
	MT_MUST_CHECK;
struct mt_error *unfold_to(struct rows *rows, const struct data *d, uint32_t node) MT_MUST_CHECK;

#endif
