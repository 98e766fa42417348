/* SPDX-License-Identifier: Apache-2.0 */
/* attach/proc.c - reads /proc/PID: status, threads, maps, auxv.
 * Knows: the kernel's text formats. Does not know: ptrace.
 * Called by attach/, inject/, record/ and cmds/; calls base/ and the kernel. */
#include "attach/proc.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000u
#define PF_USER_WORKER (0x00000010u | 0x00004000u)	/* io_uring and vhost workers */
#define FILE_MAX (256u << 20)		/* no /proc text is longer; a bound for the buffer */

static struct mt_error *gone(pid_t pid)
{
	return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)pid);
}

static struct mt_error *read_error(pid_t pid, const char *path, int errnum)
{
	if (errnum == ENOENT || errnum == ESRCH)
		return gone(pid);
	return mt_error_os(errnum, "cannot read '%s'", path);
}

/* The whole file, NUL-terminated behind its length. */
static struct mt_error *slurp(pid_t pid, const char *path, struct mt_buf *buf)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return read_error(pid, path, errno);
	for (;;) {
		if (buf->len > FILE_MAX)
			return mt_error_create(MT_ERROR_OTHER, "'%s' is too long", path);
		if (!mt_buf_reserve(buf, 4096 + buf->len / 2))
			return &mt_enomem;
		ssize_t n = read(fd, buf->data + buf->len, buf->cap - buf->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return read_error(pid, path, errno);
		if (n == 0)
			break;
		buf->len += (size_t)n;
	}
	buf->data[buf->len] = 0;
	return NULL;
}

/* The text behind "<key>:" in a status file, or NULL. */
static const char *field(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, len) && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	}
	return NULL;
}

static uint64_t field_number(const char *text, const char *key)
{
	const char *v = field(text, key);
	return v ? strtoull(v, NULL, 10) : 0;
}

/* NSpid-like lists have one number per nested namespace; the last is the innermost. */
static pid_t field_last_number(const char *text, const char *key)
{
	pid_t last = 0;
	const char *v = field(text, key);
	while (v && *v >= '0' && *v <= '9') {
		char *end;
		last = (pid_t)strtol(v, &end, 10);
		v = end + strspn(end, " \t");
	}
	return last;
}

static bool line_has_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	while (line && *line && *line != '\n') {
		size_t n = strcspn(line, " \t\n");
		if (n == len && !strncmp(line, word, n))
			return true;
		line += n;
		line += strspn(line, " \t");
	}
	return false;
}

/* Fields of a stat file that follow the name, which may hold spaces and parentheses itself. */
static bool stat_fields(const char *text, char *state_ret, uint64_t *flags_ret,
			uint64_t *start_time_ret)
{
	const char *p = strrchr(text, ')');
	if (!p || p[1] != ' ' || !p[2])
		return false;
	*state_ret = p[2];
	p += 3;
	uint64_t value = 0;
	for (int i = 4; i <= 22; i++) {		/* numbering of proc(5): state is field 3 */
		char *end;
		value = strtoull(p, &end, 10);
		if (end == p)
			return false;
		if (i == 9)
			*flags_ret = value;
		p = end;
	}
	*start_time_ret = value;
	return true;
}

static void status_text(const char *text, struct proc_status *st)
{
	const char *name = field(text, "Name");
	if (name)
		snprintf(st->comm, sizeof(st->comm), "%.*s", (int)strcspn(name, "\n"), name);
	const char *state = field(text, "State");
	st->state = state ? *state : '?';
	st->tgid = (pid_t)field_number(text, "Tgid");
	st->ppid = (pid_t)field_number(text, "PPid");
	st->tracer = (pid_t)field_number(text, "TracerPid");
	st->ns_tgid = field_last_number(text, "NStgid");
	if (!st->ns_tgid)
		st->ns_tgid = st->tgid;
	st->ns_pid = field_last_number(text, "NSpid");
	const char *caught = field(text, "SigCgt");
	st->caught = caught ? strtoull(caught, NULL, 16) : ~0ull;
	const char *uid = field(text, "Uid");
	if (uid) {
		char *end;
		st->uid = (uid_t)strtoul(uid, &end, 10);
		st->euid = (uid_t)strtoul(end, NULL, 10);
	}
	st->threads = (int)field_number(text, "Threads");
	st->seccomp = (int)field_number(text, "Seccomp");
	st->seccomp_filters = (int)field_number(text, "Seccomp_filters");
	st->shadow_stack = line_has_word(field(text, "x86_Thread_features"), "shstk");
	st->rss = field_number(text, "VmRSS") * 1024;
	st->rss_anon = field_number(text, "RssAnon") * 1024;
	st->rss_file = field_number(text, "RssFile") * 1024;
	st->rss_shmem = field_number(text, "RssShmem") * 1024;
	st->swap = field_number(text, "VmSwap") * 1024;
}

bool proc_dumps_core(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	auto_buf struct mt_buf text = MT_BUF_INIT;
	auto_error struct mt_error *err = slurp(pid, path, &text);
	return !err && field_number((const char *)text.data, "CoreDumping") == 1;
}

struct mt_error *proc_status_read(pid_t pid, struct proc_status *ret)
{
	struct proc_status st = { 0 };
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	auto_buf struct mt_buf text = MT_BUF_INIT;
	struct mt_error *err = slurp(pid, path, &text);
	if (err)
		return err;
	status_text((const char *)text.data, &st);
	mt_buf_clear(&text);
	/* The file of the whole process adds up the times of all threads. */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)pid);
	err = slurp(pid, path, &text);
	if (err)
		return err;
	char state;
	uint64_t flags;
	if (!stat_fields((const char *)text.data, &state, &flags, &st.start_time))
		return mt_error_create(MT_ERROR_OTHER, "cannot understand '%s'", path);
	st.kernel_thread = flags & PF_KTHREAD;
	*ret = st;
	return NULL;
}

/* "NR A0..A5 SP PC", "-1 SP PC" for a thread blocked elsewhere, or "running". */
void proc_thread_place(const char *text, struct proc_thread *ret)
{
	long long nr;
	int used = 0;
	unsigned long long a[8];
	if (sscanf(text, "%lld%n", &nr, &used) != 1 || nr < 0 ||
	    sscanf(text + used, "%llx %llx %llx %llx %llx %llx %llx %llx", &a[0], &a[1], &a[2], &a[3],
		   &a[4], &a[5], &a[6], &a[7]) != 8)
		return;
	ret->syscall = (long)nr;
	for (int i = 0; i < 6; i++)
		ret->args[i] = a[i];
	ret->sp = a[6];
	ret->pc = a[7];
}

struct mt_error *proc_thread_read(pid_t pid, pid_t tid, struct proc_thread *ret)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	auto_buf struct mt_buf text = MT_BUF_INIT;
	struct mt_error *err = slurp(pid, path, &text);
	if (err)
		return err;
	struct proc_thread th = { .syscall = -1 };
	uint64_t flags;
	if (!stat_fields((const char *)text.data, &th.state, &flags, &th.start_time))
		return mt_error_create(MT_ERROR_OTHER, "cannot understand '%s'", path);
	th.kernel_worker = flags & (PF_KTHREAD | PF_USER_WORKER);
	mt_buf_clear(&text);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
	err = slurp(pid, path, &text);
	if (err) {
		/* Kernels without the file, or no permission: the state alone is an answer. */
		mt_error_destroy(err);
		*ret = th;
		return NULL;
	}
	proc_thread_place((const char *)text.data, &th);
	*ret = th;
	return NULL;
}

struct mt_error *proc_thread_state(pid_t pid, pid_t tid, char *state_ret, long *syscall_ret)
{
	struct proc_thread th;
	struct mt_error *err = proc_thread_read(pid, tid, &th);
	if (err)
		return err;
	*state_ret = th.state;
	*syscall_ret = th.syscall;
	return NULL;
}

struct mt_error *proc_thread_switches(pid_t pid, pid_t tid, char *state_ret, uint64_t *count_ret)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	auto_buf struct mt_buf text = MT_BUF_INIT;
	struct mt_error *err = slurp(pid, path, &text);
	if (err)
		return err;
	const char *status = (const char *)text.data, *state = field(status, "State");
	/* Without the counters (there since Linux 2.6.23) nothing can be told. */
	if (!state || !field(status, "voluntary_ctxt_switches"))
		return mt_error_create(MT_ERROR_OTHER, "cannot understand '%s'", path);
	*state_ret = *state;
	*count_ret = field_number(status, "voluntary_ctxt_switches") +
		     field_number(status, "nonvoluntary_ctxt_switches");
	return NULL;
}

pid_t proc_thread_inner_tid(pid_t pid, pid_t tid)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	auto_buf struct mt_buf text = MT_BUF_INIT;
	auto_error struct mt_error *err = slurp(pid, path, &text);
	pid_t inner = err ? 0 : field_last_number((const char *)text.data, "NSpid");
	return inner ? inner : tid;
}

struct mt_error *proc_thread_name(pid_t pid, pid_t tid, char *ret, size_t size)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	auto_buf struct mt_buf text = MT_BUF_INIT;
	struct mt_error *err = slurp(pid, path, &text);
	if (err)
		return err;
	size_t len = text.len;
	if (len && text.data[len - 1] == '\n')
		len--;
	snprintf(ret, size, "%.*s", (int)len, (const char *)text.data);
	return NULL;
}

struct mt_error *proc_tids_read(pid_t pid, struct proc_tids *ret)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	auto_closedir DIR *dir = opendir(path);
	if (!dir)
		return read_error(pid, path, errno);
	struct proc_tids tids = { 0 };
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(dir);
		if (!e)
			break;
		char *end;
		long tid = strtol(e->d_name, &end, 10);
		if (*end || tid <= 0)
			continue;
		if (!mt_array_push(&tids.tids, (pid_t)tid)) {
			proc_tids_deinit(&tids);
			return &mt_enomem;
		}
	}
	if (errno) {
		int errnum = errno;
		proc_tids_deinit(&tids);
		return read_error(pid, path, errnum);
	}
	if (!tids.tids.len) {
		proc_tids_deinit(&tids);
		return gone(pid);
	}
	*ret = tids;
	return NULL;
}

void proc_tids_deinit(struct proc_tids *tids)
{
	mt_array_deinit(&tids->tids);
}

/* A link that a task has as long as it has memory; whoever may not read it finds the rest closed, too. */
static bool has_memory(pid_t tid)
{
	char path[64], link;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)tid);
	return readlink(path, &link, 1) >= 0 || errno != ENOENT;
}

pid_t proc_living(pid_t pid)
{
	struct proc_tids tids;
	pid_t living = pid;
	if (has_memory(pid))
		return pid;
	auto_error struct mt_error *err = proc_tids_read(pid, &tids);
	for (size_t i = 0; !err && i < tids.tids.len && living == pid; i++)
		if (tids.tids.items[i] != pid && has_memory(tids.tids.items[i]))
			living = tids.tids.items[i];
	if (!err)
		proc_tids_deinit(&tids);
	return living;
}

struct mt_error *proc_cmdline(pid_t pid, char **ret, size_t *size_ret)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)proc_living(pid));
	auto_buf struct mt_buf text = MT_BUF_INIT;
	struct mt_error *err = slurp(pid, path, &text);
	if (err)
		return err;
	size_t len = text.len;
	char *s = mt_buf_take_str(&text);
	if (!s)
		return &mt_enomem;
	*ret = s;
	*size_ret = len;
	return NULL;
}

struct mt_error *proc_exe(pid_t pid, char **ret)
{
	char path[64], target[4097];
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)proc_living(pid));
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return read_error(pid, path, errno);
	target[n] = 0;
	char *s = strdup(target);
	if (!s)
		return &mt_enomem;
	*ret = s;
	return NULL;
}

struct mt_error *proc_auxv(pid_t pid, uint64_t type, uint64_t *ret)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/auxv", (int)proc_living(pid));
	auto_buf struct mt_buf text = MT_BUF_INIT;
	struct mt_error *err = slurp(pid, path, &text);
	if (err)
		return err;
	for (size_t at = 0; at + 16 <= text.len; at += 16) {
		uint64_t pair[2];
		memcpy(pair, text.data + at, sizeof(pair));
		if (pair[0] == type) {
			*ret = pair[1];
			return NULL;
		}
	}
	return mt_error_create(MT_ERROR_OTHER, "process %d has no auxiliary value %" PRIu64,
			       (int)pid, type);
}
