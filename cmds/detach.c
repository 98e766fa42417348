/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/detach.c - `memtrace detach PID`.
 * Knows: asking a controller to end, cleaning up after a dead one. Does not know: captures.
 * Called by cmds/main.c; calls inject/removal.h. */
#include "attach/preflight.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/signals.h"
#include "inject/removal.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#define WAIT_MS 10000
#define WAIT_STEP_MS 20
#define REMOVAL_DEADLINE_MS 10000
#define LOCK_DEADLINE_MS 10000

static const char doc[] =
	"End the capture of a process, or remove what a killed memtrace left in it.\v"
	"Exit status: 0 done; 1 failed or nothing to detach; 3 switched off, but still in the process.";

/* The memtrace that holds the capture ends it, writes the file and takes the tracer out. */
static struct mt_error *ask_controller(struct tracee *t, const struct residue *r)
{
	uint32_t one = 1;
	struct mt_error *err = tracee_write(t, r->data_base + offsetof(struct wire_header, stop_request),
					    &one, sizeof(one));
	for (int waited = 0; !err && waited < WAIT_MS; waited += WAIT_STEP_MS) {
		struct residue now;
		err = residue_read(t, &now);
		if (err || residue_clean(&now) || !now.controller_runs)
			return err;
		if (signals_end_asked())
			return mt_error_hint(mt_error_create(MT_ERROR_OTHER,
				"interrupted; memtrace, process %d, was asked to end its capture",
				r->controller_pid), "`memtrace status %d` tells when it did", tracee_pid(t));
		nanosleep(&(struct timespec){ 0, WAIT_STEP_MS * 1000000l }, NULL);
	}
	if (!err)
		err = mt_error_create(MT_ERROR_BUSY, "memtrace, process %d, does not end its capture",
				      r->controller_pid);
	return err;
}

static struct mt_error *detach(struct tracee *t, int pid, int *exit_code)
{
	struct residue r;
	struct mt_error *err = residue_read(t, &r);
	if (err)
		return err;
	if (residue_clean(&r))
		return mt_error_create(MT_ERROR_OTHER, "nothing of memtrace is active in process %d", pid);
	if (r.controller_alive) {
		int controller = r.controller_pid;
		err = ask_controller(t, &r);
		if (!err)
			err = residue_read(t, &r);
		if (err)
			return err;
		if (residue_clean(&r)) {
			cmd_note("the capture of process %d by process %d was ended", pid, controller);
			return NULL;
		}
	}
	struct proc_status status;
	err = preflight(pid, &status);	/* a capture in progress was asked, not traced */
	if (!err)
		err = tracee_lock(t, LOCK_DEADLINE_MS);
	if (!err)
		err = residue_read(t, &r);
	if (err)
		return err;
	if (residue_clean(&r)) {
		cmd_note("removed from process %d by another memtrace", pid);
		return NULL;
	}
	enum removal_result result;
	auto_free char *why = NULL;
	err = removal_run(t, REMOVAL_DEADLINE_MS, &result, &why);
	if (err)
		return err;
	if (result == REMOVAL_DONE) {
		cmd_note("removed from process %d", pid);
		return NULL;
	}
	cmd_note("switched off in process %d, but still mapped: %s", pid, why);
	fprintf(stderr, "hint: try again later\n");
	*exit_code = EXIT_PRESENT;
	return NULL;
}

struct mt_error *cmd_detach(int argc, char **argv, int *exit_code_ret)
{
	int pid;
	struct mt_error *err = cmd_parse_one_pid(doc, argc, argv, &pid);
	if (err)
		return err;
	signals_catch();		/* what is begun in the target is brought to its end */
	auto_tracee struct tracee *t = NULL;
	err = tracee_open_to_read(pid, &t);
	return err ? err : detach(t, pid, exit_code_ret);
}
