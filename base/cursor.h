/* SPDX-License-Identifier: Apache-2.0 */
/* base/cursor.h - the bounds-checked cursor through which all foreign bytes are read.
 *
 * Reads past the end return zeros and set `failed`; nothing is read out of bounds. Parsers read a
 * whole record and check mt_cursor_error() once, or test `failed` in loops. Little endian. */
#ifndef MT_BASE_CURSOR_H
#define MT_BASE_CURSOR_H

#include "base/error.h"
#include "base/varint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mt_cursor {
	const uint8_t *start, *pos, *end;
	bool failed;
};

static inline struct mt_cursor mt_cursor_make(const void *data, size_t len)
{
	/* C has no NULL + 0; data may be NULL when len is 0. */
	const uint8_t *p = data ? data : (const uint8_t *)"";
	return (struct mt_cursor){ p, p, p + len, false };
}

static inline size_t mt_cursor_left(const struct mt_cursor *c)
{
	return (size_t)(c->end - c->pos);
}

static inline size_t mt_cursor_offset(const struct mt_cursor *c)
{
	return (size_t)(c->pos - c->start);
}

/* Borrowed pointer to the next len bytes, or NULL (and failed). */
static inline const void *mt_cursor_bytes(struct mt_cursor *c, uint64_t len)
{
	if (c->failed || len > mt_cursor_left(c)) {
		c->failed = true;
		return NULL;
	}
	const uint8_t *p = c->pos;
	c->pos += len;
	return p;
}

static inline uint64_t mt_cursor_uint(struct mt_cursor *c, unsigned size)
{
	uint64_t v = 0;
	const void *p = mt_cursor_bytes(c, size);
	if (p)
		memcpy(&v, p, size);
	return v;
}

static inline uint8_t mt_cursor_u8(struct mt_cursor *c)
{
	return (uint8_t)mt_cursor_uint(c, 1);
}

static inline uint16_t mt_cursor_u16(struct mt_cursor *c)
{
	return (uint16_t)mt_cursor_uint(c, 2);
}

static inline uint32_t mt_cursor_u32(struct mt_cursor *c)
{
	return (uint32_t)mt_cursor_uint(c, 4);
}

static inline uint64_t mt_cursor_u64(struct mt_cursor *c)
{
	return mt_cursor_uint(c, 8);
}

/* The prefix varint of base/varint.h. */
static inline uint64_t mt_cursor_varint(struct mt_cursor *c)
{
	uint64_t v = 0;
	if (__builtin_expect(mt_cursor_left(c) >= VARINT_MAX, 1)) {
		c->pos = varint_get(c->pos, &v);
		return v;
	}
	uint8_t tmp[VARINT_MAX] = { 0 };
	size_t left = mt_cursor_left(c);
	if (left)
		memcpy(tmp, c->pos, left);
	size_t used = (size_t)(varint_get(tmp, &v) - tmp);
	if (c->failed || used > left) {
		c->failed = true;
		return 0;
	}
	c->pos += used;
	return v;
}

static inline int64_t mt_cursor_svarint(struct mt_cursor *c)
{
	return varint_unzigzag(mt_cursor_varint(c));
}

static inline uint64_t mt_cursor_uleb128(struct mt_cursor *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0; c->pos < c->end; shift += 7) {
		uint8_t b = *c->pos++;
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	c->failed = true;
	return 0;
}

static inline int64_t mt_cursor_sleb128(struct mt_cursor *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0; c->pos < c->end;) {
		uint8_t b = *c->pos++;
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
		if (!(b & 0x80)) {
			if (shift < 64 && (b & 0x40))
				v |= ~0ull << shift;
			return (int64_t)v;
		}
	}
	c->failed = true;
	return 0;
}

/* Borrowed NUL-terminated string inside the bytes, or NULL (and failed). */
static inline const char *mt_cursor_cstr(struct mt_cursor *c)
{
	const uint8_t *nul = c->failed ? NULL : memchr(c->pos, 0, mt_cursor_left(c));
	if (!nul) {
		c->failed = true;
		return NULL;
	}
	const char *s = (const char *)c->pos;
	c->pos = nul + 1;
	return s;
}

/* varint length + bytes, borrowed; not NUL-terminated. NULL (and failed) when cut. */
static inline const char *mt_cursor_lstr(struct mt_cursor *c, size_t *len_ret)
{
	uint64_t len = mt_cursor_varint(c);
	const char *s = mt_cursor_bytes(c, len);
	*len_ret = s ? (size_t)len : 0;
	return s;
}

#endif
