/* SPDX-License-Identifier: Apache-2.0 */
/* attach/backtrace.c - remote unwinding with libunwind over accessors of our own.
 * Knows: unwind tables, registers. Does not know: what the frames mean.
 * Called by attach/safepoint, inject/ and cmds/; calls libunwind and attach/. */
#include "attach/backtrace.h"

#include "attach/greenlet.h"
#include "base/hash.h"

#include <libunwind-x86_64.h>
#include <string.h>

/* Exported by libunwind for this very use (perf does the same), but in no public header. */
extern int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip,
					      unw_dyn_info_t *di, unw_proc_info_t *pi,
					      int need_unwind_info, void *arg);

#define PAGE 4096u
#define PAGES_MAX 8192u			/* 32 MiB of table pages, then the cache starts anew */
#define STACK_STEP (64u * 1024)		/* the stack is copied in pieces of this */
#define STACK_MAX (16u * 1024 * 1024)

struct backtrace {
	struct tracee *t;
	const struct images *images;
	unw_addr_space_t as;
	struct mt_map pages;		/* page address -> index + 1 in page_data, 0: unreadable */
	MT_ARRAY(uint8_t *) page_data;
	struct mt_map beyond;		/* pc -> enum beyond */
	const struct user_regs_struct *regs;	/* of the walk in progress */
	uint64_t stack_base;
	uint8_t *stack;
	size_t stack_len, stack_cap;
	bool stack_end;			/* nothing readable behind stack_len */
	bool frozen;			/* the thread runs: its memory is not what it was */
};

/* ---- memory ---- */

static void drop_pages(struct backtrace *bt)
{
	for (size_t i = 0; i < bt->page_data.len; i++)
		free(bt->page_data.items[i]);
	bt->page_data.len = 0;
	mt_map_clear(&bt->pages);
}

/* Pages that the program cannot write do not change under us: unwind tables and code. */
static bool is_constant(const struct backtrace *bt, uint64_t address)
{
	const struct image *img = images_find(bt->images, address);
	if (!img)
		return false;
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		uint64_t start = s->vaddr + img->bias;
		if (address >= start && address - start < s->memsz)
			return !(s->flags & PF_W);
	}
	return false;
}

static const uint8_t *cached_page(struct backtrace *bt, uint64_t page)
{
	const uint64_t *found = mt_map_get(&bt->pages, page);
	if (found)
		return *found ? bt->page_data.items[*found - 1] : NULL;
	if (!is_constant(bt, page))
		return NULL;
	if (bt->page_data.len >= PAGES_MAX)
		drop_pages(bt);
	uint8_t *data = malloc(PAGE);
	if (!data)
		return NULL;
	if (tracee_read_some(bt->t, page, data, PAGE) != PAGE ||
	    !mt_array_push(&bt->page_data, data)) {
		free(data);
		return NULL;
	}
	if (!mt_map_put(&bt->pages, page, bt->page_data.len)) {
		free(bt->page_data.items[--bt->page_data.len]);
		return NULL;
	}
	return data;
}

/* Extends the copy of the stack up to `need` bytes above its base. */
static bool stack_reach(struct backtrace *bt, uint64_t need)
{
	while (bt->stack_len < need && !bt->stack_end && need <= STACK_MAX) {
		if (bt->stack_cap < bt->stack_len + STACK_STEP) {
			size_t cap = bt->stack_cap ? bt->stack_cap * 2 : STACK_STEP * 2;
			uint8_t *bigger = realloc(bt->stack, cap);
			if (!bigger)
				return false;
			bt->stack = bigger;
			bt->stack_cap = cap;
		}
		size_t n = tracee_read_some(bt->t, bt->stack_base + bt->stack_len,
					    bt->stack + bt->stack_len, STACK_STEP);
		bt->stack_len += n;
		bt->stack_end = n < STACK_STEP;
	}
	return need <= bt->stack_len;
}

static bool read_word(struct backtrace *bt, uint64_t address, uint64_t *ret)
{
	uint64_t below = address - bt->stack_base;	/* wraps when it is not on the stack */
	if (below < STACK_MAX && stack_reach(bt, below + 8)) {
		memcpy(ret, bt->stack + below, 8);
		return true;
	}
	uint64_t page = address & ~(uint64_t)(PAGE - 1);
	uint64_t offset = address - page;
	const uint8_t *data = offset <= PAGE - 8 ? cached_page(bt, page) : NULL;
	if (data) {
		memcpy(ret, data + offset, 8);
		return true;
	}
	return !bt->frozen && tracee_read_some(bt->t, address, ret, 8) == 8;
}

/* ---- libunwind's view of the target ---- */

static int access_mem(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write,
		      void *arg)
{
	(void)as;
	uint64_t word;
	if (write)
		return -UNW_EINVAL;
	if (!read_word(arg, address, &word))
		return -UNW_EUNSPEC;
	*value = word;
	return 0;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write,
		      void *arg)
{
	(void)as;
	const struct backtrace *bt = arg;
	const struct user_regs_struct *r = bt->regs;
	if (write)
		return -UNW_EREADONLYREG;
	switch (reg) {
	case UNW_X86_64_RAX: *value = r->rax; break;
	case UNW_X86_64_RDX: *value = r->rdx; break;
	case UNW_X86_64_RCX: *value = r->rcx; break;
	case UNW_X86_64_RBX: *value = r->rbx; break;
	case UNW_X86_64_RSI: *value = r->rsi; break;
	case UNW_X86_64_RDI: *value = r->rdi; break;
	case UNW_X86_64_RBP: *value = r->rbp; break;
	case UNW_X86_64_RSP: *value = r->rsp; break;
	case UNW_X86_64_R8: *value = r->r8; break;
	case UNW_X86_64_R9: *value = r->r9; break;
	case UNW_X86_64_R10: *value = r->r10; break;
	case UNW_X86_64_R11: *value = r->r11; break;
	case UNW_X86_64_R12: *value = r->r12; break;
	case UNW_X86_64_R13: *value = r->r13; break;
	case UNW_X86_64_R14: *value = r->r14; break;
	case UNW_X86_64_R15: *value = r->r15; break;
	case UNW_X86_64_RIP: *value = r->rip; break;
	default: return -UNW_EBADREG;
	}
	return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write,
			void *arg)
{
	(void)as, (void)reg, (void)value, (void)write, (void)arg;
	return -UNW_EBADREG;
}

static int get_dyn_info_list_addr(unw_addr_space_t as, unw_word_t *address, void *arg)
{
	(void)as, (void)address, (void)arg;
	return -UNW_ENOINFO;
}

static int resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	(void)as, (void)cursor, (void)arg;
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t as, unw_word_t address, char *name, size_t size,
			 unw_word_t *offset, void *arg)
{
	(void)as, (void)address, (void)name, (void)size, (void)offset, (void)arg;
	return -UNW_ENOINFO;
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
	/* libunwind takes back by itself what dwarf_search_unwind_table() gave. */
	(void)as, (void)pi, (void)arg;
}

/* .eh_frame_hdr as every linker writes it: version 1, pc-relative 4-byte pointer to .eh_frame,
 * 4-byte count, table of (start, FDE) as 4-byte offsets from the header. */
#define HDR_WANT 0x3b031b01u
#define HDR_SIZE 12

static bool find_table(struct backtrace *bt, uint64_t pc, unw_dyn_info_t *di)
{
	const struct image *img = images_find(bt->images, pc);
	uint64_t head, count;
	if (!img || !img->eh_frame_hdr || img->eh_frame_hdr_size < HDR_SIZE)
		return false;
	if (!read_word(bt, img->eh_frame_hdr, &head) ||
	    !read_word(bt, img->eh_frame_hdr + 8, &count) || (uint32_t)head != HDR_WANT)
		return false;
	count &= UINT32_MAX;
	if (!count || count > (img->eh_frame_hdr_size - HDR_SIZE) / 8)
		return false;
	memset(di, 0, sizeof(*di));
	di->format = UNW_INFO_FORMAT_REMOTE_TABLE;
	di->start_ip = img->start;
	di->end_ip = img->end;
	di->u.rti.segbase = img->eh_frame_hdr;
	di->u.rti.table_data = img->eh_frame_hdr + HDR_SIZE;
	di->u.rti.table_len = count * 8 / sizeof(unw_word_t);
	return true;
}

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi,
			  int need_unwind_info, void *arg)
{
	struct backtrace *bt = arg;
	unw_dyn_info_t di;
	if (!find_table(bt, ip, &di))
		return -UNW_ENOINFO;
	memset(pi, 0, sizeof(*pi));
	return _Ux86_64_dwarf_search_unwind_table(as, ip, &di, pi, need_unwind_info, arg);
}

/* ---- the walk ---- */

enum beyond {			/* what is older than a frame */
	BEYOND_UNKNOWN,
	BEYOND_CALLER,
	BEYOND_NOTHING,		/* it is the root */
};

/* libunwind guesses by the frame pointer where there is no information; it is not asked then. */
static enum beyond look_beyond(struct backtrace *bt, uint64_t pc)
{
	unw_proc_info_t pi;
	struct image *img = images_find(bt->images, pc);
	if (find_proc_info(bt->as, pc, &pi, 0, bt))
		return BEYOND_UNKNOWN;
	if (!img || !greenlet_is_library(bt->t, img))
		return BEYOND_CALLER;
	switch (greenlet_part_at(bt->t, img, pc)) {
	case GREENLET_ROOT:
		return BEYOND_NOTHING;
	case GREENLET_START:
		return BEYOND_UNKNOWN;
	default:
		return BEYOND_CALLER;
	}
}

static enum beyond beyond(struct backtrace *bt, uint64_t pc)
{
	const uint64_t *known = mt_map_get(&bt->beyond, pc);
	if (known)
		return (enum beyond)*known;
	enum beyond found = look_beyond(bt, pc);
	if (bt->beyond.len > 65536)
		mt_map_clear(&bt->beyond);
	(void)!mt_map_put(&bt->beyond, pc, found);
	return found;
}

struct mt_error *backtrace_create(struct tracee *t, const struct images *images,
				  struct backtrace **ret)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = get_dyn_info_list_addr,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = resume,
		.get_proc_name = get_proc_name,
	};
	struct backtrace *bt = calloc(1, sizeof(*bt));
	if (!bt)
		return &mt_enomem;
	bt->t = t;
	bt->images = images;
	bt->as = unw_create_addr_space(&accessors, 0);
	if (!bt->as) {
		backtrace_destroy(bt);
		return &mt_enomem;
	}
	unw_set_caching_policy(bt->as, UNW_CACHE_GLOBAL);
	*ret = bt;
	return NULL;
}

void backtrace_destroy(struct backtrace *bt)
{
	if (!bt)
		return;
	if (bt->as)
		unw_destroy_addr_space(bt->as);
	drop_pages(bt);
	mt_array_deinit(&bt->page_data);
	mt_map_deinit(&bt->pages);
	mt_map_deinit(&bt->beyond);
	free(bt->stack);
	free(bt);
}

void backtrace_flush(struct backtrace *bt)
{
	unw_flush_cache(bt->as, 0, 0);
	drop_pages(bt);
	mt_map_clear(&bt->beyond);
}

static size_t walk(struct backtrace *bt, struct backtrace_frame *frames, size_t max,
		   enum backtrace_end *end_ret)
{
	unw_cursor_t cursor;
	size_t n = 0;
	*end_ret = BACKTRACE_BROKEN;
	if (unw_init_remote(&cursor, bt->as, bt) < 0)
		return 0;
	bool exact = true;	/* the pc is where it runs, not a return address */
	while (n < max) {
		unw_word_t pc, sp;
		if (unw_get_reg(&cursor, UNW_REG_IP, &pc) < 0 ||
		    unw_get_reg(&cursor, UNW_REG_SP, &sp) < 0)
			return n;
		/* Above its callee, or the tables lie; an alternate signal stack is allowed to. */
		if (n && !exact && sp <= frames[n - 1].sp)
			return n;
		frames[n++] = (struct backtrace_frame){ pc, exact ? pc : pc - 1, sp };
		enum beyond older = beyond(bt, frames[n - 1].call_pc);
		if (older != BEYOND_CALLER) {
			*end_ret = older == BEYOND_NOTHING ? BACKTRACE_START : BACKTRACE_NO_INFO;
			return n;
		}
		exact = unw_is_signal_frame(&cursor) > 0;
		int r = unw_step(&cursor);
		if (r <= 0) {
			*end_ret = r ? BACKTRACE_BROKEN : BACKTRACE_START;
			return n;
		}
	}
	*end_ret = BACKTRACE_LIMIT;
	return n;
}

static size_t walk_or_leaf(struct backtrace *bt, struct backtrace_frame *frames, size_t max,
			   enum backtrace_end *end_ret)
{
	size_t n = walk(bt, frames, max, end_ret);
	if (!n) {
		const struct user_regs_struct *regs = bt->regs;
		frames[n++] = (struct backtrace_frame){ regs->rip, regs->rip, regs->rsp };
		*end_ret = BACKTRACE_BROKEN;
	}
	return n;
}

size_t backtrace_walk(struct backtrace *bt, const struct user_regs_struct *regs,
		      struct backtrace_frame *frames, size_t max, enum backtrace_end *end_ret)
{
	bt->regs = regs;
	bt->stack_base = regs->rsp > 256 ? (regs->rsp - 256) & ~7ull : 0;	/* with red zone */
	bt->stack_len = 0;
	bt->stack_end = false;
	return walk_or_leaf(bt, frames, max, end_ret);
}

size_t backtrace_walk_copy(struct backtrace *bt, const struct backtrace_copy *copy,
			   struct backtrace_frame *frames, size_t max, enum backtrace_end *end_ret)
{
	uint8_t *own = bt->stack;
	size_t cap = bt->stack_cap;
	bt->regs = &copy->regs;
	bt->stack_base = copy->base;
	bt->stack = (uint8_t *)copy->stack;	/* read only: it ends where it ends */
	bt->stack_cap = bt->stack_len = copy->size;
	bt->stack_end = bt->frozen = true;
	size_t n = walk_or_leaf(bt, frames, max, end_ret);
	bt->stack = own;
	bt->stack_cap = cap;
	bt->stack_len = 0;
	bt->frozen = false;
	return n;
}
