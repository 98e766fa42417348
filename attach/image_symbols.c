/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image_symbols.c - symbols of a loaded image: by name, all of them, by address.
 * Knows: ELF symbol and hash tables. Does not know: how images are found.
 * Called by inject/ and attach/; calls attach/image_lazy.c and attach/image_file.c. */
#include "attach/image_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAIN_MAX 65536u	/* entries looked at in one chain: a damaged one may have no end */

bool image_symbol_defined(const struct image *img, const Elf64_Sym *sym,
			  struct image_symbol *ret)
{
	uint8_t type = ELF64_ST_TYPE(sym->st_info);
	/* An undefined one with a value is a program's canonical PLT entry, not the function.
	 * The value of a thread-local one is no address. */
	if (sym->st_shndx == SHN_UNDEF || !sym->st_value || type == STT_TLS ||
	    type == STT_SECTION || type == STT_FILE)
		return false;
	ret->address = sym->st_value + (sym->st_shndx == SHN_ABS ? 0 : img->bias);
	ret->size = sym->st_size;
	ret->type = type;
	return true;
}

/* ---- by name ------------------------------------------------------------------------ */

struct lookup {
	struct tracee *t;
	struct image *img;
	const char *name;
	size_t name_size;		/* with the NUL */
	bool found;
	bool hidden;			/* an old version, kept while nothing better comes */
	struct image_symbol symbol;
};

static bool read_at(struct tracee *t, uint64_t address, void *buf, size_t size)
{
	return tracee_read_some(t, address, buf, size) == size;
}

static bool name_is(const struct lookup *l, uint32_t offset)
{
	char buf[256];
	const struct image *img = l->img;
	if (offset >= img->strsz || !image_holds(img, img->strtab + offset, l->name_size))
		return false;
	for (size_t at = 0; at < l->name_size;) {
		size_t n = l->name_size - at < sizeof(buf) ? l->name_size - at : sizeof(buf);
		if (!read_at(l->t, img->strtab + offset + at, buf, n) ||
		    memcmp(buf, l->name + at, n) != 0)
			return false;
		at += n;
	}
	return true;
}

/* Looks at one entry; true when the search is over. */
static bool lookup_entry(struct lookup *l, uint64_t index)
{
	Elf64_Sym sym;
	uint16_t version = 0;
	struct image_symbol found;
	const struct image *img = l->img;
	uint64_t address = img->symtab + index * sizeof(sym);
	if (!image_holds(img, address, sizeof(sym)) || !read_at(l->t, address, &sym, sizeof(sym)) ||
	    !image_symbol_defined(img, &sym, &found) || !name_is(l, sym.st_name))
		return false;
	if (img->priv->versym)
		(void)!read_at(l->t, img->priv->versym + index * 2, &version, sizeof(version));
	/* Bit 15: not the default version (realpath@GLIBC_2.2.5); the last of those is newest. */
	l->hidden = (version & 0x8000) != 0;
	l->symbol = found;
	l->found = true;
	return !l->hidden;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;
	for (const uint8_t *p = (const uint8_t *)name; *p; p++)
		h = h * 33 + *p;
	return h;
}

static bool gnu_header(struct tracee *t, struct image *img)
{
	struct image_private *p = img->priv;
	uint32_t header[4];
	if (!img->gnu_hash)
		return false;
	if (p->hash_bloom_words)
		return true;
	if (!read_at(t, img->gnu_hash, header, sizeof(header)) || !header[0] || !header[2] ||
	    (header[2] & (header[2] - 1)))
		return false;
	p->hash_buckets = header[0];
	p->hash_first = header[1];
	p->hash_bloom_words = header[2];
	p->hash_shift = header[3];
	p->hash_bloom_known = header[2] <= sizeof(p->hash_bloom) / sizeof(p->hash_bloom[0]) &&
			      read_at(t, img->gnu_hash + 16, p->hash_bloom, header[2] * 8ull);
	return true;
}

static bool gnu_bloom_word(const struct lookup *l, uint32_t hash, uint64_t *ret)
{
	const struct image_private *p = l->img->priv;
	uint64_t index = hash / 64 % p->hash_bloom_words;
	if (!p->hash_bloom_known)
		return read_at(l->t, l->img->gnu_hash + 16 + index * 8, ret, sizeof(*ret));
	*ret = p->hash_bloom[index];
	return true;
}

static uint64_t gnu_bucket_address(const struct image *img, uint64_t bucket)
{
	return img->gnu_hash + 16 + img->priv->hash_bloom_words * 8ull + bucket * 4;
}

/* Of the hash chain word of the symbol. */
static uint64_t gnu_chain_address(const struct image *img, uint64_t index)
{
	return gnu_bucket_address(img, img->priv->hash_buckets) +
	       (index - img->priv->hash_first) * 4;
}

static void gnu_lookup(struct lookup *l)
{
	const struct image_private *p = l->img->priv;
	uint32_t h = gnu_hash(l->name), index, chain[64];
	uint64_t word;
	uint64_t mask = 1ull << (h % 64) | 1ull << ((h >> (p->hash_shift & 31)) % 64);
	if (!gnu_bloom_word(l, h, &word) || (word & mask) != mask)
		return;
	if (!read_at(l->t, gnu_bucket_address(l->img, h % p->hash_buckets), &index,
		     sizeof(index)) || index < p->hash_first)
		return;
	for (unsigned seen = 0; seen < CHAIN_MAX;) {
		size_t got = tracee_read_some(l->t, gnu_chain_address(l->img, index), chain,
					      sizeof(chain)) / sizeof(chain[0]);
		for (size_t i = 0; i < got; i++, index++, seen++) {
			if ((chain[i] | 1) == (h | 1) && lookup_entry(l, index))
				return;
			if (chain[i] & 1)
				return;
		}
		if (!got)
			return;
	}
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t h = 0;
	for (const uint8_t *p = (const uint8_t *)name; *p; p++) {
		h = (h << 4) + *p;
		uint32_t g = h & 0xf0000000;
		h ^= g >> 24;
		h &= ~g;
	}
	return h;
}

static void sysv_lookup(struct lookup *l)
{
	uint32_t header[2], index;		/* buckets, chain entries = symbols */
	uint64_t base = l->img->sysv_hash;
	if (!read_at(l->t, base, header, sizeof(header)) || !header[0])
		return;
	uint64_t at = base + 8 + (sysv_hash(l->name) % header[0]) * 4ull;
	for (unsigned seen = 0; seen < CHAIN_MAX; seen++) {
		if (!read_at(l->t, at, &index, sizeof(index)) || !index || index >= header[1] ||
		    lookup_entry(l, index))
			return;
		at = base + 8 + (header[0] + (uint64_t)index) * 4;
	}
}

bool image_find_symbol(struct tracee *t, struct image *img, const char *name,
		       struct image_symbol *ret)
{
	struct lookup l = { .t = t, .img = img, .name = name, .name_size = strlen(name) + 1 };
	if (!img->symtab || !img->strtab || img->unloaded)
		return false;
	if (gnu_header(t, img))
		gnu_lookup(&l);
	else if (img->sysv_hash)
		sysv_lookup(&l);
	if (l.found)
		*ret = l.symbol;
	return l.found;
}

struct any_search {
	const char *name;
	struct image_symbol symbol;
	bool found;
};

static bool any_match(const char *name, const struct image_symbol *sym, void *arg)
{
	struct any_search *s = arg;
	if (strcmp(name, s->name) != 0)
		return true;
	s->symbol = *sym;
	s->found = true;
	return false;
}

/* ---- all of them ---------------------------------------------------------------------- */

/* The highest symbol that a hash bucket names, then on to the end of its chain. */
static uint64_t gnu_count(struct tracee *t, struct image *img)
{
	uint32_t chunk[1024], top = 0;
	uint64_t buckets = img->priv->hash_buckets;
	if (!image_holds(img, gnu_bucket_address(img, 0), buckets * 4))
		return 0;
	for (uint64_t at = 0; at < buckets;) {
		size_t n = buckets - at < 1024 ? buckets - at : 1024;
		if (!read_at(t, gnu_bucket_address(img, at), chunk, n * 4))
			return 0;
		for (size_t i = 0; i < n; i++)
			if (chunk[i] > top)
				top = chunk[i];
		at += n;
	}
	if (top < img->priv->hash_first)
		return img->priv->hash_first;	/* nothing defined */
	for (unsigned seen = 0; seen < CHAIN_MAX;) {
		size_t got = tracee_read_some(t, gnu_chain_address(img, top), chunk, 256) / 4;
		for (size_t i = 0; i < got; i++, seen++)
			if (chunk[i] & 1)
				return (uint64_t)top + i + 1;
		if (!got)
			break;
		top += (uint32_t)got;
	}
	return 0;
}

uint64_t image_dynsym_count(struct tracee *t, struct image *img)
{
	uint32_t header[2];
	uint64_t count = 0;
	if (!img->symtab || !img->strtab)
		return 0;
	if (gnu_header(t, img))
		count = gnu_count(t, img);
	else if (img->sysv_hash && read_at(t, img->sysv_hash, header, sizeof(header)))
		count = header[1];
	uint64_t max = (img->end - img->symtab) / sizeof(Elf64_Sym);
	return count < max ? count : max;
}

typedef bool symbol_fn(const char *name, const struct image_symbol *sym, void *arg);

/* Symbols of one table; both parts are in this process now. False: fn had enough. */
static bool each_of_table(const struct image *img, const uint8_t *symbols, size_t size,
			  const char *strings, size_t strings_size, symbol_fn *fn, void *arg)
{
	for (size_t at = 0; size - at >= sizeof(Elf64_Sym); at += sizeof(Elf64_Sym)) {
		Elf64_Sym sym;
		struct image_symbol found;
		memcpy(&sym, symbols + at, sizeof(sym));
		if (!image_symbol_defined(img, &sym, &found) || sym.st_name >= strings_size ||
		    !memchr(strings + sym.st_name, 0, strings_size - sym.st_name))
			continue;
		if (!fn(strings + sym.st_name, &found, arg))
			return false;
	}
	return true;
}

static bool read_dynsym(struct tracee *t, struct image *img, uint8_t **symbols_ret,
			size_t *size_ret, char **strings_ret, size_t *strings_size_ret)
{
	size_t size = image_dynsym_count(t, img) * sizeof(Elf64_Sym), names = img->strsz;
	if (!size || !names || img->unloaded || !image_holds(img, img->strtab, 1))
		return false;
	if (names > img->end - img->strtab)
		names = img->end - img->strtab;
	if (size > IMAGE_TABLE_MAX || names > IMAGE_TABLE_MAX)
		return false;
	auto_free uint8_t *symbols = malloc(size);
	auto_free char *strings = malloc(names);
	if (!symbols || !strings)
		return false;
	*size_ret = tracee_read_some(t, img->symtab, symbols, size);
	*strings_size_ret = tracee_read_some(t, img->strtab, strings, names);
	*symbols_ret = take_ptr(&symbols);
	*strings_ret = take_ptr(&strings);
	return true;
}

/* Calls fn for one table. The string table goes to *keep when the caller wants the names to stay
 * valid. False: fn had enough. */
static bool each_symbol(struct tracee *t, struct image *img, bool file, symbol_fn *fn, void *arg,
			char **keep)
{
	auto_free uint8_t *symbols = NULL;
	auto_free char *strings = NULL;
	size_t size = 0, strings_size = 0;
	bool got;
	if (file) {
		auto_close int fd = image_open_file(t, img);
		got = fd >= 0 &&
		      image_file_symtab(fd, &symbols, &size, &strings, &strings_size);
	} else {
		got = read_dynsym(t, img, &symbols, &size, &strings, &strings_size);
	}
	bool more = !got || each_of_table(img, symbols, size, strings, strings_size, fn, arg);
	if (keep)
		*keep = take_ptr(&strings);
	return more;
}

void image_each_symbol(struct tracee *t, struct image *img, symbol_fn *fn, void *arg)
{
	if (each_symbol(t, img, false, fn, arg, NULL))
		each_symbol(t, img, true, fn, arg, NULL);
}

bool image_find_any_symbol(struct tracee *t, struct image *img, const char *name,
			   struct image_symbol *ret)
{
	struct any_search s = { .name = name };
	if (image_find_symbol(t, img, name, ret))
		return true;
	each_symbol(t, img, true, any_match, &s, NULL);
	if (s.found)
		*ret = s.symbol;
	return s.found;
}

/* ---- by address ----------------------------------------------------------------------- */

static bool in_code(const struct image *img, uint64_t address)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		if ((s->flags & PF_X) && address - img->bias - s->vaddr < s->memsz)
			return true;
	}
	return false;
}

struct function_collector {
	const struct image *img;
	struct image_private *priv;
};

static bool collect_function(const char *name, const struct image_symbol *sym, void *arg)
{
	struct function_collector *c = arg;
	if (!*name || !in_code(c->img, sym->address) ||
	    (sym->type != STT_FUNC && sym->type != STT_GNU_IFUNC && sym->type != STT_NOTYPE))
		return true;
	struct image_function f = {
		.start = sym->address,
		.size = sym->size,
		.name = name,
		.type = sym->type,
	};
	return mt_array_push(&c->priv->functions, f);
}

/* By address; of several names for one address the one to show comes last: typed before untyped,
 * sized before not, fewer underscores in front, shorter. */
static int compare_functions(const void *a, const void *b)
{
	const struct image_function *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if ((x->type == STT_NOTYPE) != (y->type == STT_NOTYPE))
		return x->type == STT_NOTYPE ? -1 : 1;
	size_t ux = strspn(x->name, "_"), uy = strspn(y->name, "_");
	if (ux != uy)
		return ux > uy ? -1 : 1;
	size_t lx = strlen(x->name), ly = strlen(y->name);
	if (lx != ly)
		return lx > ly ? -1 : 1;
	return strcmp(y->name, x->name);
}

static uint64_t code_end(const struct image *img, uint64_t address)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		if ((s->flags & PF_X) && address - img->bias - s->vaddr < s->memsz)
			return img->bias + s->vaddr + s->memsz;
	}
	return address;
}

/* Sorts and gives each function its end; assembler labels without a size run to the next one. */
static void functions_finish(const struct image *img, struct image_private *p)
{
	size_t n = p->functions.len;
	if (!n)
		return;
	qsort(p->functions.items, n, sizeof(p->functions.items[0]), compare_functions);
	uint64_t next = 0, reach = 0;
	for (size_t i = n; i--;) {
		struct image_function *f = &p->functions.items[i];
		if (i + 1 < n && f[1].start != f->start)
			next = f[1].start;
		if (f->size)
			f->end = f->start + f->size < f->start ? UINT64_MAX : f->start + f->size;
		else
			f->end = next ? next : code_end(img, f->start);
	}
	for (size_t i = 0; i < n; i++) {
		struct image_function *f = &p->functions.items[i];
		if (f->end > reach)
			reach = f->end;
		f->reach = reach;
	}
}

static void functions_read(struct tracee *t, struct image *img)
{
	struct image_private *p = img->priv;
	struct function_collector c = { .img = img, .priv = p };
	p->functions_read = true;
	for (int file = 0; file < 2; file++) {
		char *strings = NULL;
		each_symbol(t, img, file, collect_function, &c, &strings);
		if (strings && !mt_array_push(&p->names, strings)) {
			/* The names would dangle. */
			free(strings);
			p->functions.len = 0;
			return;
		}
	}
	functions_finish(img, p);
}

void image_functions_deinit(struct image_private *priv)
{
	for (size_t i = 0; i < priv->names.len; i++)
		free(priv->names.items[i]);
	mt_array_deinit(&priv->names);
	mt_array_deinit(&priv->functions);
}

const char *image_function_at(struct tracee *t, struct image *img, uint64_t address,
			      struct image_symbol *ret)
{
	struct image_private *p = img->priv;
	if (!p->functions_read && !img->unloaded)
		functions_read(t, img);
	size_t low = 0, high = p->functions.len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (p->functions.items[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	/* Nearest start first; an outer function may hold what an inner label does not. */
	while (low--) {
		const struct image_function *f = &p->functions.items[low];
		if (address < f->end) {
			*ret = (struct image_symbol){ f->start, f->size, f->type };
			return f->name;
		}
		if (address >= f->reach)
			break;
	}
	return NULL;
}
