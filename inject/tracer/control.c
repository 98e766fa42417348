/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/control.c - start, slot patching and stop, called on a borrowed thread.
 * Knows: the shared header, page protections. Does not know: which slots and why.
 * Called by the controller's remote calls and after dlopen; calls the kernel. */
#include "inject/tracer/tracer.h"

#define PAGE 4096ull
/* To compile a large library's tables takes the controller a quarter of a second, and many times that on a
 * busy machine. One that does not answer at all (stopped) is waited for so long once. */
#define LOAD_WAIT_SLICES 300
#define LOAD_WAIT_SLICES_IN_VAIN 10
#define LOAD_WAIT_NS 10000000ll
/* Another thread has the list in hand for microseconds, if it is not kept from running. */
#define APPLY_WAIT_SLICES 10000
#define APPLY_WAIT_NS 300000ll

#define EXPORT __attribute__((visibility("default")))

long memtrace_start(struct wire_header *header);
long memtrace_stop(void);
int memtrace_apply(void *info, size_t size, void *arg);
int memtrace_restore(void *info, size_t size, const struct wire_restore *list);

static void take_originals(void)
{
	const struct wire_header *h = tracer.header;
	for (int fn = 0; fn < WIRE_FN_COUNT; fn++)
		for (int v = 0; v < WIRE_VARIANTS; v++)
			__atomic_store_n(&tracer.original[fn][v], h->original[fn][v], __ATOMIC_RELEASE);
}

void tracer_take_header(struct wire_header *header)
{
	tracer.header = header;
	tracer.base = (uint8_t *)header;
	tracer.rings = (struct wire_ring *)(tracer.base + header->rings_offset);
	tracer.patches = (struct wire_patch *)(tracer.base + header->patches_offset);
	tracer.codes = (struct wire_code *)(tracer.base + header->code_offset);
	tracer.rules = (const struct wire_rule *)(tracer.base + header->rules_offset);
	tracer.ring_size = header->ring_size;
	tracer.sample_rate = header->sample_rate;
	tracer.family = (struct wire_family *)header->family;
	tracer.environment = header->environment;
	tracer.channel_size = header->file_size;
	tracer.tid_offset = header->tid_offset;
}

EXPORT long memtrace_start(struct wire_header *header)
{
	tracer_take_header(header);
	size_t threads_size = sizeof(struct local) + header->ring_count * sizeof(struct thread *);
	tracer.entry_mask = 2 * header->ring_count - 1;
	tracer.local_size = threads_size + (tracer.entry_mask + 1ull) * sizeof(struct thread_entry);
	tracer.local = sys_map(tracer.local_size);
	if (!tracer.local)
		return -ENOMEM;
	tracer.entries = (struct thread_entry *)((uint8_t *)tracer.local + threads_size);
	/* Kernels before 4.14 cannot wipe on fork; children there would write into our rings. */
	long rc = sys_call(SYS_madvise, tracer.local, tracer.local_size, MADV_WIPEONFORK, 0);
	if (rc < 0) {
		sys_call(SYS_munmap, tracer.local, tracer.local_size, 0, 0);
		tracer.local = NULL;
		return rc;
	}
	/* A child that lives for days must not hold the rings; it never looks at them. */
	sys_call(SYS_madvise, header, header->file_size, MADV_DONTFORK, 0);
	tracer.local->alive = 1;
	return 0;
}

/* The hooks are out of use when this is called: disarmed, unpatched, no thread inside. */
EXPORT long memtrace_stop(void)
{
	if (!tracer.local)
		return 0;
	if (tracer.local->alive)	/* not in a forked child, whose table was wiped */
		threads_unmap();
	sys_call(SYS_munmap, tracer.local, tracer.local_size, 0, 0);
	tracer.local = NULL;
	return 0;
}

/* A page made writable for as long as slots in it are changed. */
struct open_page {
	uint64_t address;		/* 0: none */
	uint64_t protection;		/* to go back to */
	uint64_t slot, value;		/* what was written last */
};

/* Its library may have been closed by another thread since the controller looked, and anything may lie there
 * now: to write there would be a fault, to protect it somebody else's. Asked of the kernel, which cannot fault;
 * true where it may not be asked, or cannot tell. A forked child has no header. */
static bool slot_holds(uint64_t slot, uint64_t value)
{
	uint64_t found;
	if (!tracer.local || !tracer.local->alive || tracer.header->options & WIRE_OPT_NO_PROBE)
		return true;
	long rc = tracer_read(slot, &found, sizeof(found));
	return rc == (long)sizeof(found) ? found == value : rc != -EFAULT;
}

static void page_close(struct open_page *page)
{
	if (page->address && !(page->protection & PROT_WRITE) && slot_holds(page->slot, page->value))
		sys_call(SYS_mprotect, page->address, PAGE, page->protection, 0);
	page->address = 0;
}

static bool page_open(struct open_page *page, uint64_t slot, uint64_t protection)
{
	uint64_t address = slot & ~(PAGE - 1);
	if (page->address == address)
		return true;
	page_close(page);
	if (sys_call(SYS_mprotect, address, PAGE, protection | PROT_WRITE, 0) < 0)
		return false;
	*page = (struct open_page){ address, protection, slot, 0 };
	return true;
}

static bool slot_swap(struct open_page *page, uint64_t slot, uint64_t protection, uint64_t from,
		      uint64_t to)
{
	if (!slot_holds(slot, from) || !page_open(page, slot, protection) ||
	    !__atomic_compare_exchange_n((uint64_t *)slot, &from, to, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	page->slot = slot;
	page->value = to;
	return true;
}

static void apply_patch(struct open_page *page, struct wire_patch *p)
{
	bool done = slot_swap(page, p->slot, p->protection, p->expected, p->new_value);
	__atomic_store_n(&p->state, done ? WIRE_PATCH_DONE : WIRE_PATCH_MISSED, __ATOMIC_RELEASE);
}

EXPORT int memtrace_restore(void *info, size_t size, const struct wire_restore *list)
{
	struct open_page page = { 0 };
	(void)info, (void)size;
	for (uint64_t i = 0; i < list->count; i++) {
		const struct wire_restore_slot *s = &list->slots[i];
		slot_swap(&page, s->slot, s->protection, s->from, s->to);
	}
	page_close(&page);
	return 1;
}

void memtrace_apply_patches(void)
{
	struct wire_header *h = tracer.header;
	uint32_t unlocked = 0;
	if (!__atomic_compare_exchange_n((uint32_t *)&h->patch_lock, &unlocked, 1, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;	/* another thread is at it */
	take_originals();
	uint32_t wanted;
	while (h->patches_applied <
	       (wanted = __atomic_load_n((uint32_t *)&h->patches_wanted, __ATOMIC_ACQUIRE))) {
		struct open_page page = { 0 };
		for (uint32_t i = h->patches_applied; i < wanted; i++)
			if (tracer.patches[i].state == WIRE_PATCH_WANTED)
				apply_patch(&page, &tracer.patches[i]);
		page_close(&page);
		__atomic_store_n((uint32_t *)&h->patches_applied, wanted, __ATOMIC_RELEASE);
	}
	__atomic_store_n((uint32_t *)&h->patch_lock, 0, __ATOMIC_RELEASE);
}

/* As dl_iterate_phdr calls it, whose lock keeps any library from being unmapped meanwhile. */
EXPORT int memtrace_apply(void *info, size_t size, void *arg)
{
	(void)info, (void)size, (void)arg;
	memtrace_apply_patches();
	return 1;
}

static bool load_answered(uint32_t mine)
{
	struct wire_header *h = tracer.header;
	/* What it had done when somebody last waited in vain. */
	static uint32_t in_vain, done_then;
	uint32_t begin = __atomic_load_n((uint32_t *)&h->loads_done, __ATOMIC_ACQUIRE), done = begin;
	bool again = __atomic_load_n(&in_vain, __ATOMIC_RELAXED) &&
		     __atomic_load_n(&done_then, __ATOMIC_RELAXED) == begin;
	int slices = again ? LOAD_WAIT_SLICES_IN_VAIN : LOAD_WAIT_SLICES;
	for (int i = 0; i < slices && tracer_armed(); i++) {
		done = __atomic_load_n((uint32_t *)&h->loads_done, __ATOMIC_ACQUIRE);
		if ((int32_t)(done - mine) >= 0)
			return true;
		struct sys_timespec ts = { 0, LOAD_WAIT_NS };
		sys_call(SYS_futex, &h->loads_done, FUTEX_WAIT, done, &ts);
	}
	done = __atomic_load_n((uint32_t *)&h->loads_done, __ATOMIC_ACQUIRE);
	__atomic_store_n(&done_then, done, __ATOMIC_RELAXED);
	__atomic_store_n(&in_vain, 1, __ATOMIC_RELAXED);
	return (int32_t)(done - mine) >= 0;
}

/* All that was wanted before. Another thread may be at it: the caller is about to use what that one patches, and
 * may unload it, under its hands. */
static void apply_or_wait(void)
{
	struct wire_header *h = tracer.header;
	uint32_t wanted = __atomic_load_n((uint32_t *)&h->patches_wanted, __ATOMIC_ACQUIRE);
	for (int i = 0; i < APPLY_WAIT_SLICES && tracer_armed(); i++) {
		memtrace_apply_patches();
		if ((int32_t)(__atomic_load_n((uint32_t *)&h->patches_applied, __ATOMIC_ACQUIRE) - wanted) >= 0)
			return;
		struct sys_timespec ts = { 0, APPLY_WAIT_NS };
		sys_call(SYS_futex, &h->patch_lock, FUTEX_WAIT, 1, &ts);
	}
}

/* Asks the controller to take new libraries in and waits for it, but not for ever and not for a dead
 * one. */
void tracer_after_load(void)
{
	struct wire_header *h = tracer.header;
	uint32_t mine = __atomic_add_fetch((uint32_t *)&h->loads_requested, 1, __ATOMIC_SEQ_CST);
	tracer_wake_controller();
	if (!load_answered(mine) && tracer_armed())
		__atomic_fetch_add((uint32_t *)&h->loads_in_vain, 1, __ATOMIC_RELAXED);
	apply_or_wait();
}

/* The interpreter sets its allocators while it starts, and so can a program at any time. An arena is
 * mapped soon after. The table may lie in a library that was closed: the kernel reads it. */
static bool table_changed(uint32_t domain)
{
	static uint64_t told[WIRE_PYTHON_DOMAINS];	/* what the controller was asked about */
	const struct wire_header *h = tracer.header;
	uint64_t function = 0;
	if (tracer_read(h->python_tables[domain] + 8, &function, sizeof(function)) != sizeof(function))
		return false;
	if (function - h->thunk_page < PAGE || function == told[domain])
		return false;
	told[domain] = function;
	return true;
}

void tracer_look_at_tables(void)
{
	bool changed = false;
	if (tracer.header->options & WIRE_OPT_NO_PROBE)
		return;		/* the controller looks from time to time */
	for (uint32_t domain = 0; domain < WIRE_PYTHON_DOMAINS; domain++)
		changed |= table_changed(domain);
	if (changed)
		tracer_after_load();
}

/* The compiler may call these for copies it does not expand. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	void *ret = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return ret;
}

void *memset(void *to, int c, size_t n)
{
	void *ret = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return ret;
}
