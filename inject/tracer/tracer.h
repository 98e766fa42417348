/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/tracer.h - the inside of the tracer: what its files share.
 *
 * The tracer runs inside somebody else's process, in the middle of its malloc. It has no libc, no
 * locks a thread could die with, no thread of its own, no signal handler and no TLS destructor.
 * Its memory: one page-sized table and one block a thread by mmap, given back by memtrace_stop().
 *
 * Fork: everything a hook looks at first (`struct thread`, `struct local`) is MADV_WIPEONFORK
 * memory, so a forked child finds zeros and passes straight through. */
#ifndef MT_TRACER_TRACER_H
#define MT_TRACER_TRACER_H

#include "capture/wire.h"
#include "inject/tracer/sys.h"

#include <stdbool.h>

#define PC_CACHE_SIZE 1024u
#define PC_BITS 48		/* of a user space address */
#define PY_INDEX_SIZE 256u

struct pair {			/* memory that must still hold what it held */
	uint64_t address, expected;
};

struct twin {			/* two neighbouring words: saved rbp, return address */
	uint64_t address, expected[2];
};

/* One step of the native unwind: the state in a frame and what its step to the caller read. */
struct frame {
	uint64_t pc;		/* inside the call instruction, or exact below a signal frame */
	uint64_t sp, rbp;	/* at pc */
	uint64_t ra_slot;	/* where the return address lies, 0: no step (root) */
	uint64_t rbp_slot;	/* where the caller's rbp lies; 0: unchanged; RBP_LOST */
	uint64_t aux_slot;	/* one more word the step depends on; 0: none */
	uint32_t pair_end, twin_end;	/* what proves this frame and all older ones */
	bool interrupted;	/* pc is exact */
	bool rule_uses_rbp;
	bool needs_rbp;		/* the rest of the unwind depends on rbp here */
};
_Static_assert(sizeof(struct frame) == 64, "one cache line");
#define RBP_LOST 1ull

struct py_frame {
	uint64_t frame;		/* address of the interpreter's frame */
	uint64_t code;		/* raw word of it that leads to the code object */
	uint64_t fingerprint;	/* of the code object */
	uint32_t code_id;
	bool entry;
	uint64_t instr;		/* raw instruction pointer or index */
	uint64_t offset1;	/* as on the wire */
};

enum python_chunk {		/* no addresses */
	CHUNK_UNKNOWN = 1,
	CHUNK_NONE,
};

struct py_proof {		/* what a frame's words must be */
	uint64_t previous, instr;
};

struct pc_rule {
	uint64_t key;		/* pc | pc_key of the thread; 0: empty */
	int32_t cfa_offset, rbp_offset;
	uint8_t cfa, rbp;
	bool simple;		/* CFA above rsp by a constant, rbp as it was or saved between them */
};

struct thread {
	struct wire_ring *ring;	/* NULL: a forked child, or given up */
	uint8_t *at;		/* in the ring's data: where the next record goes */
	uint8_t *room;		/* end of what may be written without asking */
	uint64_t head_bias;	/* position in the ring = address + this */
	uint64_t last_ticks, last_pointer, last_pc;
	uint8_t *data;		/* of the ring */
	uint64_t name_due;	/* ticks: before then its name is not looked at again */
	uint32_t name_looks, name_left;	/* so far; allocations until the next one is due */
	uint32_t slot;
	uint32_t generation;	/* of the module list the caches are about */
	int64_t sample_left;	/* bytes to the next sample */
	uint64_t random;
	bool impatient;		/* the controller stalled: drop until there is room again */

	/* native stack, root first; the arrays are one mapping of `capacity`. Before the frames stands
	 * one that lies above every stack, before pairs and twins some that always hold, so that they
	 * can be compared in batches (proof.h). */
	struct frame *frames, *scratch;	/* scratch: leaf first */
	struct pair *pairs;
	struct twin *twins;
	uint32_t depth, capacity;
	bool plain;		/* all words of pairs and twins lie in the good memory below */
	uint32_t native_flags;
	bool native_resync;	/* the reader's stack is not ours: send it whole */
	uint64_t good_start, good_end;	/* stack memory known to be readable */
	uint32_t unmaps;	/* as in `tracer` when it was */

	/* Python stack, root first */
	struct py_frame *py_frames, *py_scratch;
	struct py_proof *py_proofs;	/* by frame; the root's link is 0, but not where it was cut */
	uint32_t py_depth, py_capacity;
	uint32_t py_flags;
	bool py_resync;
	uint32_t codes_gone;	/* as in `tracer` when the frames were kept */
	/* Frames below py_base need no proof while py_unmaps is as in `tracer` (python.c). */
	uint32_t py_base, py_unmaps;
	uint64_t py_chunk;	/* address, or enum python_chunk */
	uint32_t py_index[PY_INDEX_SIZE];	/* frame address -> index + 1 */

	uint64_t pc_key;	/* counts module lists, above PC_BITS */
	struct pc_rule pc_cache[PC_CACHE_SIZE];
};

/* Where there is no thread-local storage: threads by their thread pointer. An entry belongs to the
 * thread that has the pointer, and holds when that thread still has the id it had. */
struct thread_entry {
	uint64_t owner;			/* thread pointer; 0: free */
	struct thread *thread;
	uint32_t tid;
};
#define THREAD_PROBES 64u

enum joined {			/* of a forked child */
	JOIN_UNDECIDED = 0,
	JOIN_WAITING,
	JOIN_DONE,
	JOIN_OUT,		/* passes through for ever */
};

struct local {			/* wiped on fork */
	uint32_t alive;
	uint32_t joined;	/* enum joined */
	uint32_t joiner;	/* thread id of who waits */
	struct thread *threads[];	/* by ring; then, without TLS, the entries */
};

struct tracer {
	struct wire_header *header;
	uint8_t *base;
	struct wire_ring *rings;
	struct wire_patch *patches;
	struct wire_code *codes;
	const struct wire_rule *rules;
	uint32_t codes_gone;	/* counts described code objects that were freed */
	uint32_t unmaps;	/* counts what went that may have been a stack */
	bool chunks_unmapped;	/* a chunk of Python's frames was seen to go by munmap */
	uint64_t ring_size;
	uint64_t sample_rate;	/* as in the header */
	struct local *local;
	size_t local_size;
	struct thread_entry *entries;	/* in local; a power of two of them */
	uint32_t entry_mask, tid_offset;
	struct wire_family *family;	/* inherited by children; NULL: they are not followed */
	uint64_t environment;	/* of the C library's `environ` */
	uint64_t channel_size;
	/* A copy: the shared memory is not there in a forked child, the hooks still are. */
	uint64_t original[WIRE_FN_COUNT][WIRE_VARIANTS];
};

extern struct tracer tracer;

/* Memory of this process that may be unmapped at any time, read by the kernel, which cannot fault. Bytes, or
 * -errno; not where WIRE_OPT_NO_PROBE says that it may not be asked. */
static inline long tracer_read(uint64_t address, void *ret, size_t size)
{
	struct sys_iovec local = { ret, size };
	struct sys_iovec remote = { (void *)address, size };
	return sys_call6(SYS_process_vm_readv, tracer.header->target_pid, (long)&local, 1, (long)&remote, 1, 0);
}

static inline bool tracer_armed(void)
{
	/* Not 0 and not marked by the kernel as the word of a dead owner. */
	uint32_t mode = __atomic_load_n((uint32_t *)&tracer.header->mode, __ATOMIC_RELAXED);
	return mode - 1 < WIRE_OWNER_DIED - 1;
}

/* ---- thread.c ---- */
#ifdef TRACER_NO_TLS
/* Of this thread; NULL: not seen yet, or a forked child. */
struct thread *thread_self(void);
#else
extern __thread struct thread *tracer_self __attribute__((tls_model("initial-exec")));
static inline struct thread *thread_self(void)
{
	return tracer_self;
}
#endif
/* This thread's state, made at its first event; NULL: pass through. */
struct thread *thread_register(void);
void threads_unmap(void);
/* Grows the arrays of a stack to at least twice their capacity; false: out of memory or too deep. */
bool thread_grow_native(struct thread *t);
bool thread_grow_python(struct thread *t);
/* It may have named itself, and may end before the controller asks the kernel: from time to time. */
void thread_look_at_name(struct thread *t, uint64_t now);
static inline void thread_watch_name(struct thread *t, uint64_t now)
{
	if (unlikely(!--t->name_left))
		thread_look_at_name(t, now);
}

/* ---- ring.c ---- */
/* The long way of ring_reserve() (event.h): looks at the reader's place, wakes it, waits. */
uint8_t *ring_make_room(struct thread *t, uint32_t size);
void event_drop(struct thread *t);
/* The numbers of an event where one does not fit into 56 bits: mostly the first time of all. */
uint8_t *event_put_wide(uint8_t *p, uint64_t time, uint64_t place);
void tracer_wake_controller(void);

/* ---- sample.c ---- */
void sample_begin(struct thread *t);
/* This allocation is one of the sample. */
void sample_next(struct thread *t);
static inline bool sample_hits(struct thread *t, uint64_t size)
{
	if (likely((t->sample_left -= (int64_t)size) > 0) || !size)
		return false;
	sample_next(t);
	return true;
}
/* Notes a live sample; false: no room, it cannot be recorded. */
bool sample_put(const void *block);
/* Takes it out before it is released; false: it is none. */
bool sample_take(const void *block);

/* ---- native.c, python.c: bring the reader's stack up to date with this thread's ---- */
void native_capture(struct thread *t, const uint64_t *hook_frame);
void python_capture(struct thread *t);
/* A code object is about to be freed: its address will be another's. */
void python_code_gone(uint64_t code);
void native_forget(struct thread *t);
/* Memory is gone that some thread may have had a stack in. */
void native_unmapped(struct thread *t, uint64_t start, uint64_t size);
static inline void python_unmapped(const struct thread *t, uint64_t start)
{
	if (unlikely(start == t->py_chunk))
		__atomic_store_n(&tracer.chunks_unmapped, true, __ATOMIC_RELAXED);
}
/* Is it in the stack memory of this thread? A block of malloc can be a coroutine's stack. */
static inline bool native_in_stack(const struct thread *t, uint64_t address)
{
	return address - t->good_start < t->good_end - t->good_start;
}

/* ---- family.c ---- */
/* In a forked child, for whom nothing is set up yet: true when it is recorded from now on. */
bool tracer_join_family(void);
/* Whoever answers the family watches this thread when it returns, or nobody does. */
void tracer_ask_family(enum wire_ask what);

/* ---- control.c ---- */
void tracer_take_header(struct wire_header *header);
void memtrace_apply_patches(void);
void tracer_after_load(void);
/* Python's allocator tables, when they are recorded: has somebody put other functions there? */
void tracer_look_at_tables(void);
static inline void tracer_watch_tables(void)
{
	if (unlikely(tracer.header->python_tables[0]))
		tracer_look_at_tables();
}

#endif
