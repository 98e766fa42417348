/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/signals.h - signals while a capture is going on: they set a flag and nothing more, so that
 * no remote call is interrupted half way. What was ignored when memtrace started (nohup, jobs of a
 * script) stays ignored, for it and for a program it starts. */
#ifndef MT_CMDS_SIGNALS_H
#define MT_CMDS_SIGNALS_H

#include <stdbool.h>

void signals_catch(void);
/* A signal that asks for the end came (SIGINT, SIGTERM, SIGHUP). */
bool signals_end_asked(void);
/* The same by other means. Safe in a signal handler. */
void signals_ask_end(void);
/* The same, signal by signal, for passing on: each that came since the last call is given once. */
int signals_take(void);
/* In a forked child: what came so far was for its parent. */
void signals_forget(void);
/* In a forked child: everything as it was before signals_catch(). */
void signals_restore(void);

#endif
