/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/hidden.c - what a program writes to the terminal while that shows something else.
 * Knows: files in memory. Does not know: the program, the terminal.
 * Called by cmds/run_live.c; calls the kernel. */
#include "cmds/hidden.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cmds/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_HIDDEN (64u << 10)
#define KEEP_SHOWN (16u << 20)	/* what a slow terminal may be behind */

struct mt_error *hidden_begin(struct hidden *h)
{
	*h = (struct hidden){ .fd = memfd_create("program-output", MFD_CLOEXEC) };
	/* Programs that open /dev/stdout anew append as well. */
	if (h->fd < 0 || fcntl(h->fd, F_SETFL, O_APPEND))
		return mt_error_os(errno, "cannot make a file in memory");
	return NULL;
}

void hidden_end(struct hidden *h)
{
	mt_cleanup_close(&h->fd);
}

static uint64_t size_of(struct hidden *h)
{
	struct stat st;
	uint64_t size = fstat(h->fd, &st) ? h->done : (uint64_t)st.st_size;
	if (size < h->done)		/* the program began it anew */
		h->done = 0;
	return size;
}

static void done_to(struct hidden *h, uint64_t end)
{
	h->done = end;
	fallocate(h->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)end);
}

static void keep(struct hidden *h, uint64_t bytes)
{
	uint64_t size = size_of(h);
	if (size - h->done <= bytes)
		return;
	h->forgotten += size - bytes - h->done;
	done_to(h, size - bytes);
}

void hidden_forget(struct hidden *h)
{
	keep(h, KEEP_HIDDEN);
}

/* What is left of the line whose beginning was forgotten is forgotten, too. */
static void begin_line(struct hidden *h)
{
	char text[4096], size[MT_TEXT_MAX];
	ssize_t n = pread(h->fd, text, sizeof(text), (off_t)h->done);
	const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	if (end) {
		h->done += (uint64_t)(end + 1 - text);
		h->forgotten += (uint64_t)(end + 1 - text);
	}
	cmd_note("the first %s of what the program wrote are not shown", mt_text_size(size, h->forgotten));
	h->forgotten = 0;
}

void hidden_show(struct hidden *h, int fd)
{
	char text[1 << 16];
	keep(h, KEEP_SHOWN);
	if (h->forgotten)
		begin_line(h);
	for (uint64_t end = size_of(h); h->done < end;) {
		ssize_t n = pread(h->fd, text, sizeof(text), (off_t)h->done);
		if (n <= 0)
			return;
		ssize_t wrote = write(fd, text, (size_t)n);
		if (wrote < 0 && errno == EINTR)
			continue;
		/* A terminal that is gone takes nothing: then nobody misses it. */
		done_to(h, h->done + (uint64_t)(wrote > 0 ? wrote : n));
	}
}
