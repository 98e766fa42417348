/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/status.c - `memtrace status PID`: what of memtrace is in a process. Reads only.
 * Called by cmds/main.c; calls inject/removal.h. */
#include "attach/proc.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "inject/removal.h"

#include <stdio.h>

static const char doc[] =
	"Tell what of memtrace is in a process. Nothing is stopped or changed.\v"
	"Exit status: 0 clean (the disarmed thunk page of an earlier capture counts as clean), 3 "
	"something is there, 1 the process cannot be read.";

static void print_residue(const struct residue *r, int pid)
{
	if (residue_clean(r)) {
		printf("process %d: clean\n", pid);
	} else if (r->controller_alive) {
		printf("process %d: being captured by process %d\n", pid, r->controller_pid);
	} else {
		printf("process %d: left by a memtrace that is gone; `memtrace detach %d` removes it\n", pid,
		       pid);
	}
	if (r->data)
		printf("  shared memory  %llx, %llu MiB reserved, %u pointers changed\n",
		       (unsigned long long)r->data_base, (unsigned long long)(r->data_size >> 20),
		       r->slots);
	if (r->tracer)
		printf("  tracer         %llx-%llx\n", (unsigned long long)r->tracer_start,
		       (unsigned long long)r->tracer_end);
	if (r->fds)
		printf("  descriptors    %u memory files open\n", r->fds);
	if (r->thunk)
		printf("  thunk page     %llx, %s\n", (unsigned long long)r->thunk_page,
		       r->thunk_armed ? "armed" : "disarmed");
}

struct mt_error *cmd_status(int argc, char **argv, int *exit_code_ret)
{
	int pid;
	struct mt_error *err = cmd_parse_one_pid(doc, argc, argv, &pid);
	if (err)
		return err;
	struct proc_status status;
	err = proc_status_read(pid, &status);
	if (err)
		return err;
	auto_tracee struct tracee *t = NULL;
	err = tracee_open_to_read(pid, &t);
	struct residue r;
	if (!err)
		err = residue_read(t, &r);
	if (err)
		return err;
	print_residue(&r, pid);
	*exit_code_ret = residue_clean(&r) ? EXIT_DONE : EXIT_PRESENT;
	return NULL;
}
