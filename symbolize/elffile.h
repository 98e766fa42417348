/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/elffile.h - an ELF file on disk, opened for reading, and its identity. */
#ifndef MT_SYMBOLIZE_ELFFILE_H
#define MT_SYMBOLIZE_ELFFILE_H

#include "base/buf.h"

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
	Elf *elf;		/* NULL: not open */
	int fd;
	char *path;
};

#define ELF_FILE_INIT { NULL, -1, NULL }

/* Opens a regular file that is ELF; takes ownership of path, and of fd unless that is -1 (then
 * path is opened). False when it is not there, not readable or not ELF. Never blocks on a FIFO. */
bool elf_file_open(struct elf_file *f, char *path, int fd);
void elf_file_close(struct elf_file *f);	/* one that is not open is accepted */

/* The GNU build-id, borrowed from the file; size 0: none. */
size_t elf_file_build_id(const struct elf_file *f, const uint8_t **ret);
/* Whether a section of that name is there and has contents. */
bool elf_file_has_section(const struct elf_file *f, const char *name);
/* Whether all that its section table names lies in the file. */
bool elf_file_is_whole(const struct elf_file *f);
/* Appends bytes as hexadecimal digits. */
void put_hex(struct mt_buf *buf, const uint8_t *bytes, size_t size);

#endif
