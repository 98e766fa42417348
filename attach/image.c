/* SPDX-License-Identifier: Apache-2.0 */
/* attach/image.c - finds the ELF images that a live process has loaded.
 * Knows: maps, ELF headers, program headers, the dynamic section. Does not know: symbols, files.
 * Called by inject/, attach/ and record/; reads memory through attach/tracee.h. */
#include "attach/image_private.h"

#include "base/cursor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEADERS_SIZE 4096u
#define PHDRS_MAX 128u
#define DYNAMIC_MAX 65536u

/* One scan of the maps. */
struct scan {
	struct tracee *t;
	const struct proc_maps *maps;
	uint64_t program_headers;	/* AT_PHDR: inside the program */
	uint64_t loader_base;		/* AT_BASE: the dynamic loader */
};

/* A mapping of an ELF header, while it is being looked at. */
struct candidate {
	const struct proc_map *map;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[PHDRS_MAX];
	uint8_t head[HEADERS_SIZE];
	size_t head_size;
	uint64_t bias;
};

static bool same_file(const struct proc_map *a, const struct proc_map *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor;
}

static bool is_vdso_map(const struct proc_map *map)
{
	return !strcmp(map->path, "[vdso]");
}

/* Where an image can begin. Loaders map privately; a shared mapping is somebody's data. */
static bool map_is_candidate(const struct proc_map *map)
{
	if (!(map->prot & PROT_READ) || map->shared || map->offset)
		return false;
	return is_vdso_map(map) || map->inode;
}

static bool header_is_ours(const Elf64_Ehdr *e)
{
	return !memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_ident[EI_CLASS] == ELFCLASS64 &&
	       e->e_ident[EI_DATA] == ELFDATA2LSB && e->e_machine == EM_X86_64 &&
	       (e->e_type == ET_DYN || e->e_type == ET_EXEC) &&
	       e->e_phentsize == sizeof(Elf64_Phdr) && e->e_phnum && e->e_phnum <= PHDRS_MAX;
}

/* Address of a file offset that lies in another mapping of the same file, 0: none. Editors of
 * ELF files (patchelf) put the program headers at the end of the file. */
static uint64_t address_of_offset(const struct scan *s, const struct proc_map *head,
				  uint64_t offset)
{
	for (size_t i = 0; i < s->maps->maps.len; i++) {
		const struct proc_map *m = &s->maps->maps.items[i];
		if (m->start >= head->start && same_file(m, head) && offset >= m->offset &&
		    offset - m->offset < m->end - m->start)
			return m->start + (offset - m->offset);
	}
	return 0;
}

static bool read_exactly(struct tracee *t, uint64_t address, void *buf, size_t size)
{
	return tracee_read_some(t, address, buf, size) == size;
}

static bool candidate_read(const struct scan *s, struct candidate *c)
{
	size_t want = c->map->end - c->map->start;
	if (want > HEADERS_SIZE)
		want = HEADERS_SIZE;
	/* Most mapped files are no ELF: tell them by the first bytes alone. */
	if (!read_exactly(s->t, c->map->start, &c->ehdr, sizeof(c->ehdr)) ||
	    !header_is_ours(&c->ehdr))
		return false;
	c->head_size = tracee_read_some(s->t, c->map->start, c->head, want);
	size_t size = c->ehdr.e_phnum * sizeof(Elf64_Phdr);
	if (c->ehdr.e_phoff <= c->head_size && size <= c->head_size - c->ehdr.e_phoff) {
		memcpy(c->phdrs, c->head + c->ehdr.e_phoff, size);
		return true;
	}
	uint64_t address = address_of_offset(s, c->map, c->ehdr.e_phoff);
	return address && read_exactly(s->t, address, c->phdrs, size);
}

static const Elf64_Phdr *candidate_phdr(const struct candidate *c, uint32_t type)
{
	for (unsigned i = 0; i < c->ehdr.e_phnum; i++)
		if (c->phdrs[i].p_type == type)
			return &c->phdrs[i];
	return NULL;
}

/* Is this segment mapped the way a loader maps it? `must` for the ones that nobody replaces;
 * programs do move their own code to anonymous huge pages. */
static bool segment_is_mapped(const struct scan *s, const struct candidate *c,
			      const Elf64_Phdr *p, bool must, bool *executable)
{
	uint64_t address = image_page_down(p->p_vaddr) + c->bias;
	const struct proc_map *m = proc_maps_find(s->maps, address);
	if (!m)
		return false;
	if (!same_file(m, c->map))
		return !must;
	if (m->offset + (address - m->start) != image_page_down(p->p_offset))
		return false;
	if ((p->p_flags & PF_X) && (m->prot & PROT_EXEC))
		*executable = true;
	/* Data inside executable read-only memory: the whole file mapped as one piece. */
	return !((p->p_flags & PF_W) && !(p->p_flags & PF_X) && (m->prot & PROT_EXEC) &&
		 !(m->prot & PROT_WRITE));
}

/* Tells a loaded image from a file that was mapped to be read (profilers and debuggers do). */
static bool segments_are_mapped(const struct scan *s, const struct candidate *c)
{
	const Elf64_Phdr *dynamic = candidate_phdr(c, PT_DYNAMIC);
	bool has_code = false, executable = false;
	/* Nothing else can be loaded without one than a static program. */
	if (!dynamic && s->program_headers - c->map->start != c->ehdr.e_phoff)
		return false;
	for (unsigned i = 0; i < c->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &c->phdrs[i];
		if (p->p_type != PT_LOAD || !p->p_filesz)
			continue;
		bool must = !image_page_down(p->p_offset) ||
			    (dynamic && dynamic->p_vaddr >= p->p_vaddr &&
			     dynamic->p_vaddr - p->p_vaddr < p->p_memsz);
		has_code |= (p->p_flags & PF_X) != 0;
		if (!segment_is_mapped(s, c, p, must, &executable))
			return false;
		/* Replaced code counts as code. */
		const struct proc_map *m =
			proc_maps_find(s->maps, image_page_down(p->p_vaddr) + c->bias);
		if ((p->p_flags & PF_X) && m && !same_file(m, c->map))
			executable = true;
	}
	return executable || !has_code;
}

/* Small files share page 0 between segments, so several can begin at file offset 0: the bias is
 * right when all segments then lie where the maps have them. */
static bool candidate_find_bias(const struct scan *s, struct candidate *c)
{
	for (unsigned i = 0; i < c->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &c->phdrs[i];
		if (p->p_type != PT_LOAD || image_page_down(p->p_offset))
			continue;
		c->bias = c->map->start - image_page_down(p->p_vaddr);
		if (segments_are_mapped(s, c))
			return true;
	}
	return false;
}

static void image_destroy(struct image *img)
{
	if (!img)
		return;
	if (img->priv)
		image_functions_deinit(img->priv);
	free(img->priv);
	free(img->path);
	free((char *)img->soname);
	free(img);
}

static char *path_without_suffix(const char *path, bool *deleted_ret)
{
	static const char suffix[] = " (deleted)";
	size_t len = strlen(path), cut = sizeof(suffix) - 1;
	*deleted_ret = len > cut && !strcmp(path + len - cut, suffix);
	return strndup(path, *deleted_ret ? len - cut : len);
}

static void take_segments(struct image *img, const struct candidate *c)
{
	uint64_t low = UINT64_MAX, high = 0;
	for (unsigned i = 0; i < c->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &c->phdrs[i];
		uint64_t end;
		if (p->p_type != PT_LOAD || __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end))
			continue;
		if (p->p_vaddr < low)
			low = p->p_vaddr;
		if (end > high)
			high = end;
		size_t max = sizeof(img->segments) / sizeof(img->segments[0]);
		if (img->segment_count < max)
			img->segments[img->segment_count++] = (struct image_segment){
				.vaddr = p->p_vaddr,
				.memsz = p->p_memsz,
				.filesz = p->p_filesz,
				.offset = p->p_offset,
				.flags = p->p_flags,
			};
	}
	img->start = image_page_down(low) + c->bias;
	img->end = image_page_up(high) + c->bias;
}

/* Build-id, RELRO and the frame header from the other program headers. */
static void take_extras(struct tracee *t, struct image *img, const struct candidate *c)
{
	for (unsigned i = 0; i < c->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &c->phdrs[i];
		uint64_t address = p->p_vaddr + c->bias;
		if (p->p_type == PT_GNU_RELRO) {
			/* The loader protects whole pages only, the last one rounded down. */
			img->relro_start = image_page_down(address);
			img->relro_end = image_page_down(address + p->p_memsz);
		} else if (p->p_type == PT_GNU_EH_FRAME &&
			   image_holds(img, address, p->p_memsz)) {
			img->eh_frame_hdr = address;
			img->eh_frame_hdr_size = p->p_memsz;
		} else if (p->p_type == PT_NOTE && !img->build_id_size &&
			   image_holds(img, address, p->p_filesz)) {
			uint8_t note[1024];
			size_t size = p->p_filesz < sizeof(note) ? p->p_filesz : sizeof(note);
			size = tracee_read_some(t, address, note, size);
			img->build_id_size = image_note_build_id(note, size, p->p_align,
								 img->build_id);
		}
	}
}

/* A pointer of the dynamic section: glibc has made it an address, musl and the vdso leave it a
 * virtual address; 0 when it is neither. */
static uint64_t dynamic_pointer(const struct image *img, uint64_t value)
{
	if (image_holds(img, value, 1))
		return value;
	return image_holds(img, value + img->bias, 1) ? value + img->bias : 0;
}

static void take_dynamic_entry(struct image *img, int64_t tag, uint64_t value,
			       uint64_t *soname_ret)
{
	switch (tag) {
	case DT_SYMTAB: img->symtab = dynamic_pointer(img, value); break;
	case DT_STRTAB: img->strtab = dynamic_pointer(img, value); break;
	case DT_STRSZ: img->strsz = value; break;
	case DT_GNU_HASH: img->gnu_hash = dynamic_pointer(img, value); break;
	case DT_HASH: img->sysv_hash = dynamic_pointer(img, value); break;
	case DT_JMPREL: img->jmprel = dynamic_pointer(img, value); break;
	case DT_PLTRELSZ: img->jmprel_size = value; break;
	case DT_RELA: img->rela = dynamic_pointer(img, value); break;
	case DT_RELASZ: img->rela_size = value; break;
	case DT_RELACOUNT: img->rela_count = value; break;
	case DT_VERSYM: img->priv->versym = dynamic_pointer(img, value); break;
	case DT_SONAME: *soname_ret = value; break;
	case DT_DEBUG: img->priv->has_debug_entry = true; break;
	default: break;
	}
}

static struct mt_error *take_dynamic(struct tracee *t, struct image *img,
				     const struct candidate *c)
{
	const Elf64_Phdr *p = candidate_phdr(c, PT_DYNAMIC);
	img->dynamic = p ? p->p_vaddr + c->bias : 0;
	if (!p)
		return NULL;
	uint64_t size = p->p_memsz < DYNAMIC_MAX ? p->p_memsz : DYNAMIC_MAX;
	uint64_t soname = UINT64_MAX;
	auto_free uint8_t *data = malloc(size ? size : 1);
	if (!data)
		return &mt_enomem;
	size = tracee_read_some(t, img->dynamic, data, size);
	struct mt_cursor cur = mt_cursor_make(data, size);
	for (;;) {
		int64_t tag = (int64_t)mt_cursor_u64(&cur);
		uint64_t value = mt_cursor_u64(&cur);
		if (cur.failed || tag == DT_NULL)
			break;
		take_dynamic_entry(img, tag, value, &soname);
	}
	char name[256];
	if (!img->strtab || soname >= img->strsz ||
	    !image_holds(img, img->strtab + soname, 1))
		return NULL;
	size_t got = tracee_read_some(t, img->strtab + soname, name, sizeof(name));
	if (got && memchr(name, 0, got)) {
		img->soname = strdup(name);
		if (!img->soname)
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *image_create(const struct scan *s, const struct candidate *c,
				     struct image **ret)
{
	struct mt_error *err;
	struct image *img = calloc(1, sizeof(*img));
	if (!img)
		return &mt_enomem;
	img->priv = calloc(1, sizeof(*img->priv));
	img->path = path_without_suffix(c->map->path, &img->deleted);
	if (!img->priv || !img->path) {
		image_destroy(img);
		return &mt_enomem;
	}
	img->bias = c->bias;
	img->dev_inode = image_map_identity(c->map);
	img->is_vdso = is_vdso_map(c->map);
	img->is_tracer = strstr(img->path, IMAGE_TRACER_NAME) != NULL;
	take_segments(img, c);
	take_extras(s->t, img, c);
	err = take_dynamic(s->t, img, c);
	if (err) {
		image_destroy(img);
		return err;
	}
	img->is_exe = s->program_headers && image_holds(img, s->program_headers, 1);
	img->is_loader = (s->loader_base && image_holds(img, s->loader_base, 1)) ||
			 (img->soname && (!strncmp(img->soname, "ld-linux", 8) ||
					  !strncmp(img->soname, "ld-musl", 7)));
	*ret = img;
	return NULL;
}

/* An image known from an earlier scan that still stands at this mapping. */
static struct image *find_known(const struct scan *s, const struct images *images,
				const struct proc_map *map)
{
	struct image *img = images_find(images, map->start);
	if (!img || img->dev_inode != image_map_identity(map))
		return NULL;
	const struct proc_map *own = proc_maps_find(s->maps, img->dynamic ? img->dynamic : img->start);
	return own && same_file(own, map) ? img : NULL;
}

static struct mt_error *scan_map(struct scan *s, struct images *images,
				 const struct proc_map *map, bool *changed)
{
	struct image *img = find_known(s, images, map);
	if (img) {
		img->priv->seen = true;
		return NULL;
	}
	struct candidate c = { .map = map };
	if (!candidate_read(s, &c) || !candidate_find_bias(s, &c))
		return NULL;
	for (size_t i = 0; i < images->list.len; i++) {
		/* A second mapping of file offset 0 that belongs to the image before it. */
		const struct image *other = images->list.items[i];
		if (!other->unloaded && other->priv->seen && image_holds(other, map->start, 1))
			return NULL;
	}
	struct mt_error *err = image_create(s, &c, &img);
	if (err)
		return err;
	img->id = (uint32_t)images->list.len;
	img->priv->seen = true;
	if (!mt_array_push(&images->list, img)) {
		image_destroy(img);
		return &mt_enomem;
	}
	*changed = true;
	return NULL;
}

static int compare_start(const void *a, const void *b)
{
	const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static struct mt_error *sort_images(struct images *images)
{
	images->by_start.len = 0;
	if (!mt_array_reserve(&images->by_start, images->list.len))
		return &mt_enomem;
	for (size_t i = 0; i < images->list.len; i++)
		if (!images->list.items[i]->unloaded)
			images->by_start.items[images->by_start.len++] = images->list.items[i];
	if (images->by_start.len)
		qsort(images->by_start.items, images->by_start.len,
		      sizeof(images->by_start.items[0]), compare_start);
	return NULL;
}

/* `ld.so ./program`: the kernel knows the loader as the program. Only a program has DT_DEBUG. */
static void correct_program(struct images *images)
{
	struct image *named = NULL, *real = NULL;
	for (size_t i = 0; i < images->by_start.len; i++) {
		struct image *img = images->by_start.items[i];
		if (img->is_exe)
			named = img;
		else if (img->priv->has_debug_entry && !img->is_loader && !real)
			real = img;
	}
	if (named && named->is_loader && real) {
		named->is_exe = false;
		real->is_exe = true;
	}
}

static bool named_libc(const struct image *img)
{
	const char *base = strrchr(img->path, '/');
	return (img->soname && !strncmp(img->soname, "libc.", 5)) ||
	       (base && (!strncmp(base, "/libc", 5) || !strncmp(base, "/ld-musl", 8)));
}

static void find_libc(struct tracee *t, struct images *images)
{
	struct image_symbol sym;
	/* By name first, so that the usual scan asks one or two images only. */
	for (int all = 0; all < 2; all++) {
		bool found = false;
		for (size_t i = 0; i < images->by_start.len; i++) {
			struct image *img = images->by_start.items[i];
			if (!img->is_libc && (all || named_libc(img)))
				img->is_libc = image_find_symbol(t, img, "__libc_start_main",
								 &sym);
			found |= img->is_libc;
		}
		if (found)
			return;
	}
}

static struct mt_error *scan_all(struct scan *s, struct images *images, bool *changed)
{
	for (size_t i = 0; i < images->list.len; i++)
		images->list.items[i]->priv->seen = false;
	for (size_t i = 0; i < s->maps->maps.len; i++) {
		const struct proc_map *map = &s->maps->maps.items[i];
		if (!map_is_candidate(map))
			continue;
		struct mt_error *err = scan_map(s, images, map, changed);
		if (err)
			return err;
	}
	for (size_t i = 0; i < images->list.len; i++) {
		struct image *img = images->list.items[i];
		if (!img->unloaded && !img->priv->seen) {
			img->unloaded = true;
			*changed = true;
		}
	}
	return NULL;
}

struct mt_error *images_refresh(struct tracee *t, struct images *images, bool *changed_ret)
{
	struct scan s = { .t = t, .maps = &images->maps };
	bool changed = false;
	struct proc_maps maps = { 0 };
	struct mt_error *err = proc_maps_read(tracee_pid(t), &maps);
	if (err)
		return err;
	proc_maps_deinit(&images->maps);
	images->maps = maps;
	/* Without the auxiliary vector only the two marks are missing. */
	mt_error_destroy(proc_auxv(tracee_pid(t), AT_PHDR, &s.program_headers));
	mt_error_destroy(proc_auxv(tracee_pid(t), AT_BASE, &s.loader_base));
	err = scan_all(&s, images, &changed);
	struct mt_error *sort_err = sort_images(images);
	if (!err && !sort_err)
		err = image_find_code(images, &images->maps, &changed);
	if (err || sort_err) {
		mt_error_destroy(err ? sort_err : NULL);
		return err ? err : sort_err;
	}
	if (changed) {
		correct_program(images);
		find_libc(t, images);
	}
	*changed_ret = changed;
	return NULL;
}

struct mt_error *images_read(struct tracee *t, struct images *ret)
{
	struct images images = { 0 };
	bool changed;
	struct mt_error *err = images_refresh(t, &images, &changed);
	if (err) {
		images_deinit(&images);
		return err;
	}
	*ret = images;
	return NULL;
}

void images_deinit(struct images *images)
{
	for (size_t i = 0; i < images->list.len; i++)
		image_destroy(images->list.items[i]);
	mt_array_deinit(&images->list);
	mt_array_deinit(&images->by_start);
	mt_array_deinit(&images->code);
	proc_maps_deinit(&images->maps);
	free(images->jitdump.path);
}

struct image *images_find(const struct images *images, uint64_t address)
{
	size_t low = 0, high = images->by_start.len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (images->by_start.items[mid]->start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	struct image *img = low ? images->by_start.items[low - 1] : NULL;
	return img && address < img->end ? img : NULL;
}
