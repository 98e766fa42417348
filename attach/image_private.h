/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_private.h - what the image_*.c files share; nobody else includes it. */
#ifndef MT_ATTACH_IMAGE_PRIVATE_H
#define MT_ATTACH_IMAGE_PRIVATE_H

#include "attach/image.h"

/* The tracer comes as a memory file: WIRE_MEMFD_TRACER as maps show it. */
#define IMAGE_TRACER_NAME "memtrace-tracer"	/* of the memfd, or of the file where there is no /proc */

/* A larger table is damage: the longest known string tables have some hundred megabytes. */
#define IMAGE_TABLE_MAX (1ull << 30)

/* A table of the target (symbols, strings) that is read in pieces when it is looked at. Names of
 * a big program lie scattered over megabytes, of which a lookup needs a few pages. */
struct image_lazy {
	struct tracee *t;
	uint64_t address;
	size_t size;
	uint8_t *data;		/* size bytes, there where `valid` says so */
	uint32_t *valid;	/* a piece each: 0 not read yet, else 1 + readable bytes from its start */
};

struct image_function {
	uint64_t start, end;
	uint64_t reach;		/* highest end of this and all before it in the sorted list */
	const char *name;
	uint64_t size;
	uint8_t type;
};

struct image_private {
	bool seen;		/* by the scan in progress */
	bool has_debug_entry;	/* DT_DEBUG: a program, not a library */
	uint64_t versym;
	/* DT_GNU_HASH header; bloom_words 0: not read yet or not usable */
	uint32_t hash_buckets, hash_first, hash_bloom_words, hash_shift;
	/* The whole filter where it is short: most lookups in most libraries end there. */
	bool hash_bloom_known;
	uint64_t hash_bloom[32];
	/* image_function_at() */
	bool functions_read;
	MT_ARRAY(struct image_function) functions;
	MT_ARRAY(char *) names;		/* string tables the functions point into */
};

static inline uint64_t image_page_down(uint64_t address)
{
	return address & ~4095ull;
}

static inline uint64_t image_page_up(uint64_t address)
{
	return (address + 4095) & ~4095ull;
}

/* Of the file that is mapped: struct image.dev_inode. */
static inline uint64_t image_map_identity(const struct proc_map *map)
{
	return ((uint64_t)map->dev_major << 20 | map->dev_minor) << 40 ^ map->inode;
}

static inline bool image_holds(const struct image *img, uint64_t address, uint64_t size)
{
	return address >= img->start && address < img->end && size <= img->end - address;
}

/* image_lazy.c: false when out of memory or when the range is not inside the image. */
bool image_lazy_init(struct image_lazy *lazy, struct tracee *t, const struct image *img,
		     uint64_t address, uint64_t size);
void image_lazy_deinit(struct image_lazy *lazy);
const void *image_lazy_get(struct image_lazy *lazy, uint64_t offset, size_t size);
const char *image_lazy_string(struct image_lazy *lazy, uint64_t offset);
static inline const Elf64_Sym *image_lazy_symbol(struct image_lazy *lazy, uint64_t index)
{
	return image_lazy_get(lazy, index * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
}

/* image_symbols.c */
/* Entries of the dynamic symbol table, which has no size of its own; 0: unknown. */
uint64_t image_dynsym_count(struct tracee *t, struct image *img);
/* Fills ret when the entry defines something at an address. */
bool image_symbol_defined(const struct image *img, const Elf64_Sym *sym,
			  struct image_symbol *ret);
void image_functions_deinit(struct image_private *priv);

/* image_code.c */
/* Fills images->code. *changed becomes true when code of an image is mapped elsewhere than before. */
struct mt_error *image_find_code(struct images *images, const struct proc_maps *maps, bool *changed)
	MT_MUST_CHECK;

/* image_file.c */
/* The build-id in the bytes of a PT_NOTE segment; its size, 0: none. */
size_t image_note_build_id(const uint8_t *data, size_t size, uint64_t align, uint8_t ret[64]);
/* Sections of the file by type: the table's bytes and those of its string table (sh_link); the
 * caller frees both. False: no such section or not readable. */
bool image_file_symtab(int fd, uint8_t **symbols_ret, size_t *size_ret, char **strings_ret,
		       size_t *strings_size_ret);

#endif
