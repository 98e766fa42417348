/* SPDX-License-Identifier: Apache-2.0 */
/* serve/reports.h - reports made by children, a few at a time, and kept for a while.
 *
 *	reports_get(reports, &wish, &report)	made, or being made; the caller holds it
 *	report->state				until REPORT_DONE or REPORT_FAILED: reports_wait()
 *	reports_put(report)
 *	reports_turn(reports, now)		starts, ends and kills children; calls `changed`
 *
 * A report that was made is kept under the identity of its captures (device, inode, size, time of
 * change), so that one that grows or is replaced is read again. */
#ifndef MT_SERVE_REPORTS_H
#define MT_SERVE_REPORTS_H

#include "serve/worker.h"

#include <stddef.h>

#define REPORT_ARGS 16u
#define REPORT_KEY_MAX 512u
#define REPORT_TEXT_MAX 1024u
#define REPORT_NAME_MAX 256u

enum report_state { REPORT_QUEUED, REPORT_RUNNING, REPORT_DONE, REPORT_FAILED };

struct report_wish {
	char key[REPORT_KEY_MAX];		/* what makes it the same as another one */
	const char *argv[REPORT_ARGS];		/* static strings; files are WORKER_FILE() */
	char called[WORKER_FILES][REPORT_NAME_MAX];	/* what messages call the files; "": nothing */
	uid_t owner;				/* by whose rights it is made; 0: ours */
	void (*run)(const void *arg);		/* instead of argv; such a report is not kept */
	const void *arg;
	int files[WORKER_FILES];			/* duplicated; -1: none */
};

struct served_report {
	struct reports *owner;
	enum report_state state;
	unsigned holders;
	bool kept;
	struct report_wish wish;
	struct worker worker;
	uint64_t size;				/* of child.out, when done */
	uint64_t started_ns, used_ns;
	bool timed_out;
	int status;				/* HTTP, when it failed */
	char text[REPORT_TEXT_MAX];		/* why it failed */
	struct served_report *next;
};

struct reports_options {
	uint64_t memory;		/* bytes a child may take */
	uint64_t seconds;		/* and time, also of the clock on the wall */
	void (*changed)(struct served_report *r, void *arg);	/* done or failed now */
	void *arg;
};

struct reports;
struct mt_error *reports_create(const struct reports_options *options, struct reports **ret)
	MT_MUST_CHECK;
void reports_destroy(struct reports *r);	/* NULL accepted; kills what runs */
/* NULL: too many are waiting. */
struct served_report *reports_get(struct reports *r, const struct report_wish *wish);
void reports_put(struct served_report *report);		/* NULL accepted */
void reports_turn(struct reports *r, uint64_t now_ns);
/* Descriptors of the children that run, for poll(); at most `max`. */
size_t reports_fds(const struct reports *r, int *ret, size_t max);
/* When the next child has had its time; 0: none runs. */
uint64_t reports_deadline_ns(const struct reports *r);

#endif
