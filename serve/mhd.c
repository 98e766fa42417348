/* SPDX-License-Identifier: Apache-2.0 */
/* serve/mhd.c - libmicrohttpd, loaded on demand.
 * Knows: dlopen. Does not know: HTTP.
 * Called by serve/server.c; calls libc. */
#include "serve/mhd.h"

#include <dlfcn.h>
#include <string.h>

#define SONAME "libmicrohttpd.so.12"	/* since 0.9.50; what Debian 10 to 13 and Ubuntu have */

static const char *const names[] = {
#define F(name) "MHD_" #name,
	MHD_FUNCTIONS(F)
#undef F
};

struct mt_error *mhd_load(const struct mhd **ret)
{
	static struct mhd table;
	static bool loaded;
	void *functions[sizeof(names) / sizeof(names[0])];
	_Static_assert(sizeof(functions) == sizeof(table), "one pointer a function");
	if (loaded) {
		*ret = &table;
		return NULL;
	}
	void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return mt_error_hint(mt_error_create(MT_ERROR_OTHER, "cannot load " SONAME),
				     "`memtrace serve` needs it: apt-get install libmicrohttpd12");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		functions[i] = dlsym(library, names[i]);
		if (!functions[i])
			return mt_error_create(MT_ERROR_OTHER, SONAME " has no %s", names[i]);
	}
	memcpy(&table, functions, sizeof(table));
	loaded = true;
	*ret = &table;
	return NULL;
}
