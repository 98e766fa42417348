/* SPDX-License-Identifier: Apache-2.0 */
/* record/recorder.h - from the rings of a target to its capture file.
 *
 *	recorder_create(...)			over a capture that is open already
 *	recorder_images(rec, images)		at the start and whenever libraries came or went
 *	recorder_poll(rec, ...)			drains, orders by time, writes; again and again
 *	recorder_sleep(rec, ms)			until a tracer asks for attention, at most ms
 *	recorder_finish(rec, reason)		drains the rest, writes counters and index
 *	recorder_destroy(rec)			without finish the file stays a cut one
 *
 * Events of all threads are merged by their time stamps. An event may be written when no thread
 * can publish an earlier one: a thread outside of a stamp can only stamp later than now, one inside
 * not earlier than its last published event. */
#ifndef MT_RECORD_RECORDER_H
#define MT_RECORD_RECORDER_H

#include "attach/image.h"
#include "base/cleanup.h"
#include "capture/wire.h"
#include "capture/writer.h"
#include "record/clock.h"

struct recorder;

/* Who takes the events in place of the file. `flush` is called before each flush of the file, and the
 * last time when no event comes any more. */
struct recorder_sink {
	struct mt_error *(*events)(const struct capture_event *events, size_t count, void *arg);
	struct mt_error *(*flush)(struct capture_writer *writer, bool last, void *arg);
	void *arg;
};

struct recorder_counts {
	uint64_t produced, written, dropped, nested, waits, wait_ticks, unringed;
	uint64_t wait_ns;	/* wait_ticks by the clock */
	uint64_t threads;
	uint64_t damaged_rings;
	uint64_t late_loads;	/* libraries that were used before they were taken in */
};

/* `header` is the controller's mapping of the shared memory, borrowed; takes the writer over when it
 * succeeds. `earlier` is a pair of clocks of some milliseconds ago, from which the counter's rate is
 * told; it waits for them to have passed. */
struct mt_error *recorder_create(struct tracee *t, struct wire_header *header,
				 struct capture_writer *writer, struct clock_pair earlier,
				 struct recorder **ret) MT_MUST_CHECK;
void recorder_destroy(struct recorder *rec);	/* NULL accepted */
MT_DEFINE_CLEANUP(recorder, struct recorder *, recorder_destroy)
#define auto_recorder mt_auto(mt_cleanup_recorder)

struct mt_error *recorder_meta(struct recorder *rec, const char *key, const char *value)
	MT_MUST_CHECK;
struct mt_error *recorder_meta_bytes(struct recorder *rec, const char *key, const void *value,
				     size_t size) MT_MUST_CHECK;
/* What the file has more than it was created with (enum capture_feature). */
struct mt_error *recorder_add_features(struct recorder *rec, uint32_t features) MT_MUST_CHECK;
struct mt_error *recorder_images(struct recorder *rec, const struct images *images) MT_MUST_CHECK;
/* Bounded in time: *more_ret says that there was more than fits into one call. */
struct mt_error *recorder_poll(struct recorder *rec, bool *more_ret) MT_MUST_CHECK;
/* The counter's rate as it was told at the start, and what it was then. */
void recorder_clock(const struct recorder *rec, uint64_t *ticks_per_second_ret, uint64_t *start_ret);
/* Before the first poll. */
void recorder_divert(struct recorder *rec, const struct recorder_sink *sink);
/* How often what was recorded is written to the file, whole; a second to begin with. */
void recorder_flush_every(struct recorder *rec, uint64_t ns);
void recorder_sleep(struct recorder *rec, int ms);
/* No thread is in a hook any more (disarmed and out, or the target is gone). */
struct mt_error *recorder_finish(struct recorder *rec, const char *reason) MT_MUST_CHECK;
void recorder_counts(const struct recorder *rec, struct recorder_counts *ret);
const char *recorder_note(const struct recorder *rec);	/* for people; NULL: none */
uint64_t recorder_file_bytes(const struct recorder *rec);
const char *recorder_file_path(const struct recorder *rec);	/* capture_writer_path() */

#endif
