/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/tui.h - the full screen program on a terminal: tables, trees and leaks that are looked
 * through with keys, of a capture or of a process that runs.
 *
 * What is shown comes from a source. That of a capture makes data when asked; that of a process hands
 * over what another thread made last, so that drawing, which a slow terminal holds up, holds up
 * nothing else. */
#ifndef MT_REPORTERS_TUI_TUI_H
#define MT_REPORTERS_TUI_TUI_H

#include "reporters/tui/data.h"
#include "reporters/tui/screen.h"

#define STATUS_RATES 120u

struct tui_status {			/* of a running process, now */
	const char *end;		/* why nothing more comes; NULL: it goes on */
	uint64_t duration_ns;
	uint64_t events, dropped, waits;
	uint64_t rates[STATUS_RATES];	/* events a second, the last one is the newest */
	size_t rate_count;
};

struct tui_source {
	/* The data for the request, the caller's then; *ret stays when there is none newer. */
	struct mt_error *(*get)(void *arg, const struct data_request *request, struct data **ret);
	/* NULL: a capture, which does not change. */
	void (*status)(void *arg, struct tui_status *ret);
	/* The program is to end; asked after each key and wake. NULL: only keys end it. */
	bool (*over)(void *arg);
	int wake_fd;			/* readable when there is something new; -1: none */
	void *arg;
};

struct tui_options {
	struct data_request request;	/* of the first page */
	bool color;
};

/* Until the person leaves, the source is over or the terminal is gone. */
struct mt_error *tui_run(const struct tui_source *source, const struct tui_options *options)
	MT_MUST_CHECK;

#endif
