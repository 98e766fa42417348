/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/run_live.h - `memtrace run --live`: a program and the picture of its memory on one terminal.
 *
 * The keys are the view's and the picture fills the terminal, so the program's standard input is empty, and what it
 * writes to the terminal is kept in memory (cmds/hidden.h) until the view is left. Then the program goes on
 * unrecorded, as it does when a capture under `run` is over, and what it writes is shown.
 *
 *	run_live_prepare(&l, &options)	before the program is started, with l.streams
 *	run_live(&l)			it stands at its entry point; until the view is left
 *	run_live_rest(&l)		until the program ended
 */
#ifndef MT_CMDS_RUN_LIVE_H
#define MT_CMDS_RUN_LIVE_H

#include "cmds/child.h"
#include "cmds/hidden.h"
#include "cmds/session.h"

struct run_live {
	struct session *s;
	struct child *child;
	const struct session_options *options;
	int *exit_code;

	struct live_view *view;		/* NULL: left */
	struct hidden hidden;
	int streams[3];			/* for child_start() */
	bool stuck;			/* the terminal takes nothing: nobody should write to it */
};

/* Refuses what cannot be shown. */
struct mt_error *run_live_prepare(struct run_live *l, struct session_options *options) MT_MUST_CHECK;
struct mt_error *run_live(struct run_live *l) MT_MUST_CHECK;
void run_live_rest(struct run_live *l);

/* ---- cmds/run.c ---- */

/* The program became another one: the session begins anew. */
struct mt_error *run_follow_exec(struct session *s, struct child *child,
				 const struct session_options *options) MT_MUST_CHECK;
void run_forward_signals(struct child *child);

#endif
