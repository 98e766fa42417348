/* SPDX-License-Identifier: Apache-2.0 */
/* serve/mhd.c - loads libmicrohttpd.
 * Knows: its soname. Does not know: HTTP.
 * Called by serve/server.c; calls the loader. */
#include "serve/mhd.h"

#include <dlfcn.h>

struct mt_error *mhd_load(struct mhd *ret)
{
	struct mhd mhd;
	void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return mt_error_hint(mt_error_create(MT_ERROR_OTHER,
						     "libmicrohttpd is not installed here: %s", dlerror()),
				     "Debian and Ubuntu have it as libmicrohttpd12");
#define X(name)									\
	mhd.name = (__typeof__(mhd.name))dlsym(library, "MHD_" #name);		\
	if (!mhd.name)								\
		return mt_error_create(MT_ERROR_OTHER, "libmicrohttpd has no MHD_" #name);
	MHD_FUNCTIONS(X)
#undef X
	*ret = mhd;
	return NULL;
}
