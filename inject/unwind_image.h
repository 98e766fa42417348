/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_image.h - the unwind table of one loaded image: finds .eh_frame by the image's
 * PT_GNU_EH_FRAME and compiles it. An image without one gives an empty table. */
#ifndef MT_INJECT_UNWIND_IMAGE_H
#define MT_INJECT_UNWIND_IMAGE_H

#include "attach/image.h"
#include "inject/unwind_compile.h"

struct mt_error *unwind_compile_image(struct tracee *t, const struct image *img,
				      struct unwind_rules *rules, struct unwind_table *ret)
	MT_MUST_CHECK;

#endif
