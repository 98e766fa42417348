/* SPDX-License-Identifier: Apache-2.0 */
/* base/varint.h - the prefix varint of the rings and of the capture file.
 *
 * A value below 2^(7n) takes n bytes, n = 1..8, little endian: the n low bits of the first byte
 * are n-1 zeros and a one, the value lies above them. A value of 2^56 or more is a zero byte and
 * then eight bytes. The length comes from one count-trailing-zeros, so neither side branches per
 * byte; that was the cost of the usual LEB128 in the ring.
 *
 * Freestanding: also compiled into the tracer. */
#ifndef MT_BASE_VARINT_H
#define MT_BASE_VARINT_H

#include <stdint.h>

#define VARINT_MAX 9	/* bytes of the longest encoding; the writer stores 8 at a time */

static inline void varint_store64(uint8_t *p, uint64_t v)
{
	__builtin_memcpy(p, &v, 8);
}

static inline uint64_t varint_load64(const uint8_t *p)
{
	uint64_t v;
	__builtin_memcpy(&v, p, 8);
	return v;
}

/* A value below 2^56. The mark below it makes it odd, so that its top bit is never asked of 0; with
 * that bit at k the encoding has one byte more than k / 7, rounded so that 7, 14, .. stay: 9k / 64. */
static inline uint8_t *varint_put_fitting(uint8_t *p, uint64_t v)
{
	uint64_t marked = v << 1 | 1;
	unsigned top = 63 ^ (unsigned)__builtin_clzll(marked);
	unsigned more = top * 9 >> 6;
	varint_store64(p, marked << more);
	return p + more + 1;
}

/* Writes at p, where VARINT_MAX bytes must be writable, and returns the end. */
static inline uint8_t *varint_put(uint8_t *p, uint64_t v)
{
	if (__builtin_expect(v >> 56 != 0, 0)) {
		*p = 0;
		varint_store64(p + 1, v);
		return p + 9;
	}
	return varint_put_fitting(p, v);
}

/* Reads at p, where VARINT_MAX bytes must be readable (not: part of the value), and returns the
 * end. Callers that read foreign bytes check the end against their limit. */
static inline const uint8_t *varint_get(const uint8_t *p, uint64_t *ret)
{
	uint64_t v = varint_load64(p);
	if (__builtin_expect(!(v & 0xff), 0)) {
		*ret = varint_load64(p + 1);
		return p + 9;
	}
	unsigned n = (unsigned)__builtin_ctzll(v) + 1;
	*ret = (v >> n) & ((1ull << (7 * n)) - 1);
	return p + n;
}

static inline uint64_t varint_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t varint_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
