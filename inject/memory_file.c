/* SPDX-License-Identifier: Apache-2.0 */
/* inject/memory_file.c - writes and copies whole ranges of memory files.
 * Knows: pread, pwrite. Does not know: what the bytes mean.
 * Called by inject/tables.c and inject/channel.c; calls the kernel. */
#include "inject/memory_file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define COPY_STEP (256u << 10)

struct mt_error *memory_file_write(int fd, const void *data, size_t size, uint64_t at)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const uint8_t *)data + done, size - done, (off_t)(at + done));
		if (n < 0)
			return mt_error_os(errno, "cannot write unwind tables to a memory file");
		done += (size_t)n;
	}
	return NULL;
}

struct mt_error *memory_file_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t size)
{
	size_t step = size < COPY_STEP ? (size_t)size : COPY_STEP;
	auto_free uint8_t *buf = malloc(step + 1);
	if (!buf)
		return &mt_enomem;
	for (uint64_t done = 0; done < size;) {
		size_t want = size - done < step ? (size_t)(size - done) : step;
		ssize_t n = pread(from, buf, want, (off_t)(from_at + done));
		if (n <= 0)
			return mt_error_os(n ? errno : EIO, "cannot read the unwind tables");
		struct mt_error *err = memory_file_write(to, buf, (size_t)n, to_at + done);
		if (err)
			return err;
		done += (uint64_t)n;
	}
	return NULL;
}
