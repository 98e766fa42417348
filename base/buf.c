/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf.c - a growable byte buffer.
 * Knows: bytes. Does not know: what they mean.
 * Called by every room outside the target; calls libc. */
#include "base/buf.h"
#include "base/varint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mt_buf_deinit(struct mt_buf *buf)
{
	free(buf->data);
	*buf = (struct mt_buf)MT_BUF_INIT;
}

bool mt_buf_reserve(struct mt_buf *buf, size_t extra)
{
	if (buf->failed)
		return false;
	if (buf->cap - buf->len >= extra)
		return true;
	size_t cap = buf->cap ? buf->cap : 256;
	while (cap - buf->len < extra) {
		if (cap > SIZE_MAX / 2) {
			buf->failed = true;
			return false;
		}
		cap *= 2;
	}
	uint8_t *data = realloc(buf->data, cap);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->cap = cap;
	return true;
}

void mt_buf_put(struct mt_buf *buf, const void *data, size_t len)
{
	if (!len || !mt_buf_reserve(buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

void mt_buf_put_str(struct mt_buf *buf, const char *s)
{
	mt_buf_put(buf, s, strlen(s));
}

void mt_buf_put_char(struct mt_buf *buf, char c)
{
	mt_buf_put(buf, &c, 1);
}

void mt_buf_printf(struct mt_buf *buf, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !mt_buf_reserve(buf, (size_t)n + 1))
		return;
	va_start(ap, fmt);
	vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
}

void mt_buf_put_u8(struct mt_buf *buf, uint8_t v)
{
	mt_buf_put(buf, &v, 1);
}

void mt_buf_put_u32(struct mt_buf *buf, uint32_t v)
{
	mt_buf_put(buf, &v, 4);
}

void mt_buf_put_u64(struct mt_buf *buf, uint64_t v)
{
	mt_buf_put(buf, &v, 8);
}

void mt_buf_put_varint(struct mt_buf *buf, uint64_t v)
{
	if (mt_buf_reserve(buf, VARINT_MAX))
		buf->len = (size_t)(varint_put(buf->data + buf->len, v) - buf->data);
}

void mt_buf_put_svarint(struct mt_buf *buf, int64_t v)
{
	mt_buf_put_varint(buf, varint_zigzag(v));
}

void mt_buf_put_lstr(struct mt_buf *buf, const void *s, size_t len)
{
	mt_buf_put_varint(buf, len);
	mt_buf_put(buf, s, len);
}

char *mt_buf_take_str(struct mt_buf *buf)
{
	mt_buf_put_char(buf, '\0');
	if (buf->failed) {
		mt_buf_deinit(buf);
		return NULL;
	}
	char *s = (char *)buf->data;
	*buf = (struct mt_buf)MT_BUF_INIT;
	return s;
}

struct mt_error *mt_buf_error(const struct mt_buf *buf)
{
	return buf->failed ? &mt_enomem : NULL;
}
