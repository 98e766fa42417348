/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/attach.h - a capture of a running process from its beginning to its closing lines, for `attach` and
 * `live`. */
#ifndef MT_CMDS_ATTACH_H
#define MT_CMDS_ATTACH_H

#include "cmds/session.h"

/* For session_options.flush_ns: a picture a second is half a second old at most. */
#define ATTACH_LIVE_FLUSH_NS 500000000ull

enum attach_way {
	ATTACH_QUIETLY,		/* says what it does, until a signal or the duration ends it */
	ATTACH_CONTROLLED,	/* by a program: cmds/control.h */
	ATTACH_LIVE,		/* looked at on the terminal meanwhile: cmds/live_view.h */
};

/* After signals_catch(). */
struct mt_error *attach_record(pid_t pid, const struct session_options *options, enum attach_way way,
			       int *exit_code_ret) MT_MUST_CHECK;

#endif
