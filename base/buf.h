/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf.h - a growable byte buffer that remembers running out of memory.
 *
 * Appends never fail visibly: after a failed allocation the buffer is `failed`, keeps what it had
 * and ignores further appends; the user checks once with mt_buf_error() before using the content. */
#ifndef MT_BASE_BUF_H
#define MT_BASE_BUF_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mt_buf {
	uint8_t *data;
	size_t len, cap;
	bool failed;
};

#define MT_BUF_INIT { NULL, 0, 0, false }

void mt_buf_deinit(struct mt_buf *buf);
/* Room for `extra` more bytes at data + len; false after out of memory. */
bool mt_buf_reserve(struct mt_buf *buf, size_t extra);
void mt_buf_put(struct mt_buf *buf, const void *data, size_t len);
void mt_buf_put_str(struct mt_buf *buf, const char *s);	/* without the NUL */
void mt_buf_put_char(struct mt_buf *buf, char c);
void mt_buf_printf(struct mt_buf *buf, const char *fmt, ...) MT_PRINTF(2, 3);
void mt_buf_put_u8(struct mt_buf *buf, uint8_t v);
void mt_buf_put_u32(struct mt_buf *buf, uint32_t v);	/* little endian */
void mt_buf_put_u64(struct mt_buf *buf, uint64_t v);
void mt_buf_put_varint(struct mt_buf *buf, uint64_t v);
void mt_buf_put_svarint(struct mt_buf *buf, int64_t v);	/* zigzag */
/* varint length, then the bytes. */
void mt_buf_put_lstr(struct mt_buf *buf, const void *s, size_t len);
/* NUL-terminates (the NUL is not counted) and gives the memory to the caller; NULL after out of
 * memory. The buffer is empty afterwards. */
char *mt_buf_take_str(struct mt_buf *buf);
static inline void mt_buf_clear(struct mt_buf *buf)
{
	buf->len = 0;
}
struct mt_error *mt_buf_error(const struct mt_buf *buf) MT_MUST_CHECK;

#define auto_buf __attribute__((cleanup(mt_buf_deinit)))

#endif
