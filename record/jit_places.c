/* SPDX-License-Identifier: Apache-2.0 */
/* record/jit_places.c - reads perf maps and jitdumps as far as certain addresses need them.
 * Knows: the two formats. Does not know: where files lie, whose they are.
 * Called by record/jit_names.c and the fuzzers; calls base/. */
#include "record/jit_places.h"

#include "base/cleanup.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define WORK_MAX (16u << 20)		/* entries put to addresses */
#define NAMES_MAX (64u << 20)		/* bytes */
#define PERF_MAP_MAX (1ull << 30)	/* bytes of one that are read: some seconds */
#define LINE_SIZE (JIT_NAME_MAX + 64u)

/* ---- addresses ---- */

struct mt_error *jit_places_init(struct jit_places *p, const uint64_t *addresses, size_t count)
{
	*p = (struct jit_places){ .items = calloc(count + 1, sizeof(*p->items)), .count = count };
	mt_buf_put_char(&p->names, 0);		/* offset 0 is no name */
	if (!p->items || p->names.failed) {
		jit_places_deinit(p);
		return &mt_enomem;
	}
	for (size_t i = 0; i < count; i++)
		p->items[i].address = addresses[i];
	return NULL;
}

void jit_places_deinit(struct jit_places *p)
{
	free(p->items);
	mt_buf_deinit(&p->names);
	*p = (struct jit_places){ 0 };
}

/* The first place at or above an address. */
static size_t first_place(const struct jit_places *p, uint64_t address)
{
	size_t lo = 0, hi = p->count;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (p->items[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool jit_places_want(const struct jit_places *p, uint64_t start, uint64_t size)
{
	size_t i = first_place(p, start);
	return i < p->count && p->items[i].address - start < size;
}

void jit_places_put(struct jit_places *p, uint64_t start, uint64_t size, const char *name, size_t len,
		    bool late)
{
	size_t i = first_place(p, start);
	if (i == p->count || p->items[i].address - start >= size)
		return;
	if (len > JIT_NAME_MAX)
		len = JIT_NAME_MAX;
	uint32_t text = (uint32_t)p->names.len;
	mt_buf_put(&p->names, name, strnlen(name, len));
	mt_buf_put_char(&p->names, 0);
	if (p->names.failed || p->names.len > NAMES_MAX) {
		p->full = true;
		return;
	}
	for (; i < p->count && p->items[i].address - start < size; i++, p->work++) {
		struct jit_place *at = &p->items[i];
		const char *before = (const char *)p->names.data + at->name;
		if (late && at->name && strcmp(before, (const char *)p->names.data + text))
			at->changed = true;
		at->name = text;
	}
	if (p->work > WORK_MAX)
		p->full = true;
}

/* ---- perf maps ---- */

/* One line without its end, cut at cap - 1 bytes; its whole length. False: no more. */
static bool read_line(FILE *f, char *buf, size_t cap, uint64_t *length_ret)
{
	uint64_t n = 0;
	int c;
	while ((c = getc_unlocked(f)) != EOF && c != '\n') {
		if (n < cap - 1)
			buf[n] = (char)c;
		n++;
	}
	buf[n < cap - 1 ? n : cap - 1] = 0;
	*length_ret = n + (c == '\n');
	return *length_ret != 0;
}

static bool take_hex(char **at, uint64_t *ret)
{
	char *end;
	if (**at == '-' || **at == '+')		/* strtoull takes them */
		return false;
	*ret = strtoull(*at, &end, 16);
	bool ok = end != *at && *end == ' ';
	*at = end + strspn(end, " ");
	return ok;
}

void perf_map_read(FILE *f, uint64_t size, uint64_t mark, struct jit_places *p)
{
	char line[LINE_SIZE];
	uint64_t offset = 0, length, start, bytes;
	while (!p->full && offset < size && read_line(f, line, sizeof(line), &length)) {
		char *at = line;
		if (take_hex(&at, &start) && take_hex(&at, &bytes) && *at)
			jit_places_put(p, start, bytes, at, strlen(at), offset >= mark);
		offset += length;
		p->full |= offset >= PERF_MAP_MAX;
	}
}

/* ---- jitdumps ---- */

#define JITDUMP_MAGIC 0x4a695444u
#define JITDUMP_ARCH_TIMESTAMP 1u	/* times are ticks of the time stamp counter */

enum { JIT_CODE_LOAD, JIT_CODE_MOVE };

struct jitdump_header {
	uint32_t magic, version, total_size, elf_mach, pad, pid;
	uint64_t timestamp, flags;
};

struct jitdump_prefix {
	uint32_t id, total_size;
	uint64_t timestamp;
};

struct jitdump_load {
	uint32_t pid, tid;
	uint64_t vma, code_addr, code_size, code_index;	/* then the name and the code */
};

struct jitdump_move {
	uint32_t pid, tid;
	uint64_t vma, old_code_addr, new_code_addr, code_size, code_index;
};

struct jitdump {
	FILE *f;
	struct jit_places *places;
	struct mt_map loads;	/* code index -> where its name stands in the file */
};

static bool read_exactly(FILE *f, void *buf, size_t size)
{
	return fread(buf, 1, size, f) == size;
}

/* Reads on at `offset`; the name ends at its NUL. */
static void put_named(struct jitdump *d, uint64_t offset, uint64_t start, uint64_t size, bool late)
{
	char name[JIT_NAME_MAX];
	if (!jit_places_want(d->places, start, size) || fseeko(d->f, (off_t)offset, SEEK_SET))
		return;
	size_t n = fread(name, 1, sizeof(name), d->f);
	size_t len = strnlen(name, n);
	if (len)
		jit_places_put(d->places, start, size, name, len, late);
}

static void take_record(struct jitdump *d, const struct jitdump_prefix *p, uint64_t offset, bool late)
{
	struct jitdump_load load;
	struct jitdump_move move;
	if (p->id == JIT_CODE_LOAD && read_exactly(d->f, &load, sizeof(load))) {
		offset += sizeof(load);
		if (!mt_map_put(&d->loads, load.code_index, offset))
			d->places->full = true;
		put_named(d, offset, load.code_addr, load.code_size, late);
	} else if (p->id == JIT_CODE_MOVE && read_exactly(d->f, &move, sizeof(move))) {
		const uint64_t *name = mt_map_get(&d->loads, move.code_index);
		if (name)
			put_named(d, *name, move.new_code_addr, move.code_size, late);
	}
}

bool jitdump_read(FILE *f, uint64_t size, uint64_t since_ns, uint64_t since_ticks, struct jit_places *places)
{
	struct jitdump_header h;
	struct jitdump_prefix p;
	struct jitdump d = { .f = f, .places = places };
	if (!read_exactly(f, &h, sizeof(h)) || h.magic != JITDUMP_MAGIC || h.version != 1 ||
	    h.total_size < sizeof(h))
		return false;
	uint64_t since = h.flags & JITDUMP_ARCH_TIMESTAMP ? since_ticks : since_ns, offset = h.total_size;
	/* Records have a size of their own, so that what is not known can be left out; code is not read. */
	while (!places->full && offset < size && !fseeko(f, (off_t)offset, SEEK_SET) && read_exactly(f, &p, sizeof(p)) &&
	       p.total_size >= sizeof(p)) {
		take_record(&d, &p, offset + sizeof(p), p.timestamp >= since);
		offset += p.total_size;
	}
	mt_map_deinit(&d.loads);
	return true;
}
