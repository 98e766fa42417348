/* SPDX-License-Identifier: Apache-2.0 */
/* serve/folder.h - the captures in one folder, and no file but those.
 *
 * A name from outside is a plain file name that ends in ".bin"; it is opened below the folder,
 * symbolic links are not followed. */
#ifndef MT_SERVE_FOLDER_H
#define MT_SERVE_FOLDER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

#define FOLDER_LISTED_MAX 1000u

struct folder {
	int fd;
	char *path;
};

struct mt_error *folder_open(struct folder *f, const char *path) MT_MUST_CHECK;
void folder_close(struct folder *f);	/* fd -1 accepted */

/* The capture of `stem`, without ".bin"; -1: there is none, or no such name. */
int folder_capture(const struct folder *f, const char *stem);
/* [{name, bytes, modified, command, pid, start_ns, end_ns, events, damage}] as JSON, newest first. */
struct mt_error *folder_list(const struct folder *f, FILE *out) MT_MUST_CHECK;

#endif
