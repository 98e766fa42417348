/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/session.c - one capture of one process, shared by attach and run.
 * Knows: the order of the rooms, messages. Does not know: how each room works.
 * Called by cmds/attach.c and cmds/run.c; calls attach/, inject/, record/. */
#include "cmds/session.h"

#include "attach/proc.h"
#include "base/text.h"
#include "cmds/metadata.h"
#include "cmds/signals.h"
#include "inject/removal.h"
#include "record/clock.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REFRESH_INTERVAL_NS 1000000000u
#define REMOVAL_DEADLINE_MS 5000
#define COOPERATING_DEADLINE_MS 1000	/* somebody waits, and what never sleeps will not soon */
#define LOCK_STEP_MS 50
#define LOCK_DEADLINE_MS 10000

static int removal_deadline(const struct session *s)
{
	return s->options->cooperation ? COOPERATING_DEADLINE_MS : REMOVAL_DEADLINE_MS;
}

/* ---- opening ---- */

static struct mt_error *choose_path(struct session *s)
{
	int n;
	if (s->options->output) {
		n = asprintf(&s->path, "%s", s->options->output);
	} else {
		char name[sizeof(s->comm)];
		strcpy(name, s->comm);
		for (char *c = name; *c; c++)	/* a name is the target's to choose */
			if (*c == '/' || (unsigned char)*c < ' ')
				*c = '_';
		n = asprintf(&s->path, "memtrace-%s.%d.bin", name, s->pid);
	}
	return n < 0 ? &mt_enomem : NULL;
}

#define NAME_TRIES 1000

/* A file that is there is another child's, of the same number, or its own of before it executed another
 * program. */
static struct mt_error *create_child_file(struct session *s)
{
	struct mt_error *err = NULL;
	for (int i = 1; i < NAME_TRIES; i++) {
		char more[16] = "";
		if (i > 1)
			snprintf(more, sizeof(more), ".%d", i);
		free(s->path);
		if (asprintf(&s->path, "%s.%d%s", s->options->follows, s->pid, more) < 0) {
			s->path = NULL;
			return &mt_enomem;
		}
		mt_error_destroy(err);
		err = capture_writer_create(s->path, false, s->features, &s->writer);
		if (!err || access(s->path, F_OK))
			break;
	}
	return err;
}

/* Two memtraces in one process would each find the other's half of a tracer. Waits for one that
 * attaches or detaches; what one that captures does is for its user to end. */
static struct mt_error *lock_out_others(struct session *s, struct residue *ret)
{
	for (int waited = 0;; waited += LOCK_STEP_MS) {
		auto_error struct mt_error *busy = tracee_lock(s->t, LOCK_STEP_MS);
		if (busy && busy->code != MT_ERROR_BUSY)
			return take_ptr(&busy);
		struct mt_error *err = residue_read(s->t, ret);
		if (err)
			return err;
		if (ret->controller_alive)
			return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
					"process %d is being captured by memtrace, process %d", s->pid,
					ret->controller_pid),
				"`memtrace detach %d` ends that capture", s->pid);
		if (!busy)
			return NULL;
		if (waited >= LOCK_DEADLINE_MS)
			return take_ptr(&busy);
	}
}

static struct mt_error *refuse_second_capture(struct session *s)
{
	struct residue r;
	struct mt_error *err = lock_out_others(s, &r);
	if (err || residue_clean(&r))
		return err;
	if (!s->options->quiet)
		cmd_note("removing what a killed memtrace left in process %d", s->pid);
	enum removal_result result;
	auto_free char *why = NULL;
	err = removal_run(s->t, removal_deadline(s), &result, &why);
	if (!err && result != REMOVAL_DONE)
		err = mt_error_hint(mt_error_create(MT_ERROR_BUSY,
				"what an earlier capture left in process %d cannot be removed now: %s",
				s->pid, why),
			"try again in a moment");
	return err;
}

/* What `run` starts may become an interpreter only later: a wrapper script, a shim. */
static struct mt_error *check_python_allocators(struct session *s)
{
	const struct python *py = &s->injection->python;
	if (!s->options->python_allocators || py->allocators.table[0])
		return NULL;
	if (py->present)
		return mt_error_create(MT_ERROR_REFUSED, "process %d: the allocator tables of its Python cannot be "
				       "found: --trace-python-allocators cannot work", s->pid);
	if (s->options->follows || !strcmp(s->options->mode, "run"))
		return NULL;
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED, "process %d runs no Python", s->pid),
			     "leave --trace-python-allocators out: all that it allocates is recorded");
}

static uint32_t python_features(const struct session *s)
{
	const struct python *py = &s->injection->python;
	return (py->known ? CAPTURE_FEATURE_PYTHON : 0) |
	       (py->allocators.table[0] ? CAPTURE_FEATURE_PYMALLOC : 0);
}

static struct mt_error *open_steps(struct session *s, bool overwrite)
{
	struct proc_status status;
	const struct cooperation *with = s->options->cooperation;
	struct mt_error *err = with ? tracee_open_cooperating(s->pid, with, &s->t) :
				      tracee_open(s->pid, &s->t);
	if (!err)
		err = proc_status_read(s->pid, &status);
	if (err)
		return err;
	strcpy(s->comm, status.comm);
	err = s->options->in_memory || s->options->follows ? NULL : choose_path(s);
	if (!err)
		err = refuse_second_capture(s);
	if (!err)
		err = injection_prepare(s->t, &(struct inject_options){ .no_native = s->options->no_native,
									  .drop = s->options->drop,
									  .sample_rate = s->options->sample_rate,
									  .follow_fork = s->options->follow_fork,
									  .python_allocators = s->options->python_allocators },
					&s->injection);
	if (!err)
		err = check_python_allocators(s);
	if (!err && s->options->follow_fork && s->injection->filtered)
		err = mt_error_create(MT_ERROR_REFUSED, "process %d has a seccomp filter: its children "
				      "cannot be followed", s->pid);
	if (!err && s->options->signals_end && signals_end_asked())
		err = mt_error_create(MT_ERROR_INTERRUPTED, "interrupted before the capture began");
	s->features = (s->options->no_native ? 0 : CAPTURE_FEATURE_NATIVE) |
		      (s->options->sample_rate ? CAPTURE_FEATURE_SAMPLED : 0) |
		      (s->options->aggregate ? CAPTURE_FEATURE_AGGREGATED : 0) |
		      (err ? 0 : python_features(s));
	/* The file comes last: a refused target leaves none behind. */
	if (!err && s->options->in_memory)
		err = capture_writer_create_in_memory(s->features, &s->memory_fd, &s->writer);
	else if (!err && s->options->follows)
		err = create_child_file(s);
	else if (!err)
		err = capture_writer_create(s->path, s->options->force || overwrite, s->features, &s->writer);
	return err;
}

/* Tables of the target's files come and go, a megabyte at a time. Given back to the kernel each time, as
 * malloc does, their pages would have to be faulted in anew, which takes longer than to read them. */
#define KEEP_BLOCKS (32 << 20)
#define KEEP_TOP (64 << 20)

struct mt_error *session_open(struct session *s, pid_t pid, const struct session_options *options,
			      bool overwrite)
{
	mallopt(M_MMAP_THRESHOLD, KEEP_BLOCKS);
	mallopt(M_TRIM_THRESHOLD, KEEP_TOP);
	*s = (struct session){ .options = options, .pid = pid, .memory_fd = -1,
			       .opened = clock_pair_now() };
	struct mt_error *err = open_steps(s, overwrite);
	if (err)
		session_drop(s, false);
	return err;
}

void session_drop(struct session *s, bool unlink_file)
{
	recorder_destroy(s->recorder);
	aggregate_destroy(s->aggregate);
	capture_writer_destroy(s->writer);
	injection_destroy(s->injection);
	tracee_close(s->t);
	if (unlink_file && s->path)
		unlink(s->path);
	free(s->path);
	free(s->left);
	mt_error_destroy(s->error);
	if (s->options && s->options->in_memory)
		mt_cleanup_close(&s->memory_fd);
	*s = (struct session){ 0 };
}

/* ---- is the target still what it was? ---- */

/* The memory that both share is gone from the target when it executed another program, and when it
 * is about to end; then it has no memory at all. */
static enum session_end how_gone(struct session *s)
{
	uint64_t magic = 0;
	const struct wire_header *h = s->injection->channel.header;
	if (!tracee_alive(s->t))
		return SESSION_EXIT;
	if (!h)			/* not shared yet */
		return SESSION_GOES_ON;
	if (tracee_read_some(s->t, h->base, &magic, sizeof(magic)) == sizeof(magic) &&
	    magic == WIRE_MAGIC)
		return SESSION_GOES_ON;
	struct proc_maps maps = { 0 };
	auto_error struct mt_error *err = proc_maps_read(s->pid, &maps);
	bool ends = err || !maps.maps.len;
	proc_maps_deinit(&maps);
	return ends ? SESSION_EXIT : SESSION_EXEC;
}

/* ---- taking the tracer out ---- */

#define CALLS_END_MS 300
#define REMOVAL_TRIES 4
#define REMOVAL_PAUSE_NS 20000000l

/* Once more after an error: what failed may have been of that moment (memory, descriptors, a thread
 * that ended), and what is not taken out now stays in the target. */
static struct mt_error *remove_patiently(struct session *s, enum removal_result *ret, char **why_ret)
{
	struct mt_error *err = NULL;
	for (int i = 0; i < REMOVAL_TRIES; i++) {
		mt_error_destroy(err);
		err = removal_run(s->t, removal_deadline(s), ret, why_ret);
		if (!err || how_gone(s) != SESSION_GOES_ON || proc_dumps_core(s->pid))
			break;
		nanosleep(&(struct timespec){ 0, REMOVAL_PAUSE_NS }, NULL);	/* an exec in progress ends */
	}
	return err;
}

static void take_out(struct session *s, int *exit_code)
{
	enum removal_result result = REMOVAL_DISARMED;
	auto_free char *why = NULL;
	auto_error struct mt_error *err = remove_patiently(s, &result, &why);
	if (!err && result == REMOVAL_DONE)
		return;
	enum session_end gone = how_gone(s);
	if (gone == SESSION_GOES_ON && proc_dumps_core(s->pid))
		gone = SESSION_EXIT;
	if (gone != SESSION_GOES_ON) {
		s->end = gone;
		return;
	}
	*exit_code = EXIT_PRESENT;
	free(s->left);
	s->left = strdup(err ? err->message : why);
}

static void tell_left(const struct session *s)
{
	if (!s->left)
		return;
	cmd_note("the tracer is disarmed but still in process %d: %s", s->pid, s->left);
	if (s->options->cooperation)
		fprintf(stderr, "hint: the next capture of that program removes it\n");
	else
		fprintf(stderr, "hint: `memtrace detach %d` removes it later\n", s->pid);
}

/* A thread given up in the middle of a system call still makes what it was to make. Stopped once
 * more and let go, it has, and is seen. */
static void let_calls_end(struct session *s)
{
	mt_error_destroy(tracee_stop_all(s->t, CALLS_END_MS));
	tracee_release_all(s->t);
}

/* Also where the thread that was to load it is lost, and what it did is still in the target. */
void session_abort(struct session *s)
{
	int unused;
	if (s->injection && s->injection->channel.header)
		atomic_store(&s->injection->channel.header->mode, 0);
	if (s->injection) {
		let_calls_end(s);
		take_out(s, &unused);
		tell_left(s);
	}
	session_drop(s, true);
}

/* ---- arming ---- */

static void tell_python(const struct session *s)
{
	const struct python *py = &s->injection->python;
	if (!py->present || py->known)
		return;
	if (py->version)
		cmd_note("Python %u.%u: %s: native stacks only", py->version >> 8, py->version & 0xff,
			 py->why_unknown);
	else
		cmd_note("Python: %s: native stacks only", py->why_unknown);
}

static struct mt_error *flush_sums(struct capture_writer *writer, bool last, void *aggregate)
{
	return aggregate_write(aggregate, writer, last);
}

static struct mt_error *begin_sums(struct session *s)
{
	struct views_source source = { .sample_rate = s->options->sample_rate,
				       .page_size = (uint64_t)sysconf(_SC_PAGESIZE) };
	recorder_clock(s->recorder, &source.ticks_per_second, &source.start_ticks);
	struct mt_error *err = aggregate_create(&source, &s->aggregate);
	if (!err)
		recorder_divert(s->recorder, &(struct recorder_sink){ aggregate_take, flush_sums, s->aggregate });
	return err;
}

/* From now on what the tracer writes is read. */
static struct mt_error *begin_recording(struct session *s)
{
	struct mt_error *err =
		recorder_create(s->t, s->injection->channel.header, s->writer, s->opened, &s->recorder);
	if (err)
		return err;
	s->writer = NULL;
	if (s->options->flush_ns)
		recorder_flush_every(s->recorder, s->options->flush_ns);
	if (s->options->aggregate)
		err = begin_sums(s);
	if (!err)
		err = metadata_put(s);
	s->knows_python = s->injection->python.present;
	return err ? err : recorder_images(s->recorder, &s->injection->images);
}

/* Arming comes last: from then on the target may end at any moment, and what it did is kept. */
struct mt_error *session_arm(struct session *s)
{
	struct mt_error *err = begin_recording(s);
	if (!err)
		err = injection_arm(s->injection);
	if (err)
		return err;
	s->armed_ns = clock_ns(CLOCK_MONOTONIC);
	if (s->options->quiet)
		return NULL;
	tell_python(s);
	if (s->injection->slots_refused)
		cmd_note("%u calls of further allocators are not recorded", s->injection->slots_refused);
	return NULL;
}

/* ---- forked children ---- */

struct mt_error *session_adopt(struct session *s, struct session *root, pid_t pid,
			       const struct session_options *options, int fd, uint64_t base)
{
	*s = (struct session){ .options = options, .pid = pid, .injection = root->injection,
			       .memory_fd = -1, .opened = root->opened, .features = root->features };
	strcpy(s->comm, root->comm);
	s->injection->family = NULL;	/* the page is the caller's */
	root->injection = NULL;
	struct mt_error *err = tracee_open(pid, &s->t);
	if (!err)
		err = tracee_lock(s->t, 0);
	if (!err)
		err = injection_adopt(s->injection, s->t, fd, base);
	tracee_close(root->t);		/* our copy of its descriptors, with the lock among them */
	root->t = NULL;
	if (!err)
		err = create_child_file(s);
	if (!err)
		err = begin_recording(s);
	s->armed_ns = clock_ns(CLOCK_MONOTONIC);
	if (err) {
		if (s->injection->armed)
			atomic_store(&s->injection->channel.header->mode, 0);
		session_drop(s, s->writer || s->recorder);
	}
	return err;
}

/* ---- the loop ---- */

static enum session_end why_end(struct session *s, uint64_t now)
{
	if (s->options->signals_end && signals_end_asked())
		return SESSION_INTERRUPT;
	if (s->options->duration_ns && now - s->armed_ns >= s->options->duration_ns)
		return SESSION_DURATION;
	if (atomic_load(&s->injection->channel.header->stop_request))
		return SESSION_DETACH;
	return how_gone(s);
}

/* An interpreter came with a library. */
static struct mt_error *note_python(struct session *s)
{
	s->knows_python = true;
	s->features |= python_features(s);	/* of the files of children, too */
	if (!s->options->quiet)
		tell_python(s);
	struct mt_error *err = recorder_add_features(s->recorder, s->features);
	return err ? err : metadata_put_python(s);
}

static struct mt_error *turn_steps(struct session *s, uint64_t now, bool *more)
{
	bool changed = false, force = now - s->refresh_ns >= REFRESH_INTERVAL_NS;
	/* Events first: what they mean, they mean by the modules of before. */
	struct mt_error *err = recorder_poll(s->recorder, more);
	if (err)
		return err;
	if (force)
		s->refresh_ns = now;
	err = injection_refresh(s->injection, force, &changed);
	/* A target that goes away in this moment is seen at the next turn. */
	if (err && err->code != MT_ERROR_NOMEM) {
		mt_error_destroy(err);
		err = NULL;
	}
	if (!err && changed)
		err = recorder_images(s->recorder, &s->injection->images);
	if (!err && s->injection->python.present && !s->knows_python)
		err = note_python(s);
	return err;
}

void session_turn(struct session *s, int ms)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool more = false;
	s->end = why_end(s, now);
	if (s->end != SESSION_GOES_ON)
		return;
	s->error = turn_steps(s, now, &more);
	if (s->error) {
		s->end = SESSION_ERROR;
		return;
	}
	if (more)
		return;
	if (s->options->duration_ns) {
		uint64_t left = s->armed_ns + s->options->duration_ns - now;
		if (left < (uint64_t)ms * 1000000u)
			ms = (int)(left / 1000000u) + 1;
	}
	recorder_sleep(s->recorder, ms);
}

/* ---- closing ---- */

static const char *const end_reasons[] = {
	[SESSION_GOES_ON] = "unknown", [SESSION_DURATION] = "duration",
	[SESSION_INTERRUPT] = "interrupt", [SESSION_DETACH] = "detach", [SESSION_EXIT] = "exit",
	[SESSION_EXEC] = "exec", [SESSION_ERROR] = "error",
};

/* So that the next command can be pasted whatever the name is. NULL: out of memory. */
static char *quote_for_shell(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+:@%,=-";
	struct mt_buf out = MT_BUF_INIT;
	if (*path && *path != '-' && !path[strspn(path, plain)])
		return strdup(path);
	mt_buf_put_str(&out, *path == '-' ? "./'" : "'");
	for (const char *c = path; *c; c++)
		if (*c == '\'')
			mt_buf_put_str(&out, "'\\''");
		else
			mt_buf_put_char(&out, *c);
	mt_buf_put_char(&out, '\'');
	return mt_buf_take_str(&out);
}

static void print_closing(struct session *s, const struct recorder_counts *c, uint64_t ns)
{
	char events[MT_TEXT_MAX], bytes[MT_TEXT_MAX];
	const char *path = recorder_file_path(s->recorder);
	mt_text_count(events, c->written);
	mt_text_size(bytes, recorder_file_bytes(s->recorder));
	if (s->path)
		fprintf(stderr, "memtrace: %s: %s events in %.1f s, %s (%s)\n", path, events,
			(double)ns / 1e9, bytes, end_reasons[s->end]);
	else
		fprintf(stderr, "memtrace: %s events in %.1f s (%s)\n", events, (double)ns / 1e9,
			end_reasons[s->end]);
	char waited[MT_TEXT_MAX];
	if (c->waits)
		cmd_note("threads of the process waited %s in all for memtrace to keep up, %s times",
			 mt_text_duration(waited, c->wait_ns), mt_text_count(events, c->waits));
	auto_free char *quoted = s->path && !s->options->follows ? quote_for_shell(path) : NULL;
	if (quoted)
		fprintf(stderr, "next: memtrace symbolize %s && memtrace flamegraph %s\n", quoted, quoted);
}

static void print_holds(const struct session *s)
{
	struct tracee_holds holds;
	char longest[MT_TEXT_MAX];
	tracee_holds(s->t, &holds);
	cmd_note("threads of the process were stopped %lu times, the longest held for %s", holds.stops,
		 mt_text_duration(longest, holds.longest_us * 1000));
}

static void warn_lost(const struct recorder_counts *c)
{
	uint64_t lost = c->produced > c->written ? c->produced - c->written : 0;
	if (lost)
		cmd_note("%llu of %llu events were not recorded: numbers in reports are too low",
			 (unsigned long long)lost, (unsigned long long)c->produced);
	if (c->late_loads)
		cmd_note("memtrace was too slow for %llu libraries that were loaded: what they allocated first is "
			 "missing", (unsigned long long)c->late_loads);
}

void session_finish(struct session *s, int *exit_code_ret)
{
	s->ended_ns = clock_ns(CLOCK_MONOTONIC);
	atomic_store(&s->injection->channel.header->mode, 0);
	if (s->end != SESSION_EXIT && s->end != SESSION_EXEC)
		take_out(s, exit_code_ret);
	else
		tracee_unlock(s->t);	/* whoever records the next program need not wait */
	if (!s->error)
		s->error = recorder_finish(s->recorder, end_reasons[s->end]);
}

struct mt_error *session_tell(struct session *s)
{
	struct mt_error *err = take_ptr(&s->error);
	struct recorder_counts counts;
	recorder_counts(s->recorder, &counts);
	tell_left(s);
	if (!err) {
		if (!s->options->quiet)
			print_closing(s, &counts, s->ended_ns - s->armed_ns);
		if (s->options->verbose)
			print_holds(s);
		warn_lost(&counts);
		if (recorder_note(s->recorder))
			cmd_note("%s", recorder_note(s->recorder));
		return NULL;
	}
	err = mt_error_prefix(err, "the capture ended early");
	if (!err->hint && s->path)
		err = mt_error_hint(err, "'%s' is readable up to there",
				    recorder_file_path(s->recorder));
	return err;
}

struct mt_error *session_close(struct session *s, int *exit_code_ret)
{
	session_finish(s, exit_code_ret);
	return session_tell(s);
}

const char *session_end_text(enum session_end end)
{
	static const char *const texts[] = {
		[SESSION_DURATION] = "the time is over", [SESSION_INTERRUPT] = "interrupted",
		[SESSION_DETACH] = "detached by another memtrace", [SESSION_EXIT] = "process ended",
		[SESSION_EXEC] = "process became another program", [SESSION_ERROR] = "failed",
	};
	return texts[end];
}
