/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family_find.h - which process is it that asks in the family's page?
 * It gave numbers as it sees itself, which is another's where it lives in a pid namespace, and it may
 * lie: what it has in hand of ours, the memory file or the page, says that it is one of the family. */
#ifndef MT_CMDS_FAMILY_FIND_H
#define MT_CMDS_FAMILY_FIND_H

#include "capture/wire.h"

#include <sys/types.h>

struct family_place {
	char pid_namespace[64];		/* of the first of the family */
	uint64_t inode;			/* of the page */
};

void family_place_init(struct family_place *p, pid_t root, const struct wire_family *page);
/* 0: nobody. `fd`: of its memory file; -1: it has mapped the page. */
pid_t family_find_process(const struct family_place *p, uint32_t inner, int fd);
/* One of its threads; 0: none has that number. */
pid_t family_find_thread(pid_t pid, uint32_t inner_tid);

#endif
