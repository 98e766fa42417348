/* SPDX-License-Identifier: Apache-2.0 */
/* inject/removal.h - what of memtrace is in a process, and the way out of it.
 *
 * Works on the target's memory alone, so it serves the controller that put the tracer in, a later
 * one after a kill, and forked children that inherited hooks. Order: disarm, by two writes while all
 * threads run; see each thread once outside the tracer (inject/outside.h); then on one borrowed
 * thread put the slots back (compare and swap), memtrace_stop, dlclose, unmap; verify in the maps.
 * At no time do all threads stand still. */
#ifndef MT_INJECT_REMOVAL_H
#define MT_INJECT_REMOVAL_H

#include "attach/borrow.h"
#include "capture/wire.h"

struct residue {
	bool data, tracer, thunk, family;	/* mapped */
	bool thunk_armed;
	bool controller_alive;		/* the capture is in progress */
	bool controller_runs;		/* its process is there; it may be taking the tracer out */
	int controller_pid;		/* of the data, 0: unknown */
	uint64_t data_base, data_size;
	uint64_t family_base;
	uint64_t tracer_start, tracer_end;
	uint64_t thunk_page;
	unsigned slots;			/* changed pointers */
	unsigned fds;			/* memory files left open: it was killed while loading */
};

/* NULL and all false for a clean process; the thunk page alone, disarmed, is clean too. */
struct mt_error *residue_read(struct tracee *t, struct residue *ret) MT_MUST_CHECK;
static inline bool residue_clean(const struct residue *r)
{
	return !r->data && !r->tracer && !r->family && !r->thunk_armed && !r->fds;
}

enum removal_result {
	REMOVAL_DONE,		/* nothing left but the thunk page */
	REMOVAL_DISARMED,	/* switched off, but still mapped */
};

/* `why_ret`: for REMOVAL_DISARMED the reason, freed by the caller. */
struct mt_error *removal_run(struct tracee *t, int deadline_ms, enum removal_result *ret,
			     char **why_ret) MT_MUST_CHECK;
/* The same on a thread that is borrowed already, right after a failed start. */
struct mt_error *removal_undo(struct tracee *t, struct borrow *b) MT_MUST_CHECK;

#endif
