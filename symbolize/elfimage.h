/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/elfimage.h - ELF files in memory, made of sections that other files have or lack.
 *
 * libdw reads sections of one ELF file only, in the forms that its version knows; what is elsewhere
 * or in another form is put together here. */
#ifndef MT_SYMBOLIZE_ELFIMAGE_H
#define MT_SYMBOLIZE_ELFIMAGE_H

#include "base/buf.h"

#include <elfutils/libdw.h>

struct elf_image_section {
	const char *name;
	const void *data;
	size_t size;
};

/* Appends a little-endian ELF64 file of these sections to an empty buffer; false: out of memory. */
bool elf_image_put(struct mt_buf *out, const struct elf_image_section *sections, size_t count);

struct elf_image {
	struct mt_buf bytes;
	Elf *elf;		/* of bytes; NULL: none */
	Dwarf *dwarf;		/* of elf; NULL: none */
};

/* The same, opened. False: out of memory, or nothing that libdw can read; `ret` is to be ended then too. */
bool elf_image_open(struct elf_image *ret, const struct elf_image_section *sections, size_t count);
void elf_image_close(struct elf_image *image);

#endif
