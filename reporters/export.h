/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export.h - a capture in the formats of other tools.
 *
 *	struct export x;
 *	export_init(&x, report, interpreter frames too)
 *	export_pprof(&x, FILE *, &items)		or another of them
 *	export_deinit(&x)
 *
 * Frames are numbered by a prefix tree (reporters/tree.h) without values; every row of the views has
 * its leaf there. A stack without any frame is LABEL_UNKNOWN. items is what was written: samples,
 * lines or rows. Errors of the stream stay in the stream. */
#ifndef MT_REPORTERS_EXPORT_H
#define MT_REPORTERS_EXPORT_H

#include "base/array.h"
#include "reporters/report.h"
#include "reporters/tree.h"

#include <stdio.h>

struct export {
	const struct report *r;
	struct tree *tree;
	uint32_t *leaf;			/* node by row of the views */
	MT_ARRAY(uint32_t) path;	/* scratch: frames of a stack, leaf first */
};

#define auto_export mt_auto(export_deinit)
void export_deinit(struct export *x);
struct mt_error *export_init(struct export *x, const struct report *r, bool interpreter)
	MT_MUST_CHECK;

/* The frames of a node, leaf first, in x->path. */
struct mt_error *export_path(struct export *x, uint32_t node) MT_MUST_CHECK;
const struct tree_frame *export_frame(const struct export *x, uint32_t frame);
const char *export_function(const struct export *x, uint32_t frame);
/* The source file, else the module. */
const char *export_place(const struct export *x, uint32_t frame);

/* profile.proto, gzip. in-use is what was live at the peak, with --view leaks at the end. */
struct mt_error *export_pprof(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;
/* Two sampled profiles, bytes and allocations. */
struct mt_error *export_speedscope(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;
/* gprof2dot's JSON, version 0, as Memray writes it. */
struct mt_error *export_gprof2dot(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;
/* Columns and spelling of Memray. */
struct mt_error *export_csv(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;
/* DHAT's JSON, version 2, for dh_view.html; wants views->growth. */
struct mt_error *export_dhat(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;
/* Statements for sqlite3 that make a database of frames, stacks and their values. */
struct mt_error *export_sql(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;
/* That database; needs libsqlite3.so.0 on this machine. */
struct mt_error *export_sqlite(struct export *x, FILE *out, size_t *items_ret) MT_MUST_CHECK;

#endif
