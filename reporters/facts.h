/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/facts.h - what a capture says about itself, in one struct for all text reports. */
#ifndef MT_REPORTERS_FACTS_H
#define MT_REPORTERS_FACTS_H

#include "base/cleanup.h"
#include "capture/reader.h"

#include <stdbool.h>
#include <stdint.h>

struct facts {
	uint64_t sample_rate;	/* bytes from one recorded block to the next, 0: all recorded */
	char *command;		/* owned; clean, quoted for a shell; "" when unknown */
	uint64_t pid, main_tid;			/* 0: unknown */
	uint64_t start_ns, end_ns;		/* CLOCK_REALTIME; 0: unknown */
	uint64_t duration_ns;
	bool has_counters;			/* the capture was ended properly */
	uint64_t produced, written, dropped;
	uint64_t nested, waits, wait_ticks, late_loads;
	bool arenas;		/* Python kept small objects in arenas, of which nothing more is known */
};

/* What to think of leaks then. */
#define FACTS_ARENAS "Python's allocator was at work: an arena of it stays while one small object in it does, and " \
	"which one is not known. Record with --trace-python-allocators to see objects"

/* `last_ticks`: of the last event, for the duration of a capture without an end; 0: none. */
struct mt_error *facts_init(const struct capture *cap, uint64_t last_ticks, struct facts *ret)
	MT_MUST_CHECK;
void facts_deinit(struct facts *f);
#define auto_facts mt_auto(facts_deinit)

/* produced - written - dropped; 0 when all is accounted for. */
int64_t facts_missing(const struct facts *f);
/* Meta value as a clean string the caller frees; `missing` (copied) when absent. NULL: out of
 * memory. */
char *facts_meta(const struct capture *cap, const char *key, const char *missing);
/* Whether `word` is in the comma-separated list of the meta value. */
bool facts_meta_has(const struct capture *cap, const char *key, const char *word);

#endif
