/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/parse.h - every record of a capture as a line of text.
 *
 * A line is the record's name and then key=value pairs separated by a blank; strings are quoted
 * as in JSON, addresses hexadecimal, times ns since the start of the capture and ticks. In the
 * order: header, blocks, meta, modules and their segments, code, threads, samples, counters,
 * symbols of modules, events, frames and their symbols, nodes, stacks. */
#ifndef MT_REPORTERS_PARSE_H
#define MT_REPORTERS_PARSE_H

#include "capture/reader.h"

#include <stdio.h>

/* Ends early, without an error, when the stream fails: whoever opened it finds that. */
struct mt_error *parse_write(struct capture *cap, FILE *out) MT_MUST_CHECK;

#endif
