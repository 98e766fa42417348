/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/rows.h - the lines of a list: made from the data, sorted, unfolded, searched.
 *
 *	rows_fill(&rows, data)		after new data, a new order, or a node opened
 *	rows_move(&rows, n), rows_fit(&rows, height)
 *	rows_search(&rows, data, "text", forward)
 *
 * The same for the table, the tree and the leaks. The line under the cursor is remembered by what it
 * is, not by where it is: it stays under the cursor when other lines come and go. */
#ifndef MT_REPORTERS_TUI_ROWS_H
#define MT_REPORTERS_TUI_ROWS_H

#include "base/hash.h"
#include "reporters/tui/data.h"

enum row_branch {		/* how a node hangs below its nearest fork */
	BRANCH_NONE,		/* there is none */
	BRANCH_FORK, BRANCH_LAST,	/* it is one of its children, the last one */
	BRANCH_BELOW, BRANCH_BELOW_LAST,	/* it is further below such a child */
};

struct row {
	uint64_t id;			/* the same in the next data: a hash of name or path */
	const char *function, *file, *module;	/* foreign, borrowed from the data */
	uint32_t line;
	uint8_t kind, flags;		/* enum frame_kind, enum frame_flags */
	uint64_t total_bytes, total_count, own_bytes, own_count;
	/* of the tree */
	uint32_t node, depth;		/* depth: forks above it, so that a long chain stays in sight */
	uint8_t branch;			/* enum row_branch */
	bool open, leaf;
	/* of the leaks */
	uint32_t site;
};

enum rows_order { ORDER_TOTAL, ORDER_OWN, ORDER_COUNT };

struct rows {
	MT_ARRAY(struct row) list;
	size_t cursor, top;		/* top: first line in sight */
	uint64_t cursor_id;
	enum rows_order order;		/* of the table; ORDER_COUNT: of the tree and the leaks too */
	struct mt_map open;		/* path of a node -> it is unfolded */
};

void rows_deinit(struct rows *rows);
/* Forgets what is unfolded and where the cursor is: the first line, its biggest chain unfolded. */
struct mt_error *rows_restart(struct rows *rows, const struct data *d) MT_MUST_CHECK;
struct mt_error *rows_fill(struct rows *rows, const struct data *d) MT_MUST_CHECK;

/* "|-" and the like in front of a line of the tree; two columns, but none above the first fork. */
const char *row_branch_text(const struct row *row, bool ascii);

const struct row *rows_at_cursor(const struct rows *rows);	/* NULL: no lines */
void rows_move(struct rows *rows, long by);
void rows_move_to(struct rows *rows, size_t line);
/* Scrolls so that the cursor is in sight. */
void rows_fit(struct rows *rows, size_t height);

/* Unfolds or folds the node under the cursor, and fills anew. */
struct mt_error *rows_open(struct rows *rows, const struct data *d, bool open) MT_MUST_CHECK;
/* Unfolds it and its descendants as long as there is one child only, and the node after those. */
struct mt_error *rows_open_chain(struct rows *rows, const struct data *d) MT_MUST_CHECK;
/* Puts the cursor on the parent of the node under it. */
void rows_to_parent(struct rows *rows, const struct data *d);

/* Whether `text` is in its function, file or module; case does not matter. "": nothing is found. */
bool row_matches(const struct row *row, const char *text);
/* The next match after the cursor (or before it), around the end if need be; in the tree also among
 * folded nodes, which are unfolded then. False: none. */
struct mt_error *rows_search(struct rows *rows, const struct data *d, const char *text, bool forward,
			     bool *found_ret) MT_MUST_CHECK;

#endif
