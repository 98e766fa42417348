/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/program.c - the capture of a program that a process of the family executes.
 * Knows: the order of the steps. Does not know: how an exec is seen, how a capture works.
 * Called by cmds/family.c; calls attach/follow.h, cmds/start.h. */
#include "cmds/program.h"

#include "attach/entry.h"
#include "attach/follow.h"
#include "cmds/family.h"
#include "cmds/signals.h"
#include "cmds/start.h"

#include <elf.h>
#include <signal.h>
#include <stdio.h>

static void let_go(pid_t pid)
{
	ptrace(PTRACE_DETACH, pid, 0, 0);
}

/* Nothing of what our parent has in hand may stay in ours. */
static void drop_root(struct session *root)
{
	root->injection->family = NULL;		/* the page is the caller's */
	injection_destroy(root->injection);
	root->injection = NULL;
	tracee_close(root->t);			/* our copy of its descriptors, with the lock among them */
	root->t = NULL;
}

static struct mt_error *run_to_entry(pid_t pid, enum entry_end *ret)
{
	uint64_t secure = 0;
	int status;
	struct mt_error *err = proc_auxv(pid, AT_SECURE, &secure);
	mt_error_destroy(err);
	if (!err && secure)
		return mt_error_create(MT_ERROR_REFUSED, "the program has privileges of its own");
	do
		err = entry_run(pid, signals_end_asked, ret, &status);
	while (!err && *ret == ENTRY_EXECED);
	return err;
}

/* It was not there long enough, or cannot be traced: that is no failure. */
static struct mt_error *note_unfit(struct family_limit *limit, pid_t pid, struct mt_error *err)
{
	char reason[200];
	if (err->code != MT_ERROR_GONE && !kill(pid, 0)) {
		snprintf(reason, sizeof(reason), "process %d: %s", pid, err->message);
		family_note_unfit(limit, reason);
	}
	mt_error_destroy(err);
	return NULL;
}

static struct mt_error *record(struct session *s, struct family_limit *limit)
{
	struct family family = { .limit = limit };
	int code = 0;
	family_begin(&family, s);
	do {
		session_turn(s, FAMILY_TURN_MS);
		family_turn(&family);
	} while (s->end == SESSION_GOES_ON);
	struct mt_error *err = session_close(s, &code);
	family_end(&family, s->end != SESSION_EXIT && s->end != SESSION_EXEC);
	session_drop(s, false);
	return err;
}

struct mt_error *program_record(struct session *root, struct family_limit *limit,
				const struct session_options *options, const struct program_ask *ask)
{
	struct session s;
	struct follow follow;
	enum follow_end executed;
	enum entry_end end;
	bool recording = false;
	drop_root(root);
	struct mt_error *err = follow_begin(&follow, ask->pid, ask->tid, ask->spawns);
	if (err)
		return note_unfit(limit, ask->pid, err);
	if (!ask->accept(ask->arg)) {
		let_go(follow.tid);
		return NULL;
	}
	err = follow_wait(&follow, signals_end_asked, &executed);
	if (err || executed != FOLLOW_EXECED)
		return err ? note_unfit(limit, follow.pid, err) : NULL;
	err = run_to_entry(follow.pid, &end);
	if (!err && end != ENTRY_REACHED)
		return NULL;
	if (!err)
		err = session_start(&s, follow.pid, options, false);
	if (err)		/* before it goes on: it may end at once */
		err = note_unfit(limit, follow.pid, err);
	else
		recording = true;
	let_go(follow.pid);
	if (!recording)
		return err;
	atomic_fetch_add(&limit->executed, 1);
	return record(&s, limit);
}
