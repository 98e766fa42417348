/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/control.h - a capture that a program controls: `attach --control`.
 *
 * The program speaks over standard input, memtrace answers on standard output, a line each:
 *
 *	> ready PID			in the background, waits; may be allowed to trace now
 *	< go
 *	> cooperate			where ptrace is refused, if the program is the target: asks for
 *					two descriptors
 *	< a byte with /proc/self/mem and the end of a pipe or socket
 *	> do N ...			requests, answered in the pipe: attach/cooperation.h
 *	> recording FILE
 *	< end				or the end of the input
 *	> done | failed CODE ERRNO	CODE: enum mt_error_code; the text is on standard error
 *
 * The process in the background is nobody's child, so that a program that waits for any of its
 * children is not confused, and holds no descriptor of the program but the three. */
#ifndef MT_CMDS_CONTROL_H
#define MT_CMDS_CONTROL_H

#include "base/error.h"

#include <sys/types.h>

/* Goes to the background (the parent exits here) and waits for "go". From then on an "end", or the
 * end of the input, is as a signal that asks for the end: signals_end_asked(). After
 * signals_catch(). */
struct mt_error *control_begin(void) MT_MUST_CHECK;
/* Where tracing was refused: asks the program to do it itself, if it is that process. Requests go to
 * standard output from then on. MT_ERROR_REFUSED when it does not. The descriptors are open for the rest
 * of this process. */
struct cooperation;
struct mt_error *control_ask_cooperation(pid_t pid, struct cooperation *ret) MT_MUST_CHECK;
void control_recording(const char *path);
void control_end(const struct mt_error *err);	/* NULL: done */

#endif
