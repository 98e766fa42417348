/* SPDX-License-Identifier: Apache-2.0 */
/* attach/proc.h - what /proc says about a process. Reads only, stops nothing.
 *
 * Every function takes the pid as this process sees it. A process that is gone gives
 * MT_ERROR_GONE. */
#ifndef MT_ATTACH_PROC_H
#define MT_ATTACH_PROC_H

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_status {
	char comm[64];
	char state;		/* R S D T t Z X */
	pid_t tgid, ppid, tracer;
	pid_t ns_tgid, ns_pid;	/* as the process sees itself; ns_pid of the thread that was asked for */
	uint64_t caught;	/* signals with a handler, bit 0 for signal 1 */
	uid_t uid, euid;
	int threads;
	int seccomp;		/* 0 off, 1 strict, 2 filter */
	int seccomp_filters;	/* how many; 0 before Linux 5.9 */
	bool shadow_stack;	/* x86_Thread_features has shstk */
	uint64_t start_time;	/* /proc/PID/stat field 22: guards against a reused pid */
	bool kernel_thread;
	uint64_t rss, rss_anon, rss_file, rss_shmem, swap;	/* bytes */
};

struct proc_map {
	uint64_t start, end, offset;
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	int prot;		/* PROT_* */
	bool shared;
	char *path;		/* "" for anonymous memory; as the kernel prints it */
};

struct proc_maps {
	MT_ARRAY(struct proc_map) maps;		/* ascending */
};

struct proc_tids {
	MT_ARRAY(pid_t) tids;
};

/* By whose number /proc shows what all threads of the process share: memory, files, root. The process's
 * own, or, when its main thread has exited and the entry of that shows nothing any more, one of the
 * threads that live. The functions below that are about the process know it. */
pid_t proc_living(pid_t pid);

struct mt_error *proc_status_read(pid_t pid, struct proc_status *ret) MT_MUST_CHECK;
/* One thread, read without stopping it. */
struct proc_thread {
	char state;
	bool kernel_worker;	/* io_uring worker and the like: never traced, runs no user code */
	uint64_t start_time;
	long syscall;		/* the system call it is blocked in; -1: none, or not known */
	uint64_t args[6];	/* of that call; sp and pc are those at its entry */
	uint64_t sp, pc;
};
struct mt_error *proc_thread_read(pid_t pid, pid_t tid, struct proc_thread *ret) MT_MUST_CHECK;
/* What the text of /proc/PID/task/TID/syscall says of it. */
void proc_thread_place(const char *text, struct proc_thread *ret);
/* Of one thread: state, and the system call it sits in (-1: in user code or not known). */
struct mt_error *proc_thread_state(pid_t pid, pid_t tid, char *state_ret, long *syscall_ret)
	MT_MUST_CHECK;
/* Its state, and how often it has left a processor so far: unchanged and asleep both times means that
 * it did not run in between. */
struct mt_error *proc_thread_switches(pid_t pid, pid_t tid, char *state_ret, uint64_t *count_ret)
	MT_MUST_CHECK;
struct mt_error *proc_thread_name(pid_t pid, pid_t tid, char *ret, size_t size) MT_MUST_CHECK;

/* Its id in the innermost pid namespace, as it sees itself; tid when that cannot be read. */
pid_t proc_thread_inner_tid(pid_t pid, pid_t tid);

struct mt_error *proc_maps_read(pid_t pid, struct proc_maps *ret) MT_MUST_CHECK;
void proc_maps_deinit(struct proc_maps *maps);
/* Parses the text of a maps file, for tests and the fuzzer. */
struct mt_error *proc_maps_parse(const char *text, size_t size, struct proc_maps *ret)
	MT_MUST_CHECK;
/* The map that holds the address, or NULL. */
const struct proc_map *proc_maps_find(const struct proc_maps *maps, uint64_t address);

struct mt_error *proc_tids_read(pid_t pid, struct proc_tids *ret) MT_MUST_CHECK;
void proc_tids_deinit(struct proc_tids *tids);

/* Does it die of a signal, its memory being written to a file, which may take long? */
bool proc_dumps_core(pid_t pid);

/* Arguments separated by NUL, *size_ret bytes; the caller frees. */
struct mt_error *proc_cmdline(pid_t pid, char **ret, size_t *size_ret) MT_MUST_CHECK;
struct mt_error *proc_exe(pid_t pid, char **ret) MT_MUST_CHECK;	/* the caller frees */
struct mt_error *proc_auxv(pid_t pid, uint64_t type, uint64_t *ret) MT_MUST_CHECK;

#endif
