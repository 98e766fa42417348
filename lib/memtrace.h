/* SPDX-License-Identifier: Apache-2.0 */
/* lib/memtrace.h - read captures of memtrace from a program: libmemtrace.so.
 *
 *	struct memtrace_reader *r;
 *	struct memtrace_error *err = memtrace_reader_open("app.bin", &r);
 *	memtrace_reader_records(r, MEMTRACE_PEAK, 0, 1, &records, &count);
 *	memtrace_reader_stack(r, records[0].stack, MEMTRACE_STACK_HYBRID, &frames, &depth);
 *	memtrace_free(records);
 *	memtrace_reader_close(r);
 *
 * What can fail returns NULL for success, else an error that the caller ends with
 * memtrace_error_free(); outputs are then untouched. Strings and frames are borrowed from the reader:
 * strings until memtrace_reader_close(), frames until the next memtrace_reader_stack(). A damaged or
 * cut capture opens as long as its header is whole; memtrace_reader_damage() says what is missing.
 * A reader is for one thread at a time; different readers are independent.
 *
 * The ABI is stable: what this header declares keeps its layout and meaning as long as the soname
 * stays libmemtrace.so.1; new functions come under new symbol versions. libmemtrace(3) is the same
 * for people. */
#ifndef MEMTRACE_H
#define MEMTRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct memtrace_error;
struct memtrace_reader;
struct memtrace_events;

/* ---- errors ---- */

enum memtrace_error_code {
	MEMTRACE_ERROR_OTHER = 0,
	MEMTRACE_ERROR_OS = 1,		/* memtrace_error_errno() says which */
	MEMTRACE_ERROR_NO_MEMORY = 2,
	MEMTRACE_ERROR_CORRUPT = 3,	/* the file is no capture, or damaged */
};

int memtrace_error_code(const struct memtrace_error *err);
int memtrace_error_errno(const struct memtrace_error *err);	/* 0: none */
const char *memtrace_error_message(const struct memtrace_error *err);
const char *memtrace_error_hint(const struct memtrace_error *err);	/* NULL: none */
void memtrace_error_free(struct memtrace_error *err);		/* NULL is accepted */

/* ---- a capture ---- */

/* The version of memtrace this library is of: "0.1.0". */
const char *memtrace_version(void);

struct memtrace_error *memtrace_reader_open(const char *path, struct memtrace_reader **ret);
void memtrace_reader_close(struct memtrace_reader *r);		/* NULL is accepted */

/* NULL for a whole file; else one line for people. Reading the events may find more. */
const char *memtrace_reader_damage(struct memtrace_reader *r);
/* A value of the capture's metadata by its key (memtrace-capture(5): "command_line", "pid", ...), NULL:
 * not there. A NUL follows that *size_ret (may be NULL) does not count. */
const char *memtrace_reader_meta(struct memtrace_reader *r, const char *key, size_t *size_ret);
/* A counter by its name ("produced", "written", "dropped"); 0: the capture has none, as one that
 * was cut. */
int memtrace_reader_counter(struct memtrace_reader *r, const char *name, uint64_t *ret);
/* The last name of a thread, "" when it is not known; its thread id in *tid_ret (may be NULL). */
const char *memtrace_reader_thread(struct memtrace_reader *r, uint32_t thread, uint32_t *tid_ret);

enum memtrace_feature {
	MEMTRACE_NATIVE = 1 << 0,	/* native stacks were recorded */
	MEMTRACE_PYTHON = 1 << 1,	/* Python stacks were */
	MEMTRACE_SYMBOLS = 1 << 2,	/* names are in the file: `memtrace symbolize` */
	MEMTRACE_SAMPLED = 1 << 3,	/* of a sample of blocks: figures are estimates */
	MEMTRACE_PYMALLOC = 1 << 4,	/* has what Python asked of its own allocators */
	MEMTRACE_AGGREGATED = 1 << 5,	/* has sums of events by stack, not the events */
};
uint32_t memtrace_reader_features(struct memtrace_reader *r);

struct memtrace_totals {
	uint64_t allocations, releases;		/* events; of a sample: estimated */
	uint64_t allocated_bytes;
	uint64_t peak_bytes, peak_count;
	uint64_t leaked_bytes, leaked_count;	/* live at the end */
	uint64_t start_ns, end_ns;		/* since 1970; 0: not known */
	uint64_t peak_ns;			/* since the start */
	uint64_t frames;			/* different ones */
};
/* Reads all events, once for a reader. */
struct memtrace_error *memtrace_reader_totals(struct memtrace_reader *r,
					      struct memtrace_totals *ret);

/* ---- allocators ---- */

enum memtrace_allocator {	/* the numbers are those of the capture file */
	MEMTRACE_MALLOC = 8,
	MEMTRACE_CALLOC = 9,
	MEMTRACE_REALLOC = 10,
	MEMTRACE_POSIX_MEMALIGN = 11,
	MEMTRACE_ALIGNED_ALLOC = 12,
	MEMTRACE_MEMALIGN = 13,
	MEMTRACE_VALLOC = 14,
	MEMTRACE_PVALLOC = 15,
	MEMTRACE_MMAP = 16,
	MEMTRACE_MREMAP = 17,
	MEMTRACE_BRK = 18,
	/* what Python asked of its own allocators: */
	MEMTRACE_PYMALLOC_MALLOC = 19,
	MEMTRACE_PYMALLOC_CALLOC = 20,
	MEMTRACE_PYMALLOC_REALLOC = 21,
	/* releases, of events only: */
	MEMTRACE_FREE = 24,
	MEMTRACE_REALLOC_FREE = 25,	/* the old block of a realloc */
	MEMTRACE_MUNMAP = 26,
	MEMTRACE_MREMAP_UNMAP = 27,	/* the old place of a mremap */
	MEMTRACE_BRK_SHRINK = 28,
	MEMTRACE_PYMALLOC_FREE = 29,
};

/* "malloc", "mmap", ...; "unknown" for a number that is none of these. */
const char *memtrace_allocator_name(uint32_t allocator);

/* ---- what was allocated, stack by stack ---- */

enum memtrace_view {
	MEMTRACE_PEAK = 0,	/* live at the last moment of most live bytes */
	MEMTRACE_LEAKS = 1,	/* live at the end */
	MEMTRACE_ALLOCATED = 2,	/* all allocations */
	MEMTRACE_TEMPORARY = 3,	/* released before `threshold` + 1 further allocations of the thread */
};

enum memtrace_flag {
	MEMTRACE_SPLIT_THREADS = 1 << 0,
};

struct memtrace_record {	/* all blocks of one stack and allocator (and thread) in a view */
	uint32_t stack;
	uint32_t thread;	/* 0 unless MEMTRACE_SPLIT_THREADS */
	uint32_t allocator;	/* enum memtrace_allocator */
	uint32_t reserved;
	uint64_t bytes, count;
};

/* Stacks that differ only in the instruction within a line of Python are one, under one of their
 * numbers. The caller ends *ret with memtrace_free(). One pass over the events serves all views of the same flags
 * and threshold. Temporary blocks of a sampled capture are an error. */
struct memtrace_error *memtrace_reader_records(struct memtrace_reader *r, uint32_t view,
					       uint32_t flags, uint32_t threshold,
					       struct memtrace_record **ret, size_t *count_ret);

/* ---- memory over time ---- */

struct memtrace_snapshot {
	uint64_t time_ns;	/* since 1970 */
	uint64_t rss, heap;	/* bytes: resident (0: not known), live blocks */
};
/* In order of time, at most about 10,000. The caller ends *ret with memtrace_free(). */
struct memtrace_error *memtrace_reader_snapshots(struct memtrace_reader *r,
						 struct memtrace_snapshot **ret, size_t *count_ret);

#define MEMTRACE_NEVER 0xffffffffu

struct memtrace_lifetime {	/* blocks of one stack and allocator (and thread) that lived as long */
	uint32_t stack, thread, allocator;
	uint32_t born, gone;	/* the first instant they were live at, the first they were gone at;
				 * MEMTRACE_NEVER: live at the end; the number of instants: after
				 * the last one */
	uint32_t reserved;
	uint64_t bytes, count;
};
/* What was live when. The capture is cut into at most 256 slots of time; the instant of a slot is the
 * last moment its live bytes were highest, so that what is live at instant i (born <= i < gone) is the
 * peak of that slot, and the highest instant is that of MEMTRACE_PEAK. Blocks that no instant met are
 * left out. In no order; flags as for memtrace_reader_records(). The caller ends *ret and *instants_ret with
 * memtrace_free(). */
struct memtrace_error *memtrace_reader_lifetimes(struct memtrace_reader *r, uint32_t flags,
						 struct memtrace_lifetime **ret, size_t *count_ret,
						 struct memtrace_snapshot **instants_ret,
						 size_t *instant_count_ret);

/* ---- stacks ---- */

enum memtrace_stack {
	MEMTRACE_STACK_HYBRID = 0,	/* Python frames where their eval loops ran */
	MEMTRACE_STACK_PYTHON = 1,	/* Python frames alone */
	MEMTRACE_STACK_NATIVE = 2,	/* native frames alone, those of the interpreter too */
};

enum memtrace_frame_flag {
	MEMTRACE_FRAME_PYTHON = 1 << 0,
	MEMTRACE_FRAME_MARK = 1 << 1,		/* no frame: "<truncated>" */
	MEMTRACE_FRAME_INLINED = 1 << 2,
	MEMTRACE_FRAME_INTERPRETER = 1 << 3,	/* CPython's own machinery */
	MEMTRACE_FRAME_IMPORT = 1 << 4,		/* the import system */
};

struct memtrace_frame {		/* strings are never NULL */
	const char *function;	/* "0x1234" when there is no name */
	const char *file;	/* source file, "" when not known */
	const char *module;	/* base name of the native module, "" for Python */
	uint32_t line;		/* 0: not known */
	uint32_t flags;		/* enum memtrace_frame_flag */
};

/* Frames from root to leaf; the allocation function is not among them. Native names come from the
 * capture, else from the files on this machine, by build-id; nothing is fetched from a network. */
struct memtrace_error *memtrace_reader_stack(struct memtrace_reader *r, uint32_t stack, uint32_t kind,
					     const struct memtrace_frame **ret, size_t *count_ret);

/* ---- every event: not of an aggregated capture ---- */

struct memtrace_event {
	uint64_t time_ns;	/* since the start of the capture */
	uint64_t address, size;	/* size 0: not known, as for free() */
	uint32_t stack;		/* 0 for releases */
	uint32_t thread;
	uint32_t allocator;	/* enum memtrace_allocator */
	uint32_t reserved;
};

struct memtrace_error *memtrace_events_begin(struct memtrace_reader *r,
					     struct memtrace_events **ret);
/* The next events in order, *count_ret 0: no more. Borrowed until the next call; `e` ends before the
 * reader does. */
struct memtrace_error *memtrace_events_next(struct memtrace_events *e,
					    const struct memtrace_event **ret, size_t *count_ret);
void memtrace_events_end(struct memtrace_events *e);		/* NULL is accepted */

/* ---- objects of a live interpreter: Python's PyRefTracer_SetTracer() ---- */

struct memtrace_objects;

enum memtrace_object_event {	/* as PyRefTracerEvent; others are passed over */
	MEMTRACE_OBJECT_CREATED = 0,
	MEMTRACE_OBJECT_FREED = 1,
};

struct memtrace_objects *memtrace_objects_create(void);		/* NULL: no memory */
void memtrace_objects_free(struct memtrace_objects *o);		/* NULL is accepted */
/* A PyRefTracer whose data is a struct memtrace_objects. Always 0. */
int memtrace_objects_note(void *object, int event, void *objects);
/* From here on none is added; those that are freed are still taken out. */
void memtrace_objects_pause(struct memtrace_objects *o);
/* Those that live, in no order; pauses, too. hold() is called with each and must keep it alive without
 * creating or freeing any (Py_IncRef). The caller ends the list with memtrace_free() before, and what
 * holds the objects after, noting has ended. MEMTRACE_ERROR_NO_MEMORY also when one could not be noted. */
struct memtrace_error *memtrace_objects_take(struct memtrace_objects *o, void (*hold)(void *), void ***ret,
					     size_t *count_ret);

/* Ends what a function above says the caller ends. NULL is accepted. */
void memtrace_free(void *memory);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
