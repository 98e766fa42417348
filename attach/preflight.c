/* SPDX-License-Identifier: Apache-2.0 */
/* attach/preflight.c - says before anything is touched whether a process can be traced.
 * Knows: the kernel's permission rules. Does not know: what tracing is for.
 * Called by tracee_open() and cmds/; calls attach/proc and base/. */
#include "attach/preflight.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CAP_SYS_PTRACE_BIT 19

static struct mt_error *refuse_traced(pid_t pid, pid_t tracer)
{
	char name[64] = "?";
	mt_error_destroy(proc_thread_name(tracer, tracer, name, sizeof(name)));
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"process %d is already traced by process %d '%s'", (int)pid, (int)tracer, name),
		"only one tracer at a time is possible; end or detach process %d first",
		(int)tracer);
}

/* -1 when the kernel has no Yama. */
static int yama_scope(void)
{
	char c = 0;
	auto_close int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, &c, 1) != 1 || c < '0' || c > '9')
		return -1;
	return c - '0';
}

static bool have_cap_ptrace(void)
{
	auto_fclose FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	unsigned long long caps;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			return caps >> CAP_SYS_PTRACE_BIT & 1;
	return false;
}

/* The kernel gives /proc/PID of a process that is not dumpable to root. */
static bool is_undumpable(pid_t pid, uid_t euid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)proc_living(pid));
	return euid != 0 && stat(path, &st) == 0 && st.st_uid == 0;
}

struct mt_error *preflight_explain_permission(pid_t pid, const struct preflight_facts *f)
{
	struct mt_error *err;
	if (f->yama == 3 && f->have_cap)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d may not be traced: kernel.yama.ptrace_scope is 3, which forbids "
			"tracing to everybody", (int)pid),
			"the setting can only be changed by a reboot with another value");
	if (f->have_cap) {
		err = mt_error_create(MT_ERROR_REFUSED,
			"process %d may not be traced even with CAP_SYS_PTRACE", (int)pid);
		return mt_error_hint(err, "it belongs to another user namespace, a security module "
				     "or seccomp forbids it, or a tracer outside of this container "
				     "has it; try from the host");
	}
	if (f->my_uid != f->uid || f->my_uid != f->euid) {
		err = mt_error_create(MT_ERROR_REFUSED,
			"process %d belongs to user %u, this is user %u without CAP_SYS_PTRACE",
			(int)pid, (unsigned)f->euid, (unsigned)f->my_uid);
		return mt_error_hint(err, f->my_uid ? "run memtrace as root, or as user %u" :
				     "give this container CAP_SYS_PTRACE, or run as user %u",
				     (unsigned)f->euid);
	}
	if (f->undumpable) {
		err = mt_error_create(MT_ERROR_REFUSED,
			"process %d is protected: it is not dumpable (set-user-id, file "
			"capabilities or PR_SET_DUMPABLE)", (int)pid);
		return mt_error_hint(err, "run memtrace as root (CAP_SYS_PTRACE)");
	}
	if (f->yama > 0) {
		err = mt_error_create(MT_ERROR_REFUSED,
			"process %d may not be traced: kernel.yama.ptrace_scope is %d", (int)pid,
			f->yama);
		if (f->yama == 1)
			return mt_error_hint(err, "run memtrace as root, start the program with "
					     "'memtrace run', or 'sysctl kernel.yama.ptrace_scope=0'");
		return mt_error_hint(err, f->yama == 2 ? "run memtrace as root (CAP_SYS_PTRACE)" :
				     "nobody may trace here until a reboot with another value");
	}
	err = mt_error_create(MT_ERROR_REFUSED, "process %d may not be traced", (int)pid);
	return mt_error_hint(err, "run memtrace as root; in a container, give it CAP_SYS_PTRACE "
			     "and a seccomp profile that allows ptrace");
}

static struct mt_error *explain_permission(pid_t pid, const struct proc_status *st)
{
	struct preflight_facts f = {
		.my_uid = geteuid(),
		.uid = st->uid,
		.euid = st->euid,
		.yama = yama_scope(),
		.have_cap = have_cap_ptrace(),
		.undumpable = is_undumpable(pid, st->euid),
	};
	return preflight_explain_permission(pid, &f);
}

/* Opening /proc/PID/mem asks the kernel the very question that PTRACE_SEIZE asks. */
static struct mt_error *check_permission(pid_t pid, const struct proc_status *st)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)proc_living(pid));
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return NULL;
	if (errno == EACCES || errno == EPERM)
		return explain_permission(pid, st);
	if (errno == ENOENT || errno == ESRCH)
		return mt_error_hint(mt_error_create(MT_ERROR_GONE, "no process %d", (int)pid),
				     "`pgrep -a NAME` lists processes by name");
	return mt_error_os(errno, "cannot open '%s'", path);
}

struct exe_facts {
	bool elf, elf64, x86_64, has_interp;
};

static bool read_exe(pid_t pid, struct exe_facts *ret)
{
	char path[64];
	Elf64_Ehdr eh;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)proc_living(pid));
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh))
		return false;
	ret->elf = !memcmp(eh.e_ident, ELFMAG, SELFMAG);
	ret->elf64 = eh.e_ident[EI_CLASS] == ELFCLASS64;
	ret->x86_64 = eh.e_machine == EM_X86_64;
	if (!ret->elf || !ret->elf64 || eh.e_phentsize != sizeof(Elf64_Phdr))
		return true;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) !=
		    (ssize_t)sizeof(ph))
			break;
		ret->has_interp = ret->has_interp || ph.p_type == PT_INTERP;
	}
	return true;
}

/* libc.so.6, libc-2.28.so, ld-musl-x86_64.so.1, libc.musl-x86_64.so.1 */
bool preflight_is_libc_path(const char *path)
{
	const char *base = strrchr(path, '/');
	base = base ? base + 1 : path;
	return !strncmp(base, "libc.so", 7) || !strncmp(base, "libc-2.", 7) ||
	       !strncmp(base, "ld-musl-", 8) || !strncmp(base, "libc.musl-", 10);
}

static struct mt_error *check_machine(pid_t pid, struct exe_facts *exe)
{
	if (read_exe(pid, exe) && exe->elf && (!exe->elf64 || !exe->x86_64))
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d is not a 64-bit x86 program", (int)pid),
			"memtrace traces 64-bit x86 programs only");
	return NULL;	/* an unreachable file decides nothing */
}

static struct mt_error *check_program(pid_t pid)
{
	struct exe_facts exe = { 0 };
	struct proc_maps maps = { 0 };
	struct mt_error *err = check_machine(pid, &exe);
	if (!err)
		err = proc_maps_read(pid, &maps);
	if (err)
		return err;
	bool libc = false;
	for (size_t i = 0; i < maps.maps.len && !libc; i++)
		libc = preflight_is_libc_path(maps.maps.items[i].path);
	proc_maps_deinit(&maps);
	if (libc)
		return NULL;
	if (exe.elf && !exe.has_interp)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d is a static program: it has no dynamic loader", (int)pid),
			"link the program dynamically (Go: build with cgo) to trace it");
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"no C library found in process %d", (int)pid),
		"memtrace needs a target with glibc or musl loaded; a process that has just been "
		"started can be tried again");
}

/* A debugger may hold single threads without the first one. */
static struct mt_error *check_tracer(pid_t pid, const struct proc_status *st)
{
	if (st->tracer && st->tracer != getpid())
		return refuse_traced(pid, st->tracer);
	struct proc_tids tids;
	struct mt_error *err = proc_tids_read(pid, &tids);
	if (err)
		return err;
	for (size_t i = 0; i < tids.tids.len && !err; i++) {
		struct proc_status th;
		struct mt_error *gone = proc_status_read(tids.tids.items[i], &th);
		if (!gone && th.tracer && th.tracer != getpid())
			err = refuse_traced(pid, th.tracer);
		mt_error_destroy(gone);
	}
	proc_tids_deinit(&tids);
	return err;
}

static struct mt_error *check_kind(pid_t pid, const struct proc_status *st)
{
	if (st->tgid != pid)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"%d is a thread of process %d '%s'", (int)pid, (int)st->tgid, st->comm),
			"give the process id %d", (int)st->tgid);
	if (pid == getpid())
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d is memtrace itself", (int)pid), "give another process id");
	if (st->kernel_thread)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d '%s' is a kernel thread", (int)pid, st->comm),
			"it has no user memory to trace");
	if (st->state == 'X' || (st->state == 'Z' && st->threads <= 1))
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d '%s' is a zombie: it has exited already", (int)pid, st->comm),
			"its parent %d has not collected it yet", (int)st->ppid);
	return NULL;
}

static struct mt_error *check_state(pid_t pid, const struct proc_status *st)
{
	if (st->state == 'T')
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d '%s' is stopped by job control", (int)pid, st->comm),
			"continue it with 'kill -CONT %d' first", (int)pid);
	if (st->shadow_stack)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
			"process %d '%s' runs with a shadow stack", (int)pid, st->comm),
			"start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off to trace it");
	return NULL;
}

static struct mt_error *find_process(pid_t pid, struct proc_status *status_ret)
{
	memset(status_ret, 0, sizeof(*status_ret));
	struct mt_error *err = NULL;
	if (pid > 0)
		err = proc_status_read(pid, status_ret);
	if (pid <= 0 || (err && err->code == MT_ERROR_GONE)) {
		mt_error_destroy(err);
		return mt_error_hint(mt_error_create(MT_ERROR_GONE, "no process %d", (int)pid),
				     "`pgrep -a NAME` lists processes by name");
	}
	return err ? err : check_kind(pid, status_ret);
}

struct mt_error *preflight_cooperating(pid_t pid, struct proc_status *status_ret)
{
	struct mt_error *err = find_process(pid, status_ret);
	if (!err)
		err = check_state(pid, status_ret);
	return err ? err : check_program(pid);
}

struct mt_error *preflight_stop(pid_t pid, struct proc_status *status_ret)
{
	struct mt_error *err = find_process(pid, status_ret);
	if (!err)
		err = check_tracer(pid, status_ret);
	if (!err)
		err = check_permission(pid, status_ret);
	struct exe_facts exe = { 0 };
	return err ? err : check_machine(pid, &exe);
}

struct mt_error *preflight(pid_t pid, struct proc_status *status_ret)
{
	struct mt_error *err = preflight_stop(pid, status_ret);
	if (!err)
		err = check_state(pid, status_ret);
	if (!err)
		err = check_program(pid);
	return err;
}

struct mt_error *preflight_explain_seize(pid_t pid, int errnum)
{
	if (errnum == ESRCH)
		return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)pid);
	struct proc_status st;
	struct mt_error *err = proc_status_read(pid, &st);
	if (err)
		return err;
	if (errnum != EPERM && errnum != EACCES)
		return mt_error_os(errnum, "cannot trace process %d", (int)pid);
	err = check_kind(pid, &st);
	if (!err)
		err = check_tracer(pid, &st);
	if (!err)
		err = explain_permission(pid, &st);
	return err;
}
