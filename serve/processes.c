/* SPDX-License-Identifier: Apache-2.0 */
/* serve/processes.c - the processes that this user may record.
 * Knows: /proc. Does not know: who asks.
 * Run in a child by serve/routes.c; calls attach/proc.h. */
#include "serve/processes.h"

#include "attach/proc.h"
#include "base/text.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 5000u
#define COMMAND_MAX 400u

static void put_process(struct mt_json *j, pid_t pid, pid_t server)
{
	struct proc_status status;
	auto_free char *args = NULL;
	size_t size = 0;
	uid_t me = geteuid();
	auto_error struct mt_error *err = proc_status_read(pid, &status);
	if (err || status.kernel_thread || status.state == 'Z' || status.tgid != pid)
		return;
	if (pid == server || pid == getpid() || (me && (status.uid != me || status.euid != me)))
		return;
	auto_error struct mt_error *no_args = proc_cmdline(pid, &args, &size);
	auto_free char *command = no_args || !size ? NULL :
		mt_text_command(args, size < COMMAND_MAX ? size : COMMAND_MAX);
	mt_json_open(j, NULL, '{');
	mt_json_u64(j, "pid", (uint64_t)pid);
	mt_json_str(j, "name", status.comm);
	mt_json_str(j, "command", command ? command : status.comm);
	mt_json_u64(j, "uid", status.uid);
	mt_json_u64(j, "rss", status.rss);
	mt_json_close(j);
}

void processes_write(const void *unused)
{
	(void)unused;
	pid_t server = getppid();
	size_t n = 0;
	auto_closedir DIR *dir = opendir("/proc");
	FILE *out = fdopen(STDOUT_FILENO, "w");
	if (!out || !dir)
		return;
	struct mt_json j = mt_json_make(out, false);
	mt_json_open(&j, NULL, '[');
	for (struct dirent *e; n < PROCESSES_MAX && (e = readdir(dir));) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);
		if (*end || pid <= 0)
			continue;
		put_process(&j, (pid_t)pid, server);
		n++;
	}
	mt_json_close(&j);
	fflush(out);
}
