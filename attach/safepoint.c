/* SPDX-License-Identifier: Apache-2.0 */
/* attach/safepoint.c - decides whether a thread may be borrowed, and which to try first.
 * Knows: the target's code ranges, stacks, the loader's state. Does not know: how calls are run.
 * Called by attach/borrow; calls attach/image, attach/backtrace, attach/linkmap. */
#include "attach/safepoint_private.h"

#include "attach/backtrace.h"
#include "attach/linkmap.h"
#include "attach/preflight.h"
#include "attach/tracee_private.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAMES_MAX 16384
#define TEXT_MAX (64u << 20)
#define SCAN_WINDOW (64u << 10)	/* of code looked at in one piece; pieces overlap by */
#define SNIPPET_MAX 64u
#define SCAN_MAX (8u << 20)	/* of a stack; the default limit of a main thread's */
/* glibc and musl keep signals 32 and 33 for themselves and unblock them except in critical
 * sections of their own (spawn, thread creation and exit, abort). */
#define LIBC_SIGNALS ((1ull << 31) | (1ull << 32))

struct safepoint {
	struct tracee *t;
	struct images images;
	struct ranges ranges;
	struct backtrace *backtrace;
	struct arch_snippets snippets;
	uint64_t r_debug, errno_function;
	bool images_read;
	struct backtrace_frame frames[FRAMES_MAX];
};

static const char *const reason_texts[SAFEPOINT_REASONS] = {
	[SAFEPOINT_OK] = "nothing",
	[SAFEPOINT_ALLOCATOR] = "in the memory allocator",
	[SAFEPOINT_LOADER] = "in the dynamic loader",
	[SAFEPOINT_PROCESS] = "in fork, exit or thread creation",
	[SAFEPOINT_THREADS] = "at the end of a thread",
	[SAFEPOINT_TRACER] = "in memtrace's tracer",
	[SAFEPOINT_NO_UNWIND] = "in code whose stack cannot be unwound",
	[SAFEPOINT_STACK] = "on a stack of another kind",
	[SAFEPOINT_SYSCALL] = "in a system call that cannot be interrupted safely",
	[SAFEPOINT_SIGNALS] = "in a critical section of the C library",
	[SAFEPOINT_RSEQ] = "in a restartable sequence",
	[SAFEPOINT_GROUP_STOP] = "stopped by job control",
	[SAFEPOINT_NO_STOP] = "not stopping",
	[SAFEPOINT_VFORK] = "sharing memory with a vfork child",
	[SAFEPOINT_DLOPEN] = "loading or unloading a library",
};

const char *safepoint_reason_text(enum safepoint_reason reason)
{
	return reason_texts[reason];
}

/* ---- what is known of the target ---- */

static struct mt_error *scan_code(struct safepoint *sp, const struct proc_map *m)
{
	if (!(m->prot & PROT_EXEC) || !(m->prot & PROT_READ) || m->end - m->start > TEXT_MAX)
		return NULL;
	auto_free uint8_t *code = malloc(SCAN_WINDOW);
	if (!code)
		return &mt_enomem;
	for (uint64_t at = m->start; at < m->end && !arch_snippets_complete(&sp->snippets);
	     at += SCAN_WINDOW - SNIPPET_MAX) {
		size_t size = m->end - at < SCAN_WINDOW ? m->end - at : SCAN_WINDOW;
		size = tracee_read_some(sp->t, at, code, size);
		arch_find_snippets(code, size, at, &sp->snippets);
	}
	return NULL;
}

/* The C library first, which never goes away; then the loader and the vdso. */
static struct mt_error *find_snippets(struct safepoint *sp)
{
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sp->images.maps.maps.len; i++) {
			const struct proc_map *m = &sp->images.maps.maps.items[i];
			bool libc = preflight_is_libc_path(m->path);
			bool other = strstr(m->path, "/ld-linux") || strstr(m->path, "/ld-2.") ||
				     !strcmp(m->path, "[vdso]");
			if (arch_snippets_complete(&sp->snippets))
				return NULL;
			if (round == 0 ? !libc : !other)
				continue;
			struct mt_error *err = scan_code(sp, m);
			if (err)
				return err;
		}
	}
	if (arch_snippets_complete(&sp->snippets))
		return NULL;
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"the C library of process %d lacks the code sequences that a safe call needs",
		(int)sp->t->pid), "please report the library's name and version");
}

static void find_errno_function(struct safepoint *sp)
{
	static const char *const names[] = { "__errno_location", "___errno_location" };
	struct image_symbol sym;
	sp->errno_function = 0;
	for (size_t i = 0; i < sp->images.list.len && !sp->errno_function; i++) {
		struct image *img = sp->images.list.items[i];
		if (img->unloaded || !img->is_libc)
			continue;
		for (size_t k = 0; k < 2 && !sp->errno_function; k++)
			if (image_find_symbol(sp->t, img, names[k], &sym))
				sp->errno_function = sym.address;
	}
}

static struct mt_error *read_images(struct safepoint *sp)
{
	bool changed = true;
	struct mt_error *err = sp->images_read ?
		images_refresh(sp->t, &sp->images, &changed) : images_read(sp->t, &sp->images);
	if (err || !changed)
		return err;
	sp->images_read = true;
	if (sp->backtrace)
		backtrace_flush(sp->backtrace);
	else
		err = backtrace_create(sp->t, &sp->images, &sp->backtrace);
	if (!err && !ranges_build(&sp->ranges, sp->t, &sp->images))
		err = &mt_enomem;
	if (!err)
		find_errno_function(sp);
	return err;
}

static struct mt_error *read_linkmap(struct safepoint *sp)
{
	struct linkmap map = { 0 };
	struct mt_error *err = linkmap_read(sp->t, &sp->images, &map);
	if (err && err->code == MT_ERROR_BUSY) {	/* the address stays what it was */
		mt_error_destroy(err);
		return NULL;
	}
	if (!err) {
		sp->r_debug = map.r_debug;
		linkmap_deinit(&map);
	}
	return err;
}

struct mt_error *safepoint_prepare(struct tracee *t, struct safepoint **ret)
{
	if (!t->safepoint) {
		t->safepoint = calloc(1, sizeof(*t->safepoint));
		if (!t->safepoint)
			return &mt_enomem;
		t->safepoint->t = t;
	}
	struct safepoint *sp = t->safepoint;
	struct mt_error *err = read_images(sp);
	if (!err && !arch_snippets_complete(&sp->snippets))
		err = find_snippets(sp);
	if (!err && !sp->r_debug)
		err = read_linkmap(sp);
	if (!err)
		*ret = sp;
	return err;
}

void safepoint_destroy(struct safepoint *sp)
{
	if (!sp)
		return;
	backtrace_destroy(sp->backtrace);
	free(sp->ranges.items);
	images_deinit(&sp->images);
	free(sp);
}

const struct arch_snippets *safepoint_snippets(const struct safepoint *sp)
{
	return &sp->snippets;
}

uint64_t safepoint_errno_function(const struct safepoint *sp)
{
	return sp->errno_function;
}

/* ---- the process ---- */

#define R_STATE_OFFSET 24	/* struct r_debug: version, map, brk, then the state */

/* A child that shares our target's memory, or our target being such a child. */
static bool shares_memory_with_parent(pid_t pid)
{
	struct proc_status st;
	struct mt_error *err = proc_status_read(pid, &st);
	bool shares = !err && st.ppid > 1 &&
		      syscall(SYS_kcmp, proc_living(pid), proc_living(st.ppid), KCMP_VM, 0, 0) == 0;
	mt_error_destroy(err);
	return shares;
}

enum safepoint_reason safepoint_process(struct safepoint *sp)
{
	uint32_t state = 0;
	if (!sp->r_debug ||
	    tracee_read_some(sp->t, sp->r_debug + R_STATE_OFFSET, &state, 4) != 4 || state)
		return SAFEPOINT_DLOPEN;
	return shares_memory_with_parent(sp->t->pid) ? SAFEPOINT_VFORK : SAFEPOINT_OK;
}

static int by_rank(const void *a, const void *b)
{
	const struct safepoint_candidate *x = a, *y = b;
	return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) :
				    (x->tid > y->tid) - (x->tid < y->tid);
}

/* The one that was borrowed already comes first: what its C library had to make for our calls (a heap of
 * the thread's own) is not made a second time. */
enum rank { RANK_SAME, RANK_WAITS, RANK_WAITS_TIMED, RANK_RUNS };

static enum safepoint_reason rank_thread(const struct proc_thread *th, int *rank_ret)
{
	if (th->kernel_worker || th->state == 'Z' || th->state == 'X')
		return SAFEPOINT_NO_STOP;
	if (arch_is_vfork_like(th->syscall))
		return SAFEPOINT_VFORK;
	if (th->state == 'D')
		return SAFEPOINT_SYSCALL;
	if (th->state == 'T' || th->state == 't')
		return SAFEPOINT_GROUP_STOP;
	*rank_ret = RANK_RUNS;
	if (th->syscall < 0)
		return SAFEPOINT_OK;
	switch (arch_classify_wait(th->syscall, th->args)) {
	case ARCH_WAIT_GOOD:
		*rank_ret = RANK_WAITS;
		return SAFEPOINT_OK;
	case ARCH_WAIT_LATER:
		*rank_ret = RANK_WAITS_TIMED;
		return SAFEPOINT_OK;
	case ARCH_WAIT_NO:
		break;
	}
	return SAFEPOINT_SYSCALL;
}

struct mt_error *safepoint_candidates(struct safepoint *sp, struct safepoint_candidate *list,
				      size_t max, size_t *count_ret,
				      enum safepoint_reason *reason_ret)
{
	struct proc_tids tids;
	struct mt_error *err = proc_tids_read(sp->t->pid, &tids);
	if (err)
		return err;
	struct { struct safepoint_candidate *items; size_t len, cap; } all = { 0 };
	bool vfork = false;
	*reason_ret = SAFEPOINT_NO_STOP;
	for (size_t i = 0; i < tids.tids.len && !err; i++) {
		struct proc_thread th;
		int rank;
		struct mt_error *gone = proc_thread_read(sp->t->pid, tids.tids.items[i], &th);
		if (gone) {
			mt_error_destroy(gone);
			continue;
		}
		enum safepoint_reason why = rank_thread(&th, &rank);
		vfork = vfork || why == SAFEPOINT_VFORK;
		if (why != SAFEPOINT_OK) {
			*reason_ret = why;
			continue;
		}
		if (tids.tids.items[i] == sp->t->borrowed)
			rank = RANK_SAME;
		struct safepoint_candidate c = { tids.tids.items[i], rank, th.sp, th.pc };
		if (!mt_array_push(&all, c))
			err = &mt_enomem;
	}
	proc_tids_deinit(&tids);
	if (vfork) {
		all.len = 0;
		*reason_ret = SAFEPOINT_VFORK;
	}
	if (all.len)
		qsort(all.items, all.len, sizeof(*all.items), by_rank);
	*count_ret = all.len < max ? all.len : max;
	if (*count_ret)
		memcpy(list, all.items, *count_ret * sizeof(*list));
	free(all.items);
	return err;
}

void safepoint_rehearse(struct safepoint *sp, const struct safepoint_candidate *c)
{
	struct user_regs_struct regs = { .rip = c->pc, .rsp = c->sp };
	enum backtrace_end end;
	if (c->pc)
		backtrace_walk(sp->backtrace, &regs, sp->frames, FRAMES_MAX, &end);
}

/* ---- one stopped thread ---- */

/* Below the red zone there is room only if this is the thread's own stack: that of a goroutine or
 * coroutine may be tiny, and below it lies somebody else's data. */
static bool own_stack(struct safepoint *sp, const struct user_regs_struct *regs, bool trusted,
		      size_t room, uint64_t *floor_ret)
{
	const struct proc_map *m = proc_maps_find(&sp->images.maps, regs->rsp);
	if (!m) {			/* a thread newer than the maps */
		struct proc_maps maps;
		struct mt_error *err = proc_maps_read(sp->t->pid, &maps);
		if (err) {
			mt_error_destroy(err);
			return false;
		}
		proc_maps_deinit(&sp->images.maps);
		sp->images.maps = maps;
		m = proc_maps_find(&sp->images.maps, regs->rsp);
	}
	if (!m || (m->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		return false;
	bool is_main = !strcmp(m->path, "[stack]");
	bool has_tcb = regs->fs_base > regs->rsp && regs->fs_base < m->end;
	if (!is_main && !has_tcb && !trusted)
		return false;
	if (regs->rsp - m->start < ARCH_RED_ZONE + room)
		return false;
	*floor_ret = m->start;
	return true;
}

/* The thread has a TCB of the C library: glibc and musl keep its own address in its first word. */
static bool has_libc_tcb(struct safepoint *sp, const struct user_regs_struct *regs)
{
	uint64_t self;
	return regs->fs_base &&
	       tracee_read_some(sp->t, regs->fs_base, &self, 8) == 8 && self == regs->fs_base;
}

/* In user code inside a restartable sequence the kernel would not notice that the thread was moved
 * away and back, and the sequence would go on where it must start anew. */
static bool in_rseq(struct safepoint *sp, const struct tracee_thread *thread)
{
	struct {
		uint64_t rseq_abi_pointer;
		uint32_t rseq_abi_size, signature, flags, pad;
	} conf = { 0 };
	uint64_t section = 0;
	if (ptrace((enum __ptrace_request)0x420f /* PTRACE_GET_RSEQ_CONFIGURATION */, thread->tid,
		   sizeof(conf), &conf) < 0 || !conf.rseq_abi_pointer)
		return false;
	return tracee_read_some(sp->t, conf.rseq_abi_pointer + 8, &section, 8) == 8 && section;
}

static bool in_c_library(const struct safepoint *sp, uint64_t pc)
{
	const struct image *img = images_find(&sp->images, pc);
	return img && (img->is_libc || img->is_loader || img->is_vdso);
}

/* A word of the stack that is an address in code that must not be interrupted; or just behind it,
 * where a call that never returns would return to. The latter may also be the address of the next
 * function: only behind a call it counts. */
static enum safepoint_reason check_word(struct safepoint *sp, uint64_t word)
{
	uint8_t before[ARCH_CALL_MAX];
	enum safepoint_reason why = ranges_find(&sp->ranges, word);
	if (why != SAFEPOINT_OK)
		return why;
	why = ranges_find(&sp->ranges, word - 1);
	if (why == SAFEPOINT_OK ||
	    tracee_read_some(sp->t, word - sizeof(before), before, sizeof(before)) != sizeof(before))
		return why;
	return arch_follows_call(before) ? why : SAFEPOINT_OK;
}

/* Every word from the stack pointer up that could be a return address, or where a signal interrupted.
 * Words left over from earlier calls may cry wolf; a real caller is never missed. */
static enum safepoint_reason scan_stack(struct safepoint *sp, const struct user_regs_struct *regs)
{
	const struct proc_map *m = proc_maps_find(&sp->images.maps, regs->rsp);
	uint64_t end = m ? m->end : 0;
	if (regs->fs_base > regs->rsp && regs->fs_base < end)
		end = regs->fs_base;
	if (end <= regs->rsp || end - regs->rsp > SCAN_MAX)
		return SAFEPOINT_NO_UNWIND;
	size_t size = (size_t)(end - regs->rsp) & ~(size_t)7;
	auto_free uint64_t *words = malloc(size + 8);
	if (!words || tracee_read_some(sp->t, regs->rsp, words, size) != size)
		return SAFEPOINT_NO_UNWIND;
	for (size_t i = 0; i < size / 8; i++) {
		enum safepoint_reason why = check_word(sp, words[i]);
		if (why != SAFEPOINT_OK)
			return why;
	}
	return SAFEPOINT_OK;
}

/* The walk ended before the thread's start. In a blocking call what was seen will do when it shows
 * who called the C library: whoever holds the allocator or the loader calls nothing else on its way to
 * a wait. Else (code that a JIT made, a C library without tables) the stack is searched. */
static enum safepoint_reason check_incomplete(struct safepoint *sp,
					      const struct user_regs_struct *regs, size_t n,
					      bool waits)
{
	bool caller_known = false;
	for (size_t i = 0; i < n; i++)
		caller_known = caller_known || !in_c_library(sp, sp->frames[i].call_pc);
	return waits && caller_known ? SAFEPOINT_OK : scan_stack(sp, regs);
}

/* A thread that begins or ends has nothing but the C library on its stack, and may hold the lock
 * of the stack cache in there, by functions without names. */
static bool begins_or_ends(const struct safepoint *sp, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!in_c_library(sp, sp->frames[i].call_pc))
			return false;
	return true;
}

static enum safepoint_reason check_frames(struct safepoint *sp,
					  const struct user_regs_struct *regs, bool waits)
{
	enum backtrace_end end;
	size_t n = backtrace_walk(sp->backtrace, regs, sp->frames, FRAMES_MAX, &end);
	if (!waits && begins_or_ends(sp, n))
		return SAFEPOINT_THREADS;
	for (size_t i = 0; i < n; i++) {
		enum safepoint_reason why = ranges_find(&sp->ranges, sp->frames[i].call_pc);
		if (why != SAFEPOINT_OK && !(waits && why == SAFEPOINT_THREADS))
			return why;
	}
	if (end == BACKTRACE_START)
		return SAFEPOINT_OK;
	if (end == BACKTRACE_NO_INFO)
		return check_incomplete(sp, regs, n, waits);
	return scan_stack(sp, regs);
}

enum safepoint_reason safepoint_check(struct safepoint *sp, const struct tracee_thread *thread,
				      const struct user_regs_struct *regs, uint64_t sigmask,
				      bool trusted, size_t room, uint64_t *floor_ret)
{
	if (thread->group_stopped)
		return SAFEPOINT_GROUP_STOP;
	if (regs->cs != 0x33)		/* 32-bit code inside a 64-bit process */
		return SAFEPOINT_SYSCALL;
	if (!own_stack(sp, regs, trusted, room, floor_ret))
		return SAFEPOINT_STACK;
	if (trusted)
		return SAFEPOINT_OK;
	if (!has_libc_tcb(sp, regs))
		return SAFEPOINT_STACK;
	if ((sigmask & LIBC_SIGNALS) == LIBC_SIGNALS)
		return SAFEPOINT_SIGNALS;
	bool in_call = (int64_t)regs->orig_rax >= 0;
	if (in_call && arch_is_vfork_like((long)regs->orig_rax))
		return SAFEPOINT_VFORK;
	if (!in_call && in_rseq(sp, thread))
		return SAFEPOINT_RSEQ;
	/* The loader may have begun since the thread was chosen. */
	enum safepoint_reason why = safepoint_process(sp);
	if (why != SAFEPOINT_OK)
		return why;
	uint64_t args[6] = { regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9 };
	bool waits = in_call &&
		     arch_classify_wait((long)regs->orig_rax, args) != ARCH_WAIT_NO;
	return check_frames(sp, regs, waits);
}
