/* SPDX-License-Identifier: Apache-2.0 */
/* inject/memory_file.h - unwind tables on their way through memory files, by file and not by mapping:
 * page by page through mappings took ten times as long. */
#ifndef MT_INJECT_MEMORY_FILE_H
#define MT_INJECT_MEMORY_FILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct mt_error *memory_file_write(int fd, const void *data, size_t size, uint64_t at) MT_MUST_CHECK;
/* `size` bytes at from_at of one to to_at of another. */
struct mt_error *memory_file_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t size)
	MT_MUST_CHECK;

#endif
