/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/folded.h - stacks one a line: "root;...;leaf value", for flamegraph.pl, speedscope,
 * inferno and grep.
 *
 * Python frames are "function (file.py:line)", native ones "function (file.c:line)" or
 * "function (module)". In names ';' becomes \x3b, '\' becomes \\, control characters and bytes
 * that are not UTF-8 \n, \x1b, ...; the value follows the last space. Equal lines are one line;
 * lines are in order. With split threads the root frame is "name [tid]". An event without any
 * stack is "<unknown>"; a stack whose root was lost begins with "<truncated>". Lines of value 0
 * are left out. The interpreter's own call machinery between Python frames is left out unless
 * `interpreter` is set. */
#ifndef MT_REPORTERS_FOLDED_H
#define MT_REPORTERS_FOLDED_H

#include "reporters/report.h"

#include <stdio.h>

struct folded_options {
	bool interpreter;
};

/* lines_ret (may be NULL) is the number of lines written. */
struct mt_error *folded_write(const struct report *r, const struct folded_options *options,
			      FILE *out, size_t *lines_ret) MT_MUST_CHECK;

#endif
