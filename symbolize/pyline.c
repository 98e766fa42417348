/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/pyline.c - decodes the three generations of CPython line tables.
 * Knows: Objects/lnotab_notes.txt and Objects/locations.md. Does not know: frames, files.
 * Called by symbolize/; calls base/. */
#include "symbolize/pyline.h"

#include "base/cursor.h"

#include <stdlib.h>
#include <string.h>

/* Lines are kept in 64 bits and wrapped arithmetic, so that hostile deltas cannot overflow. */
static uint32_t line_result(uint64_t line)
{
	return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

bool pyline_format_of(const char *version, enum pyline_format *ret)
{
	if (strncmp(version, "3.", 2) || version[2] < '0' || version[2] > '9')
		return false;
	long minor = strtol(version + 2, NULL, 10);
	*ret = minor <= 9 ? PYLINE_LNOTAB : minor == 10 ? PYLINE_PAIRS : PYLINE_LOCATIONS;
	return true;
}

/* PyCode_Addr2Line() of 3.6 to 3.9. */
static uint32_t lookup_lnotab(struct mt_cursor c, uint32_t first_line, uint64_t offset)
{
	uint64_t line = first_line, addr = 0;
	while (mt_cursor_left(&c) >= 2) {
		addr += mt_cursor_u8(&c);
		if (addr > offset)
			break;
		line += (uint64_t)(int8_t)mt_cursor_u8(&c);
	}
	return line_result(line);
}

static uint32_t lookup_pairs(struct mt_cursor c, uint32_t first_line, uint64_t offset)
{
	uint64_t line = first_line, end = 0;
	while (mt_cursor_left(&c) >= 2) {
		end += mt_cursor_u8(&c);
		int8_t delta = (int8_t)mt_cursor_u8(&c);
		bool none = delta == -128;
		if (!none)
			line += (uint64_t)delta;
		if (offset < end)
			return none ? 0 : line_result(line);
	}
	return 0;
}

/* Six bits a byte, least significant first; bit 6 says that more follow. */
static uint64_t location_varint(struct mt_cursor *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0;; shift += 6) {
		uint8_t b = mt_cursor_u8(c);
		if (shift < 60)
			v |= (uint64_t)(b & 63) << shift;
		if (!(b & 64) || c->failed)
			return v;
	}
}

/* Negative numbers wrap; they are only ever added to a line. */
static uint64_t location_svarint(struct mt_cursor *c)
{
	uint64_t v = location_varint(c);
	return v & 1 ? -(v >> 1) : v >> 1;
}

enum { LOCATION_ONE_LINE0 = 10, LOCATION_NO_COLUMNS = 13, LOCATION_LONG = 14, LOCATION_NONE = 15 };

/* Reads the rest of an entry of kind `code`; returns what it adds to the line. */
static uint64_t location_line_delta(struct mt_cursor *c, unsigned code)
{
	uint64_t delta = 0;
	switch (code) {
	case LOCATION_NONE:
		break;
	case LOCATION_LONG:
		delta = location_svarint(c);
		location_varint(c);
		location_varint(c);
		location_varint(c);
		break;
	case LOCATION_NO_COLUMNS:
		delta = location_svarint(c);
		break;
	default:
		if (code >= LOCATION_ONE_LINE0) {
			delta = code - LOCATION_ONE_LINE0;
			mt_cursor_u8(c);
		}
		mt_cursor_u8(c);
	}
	return delta;
}

static uint32_t lookup_locations(struct mt_cursor c, uint32_t first_line, uint64_t offset)
{
	uint64_t line = first_line, end = 0;
	while (mt_cursor_left(&c)) {
		uint8_t head = mt_cursor_u8(&c);
		unsigned code = (head >> 3) & 15;
		end += ((head & 7) + 1u) * 2u;
		line += location_line_delta(&c, code);
		if (c.failed || !(head & 0x80))
			return 0;
		if (offset < end)
			return code == LOCATION_NONE ? 0 : line_result(line);
	}
	return 0;
}

uint32_t pyline_lookup(enum pyline_format format, const uint8_t *table, size_t size,
		       uint32_t first_line, uint32_t offset)
{
	struct mt_cursor c = mt_cursor_make(table, size);
	switch (format) {
	case PYLINE_LNOTAB:
		return lookup_lnotab(c, first_line, offset);
	case PYLINE_PAIRS:
		return lookup_pairs(c, first_line, offset);
	case PYLINE_LOCATIONS:
		return lookup_locations(c, first_line, offset);
	}
	return 0;
}
