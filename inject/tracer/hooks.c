/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/hooks.c - the functions that stand in for malloc and its family.
 * Knows: what each function allocates or releases. Does not know: how it is recorded.
 * Called by the target through the thunk page; calls the originals.
 *
 * Order of time stamps: a release is stamped before the real call, an allocation after it, so no
 * block is seen allocated twice at once. While a stamp is out and not yet published the ring says
 * `busy`, and the controller does not order past it. The body of a hook runs once a thread:
 * what the original calls in turn (reallocarray -> realloc, malloc -> mmap) passes through. */
#include "inject/tracer/event.h"
#include "inject/tracer/exec.h"

struct tracer tracer;

/* ---- in and out ---- */

/* `busy` and `in_hook` of the ring are one word here, so that a hook's way in and its way out are
 * one store each. */
#define STATE_INSIDE (1ull << 32)
_Static_assert(offsetof(struct wire_ring, busy) % 8 == 0 &&
	       offsetof(struct wire_ring, in_hook) == offsetof(struct wire_ring, busy) + 4,
	       "busy and in_hook are one word");
typedef uint64_t __attribute__((may_alias)) state_word;

static inline void set_state_of(struct wire_ring *ring, uint64_t state)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n((state_word *)&ring->busy, state, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void set_state(struct thread *t, uint64_t state)
{
	set_state_of(t->ring, state);
}

/* While a record is written only a signal handler can come here. */
static __attribute__((noinline, cold)) struct thread *hook_nested(struct wire_ring *ring)
{
	if (__atomic_load_n((uint32_t *)&ring->busy, __ATOMIC_RELAXED) == WIRE_BUSY_WRITING)
		__atomic_store_n((uint64_t *)&ring->nested, ring->nested + 1, __ATOMIC_RELAXED);
	return NULL;
}

/* `busy`: what the hook is about to do. NULL: nothing, pass through. Then the hook ends in a jump
 * to the original, so that whoever is called by a hook says so in its ring: the proof that nobody
 * is inside (inject/outside.h) rests on it. */
static inline __attribute__((always_inline)) struct thread *hook_enter(enum wire_busy busy)
{
	struct thread *t = thread_self();
	if (unlikely(!t))
		t = thread_register();
	if (unlikely(!t))
		return NULL;
	if (unlikely(!t->ring) && !(t = thread_register()))
		return NULL;		/* forked child */
	struct wire_ring *ring = t->ring;
	if (unlikely(__atomic_load_n((uint32_t *)&ring->in_hook, __ATOMIC_RELAXED)))
		return hook_nested(ring);
	if (unlikely(!tracer_armed()))
		return NULL;
	set_state_of(ring, STATE_INSIDE | busy);
	return t;
}

/* The end of a hook, and of what it stamped and published. */
static inline void hook_leave(struct thread *t)
{
	set_state(t, WIRE_IDLE);
}

/* From before a stamp to its publication. */
static inline void state_writing(struct thread *t)
{
	set_state(t, STATE_INSIDE | WIRE_BUSY_WRITING);
}

/* Libraries came or went: caches about the old ones are void, and slots may want to be changed
 * that no thread is waiting for (a library the C library loaded by itself). */
static __attribute__((noinline)) void take_generation(struct thread *t, uint32_t generation)
{
	native_forget(t);
	t->generation = generation;
	memtrace_apply_patches();
}

static inline void record_stacks(struct thread *t, const uint64_t *frame)
{
	uint32_t options = tracer.header->options;
	uint32_t generation =
		__atomic_load_n((uint32_t *)&tracer.header->module_generation, __ATOMIC_ACQUIRE);
	if (unlikely(t->generation != generation))
		take_generation(t, generation);
	if (likely(options & WIRE_OPT_NATIVE))
		native_capture(t, frame);
	if (options & WIRE_OPT_PYTHON)
		python_capture(t);
}

/* In the hook itself: what keeps and moves registers for a call costs a tenth of it all. */
static inline __attribute__((always_inline)) void record_alloc_here(struct thread *t, uint8_t kind,
								     const void *p, uint64_t size,
								     const uint64_t *frame)
{
	state_writing(t);
	uint64_t now = sys_ticks();
	record_stacks(t, frame);
	event_write(t, kind, now, (uint64_t)p, true, size);
	thread_watch_name(t, now);
}

static __attribute__((noinline)) void record_alloc(struct thread *t, uint8_t kind, const void *p,
						   uint64_t size, const uint64_t *frame)
{
	record_alloc_here(t, kind, p, size, frame);
}

static inline __attribute__((always_inline)) void record_free(struct thread *t, uint8_t kind,
							      const void *p)
{
	event_write(t, kind, sys_ticks(), (uint64_t)p, false, 0);
	if (unlikely(native_in_stack(t, (uint64_t)p)))
		native_unmapped(t, (uint64_t)p, 1);
	hook_leave(t);
}

/* ---- samples ---- */

/* Is this new block recorded? */
static inline bool alloc_wanted(struct thread *t, const void *p, uint64_t size)
{
	if (likely(!tracer.sample_rate))
		return true;
	if (likely(!sample_hits(t, size)))
		return false;
	if (likely(sample_put(p)))
		return true;
	event_drop(t);
	return false;
}

/* Is the end of this block recorded? Asked before the block is given back. */
static inline bool free_wanted(const void *p)
{
	return likely(!tracer.sample_rate) || unlikely(sample_take(p));
}

/* ---- one body a function; `v` is which original ---- */

#define FRAME ((const uint64_t *)__builtin_frame_address(0))
#define ORIGINAL(fn, v, type) ((type)tracer.original[WIRE_FN_##fn][v])
#define BODY static inline __attribute__((always_inline))

typedef void *(*fn_size)(size_t);
typedef void *(*fn_size2)(size_t, size_t);
typedef void *(*fn_ptr_size)(void *, size_t);
typedef void *(*fn_ptr_size2)(void *, size_t, size_t);
typedef void (*fn_ptr)(void *);
typedef void (*fn_free_sized)(void *, size_t);
typedef void (*fn_free_aligned_sized)(void *, size_t, size_t);
typedef int (*fn_memalign)(void **, size_t, size_t);
typedef void *(*fn_mmap)(void *, size_t, int, int, int, long);
typedef int (*fn_munmap)(void *, size_t);
typedef void *(*fn_mremap)(void *, size_t, size_t, int, void *);
typedef int (*fn_brk)(void *);
typedef void *(*fn_sbrk)(intptr_t);

/* An original that takes sizes and answers a new block. */
#define ALLOC_BODY_BY(record, call, kind, size)				\
	struct thread *t = hook_enter(WIRE_IDLE);				\
	if (unlikely(!t))							\
		return call;							\
	void *p = call;								\
	if (likely(p) && alloc_wanted(t, p, size))				\
		record(t, WIRE_REC_##kind, p, size, frame);			\
	hook_leave(t);								\
	return p
#define ALLOC_BODY(call, kind, size) ALLOC_BODY_BY(record_alloc, call, kind, size)

BODY void *do_malloc(int v, size_t size, const uint64_t *frame)
{
	ALLOC_BODY_BY(record_alloc_here, ORIGINAL(MALLOC, v, fn_size)(size), MALLOC, size);
}

BODY void *do_calloc(int v, size_t n, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(CALLOC, v, fn_size2)(n, size), CALLOC, n * size);
}

BODY void *do_aligned_alloc(int v, size_t align, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(ALIGNED_ALLOC, v, fn_size2)(align, size), ALIGNED_ALLOC, size);
}

BODY void *do_memalign(int v, size_t align, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(MEMALIGN, v, fn_size2)(align, size), MEMALIGN, size);
}

BODY void *do_valloc(int v, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(VALLOC, v, fn_size)(size), VALLOC, size);
}

BODY void *do_pvalloc(int v, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(PVALLOC, v, fn_size)(size), PVALLOC, size);
}

BODY int do_posix_memalign(int v, void **out, size_t align, size_t size, const uint64_t *frame)
{
	struct thread *t = hook_enter(WIRE_IDLE);
	if (unlikely(!t))
		return ORIGINAL(POSIX_MEMALIGN, v, fn_memalign)(out, align, size);
	int rc = ORIGINAL(POSIX_MEMALIGN, v, fn_memalign)(out, align, size);
	if (likely(!rc && *out) && alloc_wanted(t, *out, size))
		record_alloc(t, WIRE_REC_POSIX_MEMALIGN, *out, size, frame);
	hook_leave(t);
	return rc;
}

static inline uint8_t moved_from(uint8_t kind)
{
	return kind == WIRE_REC_REALLOC ? WIRE_REC_REALLOC_FREE : WIRE_REC_PYMALLOC_FREE;
}

/* The old block goes before the call, the new one comes after it; both are only written when the
 * call is known to have succeeded, so the ring stays busy across it. */
static __attribute__((noinline)) void record_moved(struct thread *t, uint8_t kind, uint64_t before,
						   void *old, void *p, size_t size,
						   const uint64_t *frame)
{
	if (old && (p || (!size && kind == WIRE_REC_REALLOC)))
		event_write(t, moved_from(kind), before, (uint64_t)old, false, 0);
	if (p) {
		uint64_t now = sys_ticks();
		record_stacks(t, frame);
		event_write(t, kind, now, (uint64_t)p, true, size);
	}
	hook_leave(t);
}

/* Of a sample the two halves are independent: the old block's end is recorded when it was one,
 * the new block when it is one. The old one is taken out before anyone else can get its address,
 * and put back when the call failed. */
static __attribute__((noinline)) void record_moved_sample(struct thread *t, uint8_t kind,
							   uint64_t before, void *old, bool sampled,
							   void *p, size_t size,
							   const uint64_t *frame)
{
	bool failed = !p && (size || kind != WIRE_REC_REALLOC);
	if (sampled && failed && sample_put(old))
		sampled = false;	/* else others filled its bucket: it ends here */
	if (p && !alloc_wanted(t, p, size))
		p = NULL;
	if (sampled)
		event_write(t, moved_from(kind), before, (uint64_t)old, false, 0);
	record_moved(t, kind, before, NULL, p, size, frame);
}

#define REALLOC_BODY(call, kind, size)				\
	struct thread *t = hook_enter(WIRE_BUSY_CALLING);		\
	if (unlikely(!t))						\
		return call;						\
	if (unlikely(tracer.sample_rate)) {				\
		bool sampled = old && sample_take(old);			\
		uint64_t before_it = sys_ticks();			\
		void *new = call;					\
		state_writing(t);					\
		record_moved_sample(t, WIRE_REC_##kind, before_it, old, sampled, new, size,	\
				    frame);			\
		return new;						\
	}								\
	uint64_t before = sys_ticks();					\
	void *p = call;							\
	state_writing(t);						\
	record_moved(t, WIRE_REC_##kind, before, old, p, size, frame);	\
	return p

BODY void *do_realloc(int v, void *old, size_t size, const uint64_t *frame)
{
	REALLOC_BODY(ORIGINAL(REALLOC, v, fn_ptr_size)(old, size), REALLOC, size);
}

BODY void *do_reallocarray(int v, void *old, size_t n, size_t size, const uint64_t *frame)
{
	REALLOC_BODY(ORIGINAL(REALLOCARRAY, v, fn_ptr_size2)(old, n, size), REALLOC, n * size);
}

/* Releases end in a jump to the original: no frame of ours stays below it. */
#define FREE_BODY(call)						\
	struct thread *t;					\
	if (likely(p) && likely(t = hook_enter(WIRE_BUSY_WRITING))) {	\
		if (free_wanted(p))				\
			record_free(t, WIRE_REC_FREE, p);	\
		else						\
			hook_leave(t);				\
	}							\
	call

BODY void do_free(int v, void *p)
{
	FREE_BODY(ORIGINAL(FREE, v, fn_ptr)(p));
}

BODY void do_cfree(int v, void *p)
{
	FREE_BODY(ORIGINAL(CFREE, v, fn_ptr)(p));
}

BODY void do_free_sized(int v, void *p, size_t size)
{
	FREE_BODY(ORIGINAL(FREE_SIZED, v, fn_free_sized)(p, size));
}

BODY void do_free_aligned_sized(int v, void *p, size_t align, size_t size)
{
	FREE_BODY(ORIGINAL(FREE_ALIGNED_SIZED, v, fn_free_aligned_sized)(p, align, size));
}

/* MAP_FIXED replaces what was there; the reader of the capture knows from the address. */
#define MMAP_BODY(FN)								\
	struct thread *t = hook_enter(WIRE_IDLE);				\
	if (unlikely(!t))							\
		return ORIGINAL(FN, v, fn_mmap)(at, size, prot, flags, fd, offset); \
	void *p = ORIGINAL(FN, v, fn_mmap)(at, size, prot, flags, fd, offset);	\
	if (p != MAP_FAILED)							\
		record_alloc(t, WIRE_REC_MMAP, p, size, frame);			\
	hook_leave(t);								\
	tracer_watch_tables();							\
	return p

BODY void *do_mmap(int v, void *at, size_t size, int prot, int flags, int fd, long offset,
		   const uint64_t *frame)
{
	MMAP_BODY(MMAP);
}

BODY void *do_mmap64(int v, void *at, size_t size, int prot, int flags, int fd, long offset,
		     const uint64_t *frame)
{
	MMAP_BODY(MMAP64);
}

BODY int do_munmap(int v, void *p, size_t size)
{
	struct thread *t = hook_enter(WIRE_BUSY_CALLING);
	if (unlikely(!t)) {
		/* Of a thread without a ring: what others keep hangs on the count. */
		__atomic_add_fetch(&tracer.unmaps, 1, __ATOMIC_RELEASE);
		return ORIGINAL(MUNMAP, v, fn_munmap)(p, size);
	}
	uint64_t before = sys_ticks();
	int rc = ORIGINAL(MUNMAP, v, fn_munmap)(p, size);
	state_writing(t);
	if (!rc) {
		python_unmapped(t, (uint64_t)p);
		native_unmapped(t, (uint64_t)p, size);
		event_write(t, WIRE_REC_MUNMAP, before, (uint64_t)p, true, size);
	}
	hook_leave(t);
	return rc;
}

BODY void *do_mremap(int v, void *old, size_t old_size, size_t size, int flags, void *at,
		     const uint64_t *frame)
{
	struct thread *t = hook_enter(WIRE_BUSY_CALLING);
	if (unlikely(!t))
		return ORIGINAL(MREMAP, v, fn_mremap)(old, old_size, size, flags, at);
	uint64_t before = sys_ticks();
	void *p = ORIGINAL(MREMAP, v, fn_mremap)(old, old_size, size, flags, at);
	state_writing(t);
	if (p != MAP_FAILED) {
		native_unmapped(t, (uint64_t)old, old_size);
		if (old_size)	/* 0 duplicates a shared mapping */
			event_write(t, WIRE_REC_MREMAP_UNMAP, before, (uint64_t)old, true, old_size);
		uint64_t now = sys_ticks();
		record_stacks(t, frame);
		event_write(t, WIRE_REC_MREMAP, now, (uint64_t)p, true, size);
	}
	hook_leave(t);
	return p;
}

static void record_break(struct thread *t, uint64_t before, uint64_t old, uint64_t now,
			 const uint64_t *frame)
{
	if (now > old) {
		uint64_t ticks = sys_ticks();
		record_stacks(t, frame);
		event_write(t, WIRE_REC_BRK, ticks, old, true, now - old);
	} else if (now < old) {
		event_write(t, WIRE_REC_BRK_SHRINK, before, now, true, old - now);
	}
}

BODY int do_brk(int v, void *at, const uint64_t *frame)
{
	struct thread *t = hook_enter(WIRE_BUSY_CALLING);
	if (unlikely(!t))
		return ORIGINAL(BRK, v, fn_brk)(at);
	uint64_t before = sys_ticks();
	uint64_t old = (uint64_t)sys_call(SYS_brk, 0, 0, 0, 0);
	int rc = ORIGINAL(BRK, v, fn_brk)(at);
	state_writing(t);
	if (!rc)
		record_break(t, before, old, (uint64_t)sys_call(SYS_brk, 0, 0, 0, 0), frame);
	hook_leave(t);
	return rc;
}

BODY void *do_sbrk(int v, intptr_t increment, const uint64_t *frame)
{
	struct thread *t = increment ? hook_enter(WIRE_BUSY_CALLING) : NULL;
	if (unlikely(!t))
		return ORIGINAL(SBRK, v, fn_sbrk)(increment);
	uint64_t before = sys_ticks();
	void *old = ORIGINAL(SBRK, v, fn_sbrk)(increment);
	state_writing(t);
	if (old != MAP_FAILED)
		record_break(t, before, (uint64_t)old, (uint64_t)old + (uint64_t)increment, frame);
	hook_leave(t);
	return old;
}

/* ---- dlopen ---------------------------------------------------------------------------------
 * dlopen looks at its return address: the caller's RUNPATH and namespace count. So the original
 * is entered with a return address inside the caller's module: a `ret` byte there, which leads
 * back here. After it the controller is asked to take the new libraries in before the caller can
 * use them. Its constructors ran before that; what they allocate through their own slots is
 * missed. */
uint64_t tracer_call_through(uint64_t fn, uint64_t a, uint64_t b, uint64_t c, uint64_t gadget);
__asm__(".text\n"
	".type tracer_call_through, @function\n"
	"tracer_call_through:\n"
	"	.cfi_startproc\n"
	"	endbr64\n"
	"	push %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	mov %rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	and $-16, %rsp\n"
	"	sub $8, %rsp\n"		/* so that rsp % 16 is 8 at the original's entry */
	"	lea 1f(%rip), %r10\n"
	"	push %r10\n"
	"	push %r8\n"
	"	jmp *%rax\n"
	"	nop\n"			/* so that the byte before the label is in this function */
	"1:	mov %rbp, %rsp\n"
	"	pop %rbp\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size tracer_call_through, . - tracer_call_through\n");

static uint64_t caller_gadget(uint64_t return_address)
{
	uint64_t list = __atomic_load_n((uint64_t *)&tracer.header->module_list, __ATOMIC_ACQUIRE);
	const struct wire_module *m = (const void *)(tracer.base + (list >> WIRE_MODULE_COUNT_BITS));
	for (uint32_t n = list & ((1u << WIRE_MODULE_COUNT_BITS) - 1); n > 0; n--, m++)
		if (return_address >= m->start && return_address < m->end)
			return m->ret_gadget;
	return 0;
}

/* The caller's ring, whose `loading` counts this load; NULL: it is none of ours. */
static struct wire_ring *load_enter(uint64_t *gadget, const uint64_t *frame)
{
	struct local *local = tracer.local;
	if (!local || !local->alive || !tracer_armed())
		return NULL;
	struct thread *t = thread_self();
	if (unlikely(!t))
		t = thread_register();
	*gadget = t && t->ring ? caller_gadget(frame[1]) : 0;
	if (!*gadget)
		return NULL;
	__atomic_store_n((uint32_t *)&t->ring->loading, t->ring->loading + 1, __ATOMIC_RELEASE);
	return t->ring;
}

static void load_leave(struct wire_ring *ring)
{
	struct thread *t = thread_self();
	if (unlikely(!t || t->ring != ring || !ring->loading))
		return;		/* a constructor forked, and this is the child: the ring is its parent's */
	tracer_after_load();
	__atomic_store_n((uint32_t *)&ring->loading, ring->loading - 1, __ATOMIC_RELEASE);
}

typedef void *(*fn_dlopen)(const char *, int);
typedef void *(*fn_dlmopen)(long, const char *, int);

BODY void *do_dlopen(int v, const char *file, int mode, const uint64_t *frame)
{
	uint64_t gadget;
	struct wire_ring *ring = load_enter(&gadget, frame);
	if (!ring)
		return ORIGINAL(DLOPEN, v, fn_dlopen)(file, mode);
	void *handle = (void *)tracer_call_through(tracer.original[WIRE_FN_DLOPEN][v],
						   (uint64_t)file, (uint64_t)mode, 0, gadget);
	load_leave(ring);
	return handle;
}

BODY void *do_dlmopen(int v, long ns, const char *file, int mode, const uint64_t *frame)
{
	uint64_t gadget;
	struct wire_ring *ring = load_enter(&gadget, frame);
	if (!ring)
		return ORIGINAL(DLMOPEN, v, fn_dlmopen)(ns, file, mode);
	void *handle = (void *)tracer_call_through(tracer.original[WIRE_FN_DLMOPEN][v],
						   (uint64_t)ns, (uint64_t)file, (uint64_t)mode, gadget);
	load_leave(ring);
	return handle;
}

/* ---- Python's code objects ---- */

BODY void do_code_dealloc(int v, void *code)
{
	struct thread *t = hook_enter(WIRE_IDLE);
	if (likely(t)) {
		python_code_gone((uint64_t)code);
		hook_leave(t);
	}
	ORIGINAL(CODE_DEALLOC, v, fn_ptr)(code);
}

/* ---- Python's own allocators ----------------------------------------------------------------
 * Functions of the tables of a domain (inject/python_alloc.h). A block is one request to a domain:
 * what pymalloc asks of malloc and mmap for it, and one domain of another, passes through, and so
 * does the other half in free. */

typedef void *(*fn_py_malloc)(void *, size_t);
typedef void *(*fn_py_calloc)(void *, size_t, size_t);
typedef void *(*fn_py_realloc)(void *, void *, size_t);
typedef void (*fn_py_free)(void *, void *);

BODY void *do_py_malloc(int v, void *ctx, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(PY_MALLOC, v, fn_py_malloc)(ctx, size), PYMALLOC_MALLOC, size);
}

BODY void *do_py_calloc(int v, void *ctx, size_t n, size_t size, const uint64_t *frame)
{
	ALLOC_BODY(ORIGINAL(PY_CALLOC, v, fn_py_calloc)(ctx, n, size), PYMALLOC_CALLOC, n * size);
}

BODY void *do_py_realloc(int v, void *ctx, void *old, size_t size, const uint64_t *frame)
{
	REALLOC_BODY(ORIGINAL(PY_REALLOC, v, fn_py_realloc)(ctx, old, size), PYMALLOC_REALLOC, size);
}

static __attribute__((noinline)) void record_py_free(struct thread *t, const void *p)
{
	event_write(t, WIRE_REC_PYMALLOC_FREE, sys_ticks(), (uint64_t)p, false, 0);
	if (unlikely(native_in_stack(t, (uint64_t)p)))
		native_unmapped(t, (uint64_t)p, 1);
}

BODY void do_py_free(int v, void *ctx, void *p)
{
	struct thread *t = likely(p) ? hook_enter(WIRE_BUSY_WRITING) : NULL;
	if (unlikely(!t)) {
		ORIGINAL(PY_FREE, v, fn_py_free)(ctx, p);
		return;
	}
	if (free_wanted(p))
		record_py_free(t, p);
	set_state(t, STATE_INSIDE | WIRE_IDLE);
	ORIGINAL(PY_FREE, v, fn_py_free)(ctx, p);
	hook_leave(t);
}

/* ---- the variants ---- */

#define EACH_VARIANT(X) X(0) X(1) X(2) X(3)

#define VARIANT(v)										\
	static void *malloc_##v(size_t a) { return do_malloc(v, a, FRAME); }			\
	static void free_##v(void *p) { do_free(v, p); }					\
	static void *calloc_##v(size_t a, size_t b) { return do_calloc(v, a, b, FRAME); }	\
	static void *realloc_##v(void *p, size_t a) { return do_realloc(v, p, a, FRAME); }	\
	static void *reallocarray_##v(void *p, size_t a, size_t b)				\
	{ return do_reallocarray(v, p, a, b, FRAME); }						\
	static int posix_memalign_##v(void **p, size_t a, size_t b)				\
	{ return do_posix_memalign(v, p, a, b, FRAME); }					\
	static void *aligned_alloc_##v(size_t a, size_t b)					\
	{ return do_aligned_alloc(v, a, b, FRAME); }						\
	static void *memalign_##v(size_t a, size_t b) { return do_memalign(v, a, b, FRAME); }	\
	static void *valloc_##v(size_t a) { return do_valloc(v, a, FRAME); }			\
	static void *pvalloc_##v(size_t a) { return do_pvalloc(v, a, FRAME); }			\
	static void cfree_##v(void *p) { do_cfree(v, p); }					\
	static void free_sized_##v(void *p, size_t a) { do_free_sized(v, p, a); }		\
	static void free_aligned_sized_##v(void *p, size_t a, size_t b)				\
	{ do_free_aligned_sized(v, p, a, b); }							\
	static void *mmap_##v(void *a, size_t n, int p, int f, int d, long o)			\
	{ return do_mmap(v, a, n, p, f, d, o, FRAME); }						\
	static void *mmap64_##v(void *a, size_t n, int p, int f, int d, long o)			\
	{ return do_mmap64(v, a, n, p, f, d, o, FRAME); }					\
	static int munmap_##v(void *a, size_t n) { return do_munmap(v, a, n); }			\
	static void *mremap_##v(void *a, size_t n, size_t m, int f, void *to)			\
	{ return do_mremap(v, a, n, m, f, to, FRAME); }						\
	static int brk_##v(void *a) { return do_brk(v, a, FRAME); }				\
	static void *sbrk_##v(intptr_t n) { return do_sbrk(v, n, FRAME); }			\
	static void *dlopen_##v(const char *f, int m) { return do_dlopen(v, f, m, FRAME); }	\
	static void *dlmopen_##v(long n, const char *f, int m)					\
	{ return do_dlmopen(v, n, f, m, FRAME); }						\
	static void code_dealloc_##v(void *p) { do_code_dealloc(v, p); }			\
	static void *py_malloc_##v(void *c, size_t a) { return do_py_malloc(v, c, a, FRAME); }	\
	static void *py_calloc_##v(void *c, size_t a, size_t b)					\
	{ return do_py_calloc(v, c, a, b, FRAME); }						\
	static void *py_realloc_##v(void *c, void *p, size_t a)					\
	{ return do_py_realloc(v, c, p, a, FRAME); }						\
	static void py_free_##v(void *c, void *p) { do_py_free(v, c, p); }
EACH_VARIANT(VARIANT)

#define EXEC_ROW(fn)									\
	[WIRE_FN_##fn] = { (void *)exec_##fn##_0, (void *)exec_##fn##_1, (void *)exec_##fn##_2,	\
			   (void *)exec_##fn##_3 },
#define ROW(fn, name) \
	[WIRE_FN_##fn] = { (void *)name##_0, (void *)name##_1, (void *)name##_2, (void *)name##_3 },

extern void *const memtrace_hooks[WIRE_FN_COUNT][WIRE_VARIANTS];
__attribute__((visibility("default"))) void *const memtrace_hooks[WIRE_FN_COUNT][WIRE_VARIANTS] = {
	ROW(MALLOC, malloc) ROW(FREE, free) ROW(CALLOC, calloc) ROW(REALLOC, realloc)
	ROW(REALLOCARRAY, reallocarray) ROW(POSIX_MEMALIGN, posix_memalign)
	ROW(ALIGNED_ALLOC, aligned_alloc) ROW(MEMALIGN, memalign) ROW(VALLOC, valloc)
	ROW(PVALLOC, pvalloc) ROW(CFREE, cfree) ROW(FREE_SIZED, free_sized)
	ROW(FREE_ALIGNED_SIZED, free_aligned_sized) ROW(MMAP, mmap) ROW(MMAP64, mmap64)
	ROW(MUNMAP, munmap) ROW(MREMAP, mremap) ROW(BRK, brk) ROW(SBRK, sbrk)
	ROW(DLOPEN, dlopen) ROW(DLMOPEN, dlmopen)
	EXEC_FUNCTIONS(EXEC_ROW)
	ROW(CODE_DEALLOC, code_dealloc)
	ROW(PY_MALLOC, py_malloc) ROW(PY_CALLOC, py_calloc) ROW(PY_REALLOC, py_realloc)
	ROW(PY_FREE, py_free)
};
_Static_assert(WIRE_VARIANTS == 4, "EACH_VARIANT and ROW name the variants");
