/* SPDX-License-Identifier: Apache-2.0 */
/* serve/report.h - a report of a capture, made by memtrace itself in a process of its own: what a capture
 * of somebody else does to the reader it does there, within limits of time and memory. */
#ifndef MT_SERVE_REPORT_H
#define MT_SERVE_REPORT_H

#include "base/error.h"

#define REPORT_SECONDS 120
#define REPORT_OUTPUT_MAX (1ull << 30)		/* bytes of the answer */
#define REPORT_MEMORY_MAX (16ull << 30)		/* bytes of address space */

/* Runs `memtrace ARGS`, with fds[i] as descriptor REPORT_FD + i (NULL ends args, -1 fds). The output
 * is in the file *ret, which the caller closes; what memtrace said of an error is the message. */
#define REPORT_FD 100
#define REPORT_FDS_MAX 2
struct mt_error *report_run(const char *const *args, const int *fds, int *ret) MT_MUST_CHECK;

#endif
