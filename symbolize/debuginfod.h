/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/debuginfod.h - asks the servers of DEBUGINFOD_URLS for files by build-id.
 *
 * The client library is loaded when it is there; without it nothing is ever found. */
#ifndef MT_SYMBOLIZE_DEBUGINFOD_H
#define MT_SYMBOLIZE_DEBUGINFOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct debuginfod;

/* NULL when DEBUGINFOD_URLS is not set, or there is no library. */
struct debuginfod *debuginfod_open(void);
void debuginfod_close(struct debuginfod *d);	/* NULL accepted */
/* A descriptor of the file (in the client's cache) and its path, both the caller's; -1: none. */
int debuginfod_find(struct debuginfod *d, bool debuginfo, const uint8_t *build_id, size_t size,
		    char **path_ret);

#endif
