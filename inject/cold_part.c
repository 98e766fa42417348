/* SPDX-License-Identifier: Apache-2.0 */
/* inject/cold_part.c - follows a function's jumps to the part that was moved away.
 * Knows: two x86-64 jumps, the table of .eh_frame_hdr. Does not know: processes, Python.
 * Called by inject/python.c; calls base/. */
#include "inject/cold_part.h"

#include "base/cursor.h"

#include <stdlib.h>

/* Bytes are not decoded as instructions, so some "jumps" are chance; those do not agree. */
#define VOTES_MIN 8
#define HDR_WANT 0x3b031b01u	/* version 1, pc-relative pointer, 4-byte count, sorted table */
#define HDR_SIZE 12
#define FUNCTIONS_MAX (1u << 22)

struct functions {
	const struct code_bytes *hdr;
	uint32_t count;
	uint16_t *votes;
};

static uint64_t start_of(const struct functions *f, uint32_t i)
{
	struct mt_cursor c = mt_cursor_make(f->hdr->data, f->hdr->size);
	mt_cursor_bytes(&c, HDR_SIZE + 8ull * i);
	return f->hdr->address + (uint64_t)(int64_t)(int32_t)mt_cursor_u32(&c);
}

/* The last function that starts at or before the address; false when there is none. */
static bool find_function(const struct functions *f, uint64_t address, uint32_t *ret)
{
	uint32_t low = 0, high = f->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (start_of(f, middle) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	*ret = low - 1;
	return low > 0;
}

static bool jump_target(const struct code_bytes *code, size_t i, uint64_t *ret)
{
	struct mt_cursor c = mt_cursor_make(code->data + i, code->size - i);
	uint8_t first = mt_cursor_u8(&c);
	if (first == 0x0f) {			/* jcc rel32 */
		if ((mt_cursor_u8(&c) & 0xf0) != 0x80)
			return false;
	} else if (first != 0xe9) {		/* jmp rel32 */
		return false;
	}
	int32_t rel = (int32_t)mt_cursor_u32(&c);
	*ret = code->address + i + mt_cursor_offset(&c) + (uint64_t)(int64_t)rel;
	return !c.failed;
}

static void count_votes(struct functions *f, const struct code_bytes *code)
{
	for (size_t i = 0; i < code->size; i++) {
		uint64_t target;
		uint32_t function;
		if (!jump_target(code, i, &target) || target - code->address < code->size ||
		    !find_function(f, target, &function) || start_of(f, function) == target)
			continue;	/* a jump to a start is a tail call */
		if (f->votes[function] < UINT16_MAX)
			f->votes[function]++;
	}
}

bool cold_part_find(const struct code_bytes *code, const struct code_bytes *hdr,
		    struct cold_part *ret)
{
	struct mt_cursor c = mt_cursor_make(hdr->data, hdr->size);
	struct functions f = { .hdr = hdr };
	uint32_t best = 0;
	if (mt_cursor_u32(&c) != HDR_WANT)
		return false;
	mt_cursor_u32(&c);
	f.count = mt_cursor_u32(&c);
	if (c.failed || f.count < 2 || f.count > FUNCTIONS_MAX || f.count > mt_cursor_left(&c) / 8)
		return false;
	f.votes = calloc(f.count, sizeof(*f.votes));
	if (!f.votes)
		return false;
	count_votes(&f, code);
	/* The last one has no known end. */
	for (uint32_t i = 0; i + 1 < f.count; i++)
		if (f.votes[i] > f.votes[best])
			best = i;
	struct cold_part part = { start_of(&f, best), start_of(&f, best + 1) };
	bool found = f.votes[best] >= VOTES_MIN && part.start < part.end &&
		     (part.end <= code->address || part.start >= code->address + code->size);
	free(f.votes);
	if (found)
		*ret = part;
	return found;
}
