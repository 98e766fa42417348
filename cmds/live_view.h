/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/live_view.h - a session looked at on the terminal while it records.
 *
 *	live_view_begin(&session, &view)	after session_arm()
 *	live_view_turn(view, &session)		after each session_turn(); true: the person leaves
 *	live_view_over(view, &session)		nothing more will be recorded; the last of it is shown
 *	live_view_end(view)			gives the terminal back
 *
 * Three threads, so that none waits for the next: the caller's drains the rings and writes the capture;
 * one reads the capture as it grows and makes pages of it; one draws them and reads keys. A terminal
 * that takes nothing holds up the last one alone, and pages that it did not draw are dropped. A
 * capture in memory gives its pages back to the system as they are read. */
#ifndef MT_CMDS_LIVE_VIEW_H
#define MT_CMDS_LIVE_VIEW_H

#include "cmds/session.h"

struct live_view;

struct mt_error *live_view_begin(const struct session *s, struct live_view **ret) MT_MUST_CHECK;
bool live_view_turn(struct live_view *v, const struct session *s);
void live_view_over(struct live_view *v, const struct session *s);
/* The person leaves, or left; also after live_view_over(). */
bool live_view_left(struct live_view *v);
/* Waits for that, or for a signal that asks for the end. */
void live_view_wait(struct live_view *v);
/* The error of either thread is returned. *stuck_ret: the terminal takes nothing, and nobody should
 * write to it. Frees, except then. */
struct mt_error *live_view_end(struct live_view *v, bool *stuck_ret) MT_MUST_CHECK;

#endif
