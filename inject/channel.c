/* SPDX-License-Identifier: Apache-2.0 */
/* inject/channel.c - makes and lays out the memory shared with the tracer.
 * Knows: the layout, memfd. Does not know: what is recorded.
 * Called by inject/; calls attach/ and the kernel. */
#include "inject/channel.h"

#include "inject/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

/* Sizes of the large and of the small try; the small one is for targets with an address space
 * limit. Nothing of it costs memory before it is touched. */
static const struct channel_size {
	uint32_t rings;
	uint64_t unwind;
} sizes[] = {
	{ 4096, 512ull << 20 },
	{ 256, 64ull << 20 },
};

#define RING_SIZE (256ull << 10)
#define PATCH_CAPACITY 32768u
#define CALL_STACK_SIZE (512ull << 10)

static uint64_t align_page(uint64_t v)
{
	return (v + 4095) & ~4095ull;
}

static void layout(struct wire_header *h, const struct channel_size *size)
{
	uint64_t at = align_page(sizeof(*h));
	h->magic = WIRE_MAGIC;
	h->version = WIRE_VERSION;
	h->patches_offset = at;
	h->patch_capacity = PATCH_CAPACITY;
	at += align_page(PATCH_CAPACITY * sizeof(struct wire_patch));
	h->rings_offset = at;
	h->ring_count = size->rings;
	at += align_page(size->rings * sizeof(struct wire_ring));
	h->code_offset = at;
	at += align_page(WIRE_CODE_SLOTS * sizeof(struct wire_code));
	h->rules_offset = at;
	at += align_page(CHANNEL_RULES_MAX * sizeof(struct wire_rule));
	h->unwind_offset = at;
	h->unwind_size = size->unwind;
	at += size->unwind;
	h->call_stack_offset = at;
	h->call_stack_size = CALL_STACK_SIZE;
	at += CALL_STACK_SIZE;
	h->sample_offset = at;
	at += align_page(WIRE_SAMPLE_SIZE);
	h->ring_size = RING_SIZE;
	h->ring_data_offset = at;
	at += size->rings * RING_SIZE;
	h->file_size = at;
}

struct mt_error *channel_close_fd(struct borrow *b, int fd)
{
	int64_t rc;
	return borrow_syscall(b, SYS_close, (uint64_t[6]){ (uint64_t)fd }, &rc);
}

static struct mt_error *fill_memfd(int fd, const uint8_t *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, data + done, size - done);
		if (n < 0)
			return mt_error_os(errno, "cannot fill a memory file of the target");
		done += (size_t)n;
	}
	return NULL;
}

struct mt_error *channel_memfd(struct tracee *t, struct borrow *b, const char *name,
			       const void *data, size_t size, int *fd_ret, int *local_fd_ret)
{
	/* The seal forbids execve() alone, never a mapping, and is what vm.memfd_noexec = 2 wants.
	 * Kernels before 6.3 do not know it. */
	static const uint64_t flags[] = { MFD_CLOEXEC | MFD_NOEXEC_SEAL, MFD_CLOEXEC };
	int64_t fd = -EINVAL;
	struct mt_error *err = NULL;
	for (size_t i = 0; i < 2 && !err && fd == -EINVAL; i++) {
		uint64_t address;
		err = borrow_scratch(b, name, strlen(name) + 1, &address);
		if (!err)
			err = borrow_syscall(b, SYS_memfd_create, (uint64_t[6]){ address, flags[i] }, &fd);
	}
	if (err)
		return err;
	if (fd == -EMFILE)
		return mt_error_hint(mt_error_os(EMFILE, "the target cannot create a memory file"),
				     "raise its limit: prlimit --pid %d --nofile=SOFT:HARD", tracee_pid(t));
	if (fd < 0)
		return mt_error_os((int)-fd, "the target cannot create a memory file");
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)proc_living(tracee_pid(t)), (int)fd);
	auto_close int local = open(path, O_RDWR | O_CLOEXEC);
	if (local < 0)
		err = mt_error_os(errno, "cannot open the target's memory file '%s'", path);
	if (!err)
		err = fill_memfd(local, data, size);
	if (err) {
		auto_error struct mt_error *second = channel_close_fd(b, (int)fd);
		return err;
	}
	*fd_ret = (int)fd;
	if (local_fd_ret)
		*local_fd_ret = take_fd(&local);
	return NULL;
}

static struct mt_error *map_target(struct borrow *b, int fd, uint64_t size, int64_t *ret)
{
	return borrow_syscall(b, SYS_mmap,
			      (uint64_t[6]){ 0, size, PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_NORESERVE, (uint64_t)fd, 0 }, ret);
}

static struct mt_error *create_sized(struct borrow *b, int fd, int local,
				     const struct channel_size *size, struct channel *ch)
{
	struct wire_header plan = { 0 };
	layout(&plan, size);
	if (ftruncate(local, (off_t)plan.file_size)) {
		int errnum = errno;
		struct mt_error *err = mt_error_os(errnum, "cannot size the shared memory");
		return errnum != EFBIG ? err :
			mt_error_hint(err, "memtrace's own limit of file sizes counts here: ulimit -f unlimited");
	}
	int64_t base;
	struct mt_error *err = map_target(b, fd, plan.file_size, &base);
	if (err)
		return err;
	if (base < 0 && base > -4096)
		return mt_error_os((int)-base, "the target cannot map %llu MiB of shared memory",
				   (unsigned long long)(plan.file_size >> 20));
	void *here = mmap(NULL, plan.file_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			  local, 0);
	if (here == MAP_FAILED) {
		int errnum = errno;
		int64_t rc;
		auto_error struct mt_error *second = borrow_syscall(b, SYS_munmap,
			(uint64_t[6]){ (uint64_t)base, plan.file_size }, &rc);
		return mt_error_os(errnum, "cannot map the shared memory");
	}
	ch->header = here;
	ch->size = plan.file_size;
	*ch->header = plan;
	ch->header->base = (uint64_t)base;
	ch->unwind_used = CHANNEL_LISTS_SIZE;
	return NULL;
}

struct mt_error *channel_create(struct tracee *t, struct borrow *b, struct channel *ret)
{
	int fd;
	auto_close int local = -1;
	struct channel ch = { 0 };
	struct mt_error *err = channel_memfd(t, b, WIRE_MEMFD_DATA, NULL, 0, &fd, &local);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		mt_error_destroy(err);
		err = create_sized(b, fd, local, &sizes[i], &ch);
		if (!err || err->errnum != ENOMEM)
			break;
	}
	struct mt_error *close_err = channel_close_fd(b, fd);
	if (err) {
		mt_error_destroy(close_err);
		return err;
	}
	ch.fd = take_fd(&local);
	*ret = ch;
	return close_err;
}

/* ---- children ---- */

struct mt_error *channel_family_create(struct tracee *t, struct borrow *b, uint64_t *address_ret,
				       struct wire_family **ret)
{
	static const uint8_t zeros[WIRE_FAMILY_SIZE];
	int fd;
	auto_close int local = -1;
	int64_t base = 0;
	struct mt_error *err = channel_memfd(t, b, WIRE_MEMFD_FAMILY, zeros, sizeof(zeros), &fd, &local);
	if (err)
		return err;
	err = map_target(b, fd, WIRE_FAMILY_SIZE, &base);
	struct mt_error *close_err = channel_close_fd(b, fd);
	if (err || close_err) {
		mt_error_destroy(err ? close_err : NULL);
		return err ? err : close_err;
	}
	if (base < 0 && base > -4096)
		return mt_error_os((int)-base, "the target cannot map a page of shared memory");
	void *here = mmap(NULL, WIRE_FAMILY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, local, 0);
	if (here == MAP_FAILED)
		return mt_error_os(errno, "cannot map a page of shared memory");
	*ret = here;
	(*ret)->magic = WIRE_FAMILY_MAGIC;
	*address_ret = (uint64_t)base;
	return NULL;
}

/* Published rows and rules lie where they lie in the parent's file; of the module lists only the one
 * that holds. The modules of a child are at first those of its parent. */
static struct mt_error *copy_tables(const struct channel *parent, struct channel *ch)
{
	struct wire_header *from = parent->header, *to = ch->header;
	uint64_t list = atomic_load(&from->module_list);
	uint64_t offset = list >> WIRE_MODULE_COUNT_BITS;
	uint64_t count = list & ((1u << WIRE_MODULE_COUNT_BITS) - 1);
	uint64_t rows = from->unwind_offset + CHANNEL_LISTS_SIZE;
	struct mt_error *err = memory_file_copy(parent->fd, from->rules_offset, ch->fd, from->rules_offset,
						parent->rule_count * sizeof(struct wire_rule));
	if (!err)
		err = memory_file_copy(parent->fd, rows, ch->fd, rows,
				       parent->unwind_used - CHANNEL_LISTS_SIZE);
	if (err)
		return err;
	memcpy(channel_at(ch, to->unwind_offset), channel_at(parent, offset),
	       count * sizeof(struct wire_module));
	ch->unwind_used = parent->unwind_used;
	ch->rule_count = parent->rule_count;
	ch->list_next = (count * sizeof(struct wire_module) + 63) & ~63ull;
	atomic_store(&to->module_list, to->unwind_offset << WIRE_MODULE_COUNT_BITS | count);
	atomic_store(&to->module_generation, 1);
	return NULL;
}

/* What stands in a header before arming, the same for every process of the family. */
static void copy_header(const struct wire_header *from, struct wire_header *to)
{
	size_t fixed = offsetof(struct wire_header, file_size);
	memcpy((uint8_t *)to + fixed, (const uint8_t *)from + fixed, sizeof(*to) - fixed);
	to->magic = from->magic;
	to->version = from->version;
	to->options = from->options;
}

bool channel_is_at(pid_t pid, int fd)
{
	static const char name[] = "/memfd:" WIRE_MEMFD_DATA;
	char path[64], link[64] = "";
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)proc_living(pid), fd);
	return readlink(path, link, sizeof(link) - 1) > 0 && !strncmp(link, name, sizeof(name) - 1);
}

struct mt_error *channel_check(struct tracee *t, uint64_t base, const struct wire_header *known)
{
	struct wire_header now;
	if (tracee_read_some(t, base, &now, sizeof(now)) == sizeof(now) && now.magic == known->magic &&
	    now.controller_pid == known->controller_pid &&
	    now.controller_start == known->controller_start)
		return NULL;
	return mt_error_create(MT_ERROR_GONE, "process %d executed another program", (int)tracee_pid(t));
}

struct mt_error *channel_adopt(struct tracee *child, int fd, uint64_t base,
			       const struct channel *parent, struct channel *ret)
{
	struct channel ch = { .size = parent->size };
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)proc_living(tracee_pid(child)), fd);
	auto_close int local = open(path, O_RDWR | O_CLOEXEC);
	if (local < 0)
		return mt_error_os(errno, "cannot open '%s'", path);
	if (!channel_is_at(tracee_pid(child), fd) || fstat(local, &st) ||
	    (uint64_t)st.st_size != ch.size)
		return mt_error_create(MT_ERROR_OTHER, "'%s' is no memory file of the tracer", path);
	void *here = mmap(NULL, ch.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, local, 0);
	if (here == MAP_FAILED)
		return mt_error_os(errno, "cannot map the shared memory of process %d", tracee_pid(child));
	ch.header = here;
	ch.fd = take_fd(&local);
	copy_header(parent->header, ch.header);
	ch.header->base = base;
	struct mt_error *err = copy_tables(parent, &ch);
	if (err) {
		channel_destroy(&ch);
		return err;
	}
	*ret = ch;
	return NULL;
}

void channel_destroy(struct channel *ch)
{
	if (!ch->header)
		return;
	munmap(ch->header, ch->size);
	close(ch->fd);
	ch->header = NULL;
}
