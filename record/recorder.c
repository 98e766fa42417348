/* SPDX-License-Identifier: Apache-2.0 */
/* record/recorder.c - drains the rings, orders events by time, writes the capture.
 * Knows: rings, threads, the capture writer. Does not know: how the tracer came there.
 * Called by cmds/; calls record/, capture/writer.h and attach/proc.h. */
#include "record/recorder.h"

#include "record/clock.h"
#include "record/jit_names.h"
#include "record/merge.h"
#include "record/ring_reader.h"
#include "record/threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A store of `busy` may sit in the other core's store buffer while its time stamp is read; that
 * is over in far less than this. */
#define ORDER_SLACK_NS 100000u
#define TURN_NS 20000000u		/* one poll drains no longer than this */
#define RELEASE_EVENTS 16384u
#define RUN_EVENTS 256u
#define CALIBRATION_NS 2000000u
#define THREADS_INTERVAL_NS 50000000u
#define NAMES_INTERVAL_NS 1000000000u
#define SAMPLE_INTERVAL_NS 20000000u
#define SAMPLES_A_CAPTURE 3000u		/* the interval grows with the duration */
#define FLUSH_INTERVAL_NS 1000000000u
#define TIME_UNIT_NS 100u		/* of event times in the file, about */

struct module_state {
	bool loaded;		/* written so, and not yet as unloaded */
	uint64_t load_ticks;
};

struct recorder {
	struct tracee *t;
	struct wire_header *header;
	struct capture_writer *writer;
	struct intern intern;
	struct codes codes;
	struct jit_names *jit;
	struct live_threads live;
	struct ring_reader *readers;	/* by ring */
	struct merge merge;
	uint32_t thread_next;
	uint64_t slack_ticks, turn_ticks, rate, written;
	struct clock_pair start;
	uint64_t start_realtime_ns;
	uint64_t flush_interval;
	struct recorder_sink sink;	/* all NULL: events go to the file */
	struct capture_event events[RUN_EVENTS];	/* decoded and in order, not given on yet */
	size_t event_count;
	uint64_t threads_at, names_at, sample_at, flush_at;	/* ns: when it is due again */
	MT_ARRAY(char *) names;		/* by thread index, as last written */
	MT_ARRAY(struct module_state) modules;		/* by image id */
};

/* ---- start ---- */

/* Nobody looks at times finer than this; the bits below are noise that costs a byte an event. */
static unsigned time_unit(uint64_t rate)
{
	unsigned shift = 0;
	while ((2ull << shift) * 1000000000u <= rate * TIME_UNIT_NS)
		shift++;
	return shift;
}

static struct mt_error *put_start(struct recorder *rec, struct clock_pair earlier)
{
	struct clock_pair later;
	do
		later = clock_pair_now();
	while (later.ns - earlier.ns < CALIBRATION_NS);
	uint64_t rate = clock_rate(earlier, later);
	rec->rate = rate;
	rec->slack_ticks = rate / (1000000000u / ORDER_SLACK_NS);
	rec->turn_ticks = rate / (1000000000u / TURN_NS);
	capture_writer_time_unit(rec->writer, time_unit(rate));
	char text[32];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)rate);
	struct mt_error *err = recorder_meta(rec, CAPTURE_META_TSC_HZ, text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)rec->start.ticks);
	if (!err)
		err = recorder_meta(rec, CAPTURE_META_START_TICKS, text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)rec->start_realtime_ns);
	if (!err)
		err = recorder_meta(rec, CAPTURE_META_START, text);
	return err;
}

struct mt_error *recorder_create(struct tracee *t, struct wire_header *header,
				 struct capture_writer *writer, struct clock_pair earlier,
				 struct recorder **ret)
{
	auto_recorder struct recorder *rec = calloc(1, sizeof(*rec));
	if (!rec)
		return &mt_enomem;
	rec->t = t;
	rec->header = header;
	rec->flush_interval = FLUSH_INTERVAL_NS;
	rec->start = clock_pair_now();
	rec->start_realtime_ns = clock_ns(CLOCK_REALTIME);
	rec->readers = calloc(header->ring_count, sizeof(*rec->readers));
	if (!rec->readers)
		return &mt_enomem;
	for (uint32_t i = 0; i < header->ring_count; i++) {
		uint8_t *base = (uint8_t *)header;
		rec->readers[i].ring = (struct wire_ring *)(base + header->rings_offset) + i;
		rec->readers[i].data = base + header->ring_data_offset + i * header->ring_size;
		rec->readers[i].size = header->ring_size;
	}
	struct mt_error *err = merge_init(&rec->merge, header->ring_count);
	if (err)
		return err;
	rec->writer = writer;
	intern_init(&rec->intern, writer);
	rec->codes.writer = writer;
	live_threads_init(&rec->live, tracee_pid(t), header->target_pid);
	err = jit_names_open(t, rec->start, &rec->jit);
	if (!err)
		err = put_start(rec, earlier);
	if (err) {
		rec->writer = NULL;	/* stays the caller's */
		return err;
	}
	*ret = take_ptr(&rec);
	return NULL;
}

void recorder_destroy(struct recorder *rec)
{
	if (!rec)
		return;
	for (uint32_t i = 0; rec->readers && i < rec->header->ring_count; i++)
		ring_reader_deinit(&rec->readers[i]);
	free(rec->readers);
	for (size_t i = 0; i < rec->names.len; i++)
		free(rec->names.items[i]);
	mt_array_deinit(&rec->names);
	mt_array_deinit(&rec->modules);
	merge_deinit(&rec->merge);
	codes_deinit(&rec->codes);
	jit_names_close(rec->jit);
	intern_deinit(&rec->intern);
	live_threads_deinit(&rec->live);
	capture_writer_destroy(rec->writer);
	free(rec);
}

struct mt_error *recorder_meta_bytes(struct recorder *rec, const char *key, const void *value,
				     size_t size)
{
	return capture_writer_meta(rec->writer, key, value, size);
}

struct mt_error *recorder_meta(struct recorder *rec, const char *key, const char *value)
{
	return capture_writer_meta(rec->writer, key, value, strlen(value));
}

struct mt_error *recorder_add_features(struct recorder *rec, uint32_t features)
{
	return capture_writer_add_features(rec->writer, features);
}

/* ---- modules ---- */

static struct mt_error *put_module(struct recorder *rec, const struct image *img,
				   uint64_t load_ticks, uint64_t unload_ticks)
{
	struct capture_segment segments[16];
	for (size_t i = 0; i < img->segment_count; i++)
		segments[i] = (struct capture_segment){
			.vaddr = img->segments[i].vaddr, .size = img->segments[i].memsz,
			.file_offset = img->segments[i].offset, .flags = img->segments[i].flags,
		};
	struct capture_module m = {
		.id = img->id, .load_ticks = load_ticks, .unload_ticks = unload_ticks,
		.start = img->start, .end = img->end, .bias = img->bias, .path = img->path,
		.build_id = img->build_id, .build_id_size = img->build_id_size,
		.segments = segments, .segment_count = img->segment_count,
	};
	return capture_writer_module(rec->writer, &m);
}

static struct mt_error *intern_images(struct recorder *rec, const struct images *images)
{
	struct mt_error *err = intern_take_images(&rec->intern, images);
	if (err)
		return err;
	/* What an address meant while its module was not known, or another one, is void. */
	intern_forget_modules(&rec->intern);
	return NULL;
}

struct mt_error *recorder_images(struct recorder *rec, const struct images *images)
{
	for (size_t i = 0; i < images->list.len; i++) {
		const struct image *img = images->list.items[i];
		if (i >= rec->modules.len && !mt_array_push(&rec->modules, (struct module_state){ 0 }))
			return &mt_enomem;
		struct module_state *state = &rec->modules.items[i];
		struct mt_error *err = NULL;
		if (!state->loaded && !img->unloaded) {
			*state = (struct module_state){ true, clock_ticks() };
			err = put_module(rec, img, state->load_ticks, 0);
		} else if (state->loaded && img->unloaded) {
			state->loaded = false;
			err = put_module(rec, img, state->load_ticks, clock_ticks());
		}
		if (err)
			return err;
	}
	jit_names_watch(rec->jit, images);
	return intern_images(rec, images);
}

/* ---- threads ---- */

/* What a thread is called: the kernel says, or, when the thread is gone, itself, at one of its last events,
 * if that is newer than what the kernel said last. */
static void read_name(struct recorder *rec, struct ring_reader *r, char *ret, size_t size)
{
	uint64_t words[2];
	char own[sizeof(r->name)];
	for (int i = 0; i < 2; i++)
		words[i] = atomic_load_explicit(&r->ring->name[i], memory_order_relaxed);
	memcpy(own, words, sizeof(own));	/* before the kernel is asked, which is then newer */
	live_threads_name(&rec->live, r->tid, ret, size);
	if (!ret[0] && memcmp(own, r->name, sizeof(own)))
		snprintf(ret, size, "%.*s", (int)sizeof(own), own);
	memcpy(r->name, own, sizeof(own));
}

static struct mt_error *put_name(struct recorder *rec, struct ring_reader *r)
{
	char name[64];
	read_name(rec, r, name, sizeof(name));
	while (rec->names.len <= r->thread)
		if (!mt_array_push(&rec->names, NULL))
			return &mt_enomem;
	char **last = &rec->names.items[r->thread];
	if (*last && (!name[0] || !strcmp(*last, name)))
		return NULL;
	free(*last);
	*last = strdup(name);
	if (!*last)
		return &mt_enomem;
	return capture_writer_thread(rec->writer, r->thread, r->tid, clock_ticks(), name);
}

static uint32_t rings_used(const struct recorder *rec)
{
	uint32_t high = atomic_load_explicit(&rec->header->ring_high, memory_order_acquire);
	return high < rec->header->ring_count ? high : rec->header->ring_count;
}

static struct mt_error *take_new_owners(struct recorder *rec)
{
	for (uint32_t i = 0; i < rings_used(rec); i++) {
		struct ring_reader *r = &rec->readers[i];
		if (r->owned || atomic_load_explicit(&r->ring->state, memory_order_acquire) !=
					WIRE_RING_OWNED)
			continue;
		ring_reader_start(r, ++rec->thread_next);
		struct mt_error *err = put_name(rec, r);
		if (err)
			return err;
	}
	return NULL;
}

/* A ring whose thread is gone and whose bytes are all read goes to the next thread. */
static struct mt_error *free_dead_owners(struct recorder *rec)
{
	struct mt_error *err = live_threads_read(&rec->live);
	if (err)
		return err;
	for (uint32_t i = 0; i < rings_used(rec); i++) {
		struct ring_reader *r = &rec->readers[i];
		if (!r->owned || live_threads_has(&rec->live, r->tid) || r->has_next ||
		    r->position != atomic_load_explicit(&r->ring->head, memory_order_acquire))
			continue;
		err = put_name(rec, r);
		if (err)
			return err;
		r->owned = false;
		r->ring->generation++;
		atomic_store_explicit(&r->ring->in_hook, 0, memory_order_relaxed);
		atomic_store_explicit(&r->ring->loading, 0, memory_order_relaxed);
		atomic_store_explicit(&r->ring->busy, 0, memory_order_relaxed);
		atomic_store_explicit(&r->ring->state, WIRE_RING_FREE, memory_order_release);
		if (i < atomic_load(&rec->header->ring_hint))
			atomic_store(&rec->header->ring_hint, i);
	}
	return NULL;
}

static struct mt_error *refresh_names(struct recorder *rec)
{
	for (uint32_t i = 0; i < rings_used(rec); i++) {
		struct mt_error *err = rec->readers[i].owned ? put_name(rec, &rec->readers[i]) : NULL;
		if (err)
			return err;
	}
	return NULL;
}

/* ---- what is due from time to time ---- */

static struct mt_error *put_sample(struct recorder *rec)
{
	struct proc_status status;
	struct mt_error *err = proc_status_read(proc_living(tracee_pid(rec->t)), &status);
	if (err && err->code == MT_ERROR_GONE) {
		mt_error_destroy(err);
		return NULL;
	}
	if (err)
		return err;
	struct clock_pair now = clock_pair_now();
	struct capture_sample s = {
		.ticks = now.ticks, .monotonic_ns = now.ns, .realtime_ns = clock_ns(CLOCK_REALTIME),
		.rss = status.rss, .rss_anon = status.rss_anon, .rss_file = status.rss_file,
		.rss_shmem = status.rss_shmem, .swap = status.swap,
	};
	return capture_writer_sample(rec->writer, &s);
}

static bool due(uint64_t *at, uint64_t now, uint64_t interval)
{
	if (now < *at)
		return false;
	*at = now + interval;
	return true;
}

static struct mt_error *flush(struct recorder *rec, bool last)
{
	struct mt_error *err = rec->sink.flush ? rec->sink.flush(rec->writer, last, rec->sink.arg) : NULL;
	return err || last ? err : capture_writer_flush(rec->writer);
}

static struct mt_error *periodic(struct recorder *rec)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t sample_interval = (now - rec->start.ns) / SAMPLES_A_CAPTURE;
	if (sample_interval < SAMPLE_INTERVAL_NS)
		sample_interval = SAMPLE_INTERVAL_NS;
	struct mt_error *err = NULL;
	if (due(&rec->threads_at, now, THREADS_INTERVAL_NS))
		err = free_dead_owners(rec);
	if (!err && due(&rec->names_at, now, NAMES_INTERVAL_NS))
		err = refresh_names(rec);
	if (!err && due(&rec->sample_at, now, sample_interval))
		err = put_sample(rec);
	if (!err && due(&rec->flush_at, now, rec->flush_interval))
		err = flush(rec, false);
	return err;
}

/* ---- draining ---- */

static void wake_waiter(struct ring_reader *r)
{
	atomic_fetch_add(&r->ring->full_wait, 1);
	syscall(SYS_futex, &r->ring->full_wait, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void release_rings(struct recorder *rec)
{
	/* Whoever waits sees by this that we live and drain. */
	atomic_fetch_add_explicit(&rec->header->drained, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < rings_used(rec); i++) {
		struct ring_reader *r = &rec->readers[i];
		uint64_t tail = atomic_load_explicit(&r->ring->tail, memory_order_relaxed);
		if (!r->owned || tail == r->position)
			continue;
		bool was_full = r->limit - tail > r->size / 2;
		ring_reader_release(r);
		if (was_full)
			wake_waiter(r);
	}
}

static struct mt_error *begin_reader(struct recorder *rec, struct ring_reader *r, bool final,
				     uint64_t now)
{
	/* Not busy when looked at: whatever comes later is stamped later than `now`. */
	bool busy = !final && atomic_load_explicit(&r->ring->busy, memory_order_acquire);
	r->limit = atomic_load_explicit(&r->ring->head, memory_order_acquire);
	if (r->limit - r->position > r->size)
		r->damaged = true;	/* the target wrote over the control words */
	if (!r->has_next && !r->damaged) {
		struct mt_error *err = ring_reader_advance(r, &rec->intern, &rec->codes);
		if (err)
			return err;
	}
	if (r->damaged) {
		r->position = r->limit;
		r->has_next = false;
		return NULL;
	}
	merge_add(&rec->merge, r, busy ? 0 : now);
	return NULL;
}

/* Room is given back while draining, not only after it: threads wait for it. False: enough for one
 * turn, whoever calls has other things to look at. */
static bool drain_goes_on(struct recorder *rec, uint64_t deadline)
{
	release_rings(rec);
	return clock_ticks() < deadline;
}

static struct mt_error *give_events(struct recorder *rec)
{
	size_t n = rec->event_count;
	if (!n)
		return NULL;
	rec->event_count = 0;
	return rec->sink.events ? rec->sink.events(rec->events, n, rec->sink.arg) :
				  capture_writer_put_events(rec->writer, rec->events, n);
}

/* One thread's events as long as they come before those of all others. With several threads those
 * runs are short: they are given on many at once. What an event names is in the writer before it. */
static struct mt_error *take_run(struct recorder *rec, struct ring_reader *r, uint64_t until,
				 size_t *count_ret)
{
	struct mt_error *err = ring_reader_take(r, until, &rec->intern, &rec->codes,
						rec->events + rec->event_count,
						RUN_EVENTS - rec->event_count, count_ret);
	rec->event_count += *count_ret;
	if (!err && rec->event_count < RUN_EVENTS)
		return NULL;
	/* Those before an error are whole. */
	struct mt_error *second = give_events(rec);
	if (err)
		mt_error_destroy(second);
	return err ? err : second;
}

static struct mt_error *drain(struct recorder *rec, bool final, uint64_t *events_ret, bool *more_ret)
{
	uint64_t begin = clock_ticks(), now = final ? UINT64_MAX : begin - rec->slack_ticks;
	uint64_t deadline = final ? UINT64_MAX : begin + rec->turn_ticks;
	atomic_thread_fence(memory_order_seq_cst);
	struct mt_error *err = take_new_owners(rec);
	merge_clear(&rec->merge);
	for (uint32_t i = 0; i < rings_used(rec) && !err; i++)
		if (rec->readers[i].owned)
			err = begin_reader(rec, &rec->readers[i], final, now);
	uint64_t events = 0, released = 0;
	struct ring_reader *r;
	while (!err && (r = merge_first(&rec->merge, now))) {
		size_t n;
		err = take_run(rec, r, merge_run(&rec->merge, now), &n);
		events += n;
		merge_again(&rec->merge, r);
		if (events - released < RELEASE_EVENTS)
			continue;
		released = events;
		if (!drain_goes_on(rec, deadline)) {
			*more_ret = true;
			break;
		}
	}
	if (!err)
		err = give_events(rec);
	rec->written += err ? 0 : events;
	release_rings(rec);
	*events_ret = events;
	return err;
}

struct mt_error *recorder_poll(struct recorder *rec, bool *more_ret)
{
	uint64_t events;
	*more_ret = false;
	struct mt_error *err = drain(rec, false, &events, more_ret);
	return err ? err : periodic(rec);
}

void recorder_clock(const struct recorder *rec, uint64_t *ticks_per_second_ret, uint64_t *start_ret)
{
	*ticks_per_second_ret = rec->rate;
	*start_ret = rec->start.ticks;
}

void recorder_divert(struct recorder *rec, const struct recorder_sink *sink)
{
	rec->sink = *sink;
}

void recorder_flush_every(struct recorder *rec, uint64_t ns)
{
	rec->flush_interval = ns;
}

void recorder_sleep(struct recorder *rec, int ms)
{
	struct wire_header *h = rec->header;
	uint32_t seen = atomic_load(&h->wake);
	atomic_store(&h->asleep, 1);
	if (atomic_load(&h->wake) == seen) {
		struct timespec ts = { ms / 1000, (ms % 1000) * 1000000l };
		syscall(SYS_futex, &h->wake, FUTEX_WAIT, seen, &ts, NULL, 0);
	}
	atomic_store(&h->asleep, 0);
}

/* ---- end ---- */

void recorder_counts(const struct recorder *rec, struct recorder_counts *ret)
{
	struct recorder_counts c = { .written = rec->written, .threads = rec->thread_next };
	c.unringed = atomic_load(&rec->header->unringed);
	c.late_loads = atomic_load(&rec->header->loads_in_vain);
	for (uint32_t i = 0; i < rings_used(rec); i++) {
		struct wire_ring *ring = rec->readers[i].ring;
		c.produced += atomic_load(&ring->produced);
		c.dropped += atomic_load(&ring->dropped);
		c.nested += atomic_load(&ring->nested);
		c.waits += atomic_load(&ring->waits);
		c.wait_ticks += atomic_load(&ring->wait_ticks);
		c.damaged_rings += rec->readers[i].damaged;
	}
	uint64_t rate = clock_rate(rec->start, clock_pair_now());
	c.wait_ns = rate ? (uint64_t)((double)c.wait_ticks * 1e9 / (double)rate) : 0;
	c.produced += c.unringed;
	c.dropped += c.unringed;
	*ret = c;
}

const char *recorder_note(const struct recorder *rec)
{
	return jit_names_note(rec->jit);
}

uint64_t recorder_file_bytes(const struct recorder *rec)
{
	return capture_writer_bytes(rec->writer);
}

const char *recorder_file_path(const struct recorder *rec)
{
	return capture_writer_path(rec->writer);
}

static struct mt_error *put_counters(struct recorder *rec)
{
	struct recorder_counts c;
	recorder_counts(rec, &c);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ CAPTURE_COUNTER_PRODUCED, c.produced }, { CAPTURE_COUNTER_WRITTEN, c.written },
		{ CAPTURE_COUNTER_DROPPED, c.dropped }, { CAPTURE_COUNTER_NESTED, c.nested },
		{ CAPTURE_COUNTER_WAITS, c.waits }, { CAPTURE_COUNTER_WAIT_TICKS, c.wait_ticks },
		{ CAPTURE_COUNTER_LATE_LOADS, c.late_loads },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mt_error *err = capture_writer_counter(rec->writer, rows[i].name, rows[i].value);
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *put_end(struct recorder *rec, const char *reason)
{
	char text[32];
	uint64_t rate = clock_rate(rec->start, clock_pair_now());
	snprintf(text, sizeof(text), "%llu", (unsigned long long)rate);
	struct mt_error *err = rate ? recorder_meta(rec, CAPTURE_META_TSC_HZ, text) : NULL;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)clock_ns(CLOCK_REALTIME));
	if (!err)
		err = recorder_meta(rec, CAPTURE_META_END, text);
	if (!err)
		err = recorder_meta(rec, CAPTURE_META_END_REASON, reason);
	return err;
}

struct mt_error *recorder_finish(struct recorder *rec, const char *reason)
{
	uint64_t events;
	bool more;
	struct mt_error *err = drain(rec, true, &events, &more);
	if (!err)
		err = refresh_names(rec);
	if (!err)
		err = jit_names_put(rec->jit, rec->intern.homeless.items, rec->intern.homeless.len,
				    rec->writer);
	if (!err)
		err = put_sample(rec);
	if (!err)
		err = put_end(rec, reason);
	if (!err)
		err = flush(rec, true);
	if (!err)
		err = put_counters(rec);
	return err ? err : capture_writer_finish(rec->writer);
}
