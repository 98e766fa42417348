/* SPDX-License-Identifier: Apache-2.0 */
/* inject/loader.c - loads the tracer by the target's dlopen, or maps it without any help.
 * Knows: the two builds of the tracer, program headers, relative relocations.
 * Does not know: what the tracer does. Called by inject/; calls attach/ and the kernel. */
#include "inject/loader.h"

#include "attach/proc.h"
#include "capture/wire.h"
#include "inject/channel.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern const uint8_t mt_tracer_blob[], mt_tracer_blob_end[];
extern const uint8_t mt_tracer_mapped_blob[], mt_tracer_mapped_blob_end[];

#define RTLD_NOW 2
#define PAGE 4096ull

#ifndef MAP_DENYWRITE
#define MAP_DENYWRITE 0x0800
#endif

/* ---- the calls of each way ---- */

#define SOMEWHERE 0x7f1200000000ull
#define CALL(name, ...) { #name, SYS_##name, false, { __VA_ARGS__ } }
#define COMMON									\
	CALL(memfd_create, SOMEWHERE, MFD_CLOEXEC),				\
	CALL(mmap, 0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, 3),	\
	CALL(mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 3),		\
	CALL(mprotect, SOMEWHERE, PAGE, PROT_READ),				\
	CALL(munmap, SOMEWHERE, PAGE), CALL(close, 9999), CALL(rt_sigreturn, 0)

/* Of glibc's loader, from 2.31 to 2.41, with what its malloc may need; checked with strace. */
static const struct seccomp_call dlopen_calls[] = {
	COMMON,
	CALL(openat, (uint64_t)-100, SOMEWHERE, 02000000),
	CALL(read, 9999, SOMEWHERE, 832), CALL(pread64, 9999, SOMEWHERE, 784, 64),
	CALL(fstat, 9999, SOMEWHERE), CALL(newfstatat, 9999, SOMEWHERE, SOMEWHERE, 0x1000),
	CALL(mmap, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE, 3),
	CALL(mmap, SOMEWHERE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull),
	CALL(mprotect, SOMEWHERE, PAGE, PROT_READ | PROT_WRITE),
	CALL(brk, 0), CALL(futex, SOMEWHERE, 0x81, 1),
};

static const struct seccomp_call mapped_calls[] = {
	COMMON,
	CALL(mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 3),
	CALL(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 3),
	CALL(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull),
};

const struct seccomp_way loader_ways[LOADER_WAYS] = {
	[LOADER_DLOPEN] = { dlopen_calls, sizeof(dlopen_calls) / sizeof(*dlopen_calls), false },
	[LOADER_MAPPED] = { mapped_calls, sizeof(mapped_calls) / sizeof(*mapped_calls), false },
};

static uint64_t page_down(uint64_t v)
{
	return v & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t v)
{
	return page_down(v + PAGE - 1);
}

/* Of the image in memory; its lowest address is 0. */
static uint64_t span_of(const uint8_t *file)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)file;
	const Elf64_Phdr *phdrs = (const Elf64_Phdr *)(file + eh->e_phoff);
	uint64_t span = 0;
	for (unsigned i = 0; i < eh->e_phnum; i++)
		if (phdrs[i].p_type == PT_LOAD)
			span = page_up(phdrs[i].p_vaddr + phdrs[i].p_memsz);
	return span;
}

/* ---- by dlopen ---- */

struct mt_error *loader_find_dl(struct tracee *t, const struct images *images, const char *name,
				uint64_t *address_ret)
{
	struct image_symbol sym;
	for (int pass = 0; pass < 2; pass++) {	/* libc first, then libdl of old glibc */
		for (size_t i = 0; i < images->list.len; i++) {
			struct image *img = images->list.items[i];
			bool libdl = img->soname && !strncmp(img->soname, "libdl.", 6);
			if (img->unloaded || (pass ? !libdl : !img->is_libc))
				continue;
			if (image_find_symbol(t, img, name, &sym)) {
				*address_ret = sym.address;
				return NULL;
			}
		}
	}
	return mt_error_create(MT_ERROR_REFUSED, "no '%s' in the target's C library", name);
}

/* musl is libc and loader in one. */
static bool dlopen_serves(const struct images *images)
{
	for (size_t i = 0; i < images->list.len; i++) {
		const struct image *img = images->list.items[i];
		if (!img->unloaded && img->is_libc && img->is_loader)
			return false;
	}
	return true;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The name by which the target can open its descriptor: by number, for a debugger that later
 * follows the link map would take "self" for itself. The /proc in its root may be that of another
 * pid namespace, or none. */
static bool name_of_fd(struct tracee *t, const struct proc_status *thread, int fd, char *ret, size_t size)
{
	/* The thread's own where the main thread has exited. */
	const pid_t living = proc_living(tracee_pid(t));
	const pid_t numbers[] = { thread->ns_tgid, living, thread->ns_pid };
	char here[64], there[96];
	snprintf(here, sizeof(here), "/proc/%d/fd/%d", (int)living, fd);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(ret, size, "/proc/%d/fd/%d", (int)numbers[i], fd);
		snprintf(there, sizeof(there), "/proc/%d/root%s", (int)living, ret);
		if (numbers[i] && same_file(here, there))
			return true;
	}
	return false;
}

/* What the failed call left behind for the program's next dlerror() is taken away: the first call
 * hands the text out, the second frees it. */
static struct mt_error *clear_dlerror(struct tracee *t, const struct images *images,
				      struct borrow *b)
{
	uint64_t dlerror_address, text;
	struct mt_error *err = loader_find_dl(t, images, "dlerror", &dlerror_address);
	for (int i = 0; i < 2 && !err; i++)
		err = borrow_call(b, dlerror_address, NULL, 0, LOADER_CALL_TIMEOUT_MS, &text);
	return err;
}

/* *handle_ret stays 0 when the target's loader cannot take the image. */
static struct mt_error *load_by_dlopen(struct tracee *t, struct borrow *b,
				       const struct images *images, uint64_t *handle_ret)
{
	uint64_t dlopen_address, path_address;
	char path[64];
	int fd;
	auto_error struct mt_error *none = loader_find_dl(t, images, "dlopen", &dlopen_address);
	if (none || !dlopen_serves(images))
		return NULL;
	size_t size = (size_t)(mt_tracer_blob_end - mt_tracer_blob);
	struct mt_error *err = channel_memfd(t, b, WIRE_MEMFD_TRACER, mt_tracer_blob, size, &fd, NULL);
	if (err)
		return err;
	if (name_of_fd(t, borrow_status(b), fd, path, sizeof(path))) {
		err = borrow_scratch(b, path, strlen(path) + 1, &path_address);
		if (!err)
			err = borrow_call(b, dlopen_address, (uint64_t[]){ path_address, RTLD_NOW }, 2,
					  LOADER_CALL_TIMEOUT_MS, handle_ret);
		if (!err && !*handle_ret)
			err = clear_dlerror(t, images, b);
	}
	struct mt_error *close_err = channel_close_fd(b, fd);
	if (err) {
		mt_error_destroy(close_err);
		return err;
	}
	return close_err;
}

/* ---- by mapping ---- */

struct mapping {
	struct tracee *t;
	struct borrow *b;
	const uint8_t *file;
	const Elf64_Phdr *phdrs;
	unsigned count;
	int fd;
	uint64_t base, span;
};

static struct mt_error *map(struct mapping *m, const uint64_t args[6], uint64_t *ret)
{
	int64_t rc;
	struct mt_error *err = borrow_syscall(m->b, SYS_mmap, args, &rc);
	if (!err && rc < 0 && rc > -4096)
		err = mt_error_os((int)-rc, "the target cannot map the tracer");
	if (!err)
		*ret = (uint64_t)rc;
	return err;
}

static int protection(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
	       (p->p_flags & PF_X ? PROT_EXEC : 0);
}

/* The pages behind the file's part are the last to be mapped: until then all carries the name. */
static struct mt_error *map_segment(struct mapping *m, const Elf64_Phdr *p)
{
	uint64_t start = page_down(p->p_vaddr), at;
	uint64_t file_end = page_up(p->p_vaddr + p->p_filesz);
	uint64_t end = page_up(p->p_vaddr + p->p_memsz);
	struct mt_error *err = map(m, (uint64_t[6]){ m->base + start, file_end - start,
						     (uint64_t)protection(p), MAP_PRIVATE | MAP_FIXED,
						     (uint64_t)m->fd, page_down(p->p_offset) }, &at);
	if (!err && end > file_end)
		err = map(m, (uint64_t[6]){ m->base + file_end, end - file_end,
					    (uint64_t)protection(p),
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0 },
			  &at);
	return err;
}

static const Elf64_Dyn *dynamic_entry(const struct mapping *m, int64_t tag)
{
	for (unsigned i = 0; i < m->count; i++) {
		const Elf64_Phdr *p = &m->phdrs[i];
		const Elf64_Dyn *d = (const Elf64_Dyn *)(m->file + p->p_offset);
		for (size_t k = 0; p->p_type == PT_DYNAMIC && k < p->p_filesz / sizeof(*d); k++)
			if (d[k].d_tag == tag)
				return &d[k];
	}
	return NULL;
}

/* A virtual address inside the first, read-only segments, where file offset and address agree. */
static const void *at_vaddr(const struct mapping *m, uint64_t vaddr)
{
	for (unsigned i = 0; i < m->count; i++) {
		const Elf64_Phdr *p = &m->phdrs[i];
		if (p->p_type == PT_LOAD && vaddr >= p->p_vaddr && vaddr - p->p_vaddr < p->p_filesz)
			return m->file + p->p_offset + (vaddr - p->p_vaddr);
	}
	return NULL;
}

/* The image is our own, made by our Makefile: an unknown relocation is a mistake in there. */
static bool relocate(const struct mapping *m, const Elf64_Phdr *p, uint8_t *content)
{
	const Elf64_Dyn *rela = dynamic_entry(m, DT_RELA), *size = dynamic_entry(m, DT_RELASZ);
	const Elf64_Dyn *symtab = dynamic_entry(m, DT_SYMTAB);
	const Elf64_Rela *r = rela ? at_vaddr(m, rela->d_un.d_ptr) : NULL;
	const Elf64_Sym *symbols = symtab ? at_vaddr(m, symtab->d_un.d_ptr) : NULL;
	for (size_t i = 0; r && size && i < size->d_un.d_val / sizeof(*r); i++) {
		uint64_t value = m->base + (uint64_t)r[i].r_addend;
		const Elf64_Sym *sym = symbols ? &symbols[ELF64_R_SYM(r[i].r_info)] : NULL;
		switch (ELF64_R_TYPE(r[i].r_info)) {
		case R_X86_64_RELATIVE:
			break;
		case R_X86_64_GLOB_DAT:
		case R_X86_64_64:
			if (!sym || !sym->st_shndx)
				return false;
			value += sym->st_value;
			break;
		default:
			return false;
		}
		if (r[i].r_offset < p->p_vaddr || r[i].r_offset - p->p_vaddr + 8 > p->p_filesz)
			return false;
		memcpy(content + (r[i].r_offset - page_down(p->p_vaddr)), &value, 8);
	}
	return true;
}

/* The writable segment as the program will see it: file, relocations, zeros to the page's end. */
static struct mt_error *fill_data(struct mapping *m, const Elf64_Phdr *p)
{
	uint64_t start = page_down(p->p_vaddr);
	size_t size = page_up(p->p_vaddr + p->p_filesz) - start;
	auto_free uint8_t *content = calloc(1, size);
	if (!content)
		return &mt_enomem;
	memcpy(content + (p->p_vaddr - start), m->file + p->p_offset, p->p_filesz);
	if (!relocate(m, p, content))
		return mt_error_create(MT_ERROR_OTHER, "the tracer has a relocation of an unknown kind");
	return tracee_write(m->t, m->base + start, content, size);
}

static struct mt_error *protect_relro(struct mapping *m)
{
	struct mt_error *err = NULL;
	for (unsigned i = 0; i < m->count && !err; i++) {
		const Elf64_Phdr *p = &m->phdrs[i];
		uint64_t start = page_down(p->p_vaddr), end = page_down(p->p_vaddr + p->p_memsz);
		int64_t rc;
		if (p->p_type == PT_GNU_RELRO && end > start)
			err = borrow_syscall(m->b, SYS_mprotect,
					     (uint64_t[6]){ m->base + start, end - start, PROT_READ }, &rc);
	}
	return err;
}

static struct mt_error *map_all(struct mapping *m)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)m->file;
	m->phdrs = (const Elf64_Phdr *)(m->file + eh->e_phoff);
	m->count = eh->e_phnum;
	m->span = span_of(m->file);
	struct mt_error *err = map(m, (uint64_t[6]){ 0, m->span, PROT_READ, MAP_PRIVATE,
						     (uint64_t)m->fd, 0 }, &m->base);
	for (unsigned i = 0; i < m->count && !err; i++)
		if (m->phdrs[i].p_type == PT_LOAD)
			err = map_segment(m, &m->phdrs[i]);
	for (unsigned i = 0; i < m->count && !err; i++)
		if (m->phdrs[i].p_type == PT_LOAD && (m->phdrs[i].p_flags & PF_W))
			err = fill_data(m, &m->phdrs[i]);
	return err ? err : protect_relro(m);
}

static struct mt_error *load_by_mapping(struct tracee *t, struct borrow *b, struct loaded *ret)
{
	struct mapping m = { .t = t, .b = b, .file = mt_tracer_mapped_blob };
	size_t size = (size_t)(mt_tracer_mapped_blob_end - mt_tracer_mapped_blob);
	struct mt_error *err = channel_memfd(t, b, WIRE_MEMFD_TRACER, m.file, size, &m.fd, NULL);
	if (err)
		return err;
	err = map_all(&m);
	if (err && m.base) {
		int64_t rc;
		auto_error struct mt_error *undo = borrow_syscall(b, SYS_munmap,
			(uint64_t[6]){ m.base, m.span }, &rc);
	}
	struct mt_error *close_err = channel_close_fd(b, m.fd);
	if (err) {
		mt_error_destroy(close_err);
		return err;
	}
	*ret = (struct loaded){ .base = m.base, .end = m.base + m.span, .file = m.file };
	return close_err;
}

/* A handle of dlopen is the loader's entry in its list, whose first word is the base (link.h). */
static struct mt_error *look_at_loaded(struct tracee *t, uint64_t handle, struct loaded *ret)
{
	struct loaded l = { .handle = handle, .file = mt_tracer_blob };
	uint8_t head[sizeof(Elf64_Ehdr)];
	struct mt_error *err = tracee_read(t, handle, &l.base, sizeof(l.base));
	if (!err)
		err = tracee_read(t, l.base, head, sizeof(head));
	if (!err && memcmp(head, l.file, sizeof(head)))
		err = mt_error_create(MT_ERROR_OTHER,
				      "the tracer was loaded but is not where the loader says");
	if (err)
		return err;
	l.end = l.base + span_of(l.file);
	*ret = l;
	return NULL;
}

struct mt_error *loader_load(struct tracee *t, struct borrow *b, const struct images *images,
			     bool by_dlopen, struct loaded *ret)
{
	uint64_t handle = 0;
	struct mt_error *err = by_dlopen ? load_by_dlopen(t, b, images, &handle) : NULL;
	if (err)
		return err;
	return handle ? look_at_loaded(t, handle, ret) : load_by_mapping(t, b, ret);
}

/* ---- symbols ---- */

static const Elf64_Shdr *dynamic_symbols(const uint8_t *file)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)file;
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + eh->e_shoff);
	for (unsigned i = 0; i < eh->e_shnum; i++)
		if (sections[i].sh_type == SHT_DYNSYM)
			return &sections[i];
	return NULL;
}

struct mt_error *loader_symbol(const struct loaded *loaded, const char *name, uint64_t *ret)
{
	const Elf64_Shdr *table = loaded->base ? dynamic_symbols(loaded->file) : NULL;
	if (table) {
		const Elf64_Ehdr *eh = (const Elf64_Ehdr *)loaded->file;
		const Elf64_Shdr *sections = (const Elf64_Shdr *)(loaded->file + eh->e_shoff);
		const char *names = (const char *)loaded->file + sections[table->sh_link].sh_offset;
		const Elf64_Sym *sym = (const Elf64_Sym *)(loaded->file + table->sh_offset);
		for (size_t i = 0; i < table->sh_size / sizeof(*sym); i++) {
			if (!sym[i].st_shndx || strcmp(names + sym[i].st_name, name))
				continue;
			*ret = loaded->base + sym[i].st_value;
			return NULL;
		}
	}
	return mt_error_create(MT_ERROR_OTHER, "the tracer has no '%s'", name);
}

/* ---- the thread control block ---- */

#define TCB_SIZE 2048u

uint32_t loader_tid_offset(struct tracee *t, const struct borrow *b)
{
	/* glibc; musl; musl before 1.2: the first of them that fits, else any word that does. */
	static const uint32_t known[] = { 0x2d0, 0x30, 0x38 };
	uint32_t words[TCB_SIZE / 4];
	uint64_t tcb = borrow_thread_pointer(b);
	if (!tcb)
		return 0;
	size_t n = tracee_read_some(t, tcb, words, sizeof(words)) / 4;
	uint32_t tid = (uint32_t)borrow_status(b)->ns_pid;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] / 4 < n && words[known[i] / 4] == tid)
			return known[i];
	for (uint32_t i = 0; i < n; i++)
		if (words[i] == tid)
			return i * 4;
	return 0;
}
