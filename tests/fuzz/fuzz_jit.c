/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_jit.c - perf maps and jitdumps, and the names in them. */
#include "record/jit_places.h"
#include "symbolize/jit.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct jit_places *p)
{
	struct string_pool pool = { 0 };
	for (size_t i = 0; i < p->count; i++) {
		const char *name = (const char *)p->names.data + p->items[i].name;
		struct source_line line;
		if (p->items[i].name >= p->names.len || strlen(name) > JIT_NAME_MAX)
			__builtin_trap();
		if (*name && !jit_name_read(name, &pool, &line) && (!line.function || !*line.function))
			__builtin_trap();
	}
	string_pool_deinit(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t addresses[] = { 0, 0x1000, 0x1010, 0x7f5958049e40, 0x7f595804a680, UINT64_MAX };
	struct jit_places p;
	FILE *f = size ? fmemopen((void *)data, size, "r") : NULL;
	if (!f || jit_places_init(&p, addresses, sizeof(addresses) / sizeof(addresses[0])))
		return 0;
	if (!jitdump_read(f, size, 1000, 1000, &p)) {
		rewind(f);
		perf_map_read(f, size, size / 2, &p);
	}
	fclose(f);
	check_names(&p);
	jit_places_deinit(&p);
	return 0;
}
