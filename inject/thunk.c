/* SPDX-License-Identifier: Apache-2.0 */
/* inject/thunk.c - writes the thunk page.
 * Knows: the page's layout, x86-64 encodings. Does not know: which slots use it.
 * Called by inject/; calls attach/. */
#include "inject/thunk.h"

#include "inject/channel.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096u

struct mt_error *thunks_find(const struct tracee *t, const struct proc_maps *maps,
			     struct thunks *ret)
{
	*ret = (struct thunks){ 0 };
	for (size_t i = 0; i < maps->maps.len; i++) {
		const struct proc_map *m = &maps->maps.items[i];
		if (!strstr(m->path, WIRE_MEMFD_THUNK) || !(m->prot & PROT_EXEC))
			continue;
		struct wire_thunk_page content;
		struct mt_error *err = tracee_read(t, m->start, &content, sizeof(content));
		if (err)
			return err;
		if (content.magic != WIRE_THUNK_MAGIC || content.version != WIRE_VERSION ||
		    content.count > WIRE_THUNK_MAX)
			continue;
		ret->page = m->start;
		ret->content = content;
		return NULL;
	}
	return NULL;
}

static void put_rel32(uint8_t *at, uint32_t from_end, uint32_t to)
{
	int32_t rel = (int32_t)(to - from_end);
	memcpy(at, &rel, 4);
}

#define AT_BRANCH 11u	/* offsets in a thunk: of the jne, and of the jump that it may take */
#define AT_HOOK 19u

/* endbr64; cmpb $0, armed(%rip); jne 1f; jmp *original(%rip); 1: jmp *hook(%rip) */
static void encode_thunk(uint8_t code[WIRE_THUNK_SIZE], unsigned index)
{
	uint32_t start = WIRE_THUNK_CODE + index * WIRE_THUNK_SIZE;
	uint32_t target = (uint32_t)offsetof(struct wire_thunk_page, target) + index * 16;
	static const uint8_t bytes[] = {
		0xf3, 0x0f, 0x1e, 0xfa,			/* 0: endbr64 */
		0x80, 0x3d, 0, 0, 0, 0, 0x00,		/* 4: cmpb $0, rel32(%rip) */
		0x75, 0x06,				/* 11: jne +6 */
		0xff, 0x25, 0, 0, 0, 0,			/* 13: jmp *rel32(%rip) */
		0xff, 0x25, 0, 0, 0, 0,			/* 19: jmp *rel32(%rip) */
	};
	memset(code, 0xcc, WIRE_THUNK_SIZE);
	memcpy(code, bytes, sizeof(bytes));
	put_rel32(code + 6, start + 11, (uint32_t)offsetof(struct wire_thunk_page, armed));
	put_rel32(code + 15, start + 19, target);
	put_rel32(code + 21, start + 25, target + 8);
}

static void fresh_page(uint8_t page[PAGE])
{
	memset(page, 0, PAGE);
	struct wire_thunk_page head = { .magic = WIRE_THUNK_MAGIC, .version = WIRE_VERSION };
	memcpy(page, &head, sizeof(head));
	for (unsigned i = 0; i < WIRE_THUNK_MAX; i++)
		encode_thunk(page + WIRE_THUNK_CODE + i * WIRE_THUNK_SIZE, i);
	memcpy(page + WIRE_THUNK_END, borrow_end_code, BORROW_END_SIZE);
}

struct mt_error *thunks_create(struct tracee *t, struct borrow *b, struct thunks *thunks)
{
	uint8_t page[PAGE];
	fresh_page(page);
	int fd;
	struct mt_error *err = channel_memfd(t, b, WIRE_MEMFD_THUNK, page, PAGE, &fd, NULL);
	if (err)
		return err;
	int64_t address;
	err = borrow_syscall(b, SYS_mmap,
			     (uint64_t[6]){ 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, (uint64_t)fd, 0 },
			     &address);
	struct mt_error *close_err = channel_close_fd(b, fd);
	if (err || close_err) {
		if (!err)
			return close_err;
		mt_error_destroy(close_err);
		return err;
	}
	if (address < 0 && address > -4096)
		return mt_error_hint(mt_error_os((int)-address, "the target cannot map executable memory"),
				     "a policy such as SELinux execmem or a noexec memfd setting forbids it");
	thunks->page = (uint64_t)address;
	memcpy(&thunks->content, page, sizeof(thunks->content));
	return NULL;
}

static struct mt_error *write_field(struct tracee *t, struct thunks *thunks, size_t offset, size_t size)
{
	return tracee_write(t, thunks->page + offset, (uint8_t *)&thunks->content + offset, size);
}

static uint64_t thunk_address(const struct thunks *thunks, unsigned index)
{
	return thunks->page + WIRE_THUNK_CODE + index * WIRE_THUNK_SIZE;
}

struct mt_error *thunks_get(struct tracee *t, struct thunks *thunks, enum wire_function fn,
			    uint64_t original, uint64_t *address_ret)
{
	struct wire_thunk_page *page = &thunks->content;
	unsigned variant = 0;
	for (unsigned i = 0; i < page->count; i++) {
		if (page->function[i] != fn)
			continue;
		if (page->target[i].original == original) {
			*address_ret = thunk_address(thunks, i);
			return NULL;
		}
		variant++;
	}
	if (variant == WIRE_VARIANTS || page->count == WIRE_THUNK_MAX)
		return mt_error_create(MT_ERROR_OTHER, "too many different allocators in one process");
	unsigned i = page->count;
	page->target[i].original = page->target[i].hook = original;
	page->function[i] = (uint8_t)fn;
	page->variant[i] = (uint8_t)variant;
	/* The count goes last: a page without it does not have the thunk. */
	struct mt_error *err = write_field(t, thunks, offsetof(struct wire_thunk_page, target) + i * 16, 16);
	if (!err)
		err = write_field(t, thunks, offsetof(struct wire_thunk_page, function) + i, 1);
	if (!err)
		err = write_field(t, thunks, offsetof(struct wire_thunk_page, variant) + i, 1);
	page->count++;
	if (!err)
		err = write_field(t, thunks, offsetof(struct wire_thunk_page, count), 4);
	if (err)
		return err;
	*address_ret = thunk_address(thunks, i);
	return NULL;
}

struct mt_error *thunks_set_hooks(struct tracee *t, struct thunks *thunks,
				  const uint64_t hooks[WIRE_FN_COUNT][WIRE_VARIANTS])
{
	struct wire_thunk_page *page = &thunks->content;
	for (unsigned i = 0; i < page->count; i++)
		page->target[i].hook = hooks[page->function[i]][page->variant[i]];
	return write_field(t, thunks, offsetof(struct wire_thunk_page, target), sizeof(page->target));
}

struct mt_error *thunks_arm(struct tracee *t, struct thunks *thunks, bool armed)
{
	thunks->content.armed = armed;
	return write_field(t, thunks, offsetof(struct wire_thunk_page, armed), 1);
}

bool thunks_is_past_switch(uint64_t page, uint64_t pc)
{
	uint64_t offset = pc - page - WIRE_THUNK_CODE;
	if (!page || offset >= WIRE_THUNK_MAX * WIRE_THUNK_SIZE)
		return false;
	unsigned at = offset % WIRE_THUNK_SIZE;
	return at == AT_BRANCH || at == AT_HOOK;
}

int thunks_index(const struct thunks *thunks, uint64_t address)
{
	if (!thunks->page)
		return -1;
	uint64_t offset = address - thunks->page - WIRE_THUNK_CODE;
	if (offset % WIRE_THUNK_SIZE || offset / WIRE_THUNK_SIZE >= thunks->content.count)
		return -1;
	return (int)(offset / WIRE_THUNK_SIZE);
}
