/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/info.h - what a capture is and how it was made: facts, modules, threads, counters. */
#ifndef MT_REPORTERS_INFO_H
#define MT_REPORTERS_INFO_H

#include "base/hash.h"
#include "capture/reader.h"
#include "capture/wire.h"
#include "reporters/facts.h"

#include <stdio.h>

struct info {
	struct capture *cap;		/* borrowed */
	struct facts facts;
	struct capture_tables tables;
	uint64_t events, kind_count[WIRE_REC_LIMIT], kind_bytes[WIRE_REC_LIMIT];
	uint64_t last_ticks;
	struct mt_map module_frames;	/* module id -> native frames in it */
};

/* Runs over all events once. progress (may be NULL) gets 0..1. */
struct mt_error *info_gather(struct capture *cap, void (*progress)(double, void *), void *arg,
			     struct info *ret) MT_MUST_CHECK;
void info_deinit(struct info *info);
#define auto_info mt_auto(info_deinit)

struct mt_error *info_write_text(const struct info *info, FILE *out) MT_MUST_CHECK;
struct mt_error *info_write_json(const struct info *info, FILE *out) MT_MUST_CHECK;

const char *capture_symbol_status_name(enum capture_symbol_status status);
/* Build-id as hexadecimal, "" when there is none; cut when it does not fit. */
#define INFO_BUILD_ID_MAX 65
const char *info_build_id(const struct capture_module *m, char buf[INFO_BUILD_ID_MAX]);

#endif
