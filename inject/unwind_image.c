/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_image.c - finds the call frame information of a loaded image.
 * Knows: .eh_frame_hdr, segments. Does not know: call frame instructions.
 * Called by inject/tables.c; calls unwind_compile.c and attach/image.c. */
#include "inject/unwind_image.h"

#include "base/cursor.h"

#define PE_PCREL_SDATA4 0x1b

/* The section has no length of its own at run time: it ends with a zero length, inside the
 * segment that holds it. */
static uint64_t segment_bytes_from(const struct image *img, uint64_t vaddr)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		if (vaddr >= s->vaddr && vaddr < s->vaddr + s->filesz)
			return s->vaddr + s->filesz - vaddr;
	}
	return 0;
}

static struct mt_error *find_eh_frame(struct tracee *t, const struct image *img, uint64_t *vaddr_ret)
{
	uint8_t bytes[16] = { 0 };
	struct mt_error *err = tracee_read(t, img->eh_frame_hdr, bytes, 8);
	if (err)
		return err;
	struct mt_cursor c = mt_cursor_make(bytes, 8);
	uint8_t version = mt_cursor_u8(&c), encoding = mt_cursor_u8(&c);
	c.pos += 2;
	uint64_t field = img->eh_frame_hdr - img->bias + 4;
	int32_t offset = (int32_t)mt_cursor_u32(&c);
	/* Every linker writes it pc-relative in four bytes. */
	if (version != 1 || encoding != PE_PCREL_SDATA4)
		return mt_error_create(MT_ERROR_CORRUPT, "'%s' has an unusual .eh_frame_hdr", img->path);
	*vaddr_ret = field + (uint64_t)(int64_t)offset;
	return NULL;
}

struct mt_error *unwind_compile_image(struct tracee *t, const struct image *img,
				      struct unwind_rules *rules, struct unwind_table *ret)
{
	if (!img->eh_frame_hdr)
		return NULL;
	uint64_t vaddr = 0;
	struct mt_error *err = find_eh_frame(t, img, &vaddr);
	if (err)
		return err;
	uint64_t size = segment_bytes_from(img, vaddr);
	if (!size)
		return mt_error_create(MT_ERROR_CORRUPT, "'%s' has its .eh_frame outside of its segments",
				       img->path);
	struct image_bytes bytes = { 0 };
	err = image_read_range(t, img, img->bias + vaddr, size, &bytes);
	if (err)
		return err;
	err = unwind_compile_section(bytes.data, bytes.size, vaddr, false, rules, ret);
	image_bytes_deinit(&bytes);
	return err;
}
