/* SPDX-License-Identifier: Apache-2.0 */
/* capture/beside.h - events read by a thread of its own, while others are worked on.
 *
 *	beside_begin(pass, &b)			false: no thread can be had
 *	beside_next(b, &events, &count, &progress)	none is left, or an error: not to be called again
 *	beside_end(b)
 *
 * Until beside_end() the pass, and all that it changes of its capture, is the thread's. */
#ifndef MT_CAPTURE_BESIDE_H
#define MT_CAPTURE_BESIDE_H

#include "base/error.h"
#include "capture/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct beside;
struct capture_pass;

bool beside_begin(struct capture_pass *pass, struct beside **ret);
/* The events are borrowed until the next call. */
struct mt_error *beside_next(struct beside *b, const struct capture_event **ret, size_t *count_ret,
			     uint64_t *progress_ret) MT_MUST_CHECK;
void beside_end(struct beside *b);	/* NULL accepted */

#endif
