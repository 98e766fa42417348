/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/trend.c - what a curve of live memory does.
 * Knows: numbers. Does not know: sites, time.
 * Called by reporters/. */
#include "analysis/trend.h"

#define SLOTS_LEAST 6u		/* fewer show nothing */
#define HARDLY 0.95		/* of its rises kept: "hardly ever fell" */
#define MOST_SLOTS 0.7
#define LEVEL_SHARE 0.02	/* of the highest value */
#define ONE_STEP 0.9		/* of the net growth in one slot */

static double span(uint64_t a, uint64_t b)
{
	return (double)b - (double)a;
}

static enum trend_kind kind_of(const struct trend *t, double most, double step, uint32_t steps)
{
	if (t->net < -LEVEL_SHARE * most)
		return TREND_FALLING;
	if (t->net <= LEVEL_SHARE * most)
		return TREND_LEVEL;
	if (t->kept < HARDLY)
		return TREND_WAVES;
	if (step >= ONE_STEP * t->net)
		return TREND_STEP;
	return t->rises >= MOST_SLOTS * steps ? TREND_STEADY : TREND_STEPS;
}

struct trend trend_of(const uint64_t *values, uint32_t slots)
{
	struct trend t = { .kind = TREND_SHORT };
	if (!slots)
		return t;
	t.from = slots >= SLOTS_LEAST ? slots / 3 : 0;
	double rise = 0, most = 0, step = 0;
	for (uint32_t i = 0; i < slots; i++)
		if ((double)values[i] > most)
			most = (double)values[i];
	for (uint32_t i = t.from + 1; i < slots; i++) {
		double d = span(values[i - 1], values[i]);
		if (d <= 0)
			continue;
		t.rises++;
		rise += d;
		if (d > step)
			step = d;
	}
	t.net = span(values[t.from], values[slots - 1]);
	t.kept = t.net > 0 ? t.net / rise : 0;
	t.score = t.net > 0 ? t.net * t.kept : 0;
	if (slots < SLOTS_LEAST)
		return t;
	t.kind = kind_of(&t, most, step, slots - 1 - t.from);
	if (t.kind == TREND_STEP)
		t.score /= 4;
	return t;
}

const char *trend_name(enum trend_kind kind)
{
	static const char *const names[TREND_KINDS] = {
		[TREND_SHORT] = "unknown", [TREND_STEADY] = "steady", [TREND_STEPS] = "steps",
		[TREND_STEP] = "step", [TREND_WAVES] = "waves", [TREND_LEVEL] = "level",
		[TREND_FALLING] = "falling",
	};
	return names[kind];
}
