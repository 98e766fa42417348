/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_maps.c - the parser of /proc/PID/maps. */
#include "attach/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_maps maps;
	struct mt_error *err = proc_maps_parse((const char *)data, size, &maps);
	if (err) {
		mt_error_destroy(err);
		return 0;
	}
	for (size_t i = 0; i < maps.maps.len; i++) {
		const struct proc_map *m = &maps.maps.items[i];
		if (proc_maps_find(&maps, m->start) != m || proc_maps_find(&maps, m->end - 1) != m)
			__builtin_trap();
	}
	proc_maps_deinit(&maps);
	return 0;
}
