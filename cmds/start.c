/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/start.c - a capture that begins at a program's entry point, before its first instruction.
 * Knows: the order of the steps. Does not know: how the program came there.
 * Called by cmds/run.c and cmds/program.c; calls cmds/session.h. */
#include "cmds/start.h"

#include <stdatomic.h>

/* Before its first instruction runs, so that nothing is missed. */
static struct mt_error *arm_or_undo(struct session *s, struct borrow *b)
{
	struct mt_error *err = session_arm(s);
	if (err)
		injection_undo(s->injection, b);
	return err;
}

static struct mt_error *arm_at_entry(struct session *s)
{
	struct tracee_thread *thread = NULL;
	struct borrow *b = NULL;
	struct mt_error *err = tracee_adopt_thread(s->t, s->pid, &thread);
	if (err)
		return err;
	/* Stopped at its first instruction of its own: nothing can be half way. */
	err = borrow_thread(s->t, thread, true, &b);
	if (!err) {
		for (int step = 0; step < INJECTION_STEPS && !err; step++)
			err = injection_step(s->injection, (enum injection_step)step, b);
		if (!err)
			err = arm_or_undo(s, b);
		borrow_release(b, true);
	}
	tracee_disown_thread(s->t, thread);
	return err;
}

struct mt_error *session_start(struct session *s, pid_t pid, const struct session_options *options,
			       bool overwrite)
{
	struct mt_error *err = session_open(s, pid, options, overwrite);
	if (err)
		return err;
	err = arm_at_entry(s);
	if (err) {
		if (s->injection->armed)
			atomic_store(&s->injection->channel.header->mode, 0);
		session_drop(s, !overwrite);
	}
	return err;
}
