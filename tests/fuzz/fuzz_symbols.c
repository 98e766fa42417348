/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_symbols.c - any bytes as a module's file, or as the DWARF sections of one.
 * Knows: symbolize/native.h. Does not know: what good DWARF is; libdw reads it, as it is.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/symbols/.
 *
 * First byte 0x7f: an ELF file. Else the sections below follow, each with its size in two bytes in
 * front, so that the fuzzer needs no ELF headers to get into them. Those of the second list are the
 * module's package of split units, or when the first byte is odd its one split unit "unit.dwo". */
#include "base/cleanup.h"
#include "symbolize/native.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_ranges", ".debug_rnglists",
	".debug_line_str", ".debug_str_offsets", ".debug_addr",
};
static const char *const split_names[] = {
	".debug_cu_index", ".debug_info.dwo", ".debug_abbrev.dwo", ".debug_line.dwo",
	".debug_str_offsets.dwo", ".debug_str.dwo", ".debug_rnglists.dwo",
};

#define NAMES_MAX (sizeof(names) / sizeof(names[0]))
#define SPLIT_MAX (sizeof(split_names) / sizeof(split_names[0]))

/* Where the split files of this run are looked for. */
static char folder[] = "/dev/shm/memtrace-fuzz-XXXXXX";

static void remove_folder(void)
{
	rmdir(folder);
}

static int to_file(const void *data, size_t size)
{
	int fd = memfd_create("module", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	return fd;
}

/* *at goes on behind what was taken. */
static void put_sections(const uint8_t *data, size_t size, size_t *at, const char *const *list, size_t max,
			 struct mt_buf *out)
{
	struct elf_image_section sections[NAMES_MAX > SPLIT_MAX ? NAMES_MAX : SPLIT_MAX];
	size_t count = 0;
	for (; count < max && *at + 2 <= size; count++) {
		size_t n = data[*at] | (size_t)data[*at + 1] << 8;
		*at += 2;
		n = n < size - *at ? n : size - *at;
		sections[count] = (struct elf_image_section){ list[count], data + *at, n };
		*at += n;
	}
	if (!elf_image_put(out, sections, count))
		abort();
}

/* The split units go to a file of their own, whose path is put into split_path: "module.dwp" is found by
 * the module's name, "unit.dwo" by the unit's. Unchanged when there are none. */
static int sections_file(const uint8_t *data, size_t size, char *split_path, size_t room)
{
	auto_buf struct mt_buf out = MT_BUF_INIT, split = MT_BUF_INIT;
	size_t at = 1;
	put_sections(data, size, &at, names, NAMES_MAX, &out);
	if (at < size) {
		bool one = data[0] & 1;		/* which has no index */
		put_sections(data, size, &at, split_names + one, SPLIT_MAX - one, &split);
		snprintf(split_path, room, "%s/%s", folder, one ? "unit.dwo" : "module.dwp");
		int fd = open(split_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, split.data, split.len) != (ssize_t)split.len)
			abort();
		close(fd);
	}
	return to_file(out.data, out.len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	if (!mkdtemp(folder))
		abort();
	atexit(remove_folder);
	return 0;
}

static int give_file(const struct capture_module *m, void *arg)
{
	(void)m;
	return dup(*(int *)arg);
}

static void check_lines(const struct source_lines *lines)
{
	static volatile size_t sink;
	for (size_t i = 0; i < lines->len; i++) {
		const struct source_line *l = &lines->items[i];
		sink += (l->function ? strlen(l->function) : 0) + (l->file ? strlen(l->file) : 0);
		if (l->line > INT32_MAX)
			abort();
	}
}

/* Addresses around those of all sections, and the ones that small code is at. */
static void ask_all(struct native_module *m, struct string_pool *pool)
{
	struct source_lines lines = { 0 };
	uint64_t at[256];
	size_t count = 0;
	Elf_Scn *scn = NULL;
	for (uint64_t a = 0; count < 160; a += 7)
		at[count++] = a;
	while (m->main.elf && count < 250 && (scn = elf_nextscn(m->main.elf, scn))) {
		GElf_Shdr s;
		if (gelf_getshdr(scn, &s) && s.sh_flags & SHF_EXECINSTR)
			for (uint64_t i = 0; i < 32 && count < 250; i++)
				at[count++] = s.sh_addr + i * (s.sh_size / 32 + 1);
	}
	at[count++] = UINT64_MAX;
	for (size_t i = 0; i < count; i++) {
		struct mt_error *err = native_module_find(m, at[i], pool, &lines);
		mt_error_destroy(err);
	}
	check_lines(&lines);
	mt_array_deinit(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > 1 << 20)
		return 0;
	char split_path[64] = "";
	const char *const folders[] = { folder, NULL };
	int fd = data[0] == 0x7f ? to_file(data, size) :
				   sections_file(data, size, split_path, sizeof(split_path));
	struct file_search search;
	struct string_pool pool = { 0 };
	struct native_module m;
	struct capture_module module = { .path = "/nonexistent/module" };
	file_search_init(&search, folders, NULL, false);
	search.open_module = give_file;
	search.open_arg = &fd;
	struct mt_error *err = native_module_open(&search, &module, &pool, &m);
	if (!err) {
		ask_all(&m, &pool);
		native_module_close(&m);
	}
	mt_error_destroy(err);
	file_search_deinit(&search);
	string_pool_deinit(&pool);
	close(fd);
	if (*split_path)
		unlink(split_path);
	return 0;
}
