/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/start.h - a capture that begins at a program's entry point, before its first instruction. */
#ifndef MT_CMDS_START_H
#define MT_CMDS_START_H

#include "cmds/session.h"

/* The process is traced by us and stands at its entry point (attach/entry.h); it does so afterwards,
 * whatever the answer, and is armed when there is no error. `overwrite`: as of session_open(). */
struct mt_error *session_start(struct session *s, pid_t pid, const struct session_options *options,
			       bool overwrite) MT_MUST_CHECK;

#endif
