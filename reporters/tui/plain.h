/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/plain.h - the tree of a page as text, all of it unfolded: for pipes and files. */
#ifndef MT_REPORTERS_TUI_PLAIN_H
#define MT_REPORTERS_TUI_PLAIN_H

#include "reporters/tui/data.h"

#include <stdio.h>

/* Of data with PAGE_TREE. `ascii`: no line characters. */
struct mt_error *plain_write(const struct data *d, bool ascii, FILE *out) MT_MUST_CHECK;

#endif
