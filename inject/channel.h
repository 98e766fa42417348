/* SPDX-License-Identifier: Apache-2.0 */
/* inject/channel.h - the memory that target and controller share (capture/wire.h).
 *
 * channel_create() makes a memfd in the target on a borrowed thread, maps it there and here and
 * lays it out. The file belongs to the target's memory cgroup; pages cost only when touched.
 * channel_destroy() unmaps it here; the target's mapping is removed by inject/remove.c. */
#ifndef MT_INJECT_CHANNEL_H
#define MT_INJECT_CHANNEL_H

#include "attach/borrow.h"
#include "capture/wire.h"

struct channel {
	struct wire_header *header;	/* our mapping of the whole file; NULL: there is no channel */
	int fd;				/* the file, for what is written and not looked at here */
	uint64_t size;
	uint64_t unwind_used;		/* bytes of the unwind area behind the module lists */
	uint64_t list_next;		/* next module list, in the cyclic list area */
	uint32_t rule_count;		/* rules published */
};

#define CHANNEL_RULES_MAX 65536u
#define CHANNEL_LISTS_SIZE (16ull << 20)

struct mt_error *channel_create(struct tracee *t, struct borrow *b, struct channel *ret)
	MT_MUST_CHECK;
void channel_destroy(struct channel *ch);

/* The page for all descendants of the target (struct wire_family): mapped there and here. The local
 * mapping is the caller's, of WIRE_FAMILY_SIZE bytes. */
struct mt_error *channel_family_create(struct tracee *t, struct borrow *b, uint64_t *address_ret,
				       struct wire_family **ret) MT_MUST_CHECK;
/* Does that process have the file of a channel open at this descriptor? */
bool channel_is_at(pid_t pid, int fd);
/* MT_ERROR_GONE when what lies at `base` is not that memory any more: another program was executed. */
struct mt_error *channel_check(struct tracee *t, uint64_t base, const struct wire_header *known)
	MT_MUST_CHECK;
/* The file that a forked child made (its descriptor there, where it mapped it) becomes its channel:
 * laid out as `parent`, with its unwind tables, and nothing else in it. Not armed. */
struct mt_error *channel_adopt(struct tracee *child, int fd, uint64_t base,
			       const struct channel *parent, struct channel *ret) MT_MUST_CHECK;

/* A memfd with this content (NULL: empty) in the target. The target's descriptor is fd_ret; it is
 * also opened here when local_fd_ret is given. */
struct mt_error *channel_memfd(struct tracee *t, struct borrow *b, const char *name,
			       const void *data, size_t size, int *fd_ret, int *local_fd_ret)
	MT_MUST_CHECK;
struct mt_error *channel_close_fd(struct borrow *b, int fd) MT_MUST_CHECK;

static inline void *channel_at(const struct channel *ch, uint64_t offset)
{
	return (uint8_t *)ch->header + offset;
}

#endif
