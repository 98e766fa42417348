/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/trend.h - what a curve of live memory does: grow, stay, fall.
 *
 * The first third of the capture is left aside: what a program builds up when it starts or when
 * its first requests come is no leak. Over the rest, `rise` is the sum of all rises from one slot
 * to the next, `net` what is left of them at the end, and `kept` = net / rise (1: never fell). The
 * score of a curve is net * kept, a quarter of it when one single slot brought nearly all. */
#ifndef MT_ANALYSIS_TREND_H
#define MT_ANALYSIS_TREND_H

#include <stddef.h>
#include <stdint.h>

enum trend_kind {
	TREND_SHORT,		/* too few slots to tell */
	TREND_STEADY,		/* rose in nearly every slot, hardly ever fell */
	TREND_STEPS,		/* rose now and then, hardly ever fell */
	TREND_STEP,		/* rose once */
	TREND_WAVES,		/* rose and fell, and is higher than before */
	TREND_LEVEL,		/* as high as before */
	TREND_FALLING,
	TREND_KINDS
};

struct trend {
	enum trend_kind kind;
	uint32_t from;		/* first slot that was looked at */
	uint32_t rises;		/* slots that rose */
	double net, kept;
	double score;
};

struct trend trend_of(const uint64_t *values, uint32_t slots);
const char *trend_name(enum trend_kind kind);		/* "steady", for scripts */

#endif
