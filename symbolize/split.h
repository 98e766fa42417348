/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/split.h - the parts of split units (.dwo) that libdw does not find by itself.
 *
 * libdw opens a .dwo where it was made, on this machine. The others lie under a system root, in a
 * debug directory, or many of them in one .dwp file, which libdw can read only since 0.191. */
#ifndef MT_SYMBOLIZE_SPLIT_H
#define MT_SYMBOLIZE_SPLIT_H

#include "base/error.h"
#include "symbolize/dwarf.h"
#include "symbolize/elfimage.h"
#include "symbolize/files.h"

struct split {
	struct elf_image skeletons;	/* owns what the index's units were given */
	struct elf_file package;	/* the .dwp file */
};

#define SPLIT_INIT { .package = ELF_FILE_INIT }

/* Gives each unit of the index that lacks its split part that part, where it is found. Borrows
 * `search` for the call only; the index must not be used after split_close(). */
struct mt_error *split_link(struct split *s, Dwarf *dwarf, struct dwarf_index *index,
			    struct file_search *search, const struct capture_module *m,
			    const struct elf_file *main, const struct elf_file *debug) MT_MUST_CHECK;
void split_close(struct split *s);

#endif
