/* SPDX-License-Identifier: Apache-2.0 */
/* serve/folder.c - the captures of DIR, and no other file.
 * Knows: names, links, how a capture begins. Does not know: what is in one.
 * Called by serve/; calls base/ and the kernel. */
#include "serve/folder.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "capture/format.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

struct mt_error *folder_open(const char *path, int *fd_ret)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return mt_error_os(errno, "cannot serve '%s'", path);
	*fd_ret = fd;
	return NULL;
}

/* One component, checked here as well: kernels before 5.6 have no openat2. */
static int open_beneath(int folder, const char *name)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	struct open_how how = {
		.flags = (uint64_t)flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	if (!*name || *name == '.' || strchr(name, '/'))
		return -1;
	int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))	/* EPERM: a seccomp filter of before */
		fd = openat(folder, name, flags);
	return fd;
}

int folder_capture_open(int folder, const char *name, struct stat *st_ret)
{
	/* The version and the reader's least version follow, of one byte each so far: a text that begins
	 * with our name is no capture. */
	static const char begin[] = CAPTURE_MAGIC;
	char magic[sizeof(begin) + 3];
	auto_close int fd = open_beneath(folder, name);
	if (fd < 0 || fstat(fd, st_ret) || !S_ISREG(st_ret->st_mode) ||
	    pread(fd, magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) ||
	    memcmp(magic, begin, sizeof(begin) - 1) || magic[sizeof(begin)] || magic[sizeof(begin) + 2])
		return -1;
	return take_fd(&fd);
}

static int newest_first(const void *a, const void *b)
{
	const struct folder_capture *x = a, *y = b;
	if (x->mtime_ns != y->mtime_ns)
		return x->mtime_ns < y->mtime_ns ? 1 : -1;
	return strcmp(x->name, y->name);
}

static bool is_shown(const char *name)
{
	for (size_t i = 0, len = strlen(name); i < len;) {
		uint32_t code;
		size_t n = mt_text_utf8(name + i, len - i, &code);
		if (!n || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
		i += n;
	}
	return true;
}

struct mt_error *folder_list(int folder, struct folder_list *ret)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	if (!dir)
		return mt_error_os(errno, "cannot list the folder");
	for (struct dirent *e; (e = readdir(dir));) {
		struct stat st;
		struct folder_capture c;
		int fd = is_shown(e->d_name) ? folder_capture_open(folder, e->d_name, &st) : -1;
		if (fd < 0)
			continue;
		close(fd);
		snprintf(c.name, sizeof(c.name), "%s", e->d_name);
		c.size = (uint64_t)st.st_size;
		c.mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
		if (!mt_array_push(&ret->items, c))
			return &mt_enomem;
	}
	if (ret->items.len)
		qsort(ret->items.items, ret->items.len, sizeof(*ret->items.items), newest_first);
	ret->more = ret->items.len > FOLDER_LIST_MAX;
	if (ret->more)
		ret->items.len = FOLDER_LIST_MAX;
	return NULL;
}
