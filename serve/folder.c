/* SPDX-License-Identifier: Apache-2.0 */
/* serve/folder.c - finds captures in a folder and says what they say of themselves.
 * Knows: file names, capture/reader.h. Does not know: HTTP.
 * Called by serve/server.c; calls capture/ and base/. */
#include "serve/folder.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "capture/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".bin"

struct found {
	char name[256];		/* without the suffix */
	uint64_t size, modified;
};

void folder_close(struct folder *f)
{
	mt_cleanup_close(&f->fd);
	free(f->path);
	f->path = NULL;
}

struct mt_error *folder_open(struct folder *f, const char *path)
{
	f->path = realpath(path, NULL);
	f->fd = f->path ? open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (f->fd < 0) {
		struct mt_error *err = mt_error_os(errno, "cannot open the folder '%s'", path);
		folder_close(f);
		return err;
	}
	return NULL;
}

static bool good_stem(const char *stem)
{
	if (!*stem || *stem == '.' || strlen(stem) + sizeof(SUFFIX) > sizeof(((struct found *)0)->name))
		return false;
	for (const unsigned char *c = (const unsigned char *)stem; *c; c++)
		if (*c == '/' || *c < ' ' || *c == 127)
			return false;
	return true;
}

int folder_capture(const struct folder *f, const char *stem)
{
	char name[sizeof(((struct found *)0)->name) + sizeof(SUFFIX)];
	struct stat st;
	if (!good_stem(stem))
		return -1;
	snprintf(name, sizeof(name), "%s" SUFFIX, stem);
	auto_close int fd = openat(f->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -1;
	return take_fd(&fd);
}

/* ---- the list ---- */

static int newest_first(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->modified != y->modified)
		return x->modified > y->modified ? -1 : 1;
	return strcmp(x->name, y->name);
}

static bool look_at(const struct folder *f, const char *name, struct found *ret)
{
	size_t len = strlen(name);
	struct stat st;
	if (len <= sizeof(SUFFIX) - 1 || len >= sizeof(ret->name) ||
	    strcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX))
		return false;
	memcpy(ret->name, name, len - (sizeof(SUFFIX) - 1));
	ret->name[len - (sizeof(SUFFIX) - 1)] = 0;
	if (!good_stem(ret->name) || fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode))
		return false;
	ret->size = (uint64_t)st.st_size;
	ret->modified = (uint64_t)st.st_mtim.tv_sec;
	return true;
}

static void put_facts(struct mt_json *j, const struct capture *cap)
{
	size_t size = 0;
	uint64_t events = 0;
	const char *command = capture_meta(cap, CAPTURE_META_COMMAND, &size);
	auto_free char *text = command ? mt_text_command(command, size) : NULL;
	mt_json_str(j, "command", text);
	mt_json_u64(j, "pid", capture_meta_u64(cap, CAPTURE_META_PID, 0));
	mt_json_u64(j, "start_ns", capture_meta_u64(cap, CAPTURE_META_START, 0));
	mt_json_u64(j, "end_ns", capture_meta_u64(cap, CAPTURE_META_END, 0));
	if (capture_counter(cap, CAPTURE_COUNTER_WRITTEN, &events))
		mt_json_u64(j, "events", events);
	else
		mt_json_null(j, "events");
	mt_json_str(j, "damage", capture_damage(cap));
}

static void put_capture(struct mt_json *j, const struct folder *f, const struct found *found)
{
	char path[64];
	auto_capture struct capture *cap = NULL;
	auto_close int fd = folder_capture(f, found->name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	auto_error struct mt_error *err = fd < 0 ? NULL : capture_open(path, &cap);
	if (fd < 0 || err)	/* gone meanwhile, or another kind of file */
		return;
	mt_json_open(j, NULL, '{');
	mt_json_str(j, "name", found->name);
	mt_json_u64(j, "bytes", found->size);
	mt_json_u64(j, "modified", found->modified);
	put_facts(j, cap);
	mt_json_close(j);
}

struct mt_error *folder_list(const struct folder *f, FILE *out)
{
	MT_ARRAY(struct found) list = { 0 };
	struct found found;
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool good = true;
	if (!dir)
		return mt_error_os(errno, "cannot read the folder '%s'", f->path);
	for (struct dirent *e; good && (e = readdir(dir));)
		if (look_at(f, e->d_name, &found))
			good = mt_array_push(&list, found);
	if (good && list.len)
		qsort(list.items, list.len, sizeof(found), newest_first);
	struct mt_json j = mt_json_make(out, false);
	mt_json_open(&j, NULL, '[');
	for (size_t i = 0; i < list.len && i < FOLDER_LISTED_MAX; i++)
		put_capture(&j, f, &list.items[i]);
	mt_json_close(&j);
	mt_array_deinit(&list);
	return good ? NULL : &mt_enomem;
}
