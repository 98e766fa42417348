/* SPDX-License-Identifier: Apache-2.0 */
/* inject/greenlet_rows.h - ends the stacks of greenlets in the unwind tables (attach/greenlet.h). */
#ifndef MT_INJECT_GREENLET_ROWS_H
#define MT_INJECT_GREENLET_ROWS_H

#include "attach/image.h"
#include "inject/unwind_compile.h"

/* Is the image greenlet's library? Then a greenlet's first function becomes the root of a stack, and its
 * caller WIRE_CFA_UNSUPPORTED. Of a build whose functions have no names all rows do: stacks end there, truncated. */
struct mt_error *greenlet_mark_rows(struct tracee *t, struct image *img, struct unwind_rules *rules,
				    struct unwind_table *table) MT_MUST_CHECK;

#endif
