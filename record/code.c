/* SPDX-License-Identifier: Apache-2.0 */
/* record/code.c - decodes the descriptions of Python code objects.
 * Knows: the CODE payload of capture/wire.h. Does not know: line tables, rings.
 * Called by record/ring_reader.c; calls capture/writer.h. */
#include "record/code.h"

#include "base/cursor.h"

#define PAYLOAD_MAX (4u << 20)
#define KIND_BYTES 255

void codes_deinit(struct codes *codes)
{
	for (size_t i = 0; i < codes->open.len; i++)
		mt_buf_deinit(&codes->open.items[i].bytes);
	mt_array_deinit(&codes->open);
}

static void put_utf8(struct mt_buf *out, uint32_t c)
{
	if (c >= 0xd800 && c < 0xe000)	/* lone surrogates stand for undecodable bytes */
		c = 0xfffd;
	if (c < 0x80) {
		mt_buf_put_u8(out, (uint8_t)c);
	} else if (c < 0x800) {
		mt_buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		mt_buf_put_u8(out, (uint8_t)(0xe0 | c >> 12));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x110000) {
		mt_buf_put_u8(out, (uint8_t)(0xf0 | c >> 18));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

void code_text(const uint8_t *bytes, size_t size, unsigned kind, struct mt_buf *out)
{
	unsigned width = kind == 0 ? 1 : kind;
	struct mt_cursor c = mt_cursor_make(bytes, size);
	while (mt_cursor_left(&c) >= width)
		put_utf8(out, (uint32_t)mt_cursor_uint(&c, width));
}

struct field {
	uint8_t kind;
	const char *bytes;
	size_t size;
};

static struct field take_field(struct mt_cursor *c)
{
	struct field f = { .kind = mt_cursor_u8(c) };
	f.bytes = mt_cursor_lstr(c, &f.size);
	if (f.kind != 0 && f.kind != 1 && f.kind != 2 && f.kind != 4 && f.kind != KIND_BYTES)
		c->failed = true;
	return f;
}

static struct mt_error *put_code(struct codes *codes, uint32_t id, const uint8_t *bytes, size_t size)
{
	struct mt_cursor c = mt_cursor_make(bytes, size);
	struct capture_code code = { .id = id };
	code.first_line = (uint32_t)mt_cursor_varint(&c);
	code.first_traceable = (uint32_t)mt_cursor_varint(&c);
	struct field file = take_field(&c), name = take_field(&c), lines = take_field(&c);
	if (c.failed) {
		codes->damaged++;
		return NULL;
	}
	auto_buf struct mt_buf file_text = MT_BUF_INIT, name_text = MT_BUF_INIT;
	code_text((const uint8_t *)file.bytes, file.size, file.kind, &file_text);
	code_text((const uint8_t *)name.bytes, name.size, name.kind, &name_text);
	if (file_text.failed || name_text.failed)
		return &mt_enomem;
	code.file = (const char *)file_text.data;
	code.file_size = file_text.len;
	code.name = (const char *)name_text.data;
	code.name_size = name_text.len;
	code.line_table = (const uint8_t *)lines.bytes;
	code.line_table_size = lines.size;
	return capture_writer_code(codes->writer, &code);
}

static struct code_part *find_part(struct codes *codes, uint32_t id)
{
	for (size_t i = codes->open.len; i > 0; i--)
		if (codes->open.items[i - 1].id == id)
			return &codes->open.items[i - 1];
	return NULL;
}

struct mt_error *codes_chunk(struct codes *codes, uint32_t id, uint64_t total, uint64_t offset,
			     const uint8_t *bytes, size_t size)
{
	struct code_part *part = offset ? find_part(codes, id) : NULL;
	if (!offset && total <= PAYLOAD_MAX) {
		if (!mt_array_push(&codes->open, (struct code_part){ id, total, MT_BUF_INIT }))
			return &mt_enomem;
		part = &codes->open.items[codes->open.len - 1];
	}
	if (!part || part->bytes.len != offset || size > part->total - offset) {
		codes->damaged++;
		return NULL;
	}
	mt_buf_put(&part->bytes, bytes, size);
	if (part->bytes.failed)
		return &mt_enomem;
	if (part->bytes.len < part->total)
		return NULL;
	struct mt_error *err = put_code(codes, id, part->bytes.data, part->bytes.len);
	mt_buf_deinit(&part->bytes);
	*part = codes->open.items[--codes->open.len];
	return err;
}
