/* SPDX-License-Identifier: Apache-2.0 */
/* serve/recordings.h - captures that were started through the server.
 *
 * Each is a `memtrace attach` of its own, which ends well whatever happens to the server: by its
 * duration, or by the signal that the kernel sends it when the server ends. Afterwards `memtrace
 * symbolize` puts the names in while the files are at hand. Never killed. */
#ifndef MT_SERVE_RECORDINGS_H
#define MT_SERVE_RECORDINGS_H

#include "base/text.h"
#include "serve/worker.h"

#include <stddef.h>

#define RECORDINGS_RUNNING 4u
#define RECORDINGS_KEPT 100u

enum recording_state {
	RECORDING_STARTING, RECORDING_RUNNING, RECORDING_STOPPING, RECORDING_NAMING,
	RECORDING_DONE, RECORDING_FAILED,
};

struct recording_wish {
	pid_t pid;
	uint64_t seconds;		/* 1 to the most that the server allows */
	uint64_t sample;		/* bytes, 0: every allocation */
	bool no_native, python_allocators, aggregate;
};

struct recording {
	unsigned id;
	enum recording_state state;
	struct recording_wish wish;
	char comm[64], file[256];	/* the file is in the server's folder */
	uint64_t begun_ns, armed_ns, ended_ns;	/* CLOCK_MONOTONIC; 0: not yet */
	uint64_t looked_ns;
	uint64_t rss, bytes;		/* of the process now; of the file */
	char text[1024];		/* what the command said */
	unsigned version;		/* grows with every change */
	struct worker worker;
	struct recording *next;		/* newer first */
};

struct recordings_options {
	int folder;			/* borrowed */
	uint64_t max_seconds, max_bytes;
};

struct recordings;
struct mt_error *recordings_create(const struct recordings_options *options,
				   struct recordings **ret) MT_MUST_CHECK;
/* Asks what runs to end, waits until it has or `ms` are over, frees. */
void recordings_destroy(struct recordings *r, int ms);

/* MT_ERROR_REFUSED, MT_ERROR_GONE, MT_ERROR_USAGE, MT_ERROR_BUSY (too many): not started. */
struct mt_error *recordings_start(struct recordings *r, const struct recording_wish *wish,
				  uint64_t now_ns, struct recording **ret) MT_MUST_CHECK;
void recording_stop(struct recording *rec);
struct recording *recordings_find(const struct recordings *r, unsigned id);
const struct recording *recordings_first(const struct recordings *r);
/* Looks how each is doing. */
void recordings_turn(struct recordings *r, uint64_t now_ns);
bool recordings_any_running(const struct recordings *r);
size_t recordings_fds(const struct recordings *r, int *ret, size_t max);
static inline bool recording_is_over(const struct recording *rec)
{
	return rec->state >= RECORDING_DONE;
}

void recording_json(const struct recording *rec, uint64_t now_ns, struct mt_json *j,
		    const char *key);

#endif
