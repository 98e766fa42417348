/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/hidden.h - what a program writes to the terminal while that shows something else.
 *
 *	hidden_begin(&h)		a file in memory, for the program's descriptors
 *	hidden_forget(&h)		often, while nothing can be shown: all but the end goes
 *	hidden_show(&h, fd)		often, later: what is new
 *	hidden_end(&h)
 *
 * A file takes what comes at once and whoever reads it: no pipe whose reader would have to keep up, or
 * whose reader's death would kill the program. Its pages go back to the system as they are shown or forgotten. */
#ifndef MT_CMDS_HIDDEN_H
#define MT_CMDS_HIDDEN_H

#include "base/error.h"

#include <stdint.h>

struct hidden {
	int fd;
	uint64_t done;		/* shown or forgotten up to there */
	uint64_t forgotten;	/* bytes of which nothing was said yet */
};

struct mt_error *hidden_begin(struct hidden *h) MT_MUST_CHECK;
void hidden_end(struct hidden *h);
void hidden_forget(struct hidden *h);
/* To the descriptor; from the beginning of a line on where something was forgotten, and then says so first. */
void hidden_show(struct hidden *h, int fd);

#endif
