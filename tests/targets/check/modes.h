/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/check/modes.h - the table of all that a self-checking program can do.
 * Included by tests/targets/selfcheck.c and tests/unit/borrow_target.h. */
#ifndef MT_TESTS_CHECK_MODES_H
#define MT_TESTS_CHECK_MODES_H

#include "registers.h"
#include "signals.h"
#include "waits.h"
#include "work.h"

static const struct check_mode {
	const char *name;
	void (*run)(void);
} check_modes[] = {
	{ "regs", mode_regs }, { "waits", mode_waits }, { "idle", mode_idle },
	{ "storm", mode_storm }, { "timers", mode_timers }, { "churn", mode_churn },
	{ "malloc", mode_malloc }, { "dlopen", mode_dlopen }, { "deep", mode_deep },
	{ "full-stack", mode_full_stack }, { "profile", mode_profile },
	{ "children", mode_children }, { "executes", mode_executes },
};

/* NULL: no such mode. */
static const struct check_mode *find_mode(const char *name)
{
	for (size_t i = 0; i < sizeof(check_modes) / sizeof(*check_modes); i++)
		if (!strcmp(name, check_modes[i].name))
			return &check_modes[i];
	return NULL;
}

#endif
