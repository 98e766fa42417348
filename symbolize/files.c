/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/files.c - the places where files of modules and their debug information lie.
 * Knows: paths, build-ids, .gnu_debuglink. Does not know: what is in the files.
 * Called by symbolize/; calls base/, libelf, libdw, debuginfod. */
#include "symbolize/files.h"

#include "base/cleanup.h"
#include "symbolize/debuginfod.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STANDARD_DEBUG_DIR "/usr/lib/debug"

struct wanted {
	const uint8_t *build_id;
	size_t build_id_size;
	bool has_crc;		/* without a build-id this must match */
	bool is_debug;		/* a debug file without build-id and CRC could be anyone's */
	uint32_t crc;
	uint16_t machine;
	const struct capture_module *layout;	/* without a build-id the segments must be these */
};

void file_search_init(struct file_search *s, const char *const *debug_dirs, const char *sysroot,
		      bool debuginfod)
{
	*s = (struct file_search){ .debug_dirs = debug_dirs, .sysroot = sysroot };
	s->debuginfod = debuginfod;
}

void file_search_deinit(struct file_search *s)
{
	debuginfod_close(s->client);
	s->client = NULL;
}

/* The CRC-32 of zlib, over the whole file, as .gnu_debuglink has it. */
static uint32_t file_crc(const struct elf_file *f)
{
	static uint32_t table[256];
	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;
			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
			table[i] = c;
		}
	size_t size = 0;
	const uint8_t *p = (const uint8_t *)elf_rawfile(f->elf, &size);
	uint32_t crc = ~0u;
	for (size_t i = 0; p && i < size; i++)
		crc = table[(crc ^ p[i]) & 255] ^ crc >> 8;
	return ~crc;
}

static bool same_machine(const struct elf_file *f, uint16_t machine)
{
	GElf_Ehdr ehdr;
	return gelf_getehdr(f->elf, &ehdr) && (!machine || ehdr.e_machine == machine);
}

static bool has_segment(const struct elf_file *f, const struct capture_segment *s)
{
	size_t count = 0;
	GElf_Phdr p;
	elf_getphdrnum(f->elf, &count);
	for (size_t i = 0; i < count; i++)
		if (gelf_getphdr(f->elf, (int)i, &p) && p.p_type == PT_LOAD && p.p_vaddr == s->vaddr &&
		    p.p_memsz == s->size && p.p_offset == s->file_offset && p.p_flags == s->flags)
			return true;
	return false;
}

/* Another build of a program hardly ever has segments of the very same sizes. */
static bool same_layout(const struct elf_file *f, const struct capture_module *m)
{
	for (size_t i = 0; m && i < m->segment_count; i++)
		if (!has_segment(f, &m->segments[i]))
			return false;
	return true;
}

static enum file_found judge(const struct elf_file *f, const struct wanted *w)
{
	if (!same_machine(f, w->machine))
		return FILE_OTHER_BUILD;
	const uint8_t *id;
	size_t size = elf_file_build_id(f, &id);
	if (w->build_id_size)
		return size == w->build_id_size && !memcmp(id, w->build_id, size) ?
		       FILE_FOUND : FILE_OTHER_BUILD;
	if (w->has_crc)
		return file_crc(f) == w->crc ? FILE_FOUND : FILE_OTHER_BUILD;
	return !w->is_debug && same_layout(f, w->layout) ? FILE_FOUND : FILE_OTHER_BUILD;
}

/* Looks at one place; takes path. `f` and *state change when it is better than what was found. */
static bool try_path(const struct wanted *w, char *path, int fd, struct elf_file *f,
		     enum file_found *state)
{
	struct elf_file found = ELF_FILE_INIT;
	if (!elf_file_open(&found, path, fd))
		return false;
	enum file_found verdict = judge(&found, w);
	if (verdict != FILE_FOUND && *state != FILE_MISSING) {
		elf_file_close(&found);
		return false;
	}
	elf_file_close(f);
	*f = found;
	*state = verdict;
	return verdict == FILE_FOUND;
}

static char *format_path(const char *fmt, ...) MT_PRINTF(1, 2);
static char *format_path(const char *fmt, ...)
{
	char *s;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

static char *build_id_path(const char *root, const char *dir, const struct wanted *w,
			   const char *suffix)
{
	if (w->build_id_size < 2)
		return NULL;
	auto_buf struct mt_buf hex = MT_BUF_INIT;
	put_hex(&hex, w->build_id, w->build_id_size);
	auto_free char *text = mt_buf_take_str(&hex);
	return text ? format_path("%s%s/.build-id/%.2s/%s%s", root, dir, text, text + 2, suffix) : NULL;
}

/* The debug directories that hold: those given, the root's, this machine's. */
struct place {
	const char *root, *dir;
	bool given;		/* by the user: searched by bare names too */
};

static bool next_place(const struct file_search *s, size_t *pos, struct place *ret)
{
	size_t given = 0;
	while (s->debug_dirs && s->debug_dirs[given])
		given++;
	size_t i = (*pos)++;
	if (i < given)
		*ret = (struct place){ "", s->debug_dirs[i], true };
	else if (i == given)
		*ret = (struct place){ s->sysroot ? s->sysroot : "", STANDARD_DEBUG_DIR, false };
	else if (i == given + 1 && s->sysroot)
		*ret = (struct place){ "", STANDARD_DEBUG_DIR, false };
	else
		return false;
	return true;
}

/* The path of a mapped file as maps shows it: a replaced or removed one has " (deleted)". */
static char *clean_path(const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path), cut = sizeof(deleted) - 1;
	if (n > cut && !strcmp(path + n - cut, deleted))
		n -= cut;
	return strndup(path, n);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool is_file_path(const char *path)
{
	return path[0] == '/' && path[1] && strncmp(path, "/memfd:", 7) && strncmp(path, "/dev/", 5);
}

enum file_found find_module_file(struct file_search *s, const struct capture_module *m,
				 struct elf_file *f)
{
	struct wanted w = { .build_id = m->build_id, .build_id_size = m->build_id_size,
			    .machine = s->machine, .layout = m };
	enum file_found state = FILE_MISSING;
	auto_free char *path = clean_path(m->path ? m->path : "");
	if (!path)
		return FILE_MISSING;
	bool real = is_file_path(path);
	int fd = s->open_module ? s->open_module(m, s->open_arg) : -1;
	if (fd >= 0 && try_path(&w, format_path("%s%s", s->sysroot ? s->sysroot : "", path), fd, f, &state))
		return state;
	if (real && try_path(&w, format_path("%s%s", s->sysroot ? s->sysroot : "", path), -1, f,
			     &state))
		return state;
	/* A program in a root of its own has the paths of whoever looked at it: the system root may be
	 * in them already. The build-id decides. */
	if (real && s->sysroot && w.build_id_size && try_path(&w, strdup(path), -1, f, &state))
		return state;
	struct place p;
	for (size_t pos = 0; next_place(s, &pos, &p);) {
		if (try_path(&w, build_id_path(p.root, p.dir, &w, ""), -1, f, &state))
			return state;
		if (!p.given || !real)
			continue;
		if (try_path(&w, format_path("%s%s", p.dir, path), -1, f, &state) ||
		    try_path(&w, format_path("%s/%s", p.dir, base_name(path)), -1, f, &state))
			return state;
	}
	return state;
}

/* Names under one debug directory: link is .gnu_debuglink's, path the module's own. */
static bool try_names(const struct wanted *w, const struct place *p, const char *path,
		      const char *link, struct elf_file *f, enum file_found *state)
{
	int dir_len = (int)(base_name(path) - path);
	if (link && try_path(w, format_path("%s%s/%.*s%s", p->root, p->dir, dir_len, path, link), -1,
			     f, state))
		return true;
	if (try_path(w, format_path("%s%s/%s.debug", p->root, p->dir, path), -1, f, state))
		return true;
	if (!p->given)
		return false;
	return (link && try_path(w, format_path("%s/%s", p->dir, link), -1, f, state)) ||
	       try_path(w, format_path("%s/%s.debug", p->dir, base_name(path)), -1, f, state);
}

static bool try_beside(const struct wanted *w, const struct elf_file *main, const char *link,
		       struct elf_file *f, enum file_found *state)
{
	int dir_len = (int)(base_name(main->path) - main->path);
	return try_path(w, format_path("%.*s%s", dir_len, main->path, link), -1, f, state) ||
	       try_path(w, format_path("%.*s.debug/%s", dir_len, main->path, link), -1, f, state);
}

/* What .gnu_debuglink says, when its name is just a name. */
static const char *debug_link(const struct elf_file *main, struct wanted *w)
{
	GElf_Word crc;
	const char *link = main ? dwelf_elf_gnu_debuglink(main->elf, &crc) : NULL;
	if (!link || !*link || strchr(link, '/'))
		return NULL;
	w->has_crc = true;
	w->crc = crc;
	return link;
}

enum file_found find_debug_file(struct file_search *s, const struct capture_module *m,
				const struct elf_file *main, struct elf_file *f)
{
	struct wanted w = { .build_id = m->build_id, .build_id_size = m->build_id_size,
			    .is_debug = true, .machine = s->machine };
	if (main && !w.build_id_size)
		w.build_id_size = elf_file_build_id(main, &w.build_id);
	enum file_found state = FILE_MISSING;
	const char *link = debug_link(main, &w);
	auto_free char *path = clean_path(m->path ? m->path : "");
	if (!path)
		return FILE_MISSING;
	bool named = is_file_path(path) && (w.build_id_size || w.has_crc);
	struct place p;
	for (size_t pos = 0; next_place(s, &pos, &p);)
		if (try_path(&w, build_id_path(p.root, p.dir, &w, ".debug"), -1, f, &state) ||
		    (named && try_names(&w, &p, path, link, f, &state)))
			return state;
	if (link)
		try_beside(&w, main, link, f, &state);
	return state;
}

/* ---- split units ---- */

static bool try_package(char *path, struct elf_file *f)
{
	return elf_file_open(f, path, -1);
}

void find_package_file(struct file_search *s, const struct capture_module *m, const struct elf_file *main,
		       const struct elf_file *debug, struct elf_file *f)
{
	auto_free char *path = clean_path(m->path ? m->path : "");
	if (!path || (main->path && try_package(format_path("%s.dwp", main->path), f)) ||
	    (debug->path && try_package(format_path("%s.dwp", debug->path), f)))
		return;
	struct place p;
	for (size_t pos = 0; next_place(s, &pos, &p);)
		if (try_package(format_path("%s%s%s.dwp", p.root, p.dir, path), f) ||
		    (p.given && try_package(format_path("%s/%s.dwp", p.dir, base_name(path)), f)))
			return;
}

static int open_regular(char *path)
{
	struct stat st;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	free(path);
	if (fd < 0 || (!fstat(fd, &st) && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	return -1;
}

int open_split_file(struct file_search *s, const char *dir, const char *name)
{
	bool absolute = *name == '/';
	const char *folder = absolute || !dir ? "" : dir, *slash = absolute || !dir ? "" : "/";
	int fd = s->sysroot ? open_regular(format_path("%s%s%s%s", s->sysroot, folder, slash, name)) : -1;
	struct place p;
	for (size_t pos = 0; fd < 0 && next_place(s, &pos, &p) && p.given;) {
		fd = open_regular(format_path("%s/%s%s%s", p.dir, folder, slash, name));
		if (fd < 0 && !absolute)
			fd = open_regular(format_path("%s/%s", p.dir, name));
		if (fd < 0)
			fd = open_regular(format_path("%s/%s", p.dir, base_name(name)));
	}
	return fd;
}

/* ---- from servers ---- */

static bool fetch(struct file_search *s, bool debuginfo, const struct wanted *w, const char *name,
		  struct elf_file *f)
{
	enum file_found state = FILE_MISSING;
	if (!s->debuginfod || !w->build_id_size)
		return false;
	if (!s->client && !(s->client = debuginfod_open())) {
		s->debuginfod = false;
		return false;
	}
	char *path = NULL;
	int fd = debuginfod_find(s->client, debuginfo, w->build_id, w->build_id_size, name, &path);
	if (fd < 0)
		return false;
	auto_free char *copy = path ? strdup(path) : NULL;
	if (try_path(w, path, fd, f, &state) && elf_file_is_whole(f))
		return true;
	elf_file_close(f);
	debuginfod_unusable(s->client, name, copy ? copy : "");
	return false;
}

bool fetch_module_file(struct file_search *s, const struct capture_module *m, bool debuginfo,
		       const struct elf_file *main, struct elf_file *f)
{
	struct wanted w = { .build_id = m->build_id, .build_id_size = m->build_id_size,
			    .is_debug = debuginfo, .machine = s->machine };
	if (main && !w.build_id_size)
		w.build_id_size = elf_file_build_id(main, &w.build_id);
	auto_free char *path = clean_path(m->path ? m->path : "");
	return path && fetch(s, debuginfo, &w, base_name(path), f);
}

char *file_search_warning(const struct file_search *s, bool *dead_ret)
{
	return debuginfod_warning(s->client, dead_ret);
}

enum file_found find_alt_file(struct file_search *s, const struct elf_file *debug, const char *name,
			      const uint8_t *build_id, size_t build_id_size, struct elf_file *f)
{
	struct wanted w = { .build_id = build_id, .build_id_size = build_id_size, .is_debug = true };
	enum file_found state = FILE_MISSING;
	struct place p;
	for (size_t pos = 0; next_place(s, &pos, &p);)
		if (try_path(&w, build_id_path(p.root, p.dir, &w, ".debug"), -1, f, &state))
			return state;
	int dir_len = *name == '/' ? 0 : (int)(base_name(debug->path) - debug->path);
	if (try_path(&w, format_path("%.*s%s", dir_len, debug->path, name), -1, f, &state))
		return state;
	return fetch(s, true, &w, base_name(name), f) ? FILE_FOUND : state;
}
