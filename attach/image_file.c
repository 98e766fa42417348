/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_file.c - the file behind a loaded image, when it can still be reached.
 * Knows: paths under /proc, build-ids, section headers. Does not know: what the sections mean.
 * Called by attach/image_symbols.c, inject/ and record/; calls the kernel. */
#include "attach/image_private.h"

#include "base/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SECTIONS_MAX 65536u
#define PHDRS_MAX 128u

size_t image_note_build_id(const uint8_t *data, size_t size, uint64_t align, uint8_t ret[64])
{
	struct mt_cursor c = mt_cursor_make(data, size);
	uint64_t mask = align == 8 ? 7 : 3;
	while (mt_cursor_left(&c) >= 12) {
		uint64_t name_size = mt_cursor_u32(&c), desc_size = mt_cursor_u32(&c);
		uint32_t type = mt_cursor_u32(&c);
		const char *name = mt_cursor_bytes(&c, (name_size + mask) & ~mask);
		const uint8_t *desc = mt_cursor_bytes(&c, desc_size);
		if (c.failed)
			break;
		if (type == NT_GNU_BUILD_ID && name_size == 4 && !memcmp(name, "GNU", 4) &&
		    desc_size && desc_size <= 64) {
			memcpy(ret, desc, desc_size);
			return desc_size;
		}
		/* The last one need not be padded. */
		uint64_t pad = -desc_size & mask;
		if (!mt_cursor_bytes(&c, pad))
			break;
	}
	return 0;
}

static bool pread_exactly(int fd, void *buf, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		if (offset + done > INT64_MAX)
			return false;
		ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool read_ehdr(int fd, Elf64_Ehdr *ret)
{
	return pread_exactly(fd, ret, sizeof(*ret), 0) && !memcmp(ret->e_ident, ELFMAG, SELFMAG) &&
	       ret->e_ident[EI_CLASS] == ELFCLASS64 && ret->e_ident[EI_DATA] == ELFDATA2LSB;
}

static size_t file_build_id(int fd, uint8_t ret[64])
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[PHDRS_MAX];
	uint8_t note[1024];
	if (!read_ehdr(fd, &ehdr) || ehdr.e_phentsize != sizeof(Elf64_Phdr) ||
	    ehdr.e_phnum > PHDRS_MAX ||
	    !pread_exactly(fd, phdrs, ehdr.e_phnum * sizeof(phdrs[0]), ehdr.e_phoff))
		return 0;
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &phdrs[i];
		size_t size = p->p_filesz < sizeof(note) ? p->p_filesz : sizeof(note);
		if (p->p_type != PT_NOTE || !pread_exactly(fd, note, size, p->p_offset))
			continue;
		size_t got = image_note_build_id(note, size, p->p_align, ret);
		if (got)
			return got;
	}
	return 0;
}

/* Same build-id; without one, the same inode (device numbers differ under overlay and btrfs, so
 * the exact mapping is trusted when the kernel itself opened it for us). */
static bool file_is_image(int fd, const struct image *img, bool exact)
{
	struct stat st;
	uint8_t id[64];
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (img->build_id_size)
		return file_build_id(fd, id) == img->build_id_size &&
		       !memcmp(id, img->build_id, img->build_id_size);
	if (exact)
		return true;
	uint64_t dev = (uint64_t)major(st.st_dev) << 20 | minor(st.st_dev);
	return (dev << 40 ^ st.st_ino) == img->dev_inode;
}

/* /proc/PID/map_files/START-END needs the exact end of the mapping. */
static bool map_files_path(struct tracee *t, const struct image *img, char *buf, size_t size)
{
	struct proc_maps maps = { 0 };
	struct mt_error *err = proc_maps_read(tracee_pid(t), &maps);
	const struct proc_map *m = err ? NULL : proc_maps_find(&maps, img->dynamic ? img->dynamic :
									img->start);
	mt_error_destroy(err);
	if (m)
		snprintf(buf, size, "/proc/%d/map_files/%llx-%llx", (int)proc_living(tracee_pid(t)),
			 (unsigned long long)m->start, (unsigned long long)m->end);
	proc_maps_deinit(&maps);
	return m != NULL;
}

static int open_checked(const char *path, const struct image *img, bool exact)
{
	/* O_NONBLOCK: what has this name now may be a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || file_is_image(fd, img, exact))
		return fd;
	close(fd);
	return -1;
}

int image_open_file(struct tracee *t, const struct image *img)
{
	char path[4352];
	if (img->is_vdso)
		return -1;
	if (!img->deleted && strlen(img->path) < 4096) {
		snprintf(path, sizeof(path), "/proc/%d/root%s", (int)proc_living(tracee_pid(t)),
			 img->path);
		int fd = open_checked(path, img, false);
		if (fd < 0)
			fd = open_checked(img->path, img, false);
		if (fd >= 0)
			return fd;
	}
	if (!map_files_path(t, img, path, sizeof(path)))
		return -1;
	return open_checked(path, img, true);
}

static void *read_section(int fd, const Elf64_Shdr *s)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || s->sh_size > (uint64_t)st.st_size || !s->sh_size ||
	    s->sh_type == SHT_NOBITS)
		return NULL;
	void *data = malloc(s->sh_size);
	if (data && pread_exactly(fd, data, s->sh_size, s->sh_offset))
		return data;
	free(data);
	return NULL;
}

static Elf64_Shdr *read_section_headers(int fd, size_t *count_ret)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr first;
	if (!read_ehdr(fd, &ehdr) || !ehdr.e_shoff || ehdr.e_shentsize != sizeof(first) ||
	    !pread_exactly(fd, &first, sizeof(first), ehdr.e_shoff))
		return NULL;
	/* Beyond 0xff00 sections the first header has the number. */
	uint64_t count = ehdr.e_shnum ? ehdr.e_shnum : first.sh_size;
	if (!count || count > SECTIONS_MAX)
		return NULL;
	Elf64_Shdr *headers = malloc(count * sizeof(*headers));
	if (headers && pread_exactly(fd, headers, count * sizeof(*headers), ehdr.e_shoff)) {
		*count_ret = count;
		return headers;
	}
	free(headers);
	return NULL;
}

bool image_file_symtab(int fd, uint8_t **symbols_ret, size_t *size_ret, char **strings_ret,
		       size_t *strings_size_ret)
{
	size_t count;
	auto_free Elf64_Shdr *headers = read_section_headers(fd, &count);
	for (size_t i = 0; headers && i < count; i++) {
		const Elf64_Shdr *s = &headers[i];
		if (s->sh_type != SHT_SYMTAB || s->sh_link >= count)
			continue;
		auto_free uint8_t *symbols = read_section(fd, s);
		auto_free char *strings = read_section(fd, &headers[s->sh_link]);
		if (!symbols || !strings)
			return false;
		*size_ret = s->sh_size;
		*strings_size_ret = headers[s->sh_link].sh_size;
		*symbols_ret = take_ptr(&symbols);
		*strings_ret = take_ptr(&strings);
		return true;
	}
	return false;
}

/* File offset of a read-only range of the image; UINT64_MAX when it has none. What the program
 * may write differs from the file. */
static uint64_t range_offset(const struct image *img, uint64_t address, uint64_t size)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		uint64_t at = address - img->bias - s->vaddr;
		if (!(s->flags & PF_W) && at < s->filesz && size <= s->filesz - at)
			return s->offset + at;
	}
	return UINT64_MAX;
}

struct mt_error *image_read_range(struct tracee *t, const struct image *img, int fd,
				  uint64_t address, size_t size, struct image_bytes *ret)
{
	if (!image_holds(img, address, size) || size > IMAGE_TABLE_MAX)
		return mt_error_create(MT_ERROR_CORRUPT, "'%s' has no bytes at 0x%llx", img->path,
				       (unsigned long long)address);
	auto_free uint8_t *data = malloc(size ? size : 1);
	if (!data)
		return &mt_enomem;
	/* Reading the target's memory would make its pages resident; the file's are shared. */
	uint64_t offset = range_offset(img, address, size);
	if (fd < 0 || offset == UINT64_MAX || !pread_exactly(fd, data, size, offset)) {
		struct mt_error *err = tracee_read(t, address, data, size);
		if (err)
			return err;
	}
	*ret = (struct image_bytes){ .data = data, .size = size, .owner = data,
				     .owner_size = size };
	data = NULL;
	return NULL;
}

void image_bytes_deinit(struct image_bytes *bytes)
{
	free(bytes->owner);
	*bytes = (struct image_bytes){ 0 };
}
