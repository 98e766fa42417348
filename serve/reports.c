/* SPDX-License-Identifier: Apache-2.0 */
/* serve/reports.c - reports made by children, a few at a time, and kept for a while.
 * Knows: children, their time, memory for what is kept. Does not know: HTTP, what a report is.
 * Called by serve/; calls serve/worker.h. */
#include "serve/reports.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RUNNING_MAX 2u
#define QUEUED_MAX 64u
#define KEPT_MAX 64u
#define KEPT_BYTES (256ull << 20)
#define OUTPUT_BYTES (1ull << 30)	/* of one report */

struct reports {
	struct reports_options options;
	struct served_report *first;	/* newest last */
};

struct mt_error *reports_create(const struct reports_options *options, struct reports **ret)
{
	struct reports *r = calloc(1, sizeof(*r));
	if (!r)
		return &mt_enomem;
	r->options = *options;
	*ret = r;
	return NULL;
}

static void report_destroy(struct served_report *report)
{
	worker_deinit(&report->worker);
	for (size_t i = 0; i < WORKER_FILES; i++)
		mt_cleanup_close(&report->wish.files[i]);
	free(report);
}

void reports_destroy(struct reports *r)
{
	while (r && r->first) {
		struct served_report *report = r->first;
		r->first = report->next;
		report_destroy(report);
	}
	free(r);
}

static void unlink_report(struct served_report *report)
{
	struct served_report **at = &report->owner->first;
	while (*at != report)
		at = &(*at)->next;
	*at = report->next;
	report_destroy(report);
}

/* Lets the reports go that were not asked for longest, until the rest has room. */
static void trim(struct reports *r)
{
	for (;;) {
		struct served_report *oldest = NULL;
		uint64_t bytes = 0;
		size_t count = 0;
		for (struct served_report *p = r->first; p; p = p->next) {
			if (!p->kept)
				continue;
			bytes += p->size;
			count++;
			if (!p->holders && (!oldest || p->used_ns < oldest->used_ns))
				oldest = p;
		}
		if (!oldest || (count <= KEPT_MAX && bytes <= KEPT_BYTES))
			return;
		unlink_report(oldest);
	}
}

static size_t count_state(const struct reports *r, enum report_state state)
{
	size_t n = 0;
	for (const struct served_report *p = r->first; p; p = p->next)
		n += p->state == state;
	return n;
}

static struct served_report *find(struct reports *r, const char *key)
{
	for (struct served_report *p = r->first; p; p = p->next)
		if (p->state != REPORT_FAILED && (p->kept || p->state != REPORT_DONE) &&
		    !strcmp(p->wish.key, key))
			return p;
	return NULL;
}

struct served_report *reports_get(struct reports *r, const struct report_wish *wish)
{
	struct served_report *report = find(r, wish->key);
	if (report) {
		report->holders++;
		return report;
	}
	if (count_state(r, REPORT_QUEUED) >= QUEUED_MAX || !(report = calloc(1, sizeof(*report))))
		return NULL;
	report->owner = r;
	report->wish = *wish;
	report->worker = WORKER_NONE;
	report->holders = 1;
	for (size_t i = 0; i < WORKER_FILES; i++)
		if (wish->files[i] >= 0)
			report->wish.files[i] = fcntl(wish->files[i], F_DUPFD_CLOEXEC, 3);
	struct served_report **at = &r->first;
	while (*at)
		at = &(*at)->next;
	*at = report;
	return report;
}

void reports_put(struct served_report *report)
{
	if (!report || --report->holders)
		return;
	if (report->kept)
		trim(report->owner);
	else if (report->state != REPORT_RUNNING)	/* that one is let go when it ends */
		unlink_report(report);
}

static void fail(struct served_report *report, int status, const char *text)
{
	report->state = REPORT_FAILED;
	report->status = status;
	snprintf(report->text, sizeof(report->text), "%s", text);
}

static void start(struct reports *r, struct served_report *report, uint64_t now)
{
	const char *argv[REPORT_ARGS + 2 * WORKER_FILES];
	size_t n = 0;
	for (; n < REPORT_ARGS - 1 && report->wish.argv[n]; n++)
		argv[n] = report->wish.argv[n];
	for (size_t i = 0; i < WORKER_FILES && *report->wish.called[i]; i++) {
		argv[n++] = "--called";
		argv[n++] = report->wish.called[i];
	}
	argv[n] = NULL;
	const struct worker_spec spec = {
		.argv = argv, .run = report->wish.run, .arg = report->wish.arg,
		.folder = -1, .files = { report->wish.files[0], report->wish.files[1] },
		.memory = r->options.memory, .file_size = OUTPUT_BYTES, .seconds = r->options.seconds,
		.no_network = true, .death_signal = SIGKILL,
		.owner = report->wish.owner,
	};
	auto_error struct mt_error *err = worker_start(&spec, &report->worker);
	report->started_ns = now;
	report->state = REPORT_RUNNING;
	if (err)
		fail(report, 503, err->message);
}

/* Exit codes are those of a command; a capture that cannot be read is the client's to know about. */
static void settle(struct served_report *report, int status, uint64_t now)
{
	struct stat st = { 0 };
	char text[REPORT_TEXT_MAX];
	if (report->timed_out || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)) {
		fail(report, 503, "this report took longer than the server allows (--report-time)");
	} else if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "the report ended by signal %d", WTERMSIG(status));
		fail(report, 500, text);
	} else if (WEXITSTATUS(status)) {
		worker_messages(&report->worker, text, sizeof(text));
		fail(report, WEXITSTATUS(status) == 1 ? 422 : 500, *text ? text : "the report failed");
	} else if (fstat(report->worker.out, &st)) {
		fail(report, 500, "the report is lost");
	} else {
		report->state = REPORT_DONE;
		report->size = (uint64_t)st.st_size;
		report->used_ns = now;
		report->kept = !report->wish.run;
	}
}

static void look_after(struct reports *r, struct served_report *report, uint64_t now)
{
	int status;
	if (report->state == REPORT_RUNNING && !worker_ended(&report->worker, &status)) {
		if (now - report->started_ns < r->options.seconds * 1000000000ull)
			return;
		report->timed_out = true;
		worker_signal(&report->worker, SIGKILL);
		return;
	}
	if (report->state == REPORT_RUNNING)
		settle(report, status, now);
	for (size_t i = 0; i < WORKER_FILES; i++) {
		mt_cleanup_close(&report->wish.files[i]);
		report->wish.files[i] = -1;
	}
	if (r->options.changed && report->holders)
		r->options.changed(report, r->options.arg);
}

void reports_turn(struct reports *r, uint64_t now)
{
	for (struct served_report *p = r->first, *next; p; p = next) {
		next = p->next;
		if (p->state != REPORT_RUNNING)
			continue;
		look_after(r, p, now);
		if (p->state != REPORT_RUNNING && !p->holders && !p->kept)
			unlink_report(p);
	}
	size_t running = count_state(r, REPORT_RUNNING);
	for (struct served_report *p = r->first; p && running < RUNNING_MAX; p = p->next) {
		if (p->state != REPORT_QUEUED)
			continue;
		start(r, p, now);
		running += p->state == REPORT_RUNNING;
		if (p->state == REPORT_FAILED)
			look_after(r, p, now);
	}
	trim(r);
}

size_t reports_fds(const struct reports *r, int *ret, size_t max)
{
	size_t n = 0;
	for (const struct served_report *p = r->first; p && n < max; p = p->next)
		if (p->state == REPORT_RUNNING)
			ret[n++] = p->worker.pidfd;
	return n;
}

uint64_t reports_deadline_ns(const struct reports *r)
{
	uint64_t least = 0;
	for (const struct served_report *p = r->first; p; p = p->next) {
		uint64_t end = p->started_ns + r->options.seconds * 1000000000ull;
		if (p->state == REPORT_RUNNING && (!least || end < least))
			least = end;
	}
	return least;
}
