/* SPDX-License-Identifier: Apache-2.0 */
/* serve/worker.h - a command of memtrace in a process of its own, with limits.
 *
 * Whatever a capture does to the code that reads it happens there. Standard output and error are
 * files in memory, so that nobody has to read along; both are the caller's to read at any time. */
#ifndef MT_SERVE_WORKER_H
#define MT_SERVE_WORKER_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKER_FILES 2u

struct worker_spec {
	const char *const *argv;	/* of memtrace, without argv[0]; NULL at the end */
	void (*run)(const void *arg);	/* instead of argv: in a fork, writes to descriptor 1 */
	const void *arg;
	int folder;			/* its working directory, -1: as ours */
	int files[WORKER_FILES];		/* become 3 and 4; -1: none */
	uint64_t memory;		/* bytes of address space, 0: no limit */
	uint64_t file_size;		/* bytes of each file it writes, its output included; 0: no limit */
	uint64_t seconds;		/* of processor time, 0: no limit */
	bool no_network;		/* asks no debuginfod server */
	int death_signal;		/* it gets when this process ends */
	uid_t owner;			/* not 0: it runs as that user, in no group of anybody's */
};

struct worker {
	pid_t pid;			/* 0: none */
	int pidfd, out, err;
};

#define WORKER_NONE ((struct worker){ 0, -1, -1, -1 })
#define WORKER_FILE(i) "/proc/self/fd/" #i	/* WORKER_FILE(3): the first of `files` */

struct mt_error *worker_start(const struct worker_spec *spec, struct worker *ret) MT_MUST_CHECK;
/* True when it has ended: the status is that of waitpid(), the descriptors stay. */
bool worker_ended(struct worker *c, int *status_ret);
void worker_signal(const struct worker *c, int sig);
/* Kills what runs, waits for it, closes. */
void worker_deinit(struct worker *c);
/* What it wrote to standard error so far, at most `size` - 1 bytes; "memtrace: " at the start of
 * lines is left out. */
void worker_messages(const struct worker *c, char *ret, size_t size);

#endif
