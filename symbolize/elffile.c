/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/elffile.c - opens ELF files without trusting them to be files, or ELF.
 * Knows: libelf, build-ids. Does not know: which file is wanted.
 * Called by symbolize/; calls base/, libelf and libdw. */
#include "symbolize/elffile.h"

#include "base/cleanup.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <string.h>
#include <sys/stat.h>

static Elf *begin_elf(int fd)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return NULL;
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		return elf;
	elf_end(elf);
	return NULL;
}

bool elf_file_open(struct elf_file *f, char *path, int fd)
{
	if (path && fd < 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	Elf *elf = path ? begin_elf(fd) : NULL;
	if (!elf) {
		if (fd >= 0)
			close(fd);
		free(path);
		return false;
	}
	*f = (struct elf_file){ elf, fd, path };
	return true;
}

void elf_file_close(struct elf_file *f)
{
	if (!f->elf)
		return;
	elf_end(f->elf);
	close(f->fd);
	free(f->path);
	*f = (struct elf_file)ELF_FILE_INIT;
}

size_t elf_file_build_id(const struct elf_file *f, const uint8_t **ret)
{
	const void *id = NULL;
	ssize_t size = dwelf_elf_gnu_build_id(f->elf, &id);
	*ret = id;
	return size > 0 ? (size_t)size : 0;
}

bool elf_file_has_section(const struct elf_file *f, const char *name)
{
	size_t strings;
	Elf_Scn *scn = NULL;
	if (!f->elf || elf_getshdrstrndx(f->elf, &strings))
		return false;
	while ((scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr shdr;
		const char *s = gelf_getshdr(scn, &shdr) ?
				elf_strptr(f->elf, strings, shdr.sh_name) : NULL;
		if (s && !strcmp(s, name) && shdr.sh_type != SHT_NOBITS)
			return true;
	}
	return false;
}

bool elf_file_is_whole(const struct elf_file *f)
{
	size_t size = 0;
	Elf_Scn *scn = NULL;
	GElf_Ehdr ehdr;
	if (!gelf_getehdr(f->elf, &ehdr) || !elf_rawfile(f->elf, &size))
		return false;
	if (ehdr.e_shoff && ehdr.e_shnum && !elf_nextscn(f->elf, NULL))
		return false;		/* libelf shows a table beyond the end as none */
	while ((scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr shdr;
		if (!gelf_getshdr(scn, &shdr))
			return false;
		if (shdr.sh_type == SHT_NOBITS)
			continue;
		if (shdr.sh_offset > size || shdr.sh_size > size - shdr.sh_offset)
			return false;
	}
	return true;
}

void put_hex(struct mt_buf *buf, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		mt_buf_printf(buf, "%02x", bytes[i]);
}
