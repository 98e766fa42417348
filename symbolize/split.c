/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/split.c - skeletons whose split part is where we say.
 * Knows: .debug_cu_index, what a skeleton unit says. Does not know: functions, lines.
 * Called by symbolize/native.c; calls dwarf.c, elfimage.c, files.c, libdw.
 *
 * libdw links a skeleton unit with its .dwo by opening the name in the skeleton. So the skeletons are
 * written anew, with the name /dev/fd/N, and N is made the right file before libdw looks: the
 * .dwo, or one in memory with the unit's share of each section of the .dwp. */
#include "symbolize/split.h"

#include "base/cleanup.h"

#include <dwarf.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STRINGS_MAX (256u << 20)	/* of one unit */

/* Columns of the index of a .dwp, as of DWARF 5; GNU's older one differs in the last ones. */
enum share { SHARE_INFO = 1, SHARE_ABBREV = 3, SHARE_LINE = 4, SHARE_STR_OFFSETS = 6, SHARE_RNGLISTS = 8,
	     SHARE_COUNT };

struct skeleton {
	uint64_t id, low_pc, addr_base, ranges_base;
	const char *name, *dir;
	uint16_t version;
};

struct skeletons {
	MT_ARRAY(struct skeleton);
};

struct range_of {
	const uint8_t *data;
	size_t size;
};

/* ---- what is asked for ---- */

static uint64_t number_of(Dwarf_Die *die, unsigned a, unsigned b)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	return (dwarf_attr(die, a, &attr) || dwarf_attr(die, b, &attr)) && !dwarf_formudata(&attr, &value) ?
	       value : 0;
}

static const char *text_of(Dwarf_Die *die, unsigned a, unsigned b)
{
	Dwarf_Attribute attr;
	return dwarf_attr(die, a, &attr) || dwarf_attr(die, b, &attr) ? dwarf_formstring(&attr) : NULL;
}

static bool list_skeletons(Dwarf *dwarf, struct skeletons *list)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, split;
	uint8_t type, address_size;
	while (!dwarf_get_units(dwarf, cu, &cu, NULL, &type, &die, &split)) {
		struct skeleton s = { 0 };
		Dwarf_Half version;
		if (type != DW_UT_skeleton || split.addr ||
		    dwarf_cu_info(cu, &version, NULL, NULL, NULL, &s.id, &address_size, NULL) ||
		    address_size != 8)
			continue;
		s.version = version;
		s.name = text_of(&die, DW_AT_dwo_name, DW_AT_GNU_dwo_name);
		s.dir = text_of(&die, DW_AT_comp_dir, DW_AT_comp_dir);
		s.addr_base = number_of(&die, DW_AT_addr_base, DW_AT_GNU_addr_base);
		s.ranges_base = number_of(&die, DW_AT_GNU_ranges_base, DW_AT_GNU_ranges_base);
		if (dwarf_lowpc(&die, &s.low_pc))
			s.low_pc = 0;
		if (s.name && !mt_array_push(list, s))
			return false;
	}
	return true;
}

/* ---- the skeletons, anew ---- */

static const uint8_t abbreviations[] = {
	1, DW_TAG_skeleton_unit, 0, DW_AT_dwo_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr,
	DW_AT_addr_base, DW_FORM_sec_offset, 0, 0,
	2, DW_TAG_compile_unit, 0, 0xb0, 0x42, DW_FORM_string /* GNU_dwo_name */, 0xb1, 0x42,
	DW_FORM_data8 /* GNU_dwo_id */, DW_AT_low_pc, DW_FORM_addr, 0xb2, 0x42,
	DW_FORM_sec_offset /* GNU_ranges_base */, 0xb3, 0x42, DW_FORM_sec_offset /* GNU_addr_base */, 0, 0,
	0,
};

static void put_skeleton(struct mt_buf *out, const struct skeleton *s, const char *name)
{
	bool five = s->version >= 5;
	size_t length = strlen(name) + 1 + (five ? 2 + 1 + 1 + 4 + 8 + 1 + 8 + 4 :
						   2 + 4 + 1 + 1 + 8 + 8 + 4 + 4);
	mt_buf_put_u32(out, (uint32_t)length);
	mt_buf_put(out, five ? "\5" : "\4", 2);
	if (five) {
		mt_buf_put_u8(out, DW_UT_skeleton);
		mt_buf_put_u8(out, 8);
		mt_buf_put_u32(out, 0);
		mt_buf_put_u64(out, s->id);
	} else {
		mt_buf_put_u32(out, 0);
		mt_buf_put_u8(out, 8);
	}
	mt_buf_put_u8(out, five ? 1 : 2);
	mt_buf_put(out, name, strlen(name) + 1);
	if (!five)
		mt_buf_put_u64(out, s->id);
	mt_buf_put_u64(out, s->low_pc);
	if (!five)
		mt_buf_put_u32(out, (uint32_t)s->ranges_base);
	mt_buf_put_u32(out, (uint32_t)s->addr_base);
}

static struct range_of section(Elf *elf, const char *name)
{
	size_t strings;
	Elf_Scn *scn = NULL;
	if (elf_getshdrstrndx(elf, &strings))
		return (struct range_of){ 0 };
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr shdr;
		const char *s = gelf_getshdr(scn, &shdr) ?
				elf_strptr(elf, strings, shdr.sh_name) : NULL;
		if (!s || strcmp(s, name) || shdr.sh_type == SHT_NOBITS)
			continue;
		if (shdr.sh_flags & SHF_COMPRESSED)
			elf_compress(scn, 0, 0);
		Elf_Data *data = elf_getdata(scn, NULL);
		return data && data->d_buf ? (struct range_of){ data->d_buf, data->d_size } :
					     (struct range_of){ 0 };
	}
	return (struct range_of){ 0 };
}

static bool open_skeletons(struct split *s, Dwarf *dwarf, const struct skeletons *list, int fd)
{
	char name[32];
	auto_buf struct mt_buf info = MT_BUF_INIT;
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	for (size_t i = 0; i < list->len; i++)
		put_skeleton(&info, &list->items[i], name);
	struct range_of addr = section(dwarf_getelf(dwarf), ".debug_addr"),
			ranges = section(dwarf_getelf(dwarf), ".debug_ranges");
	struct elf_image_section sections[] = {
		{ ".debug_info", info.data, info.len },
		{ ".debug_abbrev", abbreviations, sizeof(abbreviations) },
		{ ".debug_addr", addr.data, addr.size },
		{ ".debug_ranges", ranges.data, ranges.size },
	};
	return !info.failed && elf_image_open(&s->skeletons, sections, 4);
}

/* ---- a unit's share of a .dwp ---- */

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

struct cu_index {
	const uint8_t *slots, *rows, *columns, *offsets, *sizes;
	uint32_t column_count, unit_count, slot_count;
};

static bool read_index(struct range_of in, struct cu_index *ret)
{
	if (in.size < 16)
		return false;
	uint64_t columns = u32_at(in.data + 4), units = u32_at(in.data + 8), slots = u32_at(in.data + 12);
	if (!columns || columns > 32 || !slots || slots & (slots - 1) || slots > in.size || units > in.size ||
	    16 + slots * 12 + columns * 4 + units * columns * 8 > in.size)
		return false;
	*ret = (struct cu_index){ .slots = in.data + 16, .column_count = (uint32_t)columns,
				  .unit_count = (uint32_t)units, .slot_count = (uint32_t)slots };
	ret->rows = ret->slots + slots * 8;
	ret->columns = ret->rows + slots * 4;
	ret->offsets = ret->columns + columns * 4;
	ret->sizes = ret->offsets + units * columns * 4;
	return true;
}

/* The row of a unit, from 1; 0: not there. The hash is that of the DWARF 5 standard, 7.3.5.3. */
static uint32_t find_row(const struct cu_index *x, uint64_t id)
{
	uint32_t mask = x->slot_count - 1, at = (uint32_t)id & mask, step = ((uint32_t)(id >> 32) & mask) | 1;
	for (uint32_t i = 0; i < x->slot_count; i++, at = (at + step) & mask) {
		uint32_t row = u32_at(x->rows + at * 4ul);
		if (!row)
			return 0;
		if (u64_at(x->slots + at * 8ul) == id)
			return row <= x->unit_count ? row : 0;
	}
	return 0;
}

static struct range_of share_of(const struct cu_index *x, uint32_t row, enum share share, Elf *elf,
				const char *name)
{
	struct range_of all = section(elf, name);
	for (uint32_t i = 0; i < x->column_count; i++) {
		if (u32_at(x->columns + i * 4ul) != share)
			continue;
		size_t cell = ((size_t)(row - 1) * x->column_count + i) * 4;
		uint32_t offset = u32_at(x->offsets + cell), size = u32_at(x->sizes + cell);
		if (!all.data || offset > all.size || size > all.size - offset)
			break;
		return (struct range_of){ all.data + offset, size };
	}
	return (struct range_of){ 0 };
}

/* Only the strings that the unit has, since all units share one section of them. */
static bool put_strings(struct range_of offsets, bool five, struct range_of strings, struct mt_buf *offsets_ret,
			struct mt_buf *strings_ret)
{
	size_t at = five && offsets.size >= 8 ? 8 : 0;
	mt_buf_put(offsets_ret, offsets.data, at);
	mt_buf_put_u8(strings_ret, 0);
	for (; at + 4 <= offsets.size && strings_ret->len < STRINGS_MAX; at += 4) {
		uint32_t offset = u32_at(offsets.data + at);
		size_t len = offset < strings.size ?
			     strnlen((const char *)strings.data + offset, strings.size - offset) : 0;
		mt_buf_put_u32(offsets_ret, len ? (uint32_t)strings_ret->len : 0);
		if (!len)
			continue;
		mt_buf_put(strings_ret, strings.data + offset, len);
		mt_buf_put_u8(strings_ret, 0);
	}
	return !offsets_ret->failed && !strings_ret->failed;
}

/* A file in memory that looks like the unit's .dwo; -1: not in the package. */
static int unpack(Elf *package, const struct skeleton *s)
{
	struct cu_index x;
	uint32_t row = read_index(section(package, ".debug_cu_index"), &x) ? find_row(&x, s->id) : 0;
	if (!row)
		return -1;
	bool five = s->version >= 5;
	auto_buf struct mt_buf offsets = MT_BUF_INIT, strings = MT_BUF_INIT, out = MT_BUF_INIT;
	struct range_of info = share_of(&x, row, SHARE_INFO, package, ".debug_info.dwo"),
			abbrev = share_of(&x, row, SHARE_ABBREV, package, ".debug_abbrev.dwo"),
			line = share_of(&x, row, SHARE_LINE, package, ".debug_line.dwo"),
			lists = five ? share_of(&x, row, SHARE_RNGLISTS, package, ".debug_rnglists.dwo") :
				       (struct range_of){ 0 };
	if (!put_strings(share_of(&x, row, SHARE_STR_OFFSETS, package, ".debug_str_offsets.dwo"), five,
			 section(package, ".debug_str.dwo"), &offsets, &strings))
		return -1;
	struct elf_image_section sections[] = {
		{ ".debug_info.dwo", info.data, info.size },
		{ ".debug_abbrev.dwo", abbrev.data, abbrev.size },
		{ ".debug_line.dwo", line.data, line.size },
		{ ".debug_rnglists.dwo", lists.data, lists.size },
		{ ".debug_str_offsets.dwo", offsets.data, offsets.len },
		{ ".debug_str.dwo", strings.data, strings.len },
	};
	int fd = elf_image_put(&out, sections, 6) ? memfd_create("memtrace-dwo", MFD_CLOEXEC) : -1;
	if (fd >= 0 && write(fd, out.data, out.len) != (ssize_t)out.len) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- together ---- */

/* `fd` is the number that the skeletons name; `none` is what it is without a file. */
static void link_all(struct split *s, struct dwarf_index *index, struct file_search *search,
		     const struct skeletons *list, int fd, int none)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, split;
	uint8_t type;
	for (size_t i = 0; i < list->len; i++) {
		const struct skeleton *skeleton = &list->items[i];
		auto_close int file = s->package.elf ? unpack(s->package.elf, skeleton) : -1;
		if (file < 0)
			file = open_split_file(search, skeleton->dir, skeleton->name);
		if (dup3(file < 0 ? none : file, fd, O_CLOEXEC) < 0 ||
		    dwarf_get_units(s->skeletons.dwarf, cu, &cu, NULL, &type, &die, &split))
			return;
		if (split.addr)
			dwarf_index_set_split(index, skeleton->id, &split);
	}
}

struct mt_error *split_link(struct split *s, Dwarf *dwarf, struct dwarf_index *index,
			    struct file_search *search, const struct capture_module *m,
			    const struct elf_file *main, const struct elf_file *debug)
{
	struct skeletons list = { 0 };
	auto_close int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
	auto_close int fd = none < 0 ? -1 : fcntl(none, F_DUPFD_CLOEXEC, 3);
	bool listed = list_skeletons(dwarf, &list);
	if (listed && list.len && fd >= 0) {
		find_package_file(search, m, main, debug, &s->package);
		if (open_skeletons(s, dwarf, &list, fd))
			link_all(s, index, search, &list, fd, none);
	}
	mt_array_deinit(&list);
	return listed ? NULL : &mt_enomem;
}

void split_close(struct split *s)
{
	elf_image_close(&s->skeletons);
	elf_file_close(&s->package);
}
