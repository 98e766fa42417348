/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/source.h - the text of the source lines that a tree's frames stand on.
 *
 *	struct sources s;
 *	sources_read(tree, &options, &s)	s.text[frame], NULL when there is none
 *	sources_deinit(&s)
 *
 * A line is shown to whoever gets the page, so which files may be read is asked first: all but
 * confidential ones, and by default a file is confidential when not everybody may read it, unless its
 * name ends in .py. File names come from a capture and can be anything: regular files alone are read,
 * and of those that changed after the capture began no line is taken. */
#ifndef MT_REPORTERS_SOURCE_H
#define MT_REPORTERS_SOURCE_H

#include "reporters/tree.h"

enum confidential { CONFIDENTIAL_DEFAULT, CONFIDENTIAL_ALL, CONFIDENTIAL_NONE };

struct source_options {
	enum confidential confidential;
	const char *sysroot;		/* NULL: none */
	uint64_t start_ns;		/* of the capture, CLOCK_REALTIME; 0: unknown */
};

struct sources {
	char **text;			/* one entry a frame; clean, without indentation */
	uint32_t frames;
	uint32_t changed;		/* files that are newer than the capture */
};

struct mt_error *sources_read(const struct tree *t, const struct source_options *options,
			      struct sources *ret) MT_MUST_CHECK;
void sources_deinit(struct sources *s);

#endif
