/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/debuginfod.c - libdebuginfod, loaded at run time.
 * Knows: its three calls. Does not know: modules, captures.
 * Called by symbolize/files.c; calls libdebuginfod when installed. */
#include "symbolize/debuginfod.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>

/* Loaded rather than linked: it brings an HTTP client and some twenty libraries, which a program
 * that is copied to bare hosts cannot count on. libdw does the same. */
struct debuginfod {
	void *library;
	void *client;
	void (*end)(void *client);
	int (*find_debuginfo)(void *client, const unsigned char *id, int len, char **path);
	int (*find_executable)(void *client, const unsigned char *id, int len, char **path);
};

static bool load(struct debuginfod *d)
{
	d->library = dlopen("libdebuginfod.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (!d->library)
		return false;
	void *(*begin)(void) = (void *(*)(void))dlsym(d->library, "debuginfod_begin");
	d->end = (void (*)(void *))dlsym(d->library, "debuginfod_end");
	d->find_debuginfo = (int (*)(void *, const unsigned char *, int, char **))
		dlsym(d->library, "debuginfod_find_debuginfo");
	d->find_executable = (int (*)(void *, const unsigned char *, int, char **))
		dlsym(d->library, "debuginfod_find_executable");
	if (!begin || !d->end || !d->find_debuginfo || !d->find_executable)
		return false;
	d->client = begin();
	return d->client;
}

struct debuginfod *debuginfod_open(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debuginfod *d = urls && *urls ? calloc(1, sizeof(*d)) : NULL;
	if (d && !load(d)) {
		debuginfod_close(d);
		return NULL;
	}
	return d;
}

/* The library stays loaded: its HTTP client does not survive being unloaded. */
void debuginfod_close(struct debuginfod *d)
{
	if (d && d->client)
		d->end(d->client);
	free(d);
}

int debuginfod_find(struct debuginfod *d, bool debuginfo, const uint8_t *build_id, size_t size,
		    char **path_ret)
{
	if (!size || size > INT_MAX)
		return -1;
	int fd = (debuginfo ? d->find_debuginfo : d->find_executable)(d->client, build_id, (int)size,
								      path_ret);
	return fd < 0 ? -1 : fd;
}
