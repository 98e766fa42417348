/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_relocs.c - relocations of a loaded image that name a symbol.
 * Knows: RELA tables, the dynamic symbol table. Does not know: which symbols matter.
 * Called by inject/; reads through attach/image_lazy.c. */
#include "attach/image_private.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 1024u		/* entries read at once */

struct walk {
	struct tracee *t;
	struct image *img;
	struct image_lazy symbols, strings;
	struct mt_error *(*fn)(const struct image_relocation *rel, void *arg);
	void *arg;
};

/* False: not one that names a symbol, or damaged. */
static bool read_entry(struct walk *w, const Elf64_Rela *r, struct image_relocation *ret)
{
	const struct image *img = w->img;
	uint32_t type = ELF64_R_TYPE(r->r_info);
	uint64_t index = ELF64_R_SYM(r->r_info), slot = r->r_offset + img->bias;
	if (!index || !image_holds(img, slot, 8) ||
	    (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64))
		return false;
	const Elf64_Sym *sym = image_lazy_symbol(&w->symbols, index);
	const char *name = sym && sym->st_name ? image_lazy_string(&w->strings, sym->st_name) : NULL;
	if (!name)
		return false;
	*ret = (struct image_relocation){
		.slot = slot,
		.type = type,
		.addend = r->r_addend,
		.symbol = name,
		.in_relro = slot >= img->relro_start && slot < img->relro_end,
	};
	return true;
}

static struct mt_error *walk_table(struct walk *w, uint64_t address, uint64_t size)
{
	Elf64_Rela chunk[CHUNK];
	struct image_relocation rel;
	uint64_t left = size / sizeof(chunk[0]);
	if (!address || !left || !image_holds(w->img, address, size))
		return NULL;
	while (left) {
		size_t n = left < CHUNK ? left : CHUNK;
		struct mt_error *err = tracee_read(w->t, address, chunk, n * sizeof(chunk[0]));
		if (err) {
			mt_error_destroy(err);
			return NULL;
		}
		for (size_t i = 0; !err && i < n; i++) {
			if (read_entry(w, &chunk[i], &rel))
				err = w->fn(&rel, w->arg);
		}
		if (err)
			/* cppcheck-suppress returnDanglingLifetime ; fn's error is its own */
			return err;
		address += n * sizeof(chunk[0]);
		left -= n;
	}
	return NULL;
}

struct mt_error *image_each_relocation(struct tracee *t, struct image *img,
	struct mt_error *(*fn)(const struct image_relocation *rel, void *arg), void *arg)
{
	struct walk w = { .t = t, .img = img, .fn = fn, .arg = arg };
	uint64_t rela = img->rela, size = img->rela_size, skip;
	struct mt_error *err = NULL;
	if (img->unloaded || (!img->jmprel && !img->rela) || !img->symtab || !img->strtab ||
	    !img->strsz)
		return NULL;
	/* Some linkers let DT_RELASZ run over DT_JMPREL. */
	if (img->jmprel > rela && img->jmprel < rela + size)
		size = img->jmprel - rela;
	else if (img->jmprel == rela && img->jmprel)
		size = 0;
	/* The relative ones come first and have no symbol: most of a PIE program's table. */
	if (!__builtin_mul_overflow(img->rela_count, sizeof(Elf64_Rela), &skip) && skip <= size) {
		rela += skip;
		size -= skip;
	}
	if (!image_lazy_init(&w.symbols, t, img, img->symtab, UINT64_MAX) ||
	    !image_lazy_init(&w.strings, t, img, img->strtab, img->strsz))
		err = &mt_enomem;
	if (!err)
		err = walk_table(&w, img->jmprel, img->jmprel_size);
	if (!err)
		err = walk_table(&w, rela, size);
	image_lazy_deinit(&w.symbols);
	image_lazy_deinit(&w.strings);
	return err;
}
