/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/debuginfod.h - asks the servers of DEBUGINFOD_URLS for files by build-id.
 *
 *	debuginfod_open()			NULL: DEBUGINFOD_URLS is not set, nobody is ever asked
 *	debuginfod_find(d, ...)			any number of times
 *	debuginfod_unusable(d, ...)		what came is not the file that was asked for
 *	debuginfod_warning(d, ...)			what has to be said about all of them
 *	debuginfod_close(d)
 *
 * The client library is loaded when it is there. No server can hold a report up for long: all
 * questions together take DEBUGINFOD_MAXTIME seconds at most (90), each ends after DEBUGINFOD_TIMEOUT
 * seconds without an answer (20), none is asked twice, and after one that was not answered in time,
 * or by an only server that cannot be reached, none is asked any more. */
#ifndef MT_SYMBOLIZE_DEBUGINFOD_H
#define MT_SYMBOLIZE_DEBUGINFOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct debuginfod;

struct debuginfod *debuginfod_open(void);
void debuginfod_close(struct debuginfod *d);	/* NULL accepted */
/* A descriptor of the file (in the client's cache) and its path, both the caller's; -1: none. `name`
 * is what the warning calls it; copied. */
int debuginfod_find(struct debuginfod *d, bool debuginfo, const uint8_t *build_id, size_t size,
		    const char *name, char **path_ret);
/* The file that was found for `name` is not the one: another build-id, no ELF file, or cut. */
void debuginfod_unusable(struct debuginfod *d, const char *name, const char *path);
/* One line: servers that do not answer, what none of them has, files that are not what they should
 * be. NULL: nothing to say. dead_ret: nothing is asked any more. The caller frees; NULL accepted. */
char *debuginfod_warning(const struct debuginfod *d, bool *dead_ret);

#endif
