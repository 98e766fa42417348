/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_image.c - finds the call frame information of a loaded image.
 * Knows: .eh_frame_hdr, segments, section names. Does not know: call frame instructions.
 * Called by inject/tables.c; calls unwind_compile.c, attach/image.c and libelf. */
#include "inject/unwind_image.h"

#include "inject/unwind_private.h"

#include <dwarf.h>
#include <gelf.h>
#include <string.h>
#include <unistd.h>

#define SEARCH_ENTRY 8u		/* function and FDE, 4 bytes each, relative to the header */

/* Where .eh_frame lies, in virtual addresses; end 0: not known. */
struct frame_range {
	uint64_t start, end;
};

/* Bytes of the segment from this virtual address on. */
static uint64_t segment_bytes_from(const struct image *img, uint64_t vaddr)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->filesz)
			return s->vaddr + s->filesz - vaddr;
	}
	return 0;
}

/* The section ends with the FDE that lies furthest back: not every linker writes the zero length
 * that should end it, and what follows are other tables. 0: no search table of the usual kind. */
static uint64_t last_fde(struct mt_cursor *hdr, uint8_t count_encoding, uint8_t table_encoding,
			 uint64_t hdr_vaddr)
{
	uint64_t count, last = 0;
	if (table_encoding != (DW_EH_PE_datarel | DW_EH_PE_sdata4) ||
	    !cfi_pointer(hdr, count_encoding, hdr_vaddr, &count) ||
	    count > mt_cursor_left(hdr) / SEARCH_ENTRY)
		return 0;
	for (uint64_t i = 0; i < count; i++) {
		mt_cursor_u32(hdr);
		uint64_t fde = hdr_vaddr + (uint64_t)(int64_t)(int32_t)mt_cursor_u32(hdr);
		if (fde > last)
			last = fde;
	}
	return last;
}

static struct mt_error *find_eh_frame(struct tracee *t, const struct image *img, int fd,
				      struct frame_range *ret)
{
	struct image_bytes bytes = { 0 };
	struct mt_error *err = image_read_range(t, img, fd, img->eh_frame_hdr,
						img->eh_frame_hdr_size, &bytes);
	if (err)
		return err;
	uint64_t vaddr = img->eh_frame_hdr - img->bias;
	struct mt_cursor c = mt_cursor_make(bytes.data, bytes.size);
	uint8_t version = mt_cursor_u8(&c), encoding = mt_cursor_u8(&c);
	uint8_t count_encoding = mt_cursor_u8(&c), table_encoding = mt_cursor_u8(&c);
	bool ok = version == 1 && cfi_pointer(&c, encoding, vaddr, &ret->start) && !c.failed;
	uint64_t last = ok ? last_fde(&c, count_encoding, table_encoding, vaddr) : 0;
	image_bytes_deinit(&bytes);
	if (!ok)
		return mt_error_create(MT_ERROR_CORRUPT, "'%s' has an unusual .eh_frame_hdr",
				       img->path);
	uint32_t length;
	if (last > ret->start && last - ret->start < segment_bytes_from(img, ret->start)) {
		err = image_read_range(t, img, fd, last + img->bias, sizeof(length), &bytes);
		if (err)
			return err;
		memcpy(&length, bytes.data, sizeof(length));
		image_bytes_deinit(&bytes);
		ret->end = length == UINT32_MAX ? 0 : last + sizeof(length) + length;
	}
	return NULL;
}

static struct mt_error *compile_loaded(struct tracee *t, const struct image *img,
				       struct unwind_rules *rules, struct unwind_table *ret)
{
	struct frame_range range = { 0 };
	auto_close int fd = image_open_file(t, img);
	struct mt_error *err = find_eh_frame(t, img, fd, &range);
	if (err)
		return err;
	uint64_t size = segment_bytes_from(img, range.start);
	if (!size)
		return mt_error_create(MT_ERROR_CORRUPT,
				       "'%s' has its .eh_frame outside of its segments", img->path);
	if (range.end > range.start && range.end - range.start < size)
		size = range.end - range.start;
	struct image_bytes bytes = { 0 };
	err = image_read_range(t, img, fd, img->bias + range.start, size, &bytes);
	if (err)
		return err;
	err = unwind_compile_section(bytes.data, bytes.size, range.start, false, rules, ret);
	image_bytes_deinit(&bytes);
	return err;
}

/* ---- from the file ---- */

static Elf_Scn *find_section(Elf *elf, const char *want, GElf_Shdr *ret)
{
	size_t names;
	Elf_Scn *scn = NULL;
	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		if (gelf_getshdr(scn, ret) && ret->sh_type != SHT_NOBITS &&
		    (name = elf_strptr(elf, names, ret->sh_name)) && !strcmp(name, want))
			return scn;
	}
	return NULL;
}

static struct mt_error *compile_section_of(Elf *elf, const char *name, bool is_debug_frame,
					   struct unwind_rules *rules, struct unwind_table *ret)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = find_section(elf, name, &shdr);
	if (!scn || ((shdr.sh_flags & SHF_COMPRESSED) && elf_compress(scn, 0, 0) < 0))
		return NULL;
	Elf_Data *data = elf_getdata(scn, NULL);
	if (!data || !data->d_buf)
		return NULL;
	return unwind_compile_section(data->d_buf, data->d_size, shdr.sh_addr, is_debug_frame,
				      rules, ret);
}

static struct mt_error *compile_file(struct tracee *t, const struct image *img,
				     struct unwind_rules *rules, struct unwind_table *ret)
{
	auto_close int fd = image_open_file(t, img);
	if (fd < 0)
		return NULL;
	elf_version(EV_CURRENT);
	/* Not mapped: a file that shrinks under us must not end this process. */
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return NULL;
	struct mt_error *err = compile_section_of(elf, ".eh_frame", false, rules, ret);
	if (!err && !ret->rows.len)
		err = compile_section_of(elf, ".debug_frame", true, rules, ret);
	elf_end(elf);
	return err;
}

struct mt_error *unwind_compile_image(struct tracee *t, const struct image *img,
				      struct unwind_rules *rules, struct unwind_table *ret)
{
	/* A row has 32 bits for its address. */
	if (img->end - img->bias > UINT32_MAX)
		ret->base = img->start - img->bias;
	if (img->eh_frame_hdr)
		return compile_loaded(t, img, rules, ret);
	return compile_file(t, img, rules, ret);
}
