/* SPDX-License-Identifier: Apache-2.0 */
/* serve/folder.h - the captures of DIR, and no other file.
 *
 * Opened once; names are looked up below the descriptor, without symbolic links and without leaving
 * it. A file that does not begin as a capture does is not there, so that a DIR with other things in
 * it gives none of them away. */
#ifndef MT_SERVE_FOLDER_H
#define MT_SERVE_FOLDER_H

#include "base/array.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define FOLDER_LIST_MAX 1000u

struct folder_capture {
	char name[256];
	uint64_t size;
	int64_t mtime_ns;
};

struct folder_list {
	MT_ARRAY(struct folder_capture) items;	/* newest first, at most FOLDER_LIST_MAX */
	bool more;
};

struct mt_error *folder_open(const char *path, int *fd_ret) MT_MUST_CHECK;
/* A descriptor of a capture; -1: there is none of this name. */
int folder_capture_open(int folder, const char *name, struct stat *st_ret);
struct mt_error *folder_list(int folder, struct folder_list *ret) MT_MUST_CHECK;
static inline void folder_list_deinit(struct folder_list *list)
{
	mt_array_deinit(&list->items);
}

#endif
