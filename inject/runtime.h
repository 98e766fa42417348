/* SPDX-License-Identifier: Apache-2.0 */
/* inject/runtime.h - which runtimes keep frame pointers in the code they make while they run.
 *
 * Such code has no unwind tables. Where its compiler promises that rbp leads to the caller at every
 * call, stacks go on through it; of all others nothing is known and they end there, truncated. */
#ifndef MT_INJECT_RUNTIME_H
#define MT_INJECT_RUNTIME_H

#include "attach/image.h"

enum runtime_frames {
	RUNTIME_NO_FRAMES,		/* no runtime, or one that promises nothing */
	RUNTIME_FRAMES_PUSHED,		/* some return addresses are pushed: no call is before them */
	RUNTIME_FRAMES_IN_IMAGE,	/* and code of that kind lies in the image itself */
};

enum runtime_frames runtime_frames_of(struct tracee *t, struct image *img);

#endif
