/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_image.c - the images of this very program, of odd libraries and of other programs.
 * Knows: attach/image.h, the loader's own answers (dlsym, dladdr). Does not know: ptrace.
 * Called by tests/run.py; needs the C compiler for the odd libraries.
 *
 * What is looked at is a twin: a fork of this process, so that addresses are the same in both and
 * the loader of this one can be asked. */
#include "attach/image.h"
#include "capture/wire.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DAMAGES 500u		/* of a library's tables, one byte each */

extern char **environ;

static char folder[] = "/tmp/memtrace-u_image-XXXXXX";

struct subject {
	struct tracee *t;
	struct images images;
	pid_t twin;		/* 0: another program */
	int orders;		/* pipe to the twin: 'o' dlopen, 'c' dlclose of the library below */
	int answers;
};

static char ordered_library[256];

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void twin_main(int orders, int answers)
{
	void *handle = NULL;
	char order;
	while (read(orders, &order, 1) == 1) {
		if (order == 'o')
			handle = dlopen(ordered_library, RTLD_NOW | RTLD_LOCAL);
		else
			dlclose(handle);
		if (write(answers, handle ? "y" : "n", 1) != 1)
			break;
	}
	_exit(0);
}

static void twin_order(const struct subject *s, char order)
{
	char answer = 0;
	assert_int_equal(write(s->orders, &order, 1), 1);
	assert_int_equal(read(s->answers, &answer, 1), 1);
	assert_int_equal(answer, 'y');
}

static void subject_open_other(struct subject *s, pid_t pid)
{
	memset(s, 0, sizeof(*s));
	struct mt_error *err = tracee_open(pid, &s->t);
	if (!err)
		err = images_read(s->t, &s->images);
	if (err)
		fail_msg("%s", err->message);
}

static void subject_open(struct subject *s)
{
	int orders[2], answers[2];
	assert_int_equal(pipe2(orders, O_CLOEXEC) | pipe2(answers, O_CLOEXEC), 0);
	pid_t twin = fork();
	assert_true(twin >= 0);
	if (!twin) {
		close(orders[1]);	/* so that the end of this process ends the twin */
		close(answers[0]);
		twin_main(orders[0], answers[1]);
	}
	close(orders[0]);
	close(answers[1]);
	subject_open_other(s, twin);
	s->twin = twin;
	s->orders = orders[1];
	s->answers = answers[0];
}

static void subject_close(struct subject *s)
{
	images_deinit(&s->images);
	tracee_close(s->t);
	if (s->twin) {
		close(s->orders);
		close(s->answers);
		finish(s->twin);
	}
}

static struct image *by_path(const struct subject *s, const char *part)
{
	for (size_t i = 0; i < s->images.list.len; i++) {
		struct image *img = s->images.list.items[i];
		if (!img->unloaded && strstr(img->path, part))
			return img;
	}
	return NULL;
}

static unsigned count_path(const struct subject *s, const char *part)
{
	unsigned n = 0;
	for (size_t i = 0; i < s->images.list.len; i++)
		n += !s->images.list.items[i]->unloaded &&
		     strstr(s->images.list.items[i]->path, part) != NULL;
	return n;
}

static uint64_t symbol_of(struct subject *s, struct image *img, const char *name)
{
	struct image_symbol sym;
	return image_find_symbol(s->t, img, name, &sym) ? sym.address : 0;
}

/* A pointer that dlsym answered, as a number. */
static uint64_t loaded(void *handle, const char *name)
{
	return (uint64_t)(uintptr_t)dlsym(handle, name);
}

/* ---- this process ----------------------------------------------------------------------- */

static int phdr_matches(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	struct subject *s = arg;
	const struct image *img = images_find(&s->images, (uint64_t)(uintptr_t)info->dlpi_phdr);
	if (!img)
		fail_msg("no image for %s", info->dlpi_name);
	assert_int_equal(img->bias, info->dlpi_addr);
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_DYNAMIC)
			assert_int_equal(img->dynamic, info->dlpi_addr + p->p_vaddr);
		if (p->p_type == PT_GNU_EH_FRAME)
			assert_int_equal(img->eh_frame_hdr, info->dlpi_addr + p->p_vaddr);
	}
	return 0;
}

static void test_self(void **state)
{
	(void)state;
	struct subject s;
	unsigned exe = 0, loader = 0, vdso = 0, libc = 0;
	subject_open(&s);
	dl_iterate_phdr(phdr_matches, &s);
	for (size_t i = 0; i < s.images.list.len; i++) {
		const struct image *img = s.images.list.items[i];
		assert_int_equal(img->id, i);
		exe += img->is_exe;
		loader += img->is_loader;
		vdso += img->is_vdso;
		libc += img->is_libc;
		assert_false(img->is_tracer || img->deleted || img->unloaded);
	}
	assert_int_equal(exe + loader + vdso + libc, 4);
	const struct image *self = images_find(&s.images, (uint64_t)(uintptr_t)test_self);
	assert_true(self->is_exe);
	assert_int_equal(images_find(&s.images, getauxval(AT_SYSINFO_EHDR))->is_vdso, true);
	assert_int_equal(images_find(&s.images, getauxval(AT_BASE))->is_loader, true);
	assert_null(images_find(&s.images, 0));
	assert_null(images_find(&s.images, self->start - 1));
	assert_null(images_find(&s.images, UINT64_MAX));
	subject_close(&s);
}

static void test_symbols_are_the_loaders(void **state)
{
	(void)state;
	/* realpath, memcpy's like: several versions, the default one counts. */
	static const char *const names[] = { "getenv", "realpath", "posix_spawn", "fopen", "environ",
					     "pthread_cond_wait", "glob64", "regexec" };
	struct subject s;
	struct image_symbol sym;
	subject_open(&s);
	struct image *libc = by_path(&s, "/libc.so.6"), *vdso = by_path(&s, "[vdso]");
	void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	assert_true(libc->is_libc);
	assert_string_equal(libc->soname, "libc.so.6");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (symbol_of(&s, libc, names[i]) != loaded(handle, names[i]))
			fail_msg("%s", names[i]);
	}
	assert_true(image_find_symbol(s.t, libc, "memcpy", &sym));
	assert_int_equal(sym.type, STT_GNU_IFUNC);
	assert_false(image_find_symbol(s.t, libc, "no_such_function", &sym));
	assert_false(image_find_symbol(s.t, libc, "", &sym));
	assert_false(image_find_symbol(s.t, libc, "GLIBC_2.34", &sym));
	assert_false(image_find_symbol(s.t, libc, "errno", &sym));	/* thread-local */
	assert_false(image_find_symbol(s.t, by_path(&s, "u_image"), "getenv", &sym));
	assert_true(image_find_symbol(s.t, vdso, "__vdso_clock_gettime", &sym));
	assert_true(sym.address > vdso->start && sym.address < vdso->end);
	dlclose(handle);
	subject_close(&s);
}

static void test_static_function(void **state)
{
	(void)state;
	struct subject s;
	struct image_symbol sym;
	subject_open(&s);
	struct image *self = by_path(&s, "u_image");
	assert_false(image_find_symbol(s.t, self, "test_static_function", &sym));
	assert_true(image_find_any_symbol(s.t, self, "test_static_function", &sym));
	assert_int_equal(sym.address, (uint64_t)(uintptr_t)test_static_function);
	assert_string_equal(image_function_at(s.t, self, sym.address + sym.size - 1, &sym),
			    "test_static_function");
	subject_close(&s);
}

struct at_check {
	struct subject *s;
	struct image *img;
	unsigned checked;
};

static bool check_at(const char *name, const struct image_symbol *sym, void *arg)
{
	struct at_check *c = arg;
	struct image_symbol at = { 0 };
	if (sym->type != STT_FUNC || !sym->size)
		return true;
	const char *found = image_function_at(c->s->t, c->img, sym->address + sym->size / 2, &at);
	/* Another function may begin inside this one, but none may hold it that does not. */
	if (!found || at.address > sym->address + sym->size / 2 ||
	    (at.size && at.address + at.size <= sym->address + sym->size / 2))
		fail_msg("%s: at its middle stands %s", name, found ? found : "nothing");
	c->checked++;
	return true;
}

static void test_function_at(void **state)
{
	(void)state;
	struct subject s;
	struct image_symbol sym;
	subject_open(&s);
	for (size_t i = 0; i < s.images.list.len; i++) {
		struct at_check c = { .s = &s, .img = s.images.list.items[i] };
		image_each_symbol(s.t, c.img, check_at, &c);
		if (c.img->is_libc)
			assert_true(c.checked > 1500);
	}
	struct image *libc = by_path(&s, "/libc.so.6");
	uint64_t address = symbol_of(&s, libc, "calloc");
	assert_string_equal(image_function_at(s.t, libc, address, &sym), "calloc");
	assert_int_equal(sym.address, address);
	assert_null(image_function_at(s.t, libc, libc->start, &sym));
	assert_null(image_function_at(s.t, libc, libc->end - 1, &sym));
	subject_close(&s);
}

/* ---- relocations, against what libelf reads from the file -------------------------------- */

struct relocs {
	unsigned long count, hash;
};

static void relocs_add(struct relocs *r, uint64_t slot, uint32_t type, int64_t addend,
		       const char *name)
{
	unsigned long h = slot * 31 + type;
	h = h * 31 + (unsigned long)addend;
	for (; *name; name++)
		h = h * 31 + (uint8_t)*name;
	r->count++;
	r->hash ^= h * 0x9e3779b97f4a7c15ul;		/* the order does not matter */
}

struct reloc_check {
	const struct image *img;
	struct relocs found;
};

static struct mt_error *add_found(const struct image_relocation *rel, void *arg)
{
	struct reloc_check *c = arg;
	relocs_add(&c->found, rel->slot - c->img->bias, rel->type, rel->addend, rel->symbol);
	assert_int_equal(rel->in_relro,
			 rel->slot >= c->img->relro_start && rel->slot < c->img->relro_end);
	return NULL;
}

static void read_rela_section(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr, struct relocs *ret)
{
	Elf_Scn *symtab = elf_getscn(elf, shdr->sh_link);
	GElf_Shdr sym_shdr;
	if (!symtab || !gelf_getshdr(symtab, &sym_shdr) || sym_shdr.sh_type != SHT_DYNSYM)
		return;
	Elf_Data *data = elf_getdata(scn, NULL), *symbols = elf_getdata(symtab, NULL);
	for (size_t i = 0; i < shdr->sh_size / shdr->sh_entsize; i++) {
		GElf_Rela rela;
		GElf_Sym sym;
		gelf_getrela(data, (int)i, &rela);
		uint32_t type = GELF_R_TYPE(rela.r_info);
		if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64)
			continue;
		if (!GELF_R_SYM(rela.r_info) ||
		    !gelf_getsym(symbols, (int)GELF_R_SYM(rela.r_info), &sym) || !sym.st_name)
			continue;
		relocs_add(ret, rela.r_offset, type, rela.r_addend,
			   elf_strptr(elf, sym_shdr.sh_link, sym.st_name));
	}
}

static struct relocs relocs_of_file(int fd)
{
	struct relocs ret = { 0 };
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	assert_non_null(elf);
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr shdr;
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_RELA &&
		    (shdr.sh_flags & SHF_ALLOC))
			read_rela_section(elf, scn, &shdr, &ret);
	}
	elf_end(elf);
	return ret;
}

static void check_relocations(struct subject *s)
{
	for (size_t i = 0; i < s->images.list.len; i++) {
		struct reloc_check c = { .img = s->images.list.items[i] };
		int fd = image_open_file(s->t, c.img);
		if (c.img->is_vdso) {
			assert_int_equal(fd, -1);
			continue;
		}
		assert_true(fd >= 0);
		struct relocs want = relocs_of_file(fd);
		close(fd);
		assert_null(image_each_relocation(s->t, s->images.list.items[i], add_found, &c));
		if (c.found.count != want.count || c.found.hash != want.hash)
			fail_msg("%s: %lu relocations, in the file %lu", c.img->path,
				 c.found.count, want.count);
	}
}

static struct mt_error *stop_at_first(const struct image_relocation *rel, void *arg)
{
	++*(int *)arg;
	return mt_error_create(MT_ERROR_OTHER, "stopped at '%s'", rel->symbol);
}

static struct mt_error *find_getenv(const struct image_relocation *rel, void *arg)
{
	if (!strcmp(rel->symbol, "getenv"))
		*(uint64_t *)arg = rel->slot;
	return NULL;
}

static void test_relocations(void **state)
{
	(void)state;
	struct subject s;
	int calls = 0;
	uint64_t slot = 0, value = 0;
	subject_open(&s);
	check_relocations(&s);
	struct image *self = by_path(&s, "u_image"), *libc = by_path(&s, "/libc.so.6");
	struct mt_error *err = image_each_relocation(s.t, self, stop_at_first, &calls);
	assert_non_null(err);
	assert_int_equal(calls, 1);
	mt_error_destroy(err);
	assert_non_null(getenv("PATH"));		/* bound by now, however lazily */
	assert_null(image_each_relocation(s.t, self, find_getenv, &slot));
	memcpy(&value, (void *)(uintptr_t)slot, sizeof(value));
	assert_int_equal(value, symbol_of(&s, libc, "getenv"));
	subject_close(&s);
}

/* ---- odd libraries ----------------------------------------------------------------------- */

static void compile(const char *name, const char *flags, const char *source)
{
	char path[256], command[1024];
	snprintf(path, sizeof(path), "%s/%s.c", folder, name);
	FILE *f = fopen(path, "w");
	fputs(source, f);
	fclose(f);
	snprintf(command, sizeof(command), "cd %s && cc -w -shared -fPIC %s -o %s.so %s.c", folder,
		 flags, name, name);
	if (system(command))
		fail_msg("%s", command);
}

static void *load(const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s.so", folder, name);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		fail_msg("%s", dlerror());
	return handle;
}

static const char plain_source[] =
	"#include <stdlib.h>\n"
	"static char zero[100000]; int number = 5; void *pointer = malloc;\n"
	"int first(int n) { return n + number; }\n"
	"static __attribute__((noinline)) int hidden(int n) { return first(n) * 3; }\n"
	"void *second(int n) { zero[n] = hidden(n); return malloc(n); }\n";

static const struct library {
	const char *name, *flags;
	bool has_build_id;
} libraries[] = {
	{ "plain", "-O2 -Wl,--build-id", true },
	{ "no_build_id", "-O2 -Wl,--build-id=none", false },
	{ "sysv_hash", "-O2 -Wl,--hash-style=sysv,--build-id", true },
	{ "both_hashes", "-O2 -Wl,--hash-style=both,--build-id", true },
	{ "full_relro", "-O2 -Wl,-z,now,-z,relro,--build-id", true },
	{ "no_relro", "-O2 -Wl,-z,norelro,--build-id", true },
	{ "joined_code", "-O2 -Wl,-z,noseparate-code,--build-id", true },
	{ "prelinked", "-O2 -Wl,-Ttext-segment=0x3900000000,--build-id", true },
	{ "small_pages", "-O2 -Wl,-z,max-page-size=4096,-z,common-page-size=4096,--build-id", true },
	{ "large_pages", "-O2 -Wl,-z,max-page-size=2097152,--build-id", true },
	{ "stripped", "-O2 -s -Wl,--build-id", true },
};

static void check_library(const struct library *l)
{
	char path[256];
	struct subject s;
	struct image_symbol sym;
	Dl_info info;
	compile(l->name, l->flags, plain_source);
	void *handle = load(l->name, path);
	dladdr(dlsym(handle, "first"), &info);
	subject_open(&s);
	struct image *img = by_path(&s, path);
	if (!img)
		fail_msg("%s: no image", l->name);
	struct link_map *map = handle;
	assert_int_equal(img->bias, map->l_addr);
	assert_int_equal(img->dynamic, (uint64_t)(uintptr_t)map->l_ld);
	assert_int_equal(symbol_of(&s, img, "first"), loaded(handle, "first"));
	assert_int_equal(symbol_of(&s, img, "number"), loaded(handle, "number"));
	assert_int_equal(symbol_of(&s, img, "malloc"), 0);
	assert_int_equal(symbol_of(&s, img, "third"), 0);
	assert_int_equal(img->build_id_size > 0, l->has_build_id);
	assert_int_equal(image_find_any_symbol(s.t, img, "hidden", &sym),
			 strcmp(l->name, "stripped") != 0);
	assert_string_equal(image_function_at(s.t, img, loaded(handle, "second") + 4, &sym),
			    "second");
	int fd = image_open_file(s.t, img);
	assert_true(fd >= 0);
	close(fd);
	subject_close(&s);
	dlclose(handle);
}

static void test_libraries(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		check_library(&libraries[i]);
}

static void test_relocations_of_libraries(void **state)
{
	(void)state;
	char path[256];
	struct subject s;
	void *handles[sizeof(libraries) / sizeof(libraries[0])];
	size_t n = sizeof(libraries) / sizeof(libraries[0]);
	for (size_t i = 0; i < n; i++)
		handles[i] = load(libraries[i].name, path);
	subject_open(&s);
	check_relocations(&s);
	subject_close(&s);
	for (size_t i = 0; i < n; i++)
		dlclose(handles[i]);
}

static void test_symbol_versions(void **state)
{
	(void)state;
	char path[256], script[256], flags[512];
	struct subject s;
	snprintf(script, sizeof(script), "%s/versions.map", folder);
	FILE *f = fopen(script, "w");
	fputs("V1 { global: f; old; };\nV2 { global: f; } V1;\n", f);
	fclose(f);
	snprintf(flags, sizeof(flags), "-O0 -Wl,--version-script=%s", script);
	compile("versions", flags,
		"__asm__(\".symver f1,f@V1\\n.symver f2,f@@V2\\n.symver o1,old@V1\\n\");\n"
		"int f1(void) { return 1; } int f2(void) { return 2; } int o1(void) { return 3; }\n");
	void *handle = load("versions", path);
	subject_open(&s);
	struct image *img = by_path(&s, path);
	assert_int_equal(symbol_of(&s, img, "f"), (uint64_t)(uintptr_t)dlvsym(handle, "f", "V2"));
	assert_int_equal(symbol_of(&s, img, "old"), (uint64_t)(uintptr_t)dlvsym(handle, "old", "V1"));
	subject_close(&s);
	dlclose(handle);
}

/* ---- coming, going, deleted, twice ------------------------------------------------------- */

static void test_refresh(void **state)
{
	(void)state;
	struct subject s;
	bool changed = true;
	compile("comes", "-O1", plain_source);
	snprintf(ordered_library, sizeof(ordered_library), "%s/comes.so", folder);
	subject_open(&s);
	size_t before = s.images.list.len;
	assert_null(images_refresh(s.t, &s.images, &changed));
	assert_false(changed);
	twin_order(&s, 'o');
	assert_null(images_refresh(s.t, &s.images, &changed));
	assert_true(changed);
	assert_int_equal(s.images.list.len, before + 1);
	struct image *img = by_path(&s, ordered_library);
	assert_int_equal(img->id, before);
	assert_true(symbol_of(&s, img, "first") > img->start);
	uint64_t inside = img->start + 100;
	assert_ptr_equal(images_find(&s.images, inside), img);
	twin_order(&s, 'c');
	assert_null(images_refresh(s.t, &s.images, &changed));
	assert_true(changed);
	assert_true(img->unloaded);
	assert_null(images_find(&s.images, inside));
	assert_int_equal(symbol_of(&s, img, "first"), 0);
	twin_order(&s, 'o');
	assert_null(images_refresh(s.t, &s.images, &changed));
	assert_true(changed);
	assert_int_equal(by_path(&s, ordered_library)->id, before + 1);
	assert_int_equal(s.images.list.len, before + 2);
	assert_null(images_refresh(s.t, &s.images, &changed));
	assert_false(changed);
	subject_close(&s);
}

static void test_deleted_and_replaced(void **state)
{
	(void)state;
	char path[256], other[256];
	struct subject s;
	struct image_symbol sym;
	compile("gone", "-O0 -Wl,--build-id", plain_source);
	compile("other", "-O0 -Wl,--build-id", "int first(void) { return 7; }\n");
	void *handle = load("gone", path);
	snprintf(other, sizeof(other), "%s/other.so", folder);
	assert_int_equal(unlink(path), 0);
	subject_open(&s);
	struct image *img = by_path(&s, "/gone.so");
	assert_true(img->deleted);
	assert_string_equal(img->path, path);
	assert_int_equal(symbol_of(&s, img, "first"), loaded(handle, "first"));
	/* Through /proc/PID/map_files (root), not the file that has the name now. */
	assert_int_equal(rename(other, path), 0);
	if (!geteuid())
		assert_true(image_find_any_symbol(s.t, img, "hidden", &sym));
	subject_close(&s);
	dlclose(handle);
	/* Overwritten in place, the inode stays: the build-id tells. */
	compile("same", "-O0 -Wl,--build-id", plain_source);
	handle = load("same", path);
	subject_open(&s);
	img = by_path(&s, "/same.so");
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "\x7f", 1, (off_t)(img->segments[0].filesz / 2)), 1);
	for (off_t at = 0x200; at < 0x400; at += 4)	/* the notes */
		assert_int_equal(pwrite(fd, "damaged", 4, at), 4);
	close(fd);
	img->build_id[0] ^= 1;
	assert_int_equal(image_open_file(s.t, img), -1);
	subject_close(&s);
	dlclose(handle);
}

static void test_tracer_memfd(void **state)
{
	(void)state;
	char path[256], data[65536];
	struct subject s;
	compile("tracer", "-O1", plain_source);
	snprintf(path, sizeof(path), "%s/tracer.so", folder);
	int in = open(path, O_RDONLY), fd = memfd_create(WIRE_MEMFD_TRACER, 0);
	ssize_t n = read(in, data, sizeof(data));
	assert_int_equal(write(fd, data, (size_t)n), n);
	close(in);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	void *handle = dlopen(path, RTLD_NOW);
	assert_non_null(handle);
	subject_open(&s);
	struct image *img = images_find(&s.images, loaded(handle, "first"));
	assert_true(img->is_tracer);
	assert_true(img->deleted);
	assert_string_equal(img->path, "/memfd:" WIRE_MEMFD_TRACER);
	subject_close(&s);
	dlclose(handle);
	close(fd);
}

static void test_two_namespaces(void **state)
{
	(void)state;
	char path[256];
	struct subject s;
	compile("twice", "-O1 -nostdlib", "int number = 4; int first(int n) { return n * number; }\n");
	void *one = load("twice", path), *two = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
	assert_non_null(two);
	subject_open(&s);
	assert_int_equal(count_path(&s, path), 2);
	struct image *a = images_find(&s.images, loaded(one, "first"));
	struct image *b = images_find(&s.images, loaded(two, "first"));
	assert_ptr_not_equal(a, b);
	assert_int_equal(symbol_of(&s, a, "first"), loaded(one, "first"));
	assert_int_equal(symbol_of(&s, b, "first"), loaded(two, "first"));
	subject_close(&s);
	dlclose(two);
	dlclose(one);
}

/* Profilers map libraries to read them: whole, piecewise, even executable. */
static void test_data_mappings_are_no_images(void **state)
{
	(void)state;
	char path[256];
	struct subject s;
	struct stat st;
	compile("data", "-O1", plain_source);
	snprintf(path, sizeof(path), "%s/data.so", folder);
	int fd = open(path, O_RDONLY);
	fstat(fd, &st);
	static const int protections[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
					   PROT_READ | PROT_WRITE | PROT_EXEC };
	for (size_t i = 0; i < 4; i++) {
		void *whole = mmap(NULL, (size_t)st.st_size, protections[i], MAP_PRIVATE, fd, 0);
		void *page = mmap(NULL, 4096, protections[i], MAP_PRIVATE, fd, 0);
		void *shared = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		subject_open(&s);
		assert_int_equal(count_path(&s, path), 0);
		subject_close(&s);
		munmap(whole, (size_t)st.st_size);
		munmap(page, 4096);
		munmap(shared, (size_t)st.st_size);
	}
	/* Loaded and mapped: the one that is loaded. */
	void *whole = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	void *handle = load("data", path);
	subject_open(&s);
	assert_int_equal(count_path(&s, path), 1);
	assert_int_equal(symbol_of(&s, by_path(&s, path), "first"), loaded(handle, "first"));
	subject_close(&s);
	dlclose(handle);
	munmap(whole, (size_t)st.st_size);
	close(fd);
}

static void test_read_range(void **state)
{
	(void)state;
	char path[256];
	struct subject s;
	struct image_bytes bytes;
	compile("range", "-O1", plain_source);
	void *handle = load("range", path);
	uint64_t code = loaded(handle, "first"), data = loaded(handle, "number");
	*(int *)(uintptr_t)data = 77;
	subject_open(&s);
	struct image *img = by_path(&s, path);
	auto_close int fd = image_open_file(s.t, img);
	assert_true(fd >= 0);
	assert_null(image_read_range(s.t, img, fd, code, 8, &bytes));
	assert_memory_equal(bytes.data, (void *)(uintptr_t)code, 8);
	image_bytes_deinit(&bytes);
	/* What the program may write is as it is now, not as in the file. */
	assert_null(image_read_range(s.t, img, fd, data, 4, &bytes));
	assert_int_equal(*(const int *)bytes.data, 77);
	image_bytes_deinit(&bytes);
	struct mt_error *err = image_read_range(s.t, img, fd, img->end - 4, 8, &bytes);
	assert_int_equal(err->code, MT_ERROR_CORRUPT);
	mt_error_destroy(err);
	err = image_read_range(s.t, img, fd, img->start - 8, UINT64_MAX, &bytes);
	assert_non_null(err);
	mt_error_destroy(err);
	subject_close(&s);
	dlclose(handle);
}

/* ---- other programs ----------------------------------------------------------------------- */

static pid_t start(char *const argv[])
{
	pid_t pid;
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
		return -1;
	usleep(300000);		/* past its loader */
	return pid;
}

static void test_non_pie_python(void **state)
{
	(void)state;
	char *argv[] = { (char *)"/usr/bin/python3", (char *)"-c",
			 (char *)"import ssl, sqlite3, time; time.sleep(100)", NULL };
	struct subject s;
	struct image_symbol sym;
	pid_t pid = start(argv);
	if (pid < 0)
		skip();
	subject_open_other(&s, pid);
	struct image *exe = by_path(&s, "/python3");
	assert_true(exe && exe->is_exe);
	/* Canonical PLT entries: undefined with a value, and not the functions. */
	assert_false(image_find_symbol(s.t, exe, "malloc", &sym));
	assert_true(image_find_symbol(s.t, exe, "PyObject_Call", &sym));
	check_relocations(&s);
	subject_close(&s);
	finish(pid);
}

static void test_started_by_the_loader(void **state)
{
	(void)state;
	char *argv[] = { (char *)"/lib64/ld-linux-x86-64.so.2", (char *)"/bin/sleep", (char *)"100",
			 NULL };
	struct subject s;
	pid_t pid = start(argv);
	assert_true(pid > 0);
	subject_open_other(&s, pid);
	assert_true(by_path(&s, "/sleep")->is_exe);
	assert_false(by_path(&s, "/ld-linux")->is_exe);
	assert_true(by_path(&s, "/ld-linux")->is_loader);
	subject_close(&s);
	finish(pid);
}

static void test_gone_process(void **state)
{
	(void)state;
	char *argv[] = { (char *)"/bin/sleep", (char *)"100", NULL };
	struct subject s;
	bool changed;
	struct image_symbol sym;
	pid_t pid = start(argv);
	subject_open_other(&s, pid);
	struct image *libc = by_path(&s, "/libc.so.6");
	finish(pid);
	assert_false(image_find_symbol(s.t, libc, "malloc", &sym));
	struct mt_error *err = images_refresh(s.t, &s.images, &changed);
	assert_non_null(err);
	mt_error_destroy(err);
	subject_close(&s);
}

/* ---- damage ------------------------------------------------------------------------------- */

static struct mt_error *count_relocation(const struct image_relocation *rel, void *arg)
{
	*(size_t *)arg += strlen(rel->symbol);
	return NULL;
}

static bool count_symbol(const char *name, const struct image_symbol *sym, void *arg)
{
	(void)sym;
	*(size_t *)arg += strlen(name);
	return true;
}

static void use_everything(struct subject *s, const char *path)
{
	size_t sum = 0;
	struct image_symbol sym;
	struct image *img = by_path(s, path);
	if (!img)
		return;
	mt_error_destroy(image_each_relocation(s->t, img, count_relocation, &sum));
	image_each_symbol(s->t, img, count_symbol, &sum);
	image_find_symbol(s->t, img, "first", &sym);
	image_find_symbol(s->t, img, "no_such_function", &sym);
	image_function_at(s->t, img, img->start + 0x1100, &sym);
}

/* A library whose headers and tables a hostile program has rewritten in its memory. */
static void test_damaged_memory(void **state)
{
	(void)state;
	char path[256];
	struct subject s;
	unsigned seed = 1;
	for (unsigned variant = 0; variant < 2; variant++) {
		compile("damaged", variant ? "-O1 -Wl,--hash-style=sysv" : "-O1", plain_source);
		void *handle = load("damaged", path);
		subject_open(&s);
		struct image *img = by_path(&s, path);
		const struct image_segment *first = &img->segments[0];
		uint8_t *head = (uint8_t *)(uintptr_t)img->start, *dynamic;
		size_t size = first->memsz;
		dynamic = (uint8_t *)(uintptr_t)img->dynamic;
		uint8_t *pages = (uint8_t *)((uintptr_t)dynamic & ~4095ul);
		mprotect(head, size, PROT_READ | PROT_WRITE);
		mprotect(pages, (size_t)(dynamic - pages) + 512, PROT_READ | PROT_WRITE);
		subject_close(&s);
		for (unsigned i = 0; i < DAMAGES; i++) {
			uint8_t *at = i % 4 ? head + (unsigned)rand_r(&seed) % size
					    : dynamic + (unsigned)rand_r(&seed) % 400;
			uint8_t old = *at;
			*at = rand_r(&seed) % 3 ? (uint8_t)rand_r(&seed) : 0xff;
			subject_open(&s);
			use_everything(&s, path);
			subject_close(&s);
			*at = old;
		}
		dlclose(handle);
	}
}

static int set_up(void **state)
{
	(void)state;
	elf_version(EV_CURRENT);
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	char command[300];
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_symbols_are_the_loaders),
		cmocka_unit_test(test_static_function),
		cmocka_unit_test(test_function_at),
		cmocka_unit_test(test_relocations),
		cmocka_unit_test(test_libraries),
		cmocka_unit_test(test_relocations_of_libraries),
		cmocka_unit_test(test_symbol_versions),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_deleted_and_replaced),
		cmocka_unit_test(test_tracer_memfd),
		cmocka_unit_test(test_two_namespaces),
		cmocka_unit_test(test_data_mappings_are_no_images),
		cmocka_unit_test(test_read_range),
		cmocka_unit_test(test_non_pie_python),
		cmocka_unit_test(test_started_by_the_loader),
		cmocka_unit_test(test_gone_process),
		cmocka_unit_test(test_damaged_memory),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
