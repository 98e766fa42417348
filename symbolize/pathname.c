/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/pathname.c - removes "." and ".." from names of source files.
 * Knows: slashes. Does not know: any file system.
 * Called by symbolize/; calls libc. */
#include "symbolize/pathname.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Where the part before `end` begins, or NULL when it cannot be taken back ("..", the root). */
static char *last_part(char *start, char *end)
{
	char *p = end;
	while (p > start && p[-1] != '/')
		p--;
	if (p == end || (end - p == 2 && !memcmp(p, "..", 2)))
		return NULL;
	return p;
}

char *pathname_clean(const char *path)
{
	char *out = malloc(strlen(path) + 1);
	if (!out)
		return NULL;
	bool absolute = *path == '/';
	char *start = out, *w = out;
	if (absolute)
		*start++ = '/', w++;
	while (*path) {
		size_t n = strcspn(path, "/");
		const char *part = path;
		path += n + (path[n] == '/');
		if (!n || (n == 1 && *part == '.'))
			continue;
		/* w is at the end of a part here, or at start */
		char *back = n == 2 && !memcmp(part, "..", 2) ? last_part(start, w) : NULL;
		if (back) {
			w = back > start ? back - 1 : start;
			continue;
		}
		if (n == 2 && !memcmp(part, "..", 2) && absolute && w == start)
			continue;
		if (w > start)
			*w++ = '/';
		memmove(w, part, n);
		w += n;
	}
	*w = 0;
	return out;
}
