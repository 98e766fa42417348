/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python_alloc.c - finds the tables through which CPython allocates.
 * Knows: which exported functions read which table, how x86-64 code names an address. Does not
 * know: what is in the tables, how they are changed.
 * Called by inject/; calls attach/. */
#include "inject/python_alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CODE_MAX 2048u		/* bytes of a function that are looked at */
#define CANDIDATES_MAX 64u
#define RUNTIME_MAX (1u << 20)	/* of a displacement from _PyRuntime */

/* In the order of enum python_field. */
static const char *const readers[WIRE_PYTHON_DOMAINS][PYTHON_FIELDS] = {
	{ NULL, "PyMem_RawMalloc", "PyMem_RawCalloc", "PyMem_RawRealloc", "PyMem_RawFree" },
	{ NULL, "PyMem_Malloc", "PyMem_Calloc", "PyMem_Realloc", "PyMem_Free" },
	{ NULL, "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "PyObject_Free" },
};

enum wire_function python_field_function(unsigned field)
{
	static const enum wire_function functions[PYTHON_FIELDS] = {
		[PYTHON_FIELD_MALLOC] = WIRE_FN_PY_MALLOC, [PYTHON_FIELD_CALLOC] = WIRE_FN_PY_CALLOC,
		[PYTHON_FIELD_REALLOC] = WIRE_FN_PY_REALLOC, [PYTHON_FIELD_FREE] = WIRE_FN_PY_FREE,
	};
	return field && field < PYTHON_FIELDS ? functions[field] : WIRE_FN_COUNT;
}

struct search {
	struct tracee *t;
	const struct images *images;
	struct image *img;
	uint64_t runtime;
	struct image_bytes bytes[PYTHON_FIELDS];	/* of the domain at hand */
	struct machine_code code[PYTHON_FIELDS];
};

/* ---- what code refers to ---- */

/* What the bytes at `at` can name; the last two are displacements, which compilers put into 8 bits
 * where they fit. */
static unsigned names_at(const struct machine_code *c, uint64_t runtime, size_t at, uint64_t names[4])
{
	unsigned n = 0;
	int32_t word;
	if (runtime && c->bytes[at] < 0x80)
		names[n++] = runtime + c->bytes[at];
	if (c->size - at < sizeof(word))
		return n;
	memcpy(&word, c->bytes + at, sizeof(word));
	names[n++] = c->address + at + sizeof(word) + (uint64_t)(int64_t)word;
	names[n++] = (uint32_t)word;
	if (runtime && word > 0 && (uint32_t)word < RUNTIME_MAX)
		names[n++] = runtime + (uint32_t)word;
	return n;
}

bool python_code_refers(const struct machine_code *code, uint64_t runtime, uint64_t address)
{
	for (size_t at = 0; at < code->size; at++) {
		uint64_t names[4];
		for (unsigned n = names_at(code, runtime, at, names), i = 0; i < n; i++)
			if (names[i] == address)
				return true;
	}
	return false;
}

/* ---- tables ---- */

static bool read_code(struct search *s, const char *name, unsigned field)
{
	struct image_symbol sym;
	if (!image_find_symbol(s->t, s->img, name, &sym) || !sym.size)
		return false;
	size_t size = sym.size < CODE_MAX ? sym.size : CODE_MAX;
	auto_close int fd = image_open_file(s->t, s->img);
	auto_error struct mt_error *err = image_read_range(s->t, s->img, fd, sym.address, size,
							   &s->bytes[field]);
	if (err)
		return false;
	s->code[field] = (struct machine_code){ sym.address, s->bytes[field].data, s->bytes[field].size };
	return true;
}

/* Four functions, in writable memory of the interpreter. */
static bool is_table(struct search *s, uint64_t address)
{
	uint64_t words[PYTHON_FIELDS];
	const struct proc_map *at = proc_maps_find(&s->images->maps, address);
	if (!at || !(at->prot & PROT_WRITE) || images_find(s->images, address) != s->img ||
	    tracee_read_some(s->t, address, words, sizeof(words)) != sizeof(words))
		return false;
	for (unsigned f = PYTHON_FIELD_MALLOC; f < PYTHON_FIELDS; f++) {
		const struct proc_map *code = proc_maps_find(&s->images->maps, words[f]);
		if (!code || !(code->prot & PROT_EXEC))
			return false;
	}
	return true;
}

/* All four functions of the domain read the context, at the table's start; and nearly always by its
 * address the field that they call. */
static bool all_refer(const struct search *s, uint64_t table, bool fields_too)
{
	for (unsigned f = PYTHON_FIELD_MALLOC; f < PYTHON_FIELDS; f++)
		if (!python_code_refers(&s->code[f], s->runtime, table) ||
		    (fields_too && !python_code_refers(&s->code[f], s->runtime, table + f * 8)))
			return false;
	return true;
}

struct candidates {
	uint64_t table[CANDIDATES_MAX];
	unsigned count;
};

/* Where pymalloc was built into its callers, functions of mem and obj also read the raw table. */
static void add_candidate(struct search *s, uint64_t address, uint64_t raw, struct candidates *c)
{
	if (address & 7 || address == raw || c->count == CANDIDATES_MAX)
		return;
	for (unsigned i = 0; i < c->count; i++)
		if (c->table[i] == address)
			return;
	if (all_refer(s, address, false) && is_table(s, address))
		c->table[c->count++] = address;
}

static uint64_t only_candidate(const struct search *s, const struct candidates *c, bool strict)
{
	uint64_t found = 0;
	for (unsigned i = 0; i < c->count; i++) {
		if (strict && !all_refer(s, c->table[i], true))
			continue;
		if (found)
			return 0;
		found = c->table[i];
	}
	return found;
}

static bool find_domain(struct search *s, unsigned domain, struct python_allocators *ret)
{
	struct candidates c = { .count = 0 };
	for (unsigned f = PYTHON_FIELD_MALLOC; f < PYTHON_FIELDS; f++)
		if (!read_code(s, readers[domain][f], f))
			return false;
	const struct machine_code *code = &s->code[PYTHON_FIELD_MALLOC];
	for (size_t at = 0; at < code->size; at++) {
		uint64_t names[4];
		for (unsigned n = names_at(code, s->runtime, at, names), i = 0; i < n; i++)
			if (names[i] - s->img->start < s->img->end - s->img->start)
				add_candidate(s, names[i], ret->table[0], &c);
	}
	ret->table[domain] = only_candidate(s, &c, true);
	if (!ret->table[domain])
		ret->table[domain] = only_candidate(s, &c, false);
	return ret->table[domain] != 0;
}

bool python_allocators_find(struct tracee *t, const struct images *images, struct image *img,
			    uint64_t runtime, struct python_allocators *ret)
{
	struct search s = { .t = t, .images = images, .img = img, .runtime = runtime };
	struct python_allocators found = { .table = { 0 } };
	bool ok = true;
	for (unsigned domain = 0; domain < WIRE_PYTHON_DOMAINS && ok; domain++) {
		ok = find_domain(&s, domain, &found);
		for (unsigned f = 0; f < PYTHON_FIELDS; f++)
			image_bytes_deinit(&s.bytes[f]);
		memset(s.bytes, 0, sizeof(s.bytes));
	}
	if (ok)
		*ret = found;
	return ok;
}
