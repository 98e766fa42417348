/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_image.h - the unwind table of one loaded image.
 *
 * Reads .eh_frame where the image's PT_GNU_EH_FRAME says it is, exactly to its end when the search
 * table there gives it. An image without one: .eh_frame or .debug_frame of its file, if that can
 * be reached. With neither the table is empty, which is no error. */
#ifndef MT_INJECT_UNWIND_IMAGE_H
#define MT_INJECT_UNWIND_IMAGE_H

#include "attach/image.h"
#include "inject/unwind_compile.h"

/* Sets ret->base; see struct unwind_table. */
struct mt_error *unwind_compile_image(struct tracee *t, const struct image *img,
				      struct unwind_rules *rules, struct unwind_table *ret)
	MT_MUST_CHECK;

#endif
