/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image.h - the ELF images that a live process has loaded, read from its memory.
 *
 * An image is one loaded object: program, shared library, vdso, dynamic loader. Headers, dynamic
 * section, dynamic symbols and relocations come from the target's memory (so deleted, upgraded or
 * unreachable files do not matter); what is only in the file (.symtab, .debug_frame) is read from
 * /proc/PID/map_files, /proc/PID/root/<path> or <path>, whichever opens and has the same
 * build-id (or inode).
 *
 * images_read() takes the maps and finds every mapping of an ELF header at file offset 0 whose
 * PT_DYNAMIC is loaded, and a static program; images_refresh() does it again and keeps images that did not change, with
 * their ids. Images that left are marked unloaded and stay in the list. */
#ifndef MT_ATTACH_IMAGE_H
#define MT_ATTACH_IMAGE_H

#include "attach/proc.h"
#include "attach/tracee.h"
#include "base/array.h"

#include <elf.h>

struct image_segment {
	uint64_t vaddr, memsz, filesz, offset;
	uint32_t flags;			/* PF_* */
};

struct image {
	uint32_t id;			/* index in struct images, stable */
	bool unloaded;
	bool is_exe, is_loader, is_vdso, is_tracer;
	bool is_libc;			/* defines __libc_start_main */
	char *path;			/* as in maps, without " (deleted)"; "[vdso]" */
	bool deleted;
	uint64_t start, end;		/* lowest and highest mapped address */
	uint64_t bias;			/* address = vaddr + bias */
	uint64_t dev_inode;		/* identity: device << 40 ^ inode, with start */
	uint8_t build_id[64];
	size_t build_id_size;
	struct image_segment segments[16];
	size_t segment_count;
	/* From PT_DYNAMIC; addresses in the target, 0: absent. A static program has none of them. */
	uint64_t dynamic, symtab, strtab, strsz, gnu_hash, sysv_hash;
	uint64_t jmprel, jmprel_size, rela, rela_size, rela_count;
	uint64_t relro_start, relro_end;
	uint64_t eh_frame_hdr;		/* address of PT_GNU_EH_FRAME, 0: none */
	uint64_t eh_frame_hdr_size;
	const char *soname;		/* owned; NULL: none */
	struct image_private *priv;	/* caches of image.c */
};

/* Executable memory outside of all images. */
struct image_code {
	uint64_t start, end;
	uint64_t bias;			/* of an image's code that is mapped once more */
	const struct image *image;	/* whose; NULL: anonymous, made by the process itself */
};

struct image_code_list {
	MT_ARRAY(struct image_code);
};

/* Where the process has mapped a file named jit-PID.dump; path NULL: nowhere. */
struct image_jitdump {
	uint64_t start, end, inode;
	char *path;			/* owned; as the process sees it */
};

struct images {
	MT_ARRAY(struct image *) list;		/* by id, unloaded ones too */
	MT_ARRAY(struct image *) by_start;	/* the loaded ones, ascending */
	struct proc_maps maps;			/* all of them, in which the images were last looked for */
	struct image_jitdump jitdump;
	struct image_code_list code;		/* ascending; anonymous ranges with what is reserved behind */
};

/* *changed_ret: an image came or went, or a further mapping of one, or a jitdump
 * came; anonymous code is not told. */
struct mt_error *images_read(struct tracee *t, struct images *ret) MT_MUST_CHECK;
struct mt_error *images_refresh(struct tracee *t, struct images *images, bool *changed_ret)
	MT_MUST_CHECK;
void images_deinit(struct images *images);
/* The loaded image whose range holds the address, or NULL. */
struct image *images_find(const struct images *images, uint64_t address);

/* A symbol defined by the image's dynamic symbol table (GNU hash, else SysV hash). Undefined
 * ones (a program's canonical PLT entry: st_shndx 0 with a value) do not count. */
struct image_symbol {
	uint64_t address, size;
	uint8_t type;			/* STT_* */
};
bool image_find_symbol(struct tracee *t, struct image *img, const char *name,
		       struct image_symbol *ret);
/* Looks in the dynamic table, then in the file's .symtab; for functions a library does not
 * export. */
bool image_find_any_symbol(struct tracee *t, struct image *img, const char *name,
			   struct image_symbol *ret);
/* Calls fn for every symbol of .dynsym and .symtab (file); fn returns false to end. */
void image_each_symbol(struct tracee *t, struct image *img,
		       bool (*fn)(const char *name, const struct image_symbol *sym, void *arg),
		       void *arg);
/* Symbol (function) whose extent holds the address, from a sorted cache of all symbols; NULL:
 * none. The name is borrowed until images_deinit(). */
const char *image_function_at(struct tracee *t, struct image *img, uint64_t address,
			      struct image_symbol *ret);

/* Every relocation with a symbol, of DT_JMPREL and DT_RELA: JUMP_SLOT, GLOB_DAT, 64. */
struct image_relocation {
	uint64_t slot;			/* address in the target */
	uint32_t type;			/* R_X86_64_* */
	int64_t addend;
	const char *symbol;		/* valid during the call */
	bool in_relro;
};
/* None of a table that cannot be read: its library was unloaded in this moment, or is no ELF we know.
 * Errors are those of fn, and MT_ERROR_NOMEM. */
struct mt_error *image_each_relocation(struct tracee *t, struct image *img,
	struct mt_error *(*fn)(const struct image_relocation *rel, void *arg), void *arg)
	MT_MUST_CHECK;

/* Opens the image's file as this process can reach it, identity checked; -1: not reachable. */
int image_open_file(struct tracee *t, const struct image *img);
/* The bytes of a loaded range of the image, from its file (image_open_file()) when that is reachable,
 * else, with -1, from memory. The caller frees by image_bytes_deinit(). */
struct image_bytes {
	const uint8_t *data;
	size_t size;
	void *owner;
	size_t owner_size;
};
struct mt_error *image_read_range(struct tracee *t, const struct image *img, int fd,
				  uint64_t address, size_t size, struct image_bytes *ret)
	MT_MUST_CHECK;
void image_bytes_deinit(struct image_bytes *bytes);

#endif
