/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/labels.h - one text for a frame, composed once and numbered.
 *
 * Equal texts have equal numbers, 0, 1, ... in order of first use; they and their texts stay until
 * the table ends. Relies on the symbolizer's strings staying where they are. */
#ifndef MT_REPORTERS_LABELS_H
#define MT_REPORTERS_LABELS_H

#include "reporters/report.h"

enum label_style {
	LABEL_SITE,		/* "function:file:line", "function:module" */
	LABEL_FUNCTION,		/* "function at file", "function at module" */
	LABEL_FOLDED,		/* "function (file:line)", "function (module)", escaped */
};

#define LABEL_UNKNOWN "<unknown>"	/* an event without any stack */
#define LABEL_NO_THREAD UINT32_MAX

struct labels;

struct mt_error *labels_create(const struct capture *cap, enum label_style style,
			       struct labels **ret) MT_MUST_CHECK;
void labels_destroy(struct labels *l);		/* NULL accepted */
MT_DEFINE_CLEANUP(labels, struct labels *, labels_destroy)
#define auto_labels mt_auto(mt_cleanup_labels)

/* The number of a frame's text. `frame` NULL is LABEL_UNKNOWN. With a thread index (else
 * LABEL_NO_THREAD) the text begins with "name [tid]: ". */
struct mt_error *labels_of_frame(struct labels *l, const struct symbol_frame *frame,
				 uint32_t thread, uint32_t *id_ret) MT_MUST_CHECK;
/* The number of a thread's "name [tid]", alone. */
struct mt_error *labels_of_thread(struct labels *l, uint32_t thread, uint32_t *id_ret)
	MT_MUST_CHECK;
struct mt_error *labels_of_text(struct labels *l, const char *text, uint32_t *id_ret)
	MT_MUST_CHECK;
const char *labels_text(const struct labels *l, uint32_t id);
size_t labels_count(const struct labels *l);

#endif
