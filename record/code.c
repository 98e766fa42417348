/* SPDX-License-Identifier: Apache-2.0 */
/* record/code.c - decodes the descriptions of Python code objects.
 * Knows: the CODE payload of capture/wire.h. Does not know: line tables, rings.
 * Called by record/ring_reader.c; calls capture/writer.h. */
#include "record/code.h"

#include "base/cursor.h"
#include "base/text.h"

#define PAYLOAD_MAX (4u << 20)
#define KIND_BYTES 255

void codes_deinit(struct codes *codes)
{
	for (size_t i = 0; i < codes->open.len; i++)
		mt_buf_deinit(&codes->open.items[i].bytes);
	mt_array_deinit(&codes->open);
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
	mt_text_put_unicode(&file_text, file.bytes, file.size, file.kind);
	mt_text_put_unicode(&name_text, name.bytes, name.size, name.kind);
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
