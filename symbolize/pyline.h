/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/pyline.h - the source line of a Python instruction, from the interpreter's own table.
 *
 *	enum pyline_format f;
 *	if (pyline_format_of("3.11", &f))
 *		line = pyline_lookup(f, table, size, first_line, offset);
 *
 * The table is foreign: any bytes are accepted, damaged ones give line 0. No state, no memory. */
#ifndef MT_SYMBOLIZE_PYLINE_H
#define MT_SYMBOLIZE_PYLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pyline_format {
	PYLINE_LNOTAB,		/* up to 3.9: co_lnotab, pairs of byte and signed line deltas */
	PYLINE_PAIRS,		/* 3.10: co_linetable, the same but with "no line" and range starts */
	PYLINE_LOCATIONS,	/* 3.11 and later: PEP 657 location table */
};

/* The format that a version ("3.11", "3.13t") uses; false when the text is not a version of
 * CPython 3. */
bool pyline_format_of(const char *version, enum pyline_format *ret);

/* Line of the instruction at byte `offset` from the first instruction; 0: none or unknown. */
uint32_t pyline_lookup(enum pyline_format format, const uint8_t *table, size_t size,
		       uint32_t first_line, uint32_t offset);

#endif
