/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/elfimage.c - writes the few headers that make sections an ELF file.
 * Knows: ELF64. Does not know: what is in the sections.
 * Called by symbolize/; calls base/, libelf, libdw. */
#include "symbolize/elfimage.h"

#include <elf.h>
#include <string.h>

#define NAMES ".shstrtab"

static void align(struct mt_buf *out)
{
	while (out->len % 8 && !out->failed)
		mt_buf_put_u8(out, 0);
}

static void put_header(struct mt_buf *out, uint64_t table, size_t count)
{
	Elf64_Ehdr e = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_REL, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_shoff = table,
		.e_ehsize = sizeof(e), .e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = (uint16_t)(count + 2), .e_shstrndx = (uint16_t)(count + 1),
	};
	if (!out->failed)
		memcpy(out->data, &e, sizeof(e));
}

static void put_section(struct mt_buf *out, uint32_t type, uint32_t name, uint64_t offset, uint64_t size)
{
	Elf64_Shdr s = { .sh_name = name, .sh_type = type, .sh_offset = offset, .sh_size = size,
			 .sh_addralign = 1 };
	mt_buf_put(out, &s, sizeof(s));
}

bool elf_image_put(struct mt_buf *out, const struct elf_image_section *sections, size_t count)
{
	Elf64_Ehdr room = { 0 };
	uint64_t offset = sizeof(room), names = 1, size = 1 + sizeof(NAMES);
	mt_buf_put(out, &room, sizeof(room));
	for (size_t i = 0; i < count; i++) {
		mt_buf_put(out, sections[i].data, sections[i].size);
		align(out);
	}
	uint64_t strings = out->len;
	mt_buf_put_u8(out, 0);
	for (size_t i = 0; i < count; i++) {
		mt_buf_put(out, sections[i].name, strlen(sections[i].name) + 1);
		size += strlen(sections[i].name) + 1;
	}
	mt_buf_put(out, NAMES, sizeof(NAMES));
	align(out);
	put_header(out, out->len, count);
	put_section(out, SHT_NULL, 0, 0, 0);
	for (size_t i = 0; i < count; i++) {
		put_section(out, SHT_PROGBITS, (uint32_t)names, offset, sections[i].size);
		names += strlen(sections[i].name) + 1;
		offset += (sections[i].size + 7) / 8 * 8;
	}
	put_section(out, SHT_STRTAB, (uint32_t)names, strings, size);
	return !out->failed;
}

bool elf_image_open(struct elf_image *ret, const struct elf_image_section *sections, size_t count)
{
	*ret = (struct elf_image){ .bytes = MT_BUF_INIT };
	if (!elf_image_put(&ret->bytes, sections, count))
		return false;
	elf_version(EV_CURRENT);
	ret->elf = elf_memory((char *)ret->bytes.data, ret->bytes.len);
	ret->dwarf = ret->elf ? dwarf_begin_elf(ret->elf, DWARF_C_READ, NULL) : NULL;
	return ret->dwarf;
}

void elf_image_close(struct elf_image *image)
{
	if (image->dwarf)
		dwarf_end(image->dwarf);
	if (image->elf)
		elf_end(image->elf);
	mt_buf_deinit(&image->bytes);
	*image = (struct elf_image){ .bytes = MT_BUF_INIT };
}
