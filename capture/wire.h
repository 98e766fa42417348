/* SPDX-License-Identifier: Apache-2.0 */
/* capture/wire.h - what the tracer in the target and the controller share: one memory file.
 *
 * The target maps the whole file (MAP_SHARED); the controller maps it too. Layout, by the offsets
 * in the header: header | slot patches | ring controls | unwind area | call stack | ring data.
 * All numbers are little endian; atomics are lock-free words. The tracer writes only what is
 * marked T, the controller only what is marked C, before arming unless said otherwise.
 *
 * Freestanding: this and base/varint.h are all the tracer includes of the project. */
#ifndef MT_CAPTURE_WIRE_H
#define MT_CAPTURE_WIRE_H

#include <stdint.h>

#define WIRE_MAGIC 0x31656369776d746dull
#define WIRE_VERSION 8u

#define WIRE_MEMFD_DATA "memtrace-data"		/* names in /proc/PID/maps, for status and detach */
#define WIRE_MEMFD_TRACER "memtrace-tracer"
#define WIRE_MEMFD_FAMILY "memtrace-family"

/* ---- allocation functions -------------------------------------------------------------------
 * One row a hooked function: enum name, symbol, record kind. The kind is also the allocator in
 * the capture file. A function that calls another hooked one inside libc is seen once: the hook
 * of the outer one is in progress. Those that execute programs are hooked with --follow-fork alone, and
 * record nothing. The last are no symbols: they are reached by a field of a type
 * and by CPython's allocator tables, and take the table's context as their first argument. */
#define WIRE_FUNCTIONS(X)					\
	X(MALLOC,		"malloc")			\
	X(FREE,			"free")				\
	X(CALLOC,		"calloc")			\
	X(REALLOC,		"realloc")			\
	X(REALLOCARRAY,		"reallocarray")			\
	X(POSIX_MEMALIGN,	"posix_memalign")		\
	X(ALIGNED_ALLOC,	"aligned_alloc")		\
	X(MEMALIGN,		"memalign")			\
	X(VALLOC,		"valloc")			\
	X(PVALLOC,		"pvalloc")			\
	X(CFREE,		"cfree")			\
	X(FREE_SIZED,		"free_sized")			\
	X(FREE_ALIGNED_SIZED,	"free_aligned_sized")		\
	X(MMAP,			"mmap")				\
	X(MMAP64,		"mmap64")			\
	X(MUNMAP,		"munmap")			\
	X(MREMAP,		"mremap")			\
	X(BRK,			"brk")				\
	X(SBRK,			"sbrk")				\
	X(DLOPEN,		"dlopen")			\
	X(DLMOPEN,		"dlmopen")			\
	X(EXECVE,		"execve")			\
	X(EXECV,		"execv")			\
	X(EXECVP,		"execvp")			\
	X(EXECVPE,		"execvpe")			\
	X(EXECL,		"execl")			\
	X(EXECLE,		"execle")			\
	X(EXECLP,		"execlp")			\
	X(FEXECVE,		"fexecve")			\
	X(EXECVEAT,		"execveat")			\
	X(POSIX_SPAWN,		"posix_spawn")			\
	X(POSIX_SPAWNP,		"posix_spawnp")			\
	X(PIDFD_SPAWN,		"pidfd_spawn")			\
	X(PIDFD_SPAWNP,		"pidfd_spawnp")			\
	X(SYSTEM,		"system")			\
	X(POPEN,		"popen")			\
	X(CODE_DEALLOC,		"PyCode_Type.tp_dealloc")	\
	X(PY_MALLOC,		"PyMemAllocatorEx.malloc")	\
	X(PY_CALLOC,		"PyMemAllocatorEx.calloc")	\
	X(PY_REALLOC,		"PyMemAllocatorEx.realloc")	\
	X(PY_FREE,		"PyMemAllocatorEx.free")

enum wire_function {
#define X(name, symbol) WIRE_FN_##name,
	WIRE_FUNCTIONS(X)
#undef X
	WIRE_FN_COUNT,
};

static inline int wire_function_executes(unsigned fn)
{
	return fn >= WIRE_FN_EXECVE && fn <= WIRE_FN_POPEN;
}

static inline int wire_function_is_python(unsigned fn)
{
	return fn >= WIRE_FN_PY_MALLOC;
}

/* A function can have several originals in one process (RTLD_DEEPBIND, an allocator linked into a
 * library); each gets a thunk and a hook variant of its own. */
#define WIRE_VARIANTS 4

/* ---- records in a ring -----------------------------------------------------------------------
 * byte tag, then prefix varints. Per ring the decoder keeps: last time, last pointer, last
 * program counter, the native and the Python stack. A record never crosses the end of the ring:
 * WIRE_REC_PAD means "go on at the start".
 *
 * Event records: tag, time delta (TSC ticks since the previous event of this ring, zigzag), then
 *   allocation	pointer (zigzag delta to the last pointer of this ring, see WIRE_TAG_ALIGNED), size
 *   release	pointer
 *   realloc	is written as two events: WIRE_REC_REALLOC_FREE of the old block, stamped before the
 *		real call, then WIRE_REC_REALLOC stamped after it. mremap likewise.
 *   mmap	pointer, size; munmap: pointer, size
 * Stack records come before the event they belong to and have no time:
 *   NATIVE	keep (frames kept from the root), flags << 1 | more, count, then count program
 *		counters root to leaf, each a zigzag delta to the previous one of this ring
 *   PYTHON	keep, flags << 1 | more, count, then per frame: code id << 1 | entry, instruction
 *		offset in bytes from the first instruction + 1 (0: before the first). Code id 0 is
 *		a shim: the frame above it is the first of its C-level eval loop
 *   CODE	a Python code object, see below; has no order relation to anything
 * An event has the stacks that stand when it is decoded. */
enum wire_record {
	WIRE_REC_PAD = 0,
	WIRE_REC_NATIVE = 1,
	WIRE_REC_PYTHON = 2,
	WIRE_REC_CODE = 3,
	/* events: the numbers are those of the capture file (enum capture_kind) */
	WIRE_REC_MALLOC = 8,
	WIRE_REC_CALLOC,
	WIRE_REC_REALLOC,
	WIRE_REC_POSIX_MEMALIGN,
	WIRE_REC_ALIGNED_ALLOC,
	WIRE_REC_MEMALIGN,
	WIRE_REC_VALLOC,
	WIRE_REC_PVALLOC,
	WIRE_REC_MMAP,
	WIRE_REC_MREMAP,
	WIRE_REC_BRK,			/* sbrk/brk that grew the break: old break, bytes */
	WIRE_REC_PYMALLOC_MALLOC,	/* of a domain of CPython, whatever serves it */
	WIRE_REC_PYMALLOC_CALLOC,
	WIRE_REC_PYMALLOC_REALLOC,
	WIRE_REC_FREE = 24,
	WIRE_REC_REALLOC_FREE,
	WIRE_REC_MUNMAP,		/* pointer, size */
	WIRE_REC_MREMAP_UNMAP,		/* pointer, size */
	WIRE_REC_BRK_SHRINK,		/* new break, bytes */
	WIRE_REC_PYMALLOC_FREE,		/* also the old block of a realloc */
	WIRE_REC_LIMIT = 32,
};

#define WIRE_TAG_ALIGNED 0x80u	/* the pointer delta is a multiple of 16 and stored divided by it */
#define WIRE_TAG_MASK 0x7fu

enum wire_stack_flags {
	WIRE_STACK_TRUNCATED = 1 << 0,	/* the root is missing: no unwind rule, or too deep */
};

#define WIRE_RECORD_MAX 4096u		/* bytes of the longest record */
#define WIRE_FRAMES_PER_RECORD 256u
#define WIRE_NATIVE_DEPTH_MAX 16384u	/* frames; deeper stacks are truncated with the flag */
#define WIRE_PYTHON_DEPTH_MAX 16384u

/* CODE record: id varint, total payload length varint, offset varint, chunk length varint, bytes.
 * Long ones come in several chunks, in order, in one ring. Payload:
 *   first line varint, first traceable instruction offset varint (bytes),
 *   then three fields (file name, qualified name, line table): kind byte, length varint, bytes.
 * kind: PyUnicode kind 1, 2, 4 (bytes a character; 0: ASCII), or 255 for raw bytes. */

/* ---- unwind tables ------------------------------------------------------------------------- */
enum wire_cfa {
	WIRE_CFA_UNSUPPORTED = 0,	/* stop, truncated */
	WIRE_CFA_END,			/* return address undefined: the root */
	WIRE_CFA_RSP,			/* CFA = rsp + cfa_offset */
	WIRE_CFA_RBP,			/* CFA = rbp + cfa_offset */
	WIRE_CFA_RBP_DEREF,		/* CFA = *(rbp + cfa_offset): realigned stacks */
	WIRE_CFA_RSP_DEREF,		/* CFA = *(rsp + cfa_offset) */
	WIRE_CFA_PLT,			/* CFA = rsp + 8 + ((rip & 15) >= 11 ? 8 : 0) */
	WIRE_CFA_SIGNAL,		/* rsp points to a ucontext */
};

enum wire_rbp {
	WIRE_RBP_SAME = 0,
	WIRE_RBP_CFA,			/* saved at CFA + rbp_offset */
	WIRE_RBP_RBP,			/* saved at (this frame's rbp) + rbp_offset */
	WIRE_RBP_UNKNOWN,		/* lost: a later rule that needs it truncates */
	WIRE_RBP_FRAME,			/* saved at CFA + rbp_offset if this is a frame at all: only then
					 * does the return address lead into known code */
};

struct wire_rule {		/* the return address is always at CFA - 8 */
	int32_t cfa_offset;
	int32_t rbp_offset;
	uint8_t cfa;		/* enum wire_cfa */
	uint8_t rbp;		/* enum wire_rbp */
	uint16_t zero;
};
/* What holds in code that has no table and keeps frame pointers. */
#define WIRE_RULE_FRAME { .cfa = WIRE_CFA_RBP, .cfa_offset = 16, .rbp = WIRE_RBP_FRAME, .rbp_offset = -16 }

/* Rows of a module, ascending by pc; a row holds up to the next row's pc. */
struct wire_row {
	uint32_t pc;		/* module virtual address (pc - bias) */
	uint32_t rule;		/* index into the rule array of the unwind area */
};

enum wire_module_flags {
	WIRE_MODULE_FRAMES = 1 << 0,	/* no table: made while the process runs, by a compiler that
					 * keeps frame pointers */
	WIRE_MODULE_PUSHES = 1 << 1,	/* and pushes return addresses that follow no call */
};

struct wire_module {
	uint64_t start, end;	/* executable address range in the target */
	uint64_t bias;		/* address - bias = virtual address of the file */
	uint64_t rows_offset;	/* from the start of the shared memory */
	uint32_t row_count;	/* 0: no table, stacks are truncated here */
	uint32_t flags;		/* enum wire_module_flags */
	uint64_t ret_gadget;	/* address of a `ret` byte in the range, 0: none (for dlopen) */
};

/* ---- Python ---------------------------------------------------------------------------------
 * Offsets are bytes; WIRE_NO_FIELD where a version has none. Filled by the controller from its
 * table of versions; version 0 means: no Python frames. */
#define WIRE_NO_FIELD 0xffffu
#define WIRE_NO_SHIM 0xffu
#define WIRE_PYTHON_ALL_ENTRY 1u	/* every frame has an eval loop of its own (up to 3.10) */

struct wire_python {
	uint32_t version;		/* PY_VERSION_HEX >> 16, e.g. 0x030b; 0: none */
	uint32_t flags;			/* WIRE_PYTHON_ALL_ENTRY */
	uint64_t get_thread_state;	/* address of PyGILState_GetThisThreadState */
	uint64_t code_type;		/* address of PyCode_Type */
	uint16_t tstate_cframe;		/* pointer to the cframe, or WIRE_NO_FIELD */
	uint16_t tstate_frame;		/* current frame in the cframe, else in the thread state */
	uint16_t frame_code, frame_previous, frame_instr, frame_owner;
	uint16_t frame_is_entry;	/* byte; 3.11 only */
	uint16_t instr_scale;		/* 0: frame_instr is a pointer; else an int index, times this */
	uint16_t code_filename, code_name, code_qualname, code_firstlineno, code_linetable;
	uint16_t code_first_instr, code_firsttraceable;
	uint16_t object_type;		/* of ob_type in an object */
	uint16_t bytes_size, bytes_data;
	uint16_t str_length, str_state, str_ascii_data, str_compact_data;
	uint16_t frame_tag_mask;	/* low bits of frame_code to clear (3.14+) */
	uint16_t owner_shim;		/* owner value from which a frame is a shim, or WIRE_NO_SHIM */
	uint16_t str_kind_shift;	/* of the 3 kind bits in state; then compact, ascii */
	/* Free-threaded 3.14+: each thread may run its own copy of the instructions. The frame has
	 * an int32 index of it; the code object a pointer to { size; first instructions[] }. */
	uint16_t frame_tlbc, code_tlbc;
	/* Up to 3.11: _PyRuntime's list of interpreters (head, main), its current thread state, and
	 * the pthread_t in a thread state; for the threads of sub-interpreters. */
	uint16_t runtime_interpreters, runtime_current, tstate_thread;
	/* 3.11 and 3.12: the youngest chunk of the stack that frames lie in. Later ones keep a chunk
	 * for the next time when its first frame returns. */
	uint16_t tstate_chunk;
	uint16_t pad;
	uint64_t runtime;		/* address of _PyRuntime, 0: none of this is needed */
};

#define WIRE_PYTHON_DOMAINS 3u		/* allocator tables: raw, mem, obj */

/* Global table of Python code objects, so that each is described once. */
struct wire_code {
	uint64_t address;		/* T; 0: free */
	uint64_t fingerprint;		/* T */
	uint32_t id;			/* T; 1.., never reused; 0 while being described */
	uint32_t lock;			/* T */
};
#define WIRE_CODE_SLOTS 65536u
#define WIRE_CODE_UNKNOWN 0xffffffffu	/* code id when the table is full or the object unreadable */
#define WIRE_MODULE_COUNT_BITS 20

/* ---- slots -----------------------------------------------------------------------------------
 * Every pointer that was changed, for the way back; also after the controller was killed. */
enum wire_patch_state {
	WIRE_PATCH_WANTED = 1,	/* C */
	WIRE_PATCH_DONE,	/* T: holds the new value */
	WIRE_PATCH_MISSED,	/* T: held something else; left alone */
	WIRE_PATCH_RETRIED,	/* C: missed, wanted again by a later entry */
};

struct wire_patch {
	uint64_t slot;			/* address in the target */
	uint64_t old_value, new_value;	/* what goes back, what it is to hold */
	uint64_t expected;		/* what it holds before the change */
	uint64_t module_start;		/* lowest address of its module, to know it is still there */
	uint32_t protection;		/* PROT_* of the page before */
	uint32_t state;			/* enum wire_patch_state */
};

/* The way back: what memtrace_restore() puts back where `from` still stands. */
struct wire_restore_slot {
	uint64_t slot, from, to;
	uint64_t protection;		/* PROT_* of its page */
};
struct wire_restore {
	uint64_t count;
	struct wire_restore_slot slots[];
};

/* ---- thunk page ------------------------------------------------------------------------------
 * One private page, read and execute, that stays for ever: programs copy hooked pointers. Thunk i
 * stands at WIRE_THUNK_CODE + i * WIRE_THUNK_SIZE:
 *	endbr64; cmpb $0, armed(%rip); jne 1f; jmp *original(%rip); 1: jmp *hook(%rip)
 * The armed byte is the only word that changes while other threads run. Written by the controller
 * through /proc/PID/mem, so the page is never writable. */
#define WIRE_THUNK_MAGIC 0x316b6e756874746dull
#define WIRE_THUNK_MAX 52u		/* distinct (function, original) pairs */
#define WIRE_THUNK_CODE 0x400u		/* offset of the first thunk in the page */
#define WIRE_THUNK_SIZE 32u
#define WIRE_THUNK_END 0xf00u		/* offset of borrow_end_code, attach/borrow.h */

struct wire_thunk_page {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint8_t armed;			/* 0: to the originals */
	uint8_t zero[47];
	struct {
		uint64_t original, hook;
	} target[WIRE_THUNK_MAX];
	uint8_t function[WIRE_THUNK_MAX];	/* enum wire_function */
	uint8_t variant[WIRE_THUNK_MAX];
};

/* ---- ring ------------------------------------------------------------------------------------ */
enum wire_ring_state {
	WIRE_RING_FREE = 0,
	WIRE_RING_TAKING,		/* T: the owner's id is being written */
	WIRE_RING_OWNED,		/* T */
};

enum wire_busy {
	WIRE_IDLE = 0,
	WIRE_BUSY_WRITING,		/* nothing else is called meanwhile */
	WIRE_BUSY_CALLING,		/* the stamp is out and the original is running (realloc) */
};

struct wire_ring {
	/* T, hot */
	_Alignas(64) _Atomic uint64_t head;	/* bytes ever written, a multiple of nothing */
	_Atomic uint32_t busy;		/* enum wire_busy: from before a stamp to its publication */
	_Atomic uint32_t in_hook;	/* 1 while a hook's body has a frame on the thread's stack */
	_Atomic uint64_t produced;	/* events: written and dropped */
	_Atomic uint64_t dropped;
	_Atomic uint64_t waits;		/* times the ring was full */
	_Atomic uint64_t wait_ticks;
	_Atomic uint64_t nested;	/* events of signal handlers inside a hook: not recorded */
	_Atomic uint32_t state;		/* enum wire_ring_state; C sets FREE when the thread is dead */
	uint32_t tid;			/* T: thread id as the target sees it */
	_Atomic uint64_t name[2];	/* T: its name, as of one of its last events */
	_Atomic uint32_t loading;	/* dlopen hooks with a frame on the thread's stack */
	/* C */
	_Alignas(64) _Atomic uint64_t tail;	/* bytes consumed */
	_Atomic uint32_t full_wait;	/* futex: T waits here for room, C bumps it */
	uint32_t generation;		/* C: owners so far */
};

/* ---- family ----------------------------------------------------------------------------------
 * With --follow-fork one more page, shared with all descendants: the rest is not inherited. A forked
 * child finds at its first event that it is another process. It makes a memory file of its own,
 * puts down in a free entry who it is, and waits, not long, until a controller has laid the file
 * out and records from it. A thread that is about to execute a program, or to make a child that does
 * so at once, asks here, too, and waits until a controller watches it. A word of an entry holds the child's pid, as it sees itself, above the
 * state; every step is a compare and swap, so that who gives up is not missed. */
enum wire_join {
	WIRE_JOIN_FREE = 0,
	WIRE_JOIN_CLAIMED,		/* T: being filled */
	WIRE_JOIN_READY,		/* T */
	WIRE_JOIN_TAKEN,		/* C: being set up */
	WIRE_JOIN_ACCEPTED,		/* C: recorded from now on */
	WIRE_JOIN_REFUSED,		/* C */
};
enum wire_ask {			/* what is asked for */
	WIRE_ASK_CHANNEL = 0,	/* a forked child: to be recorded */
	WIRE_ASK_EXEC,		/* the program that this thread executes next, to be recorded */
	WIRE_ASK_SPAWN,		/* that which the next child of this thread executes */
};

#define WIRE_JOIN_BITS 3
#define WIRE_JOIN_STATE(word) ((word) & ((1u << WIRE_JOIN_BITS) - 1))
#define WIRE_JOIN_PID(word) ((word) >> WIRE_JOIN_BITS)
#define WIRE_JOIN_ENTRIES 64u
#define WIRE_FAMILY_SIZE 4096u
#define WIRE_FAMILY_MAGIC 0x31796c696d61666dull

struct wire_family {
	uint64_t magic;
	_Atomic uint32_t closed;	/* C, T: nobody answers: do not wait */
	_Atomic uint32_t beat;		/* C: goes up while somebody answers */
	_Atomic uint32_t wake;		/* T: goes up when an entry is ready */
	_Atomic uint32_t missed;	/* T: asked and found no entry, or got no answer */
	_Atomic uint32_t privileged;	/* T: set-user-id programs and the like: nobody was asked */
	struct {
		_Atomic uint32_t word;	/* futex: T waits for the answer */
		uint32_t what;		/* T: enum wire_ask */
		int32_t fd;		/* T: of its memory file, for a channel */
		uint32_t tid;		/* T: of the thread, as it sees itself */
		uint64_t base;		/* T: where it mapped the file */
	} entry[WIRE_JOIN_ENTRIES];
};

/* ---- header ---------------------------------------------------------------------------------- */
enum wire_option {
	WIRE_OPT_NATIVE = 1 << 0,	/* record native frames */
	WIRE_OPT_PYTHON = 1 << 1,	/* record Python frames */
	WIRE_OPT_DROP = 1 << 2,		/* a full ring drops instead of waiting */
	WIRE_OPT_NO_PROBE = 1 << 3,	/* the target has a seccomp filter: no unusual system calls */
};

struct wire_header {
	uint64_t magic;
	uint32_t version;
	uint32_t options;		/* enum wire_option */

	/* Robust futex: the controller's thread id while armed. 0 or FUTEX_OWNER_DIED set: every
	 * hook passes straight through. */
	_Alignas(64) _Atomic uint32_t mode;	/* C, at any time */
	_Atomic uint32_t module_generation;	/* C: bumped after the module list changed */
	_Atomic uint32_t patches_wanted;	/* C: entries of the patch list to be applied */
	_Atomic uint32_t patches_applied;	/* T */
	_Atomic uint32_t patch_lock;		/* T */
	/* C: the module list that holds, offset << 20 | count: struct wire_module[count],
	 * ascending by start. One word, so that it cannot be seen half changed; a list is not
	 * overwritten before many later ones were published. */
	_Atomic uint64_t module_list;

	_Alignas(64) _Atomic uint32_t wake;	/* futex the controller sleeps on; T bumps */
	_Atomic uint32_t asleep;		/* C: 1 while the controller sleeps on it */
	_Atomic uint32_t loads_requested;	/* T: dlopen returned so many times */
	_Atomic uint32_t loads_done;		/* C: seen so many, futex T waits on */
	_Atomic uint32_t loads_in_vain;		/* T: of them, waited for in vain */
	_Atomic uint32_t ring_hint;	/* T, C: where to look for a free ring */
	_Atomic uint32_t ring_high;	/* T: rings below it were in use at some time */
	_Atomic uint32_t ring_owners;	/* T: goes up before a ring is seen as owned by another thread */
	_Atomic uint32_t code_next_id;		/* T */
	_Atomic uint64_t unringed;		/* T: events of threads that got no ring */
	_Atomic uint64_t unknown_pc;		/* T: last pc found in no module, 0: none */
	_Atomic uint64_t drained;	/* C: goes up while it drains */
	_Atomic uint32_t stop_request;		/* other controller: `memtrace detach` sets 1 */

	/* C, before arming */
	_Alignas(64) uint64_t file_size;
	uint64_t base;			/* where the target mapped this file */
	uint64_t tracer_base, tracer_end;	/* the tracer's load range in the target */
	uint64_t tracer_handle;		/* what dlopen returned, 0: mapped without it */
	uint64_t thunk_page;		/* address in the target */
	int32_t controller_pid;		/* as the controller sees itself */
	int32_t target_pid;		/* as the target sees itself */
	uint64_t controller_start;	/* start time of the controller, /proc/PID/stat field 22 */
	uint64_t patches_offset;
	uint32_t patch_capacity;
	uint32_t ring_count;		/* a power of two */
	uint64_t rings_offset;		/* struct wire_ring[ring_count] */
	uint64_t ring_data_offset;	/* ring i at + i * ring_size */
	uint64_t ring_size;		/* power of two */
	uint64_t code_offset;		/* struct wire_code[WIRE_CODE_SLOTS] */
	uint64_t unwind_offset, unwind_size;	/* rules, rows and module lists */
	uint64_t rules_offset;		/* struct wire_rule[] */
	uint64_t call_stack_offset, call_stack_size;	/* stack of the borrowed thread */
	uint32_t tid_offset;		/* of a thread's id in its control block, 0: unknown */
	/* 0: every block is recorded; else one every so many bytes, on average. Mappings always are. */
	uint64_t sample_rate;
	uint64_t sample_offset;		/* T: filter, then buckets of live samples; zero at first */
	uint64_t main_stack_end;	/* highest address of the main thread's stack, 0: unknown */
	uint64_t python_tables[WIRE_PYTHON_DOMAINS];	/* watched at each mmap; 0: none */
	uint64_t family;		/* address of struct wire_family in the target, 0: none */
	uint64_t environment;		/* address of the C library's `environ`, 0: unknown */
	struct wire_python python;
	uint64_t original[WIRE_FN_COUNT][WIRE_VARIANTS];
};

#define WIRE_OWNER_DIED 0x40000000u

#define WIRE_SAMPLE_FILTER 32768u	/* counters of a byte */
#define WIRE_SAMPLE_BUCKETS 32768u	/* of WIRE_SAMPLE_WAYS addresses, 0: free; one cache line */
#define WIRE_SAMPLE_WAYS 8u
#define WIRE_SAMPLE_SIZE (WIRE_SAMPLE_FILTER + WIRE_SAMPLE_BUCKETS * WIRE_SAMPLE_WAYS * 8u)

/* ---- entry points of the tracer, called on a borrowed thread ------------------------------------
 * They return 0 or a negative errno.
 *   memtrace_start(header)		maps what it needs, takes the configuration, applies the patches
 *   memtrace_apply_patches()		applies those that are wanted since
 *   memtrace_restore(_, _, list)	puts slots back; a callback for dl_iterate_phdr, so it answers 1
 *   memtrace_stop()			gives back its own memory; the hooks must be out of use */
#define WIRE_SYMBOL_START "memtrace_start"
#define WIRE_SYMBOL_APPLY "memtrace_apply"
#define WIRE_SYMBOL_RESTORE "memtrace_restore"
#define WIRE_SYMBOL_STOP "memtrace_stop"
#define WIRE_SYMBOL_HOOKS "memtrace_hooks"	/* void *[WIRE_FN_COUNT][WIRE_VARIANTS] */

_Static_assert(sizeof(struct wire_family) <= WIRE_FAMILY_SIZE, "the family is one page");
_Static_assert(sizeof(struct wire_rule) == 12, "rule layout");
_Static_assert(sizeof(struct wire_row) == 8, "row layout");
_Static_assert(sizeof(struct wire_thunk_page) <= WIRE_THUNK_CODE, "thunk data runs into the code");
_Static_assert(WIRE_THUNK_CODE + WIRE_THUNK_MAX * WIRE_THUNK_SIZE <= WIRE_THUNK_END, "thunk page");

#endif
