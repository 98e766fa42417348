/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/output.h - the file a report goes to.
 *
 *	output_check(path, overwrite)		early: before minutes of work
 *	auto_output struct output out = { 0 };
 *	output_open(path, overwrite, &out)	NULL or "-": standard output
 *	... fprintf(out.file, ...)
 *	output_finish(&out)			flushes, checks, puts the file in place
 *
 * A file is made with mode 0600 and never through a symbolic link. What is there stays, unless
 * `overwrite`: then the new content takes its name at the end in one step, so that a failure leaves
 * the old file. A file that was not finished is removed. Devices and FIFOs are written as they
 * are. */
#ifndef MT_CMDS_OUTPUT_H
#define MT_CMDS_OUTPUT_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

struct output {
	FILE *file;
	char *path;		/* final name, NULL: standard output */
	char *temporary;	/* what is written now, NULL: `path` itself */
	bool owned;		/* unlink when not finished */
};

#define auto_output mt_auto(output_abort)

/* MT_ERROR_EXISTS with a hint to -f when something is there. */
struct mt_error *output_check(const char *path, bool overwrite) MT_MUST_CHECK;
struct mt_error *output_open(const char *path, bool overwrite, struct output *ret) MT_MUST_CHECK;
struct mt_error *output_finish(struct output *out) MT_MUST_CHECK;
/* Nothing after output_finish. */
void output_abort(struct output *out);

/* The name of a page in the current directory when none is given: for "flamegraph" and
 * "dir/memtrace-app.7.bin" "memtrace-flamegraph-app.7.html". The caller frees; NULL: no memory. */
char *output_page_name(const char *kind, const char *capture);
/* Where a report goes: `output` if given, else a page of a kind to its own name, else (kind NULL)
 * standard output, for which *ret stays NULL. The caller frees. */
struct mt_error *output_page_path(const char *output, const char *kind, const char *capture,
				  char **ret) MT_MUST_CHECK;
/* Its path on standard output, unless it went there. */
void output_say_page(const char *path);

#endif
