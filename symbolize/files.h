/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/files.h - finds the file of a module, and the file with its debug information.
 *
 * The build-id decides: a file with another one is never used, and of a module without one a file
 * with other segments is not. Places, in this order: what open_module() gives, the path in the
 * capture (under the system root when one is given), the debug directories (by build-id, by path,
 * by name), the standard debug directory of the root and of this machine. Servers (debuginfod) are
 * asked for what is not there and has a build-id, by calls of their own. */
#ifndef MT_SYMBOLIZE_FILES_H
#define MT_SYMBOLIZE_FILES_H

#include "capture/writer.h"
#include "symbolize/elffile.h"

#include <stdbool.h>

struct file_search {
	const char *const *debug_dirs;	/* NULL-terminated, or NULL; borrowed */
	const char *sysroot;		/* NULL: none; borrowed */
	bool debuginfod;		/* may be asked */
	int (*open_module)(const struct capture_module *m, void *arg);	/* asked first, or NULL */
	void *open_arg;
	uint16_t machine;		/* ELF e_machine of the capture; 0: any */
	struct debuginfod *client;	/* made when first needed */
};

enum file_found {
	FILE_MISSING,
	FILE_FOUND,
	FILE_OTHER_BUILD,	/* one was there, and is not the one */
};

void file_search_init(struct file_search *s, const char *const *debug_dirs, const char *sysroot,
		      bool debuginfod);
void file_search_deinit(struct file_search *s);

/* The module's own file. After FILE_OTHER_BUILD `f` is that other file, for the note. */
enum file_found find_module_file(struct file_search *s, const struct capture_module *m,
				 struct elf_file *f);
/* Separate debug information; main is the module's file, or NULL when that was not found. */
enum file_found find_debug_file(struct file_search *s, const struct capture_module *m,
				const struct elf_file *main, struct elf_file *f);
/* The package (.dwp) with the split units of a module, any of that name; f stays closed: none. */
void find_package_file(struct file_search *s, const struct capture_module *m, const struct elf_file *main,
		       const struct elf_file *debug, struct elf_file *f);
/* The .dwo file that a unit made in `dir` (or NULL) names, under the system root or in the debug
 * directories; -1: none. Whether it is that unit's is not looked at. */
int open_split_file(struct file_search *s, const char *dir, const char *name);
/* From a server: the module's debug information, or with `debuginfo` false its own file. `main` is
 * the module's file when that was found, for its build-id; else NULL. */
bool fetch_module_file(struct file_search *s, const struct capture_module *m, bool debuginfo,
		       const struct elf_file *main, struct elf_file *f);
/* What has to be said about servers, in one line the caller frees; NULL: nothing. dead_ret: they
 * are not asked any more. */
char *file_search_warning(const struct file_search *s, bool *dead_ret);
/* The file that `name` (of .gnu_debugaltlink in `debug`) and the build-id mean, here or at a server. */
enum file_found find_alt_file(struct file_search *s, const struct elf_file *debug, const char *name,
			      const uint8_t *build_id, size_t build_id_size, struct elf_file *f);

#endif
