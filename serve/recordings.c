/* SPDX-License-Identifier: Apache-2.0 */
/* serve/recordings.c - captures that were started through the server.
 * Knows: whom we may record, the state of each. Does not know: HTTP, how one records.
 * Called by serve/; calls attach/proc.h and serve/worker.h. */
#include "serve/recordings.h"

#include "attach/proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define LOOK_NS 400000000ull	/* not more often, however busy the server is */
#define SAID_RECORDING "recording process "

struct recordings {
	struct recordings_options options;
	unsigned last_id;
	struct recording *first;
};

static const char *const state_names[] = {
	[RECORDING_STARTING] = "starting", [RECORDING_RUNNING] = "recording",
	[RECORDING_STOPPING] = "stopping", [RECORDING_NAMING] = "naming",
	[RECORDING_DONE] = "done", [RECORDING_FAILED] = "failed",
};

struct mt_error *recordings_create(const struct recordings_options *options, struct recordings **ret)
{
	struct recordings *r = calloc(1, sizeof(*r));
	if (!r)
		return &mt_enomem;
	r->options = *options;
	*ret = r;
	return NULL;
}

static void recording_destroy(struct recording *rec)
{
	/* One that runs is not killed: it has been asked to end and does so. */
	rec->worker.pid = 0;
	worker_deinit(&rec->worker);
	free(rec);
}

bool recordings_any_running(const struct recordings *r)
{
	for (const struct recording *p = r->first; p; p = p->next)
		if (!recording_is_over(p))
			return true;
	return false;
}

void recordings_destroy(struct recordings *r, int ms)
{
	if (!r)
		return;
	for (struct recording *p = r->first; p; p = p->next)
		if (!recording_is_over(p))
			worker_signal(&p->worker, SIGTERM);
	for (; ms > 0 && recordings_any_running(r); ms -= 20) {
		int status;
		for (struct recording *p = r->first; p; p = p->next)
			if (!recording_is_over(p) && worker_ended(&p->worker, &status))
				p->state = RECORDING_DONE;
		poll(NULL, 0, 20);
	}
	while (r->first) {
		struct recording *rec = r->first;
		r->first = rec->next;
		recording_destroy(rec);
	}
	free(r);
}

static size_t count_running(const struct recordings *r)
{
	size_t n = 0;
	for (const struct recording *p = r->first; p; p = p->next)
		n += !recording_is_over(p);
	return n;
}

static struct mt_error *check(const struct recordings *r, const struct recording_wish *wish,
			      struct proc_status *ret)
{
	if (!wish->seconds || wish->seconds > r->options.max_seconds)
		return mt_error_create(MT_ERROR_USAGE, "a capture lasts 1 to %llu seconds here",
				       (unsigned long long)r->options.max_seconds);
	if (wish->pid == getpid())
		return mt_error_create(MT_ERROR_REFUSED, "the server does not record itself");
	if (count_running(r) >= RECORDINGS_RUNNING)
		return mt_error_create(MT_ERROR_BUSY, "%u captures are being made; no more at a time",
				       RECORDINGS_RUNNING);
	struct mt_error *err = proc_status_read(wish->pid, ret);
	if (!err && ret->kernel_thread)
		err = mt_error_create(MT_ERROR_REFUSED, "process %d is a kernel thread", wish->pid);
	if (!err && geteuid() && (ret->uid != geteuid() || ret->euid != geteuid()))
		err = mt_error_create(MT_ERROR_REFUSED, "process %d belongs to another user",
				      wish->pid);
	return err;
}

/* memtrace-NAME.PID-20260131T120000.bin; the name as in file names of ours. */
static void name_file(struct recording *rec)
{
	char comm[sizeof(rec->comm)], when[32];
	time_t now = time(NULL);
	struct tm tm;
	snprintf(comm, sizeof(comm), "%s", rec->comm);
	for (char *c = comm; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._+-", *c))
			*c = '_';
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
	snprintf(rec->file, sizeof(rec->file), "memtrace-%s.%d-%s.%u.bin", comm, rec->wish.pid, when,
		 rec->id);
}

static struct mt_error *start_attach(struct recordings *r, struct recording *rec)
{
	const char *argv[16];
	char pid[16], duration[32], sample[32];
	size_t n = 0;
	snprintf(pid, sizeof(pid), "%d", rec->wish.pid);
	snprintf(duration, sizeof(duration), "%llus", (unsigned long long)rec->wish.seconds);
	snprintf(sample, sizeof(sample), "%llu", (unsigned long long)rec->wish.sample);
	argv[n++] = "attach";
	argv[n++] = "--duration";
	argv[n++] = duration;
	argv[n++] = "-o";
	argv[n++] = rec->file;
	if (rec->wish.sample) {
		argv[n++] = "--sample";
		argv[n++] = sample;
	}
	if (rec->wish.no_native)
		argv[n++] = "--no-native";
	if (rec->wish.python_allocators)
		argv[n++] = "--trace-python-allocators";
	if (rec->wish.aggregate)
		argv[n++] = "--aggregate";
	argv[n++] = pid;
	argv[n] = NULL;
	const struct worker_spec spec = {
		.argv = argv, .folder = r->options.folder, .files = { -1, -1 },
		.death_signal = SIGTERM,
	};
	return worker_start(&spec, &rec->worker);
}

static void forget_oldest(struct recordings *r)
{
	struct recording **last = NULL;
	size_t n = 0;
	for (struct recording **at = &r->first; *at; at = &(*at)->next, n++)
		if (recording_is_over(*at))
			last = at;
	if (n <= RECORDINGS_KEPT || !last)
		return;
	struct recording *rec = *last;
	*last = rec->next;
	recording_destroy(rec);
}

struct mt_error *recordings_start(struct recordings *r, const struct recording_wish *wish,
				  uint64_t now, struct recording **ret)
{
	struct proc_status status;
	struct mt_error *err = check(r, wish, &status);
	if (err)
		return err;
	auto_free struct recording *rec = calloc(1, sizeof(*rec));
	if (!rec)
		return &mt_enomem;
	rec->id = ++r->last_id;
	rec->wish = *wish;
	rec->worker = WORKER_NONE;
	rec->begun_ns = now;
	snprintf(rec->comm, sizeof(rec->comm), "%s", status.comm);
	name_file(rec);
	err = start_attach(r, rec);
	if (err)
		return err;
	rec->next = r->first;
	*ret = r->first = take_ptr(&rec);
	forget_oldest(r);
	return NULL;
}

void recording_stop(struct recording *rec)
{
	if (rec->state > RECORDING_RUNNING)
		return;
	worker_signal(&rec->worker, SIGINT);
	rec->state = RECORDING_STOPPING;
	rec->version++;
}

struct recording *recordings_find(const struct recordings *r, unsigned id)
{
	struct recording *p = r->first;
	while (p && p->id != id)
		p = p->next;
	return p;
}

const struct recording *recordings_first(const struct recordings *r)
{
	return r->first;
}

static void finish(struct recording *rec, enum recording_state state, uint64_t now)
{
	rec->state = state;
	if (!rec->ended_ns)
		rec->ended_ns = now;
}

/* What it said stays; the second command's words are added only when it failed. */
static void start_naming(struct recordings *r, struct recording *rec, uint64_t now)
{
	const char *const argv[] = { "symbolize", rec->file, NULL };
	const struct worker_spec spec = {
		.argv = argv, .folder = r->options.folder, .files = { -1, -1 },
		.death_signal = SIGTERM,
	};
	worker_deinit(&rec->worker);
	auto_error struct mt_error *err = worker_start(&spec, &rec->worker);
	rec->state = RECORDING_NAMING;
	rec->ended_ns = now;
	if (err)
		finish(rec, RECORDING_DONE, now);	/* reports name what they can */
}

static void child_is_over(struct recordings *r, struct recording *rec, int status, uint64_t now)
{
	bool good = WIFEXITED(status) && !WEXITSTATUS(status);
	if (rec->state == RECORDING_NAMING) {
		if (!good)
			worker_messages(&rec->worker, rec->text, sizeof(rec->text));
		finish(rec, RECORDING_DONE, now);
		return;
	}
	worker_messages(&rec->worker, rec->text, sizeof(rec->text));
	if (WIFSIGNALED(status))
		snprintf(rec->text, sizeof(rec->text), "the command ended by signal %d",
			 WTERMSIG(status));
	if (good)
		start_naming(r, rec, now);
	else
		finish(rec, RECORDING_FAILED, now);
}

static void look(struct recordings *r, struct recording *rec, uint64_t now)
{
	int status;
	struct stat st;
	struct proc_status process;
	bool ended = worker_ended(&rec->worker, &status);
	if (!ended && now - rec->looked_ns < LOOK_NS)
		return;
	rec->looked_ns = now;
	rec->version++;
	if (ended) {
		child_is_over(r, rec, status, now);
	} else if (rec->state < RECORDING_NAMING) {
		worker_messages(&rec->worker, rec->text, sizeof(rec->text));
		if (!rec->armed_ns && strstr(rec->text, SAID_RECORDING)) {
			rec->armed_ns = now;
			if (rec->state == RECORDING_STARTING)
				rec->state = RECORDING_RUNNING;
		}
		auto_error struct mt_error *err = proc_status_read(rec->wish.pid, &process);
		if (!err)
			rec->rss = process.rss;
	}
	if (!fstatat(r->options.folder, rec->file, &st, AT_SYMLINK_NOFOLLOW))
		rec->bytes = (uint64_t)st.st_size;
	/* Not by a limit of the kernel's, which would hold for the shared memory with the target too. */
	if (rec->bytes > r->options.max_bytes)
		recording_stop(rec);
}

void recordings_turn(struct recordings *r, uint64_t now)
{
	for (struct recording *p = r->first; p; p = p->next)
		if (!recording_is_over(p))
			look(r, p, now);
}

size_t recordings_fds(const struct recordings *r, int *ret, size_t max)
{
	size_t n = 0;
	for (const struct recording *p = r->first; p && n < max; p = p->next)
		if (p->worker.pid)
			ret[n++] = p->worker.pidfd;
	return n;
}

void recording_json(const struct recording *rec, uint64_t now, struct mt_json *j, const char *key)
{
	uint64_t end = rec->ended_ns ? rec->ended_ns : now;
	mt_json_open(j, key, '{');
	mt_json_u64(j, "id", rec->id);
	mt_json_str(j, "state", state_names[rec->state]);
	mt_json_u64(j, "pid", (uint64_t)rec->wish.pid);
	mt_json_str(j, "name", rec->comm);
	mt_json_str(j, "file", rec->file);
	mt_json_u64(j, "seconds", rec->wish.seconds);
	mt_json_double(j, "elapsed", rec->armed_ns ? (double)(end - rec->armed_ns) / 1e9 : 0);
	mt_json_u64(j, "bytes", rec->bytes);
	mt_json_u64(j, "rss", rec->rss);
	mt_json_str(j, "text", rec->text);
	mt_json_close(j);
}
