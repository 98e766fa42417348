/* SPDX-License-Identifier: Apache-2.0 */
/* capture/format.h - the capture file, version 2.
 *
 * header (64 bytes, fixed) | block | block | ... | index block | end mark (24 bytes, fixed)
 *
 * A block stands alone: fixed head with a checksum over head and stored bytes, payload compressed
 * with zstd. A file that was cut (killed controller, full disk) has no index and no end mark; the
 * reader then walks the blocks from the start and keeps all that are whole. Numbers in fixed
 * structures are little endian; payloads are prefix varints (base/varint.h) unless said otherwise.
 * memtrace-capture(5) is the same for people. */
#ifndef MT_CAPTURE_FORMAT_H
#define MT_CAPTURE_FORMAT_H

#include <stdint.h>

#define CAPTURE_MAGIC "memtrace"
#define CAPTURE_VERSION 2u
#define CAPTURE_MIN_READER 2u	/* oldest reader version that understands what is written now */

enum capture_feature {		/* bits a reader must know are in the low half */
	CAPTURE_FEATURE_NATIVE = 1 << 0,
	CAPTURE_FEATURE_PYTHON = 1 << 1,
	CAPTURE_FEATURE_SYMBOLS = 1 << 2,
	CAPTURE_FEATURE_SAMPLED = 1 << 3,	/* numbers are wrong without the weights */
	CAPTURE_FEATURE_PYMALLOC = 1 << 4,	/* has events of Python's own allocators */
	CAPTURE_FEATURE_AGGREGATED = 1 << 5,	/* has no events: sums of them, see ROWS below */
};

struct capture_file_header {
	char magic[8];
	uint16_t version;
	uint16_t min_reader;
	uint32_t features;
	uint8_t byte_order;	/* 1: little endian */
	uint8_t pointer_size;
	uint16_t machine;	/* ELF e_machine */
	uint32_t zero;
	uint8_t reserved[24];
	uint64_t page_size;
	uint64_t checksum;	/* XXH3 of the 56 bytes before */
};

enum capture_block_type {
	CAPTURE_BLOCK_META = 1,		/* key/value pairs; a later block overrides keys */
	CAPTURE_BLOCK_MODULES,
	CAPTURE_BLOCK_EVENTS,		/* version 1: records in order */
	CAPTURE_BLOCK_CODE,		/* Python code objects */
	CAPTURE_BLOCK_THREADS,
	CAPTURE_BLOCK_SAMPLES,		/* memory samples and clock pairs */
	CAPTURE_BLOCK_COUNTERS,		/* conservation: last block of a whole capture */
	CAPTURE_BLOCK_SYMBOLS,		/* after `memtrace symbolize` */
	CAPTURE_BLOCK_INDEX,
	CAPTURE_BLOCK_COLUMNS,		/* frames, nodes, stacks, and events by columns */
	CAPTURE_BLOCK_JIT,		/* names of code that the process compiled while it ran */
	CAPTURE_BLOCK_ROWS,		/* of an aggregated capture: sums of stacks that changed */
	CAPTURE_BLOCK_LIVES,		/* what was live when */
	CAPTURE_BLOCK_TOTALS,		/* the blocks of both before it are whole */
};

#define CAPTURE_BLOCK_MAGIC 0x4b4c424du	/* "MBLK" */

struct capture_block_head {
	uint32_t magic;
	uint8_t type;		/* enum capture_block_type */
	uint8_t compression;	/* 0: stored, 1: zstd */
	uint16_t zero;
	uint32_t stored_size;	/* bytes after this head */
	uint32_t raw_size;
	uint64_t sequence;	/* 0, 1, ... */
	uint64_t checksum;	/* XXH3 of the head with this field 0, seeded into that of the bytes */
};

#define CAPTURE_BLOCK_RAW_MAX (64u << 20)	/* larger sizes are damage */

struct capture_end {		/* the last bytes of a whole file */
	char magic[8];		/* "mtindex1" */
	uint64_t index_offset;	/* of the index block's head */
	uint64_t checksum;	/* XXH3 of the 16 bytes before */
};

/* INDEX payload: count, then per block: type, offset delta, raw size. */

/* META payload: count, then pairs of (length, bytes) strings. Keys: */
#define CAPTURE_META_COMMAND	"command_line"	/* arguments separated by NUL */
#define CAPTURE_META_PID	"pid"
#define CAPTURE_META_EXE	"executable"
#define CAPTURE_META_HOST	"hostname"
#define CAPTURE_META_KERNEL	"kernel"
#define CAPTURE_META_START	"start_time_ns"	/* CLOCK_REALTIME, decimal */
#define CAPTURE_META_END	"end_time_ns"
#define CAPTURE_META_LIBC	"libc"		/* "glibc 2.36" */
#define CAPTURE_META_ALLOCATOR	"allocator"	/* file that defines malloc */
#define CAPTURE_META_PYTHON	"python_version"	/* "3.11", absent: none */
#define CAPTURE_META_PYTHON_ALLOCATOR "python_allocator"
#define CAPTURE_META_PYTHON_EVAL "python_eval"	/* "start-end,..." hex addresses of eval loops */
#define CAPTURE_META_OPTIONS	"options"	/* "native,python" */
#define CAPTURE_META_SAMPLE	"sample_bytes"	/* absent: every block; else a sample of blocks, one
						 * every so many bytes: see analysis/weight.h */
#define CAPTURE_META_MODE	"mode"		/* "attach" or "run" */
#define CAPTURE_META_TOOL	"memtrace_version"
#define CAPTURE_META_TSC_HZ	"ticks_per_second"	/* decimal, of event times */
#define CAPTURE_META_START_TICKS "start_ticks"
#define CAPTURE_META_END_REASON	"end_reason"	/* "duration", "exit", "interrupt", "detach", ... */
#define CAPTURE_META_MAIN_TID	"main_thread_id"
#define CAPTURE_META_NOTE	"note"		/* what the reader of a report should know */

/* MODULES payload: count, then per module: id (0, 1, ...), load ticks, unload ticks (0: none),
 * start, end, bias, path (length, bytes), build-id (length, bytes), segment count, then per
 * segment: vaddr, memory size, file offset, flags (PF_*). A module seen again overrides. */

/* COLUMNS payload: first frame id, first node id, first stack id (what the next new ones of this
 * block get, so that a lost block shifts nothing), base time, shift, event count, bytes of tables,
 * thread count, the thread indexes, then the bytes of each column below but the tags (threads: only
 * when there is more than one). Then the tables: records FRAME_NATIVE to STACK as below. Then the
 * columns, a byte or varint each:
 *   tag	one an event: the number of enum wire_record, WIRE_TAG_ALIGNED
 *   thread	one an event: place in the block's list
 *   time	one an event: difference to the event before (the first: to the base), in units of
 *		2^shift ticks, as the base is
 *   pointer	one an event: zigzag difference to the last one of this thread in this block (see
 *		WIRE_TAG_ALIGNED), at first to 0
 *   size	one an allocation, MUNMAP, MREMAP_UNMAP and BRK_SHRINK
 *   stack	one an allocation: stack id
 *
 * EVENTS payload, written by version 1. Prologue: first frame id, first node id, first stack id (what the next new ones
 * of this block get, so that a lost block shifts nothing), base ticks, event count. Then records:
 * byte tag, varints. Ids start at 1; node 0 is the empty stack. */
enum capture_record {
	CAPTURE_REC_FRAME_NATIVE = 1,	/* module id + 1 (0: none), address: pc - bias. The address
					 * is inside the call instruction, not after it */
	CAPTURE_REC_FRAME_PYTHON,	/* code id << 1 | entry, instruction offset + 1 */
	CAPTURE_REC_NODE,		/* parent node, frame id */
	CAPTURE_REC_STACK,		/* native node, Python node, flags (enum wire_stack_flags of
					 * native << 0, of Python << 4) */
	CAPTURE_REC_THREAD,		/* thread index of the events that follow; 0 at block start */
	/* 8..31: an event, the tag is enum wire_record: tick delta to the previous event of the
	 * block, pointer (zigzag delta to the previous pointer of the block, see
	 * WIRE_TAG_ALIGNED); allocations: size, stack id (zigzag delta to the previous one);
	 * MUNMAP, MREMAP_UNMAP, BRK_SHRINK: size */
};

/* CODE payload: count, then per object: id, first line, first traceable offset, file name
 * (length, UTF-8 bytes), qualified name, line table (bytes of the interpreter's own encoding).
 *
 * THREADS payload: count, then per entry: thread index, tid, ticks, name. A later entry of the
 * same index is a renaming.
 *
 * SAMPLES payload: count, then per sample: ticks, CLOCK_MONOTONIC ns, CLOCK_REALTIME ns, RSS
 * bytes, anonymous RSS, file RSS, shmem RSS, swap bytes.
 *
 * COUNTERS payload: count, then pairs of (length, bytes) name and value. Names: */
#define CAPTURE_COUNTER_PRODUCED "produced"
#define CAPTURE_COUNTER_WRITTEN	 "written"
#define CAPTURE_COUNTER_DROPPED	 "dropped"
#define CAPTURE_COUNTER_NESTED	 "nested"
#define CAPTURE_COUNTER_WAITS	 "waits"
#define CAPTURE_COUNTER_WAIT_TICKS "wait_ticks"
#define CAPTURE_COUNTER_LATE_LOADS "late_loads"

/* An aggregated capture has COLUMNS blocks without events and, every second or so in which something
 * happened, any number of ROWS blocks, sometimes a LIVES block, and a TOTALS block. What follows the last TOTALS block
 * does not count. All three consist of tables of numbers: columns, rows, then column by column a
 * varint for each row; of the first column zigzag differences. A reader takes the columns that it
 * knows and that are there. Values are absolute: a row or LIVES block overrides the ones before, so
 * that a lost block spoils nothing that comes again.
 *
 * ROWS: one table, enum capture_row_column. A row is what one thread allocated with one function
 * from one stack.
 *
 * LIVES: a table of one row, enum capture_lives_column; memory over time (enum
 * capture_point_column); the instants (enum capture_instant_column), of each the highest moment of
 * one slot of time; the entries (enum capture_life_column): bytes and blocks of a row that were first
 * seen live at one instant and first seen gone at another (analysis/temporal.h). Numbers of instants
 * that do not exist yet mean after the last one.
 *
 * TOTALS: a table of one row, enum capture_total_column; per kind of event (enum capture_kind_column);
 * allocations by bit width of the size (enum capture_class_column). */
enum capture_row_column {
	CAPTURE_ROW_ID,			/* 0, 1, ... */
	CAPTURE_ROW_STACK,
	CAPTURE_ROW_THREAD,		/* index; 0: of the threads after the first few thousand */
	CAPTURE_ROW_KIND,		/* enum wire_record */
	CAPTURE_ROW_ALLOCATED_BYTES,
	CAPTURE_ROW_ALLOCATED_COUNT,
	CAPTURE_ROW_TEMPORARY_BYTES,	/* released before the second further allocation of the thread */
	CAPTURE_ROW_TEMPORARY_COUNT,
	CAPTURE_ROW_LIVE_BYTES,
	CAPTURE_ROW_LIVE_COUNT,
	CAPTURE_ROW_PEAK_BYTES,		/* when the number of maxima was PEAK_EPOCH; when it is ... */
	CAPTURE_ROW_PEAK_COUNT,
	CAPTURE_ROW_PEAK_EPOCH,		/* ... higher by now, the live ones were live at the peak */
	CAPTURE_ROW_RELEASED,		/* blocks */
	CAPTURE_ROW_LIVED_MS,		/* lives of released blocks, added up */
	CAPTURE_ROW_LONGEST_MS,		/* the longest of them */
	CAPTURE_ROW_COLUMNS,
};

enum capture_lives_column { CAPTURE_LIVES_SLOT_MS, CAPTURE_LIVES_START_TICKS, CAPTURE_LIVES_COLUMNS };
enum capture_point_column { CAPTURE_POINT_TICKS, CAPTURE_POINT_HEAP, CAPTURE_POINT_COLUMNS };
enum capture_instant_column {
	CAPTURE_INSTANT_TICKS,
	CAPTURE_INSTANT_HEAP,
	CAPTURE_INSTANT_SLOT,
	CAPTURE_INSTANT_COLUMNS,
};

enum capture_life_column {
	CAPTURE_LIFE_ROW,
	CAPTURE_LIFE_BORN,
	CAPTURE_LIFE_GONE,		/* CAPTURE_LIFE_NEVER: still live */
	CAPTURE_LIFE_BYTES,
	CAPTURE_LIFE_COUNT,
	CAPTURE_LIFE_COLUMNS,
};

#define CAPTURE_LIFE_NEVER 511u

enum capture_total_column {
	CAPTURE_TOTAL_ROWS,		/* 1 + the highest row id */
	CAPTURE_TOTAL_EVENTS,
	CAPTURE_TOTAL_ALLOCATIONS,
	CAPTURE_TOTAL_RELEASES,
	CAPTURE_TOTAL_UNKNOWN_RELEASES,	/* of blocks from before the capture */
	CAPTURE_TOTAL_FIRST_TICKS,
	CAPTURE_TOTAL_LAST_TICKS,
	CAPTURE_TOTAL_PEAK_TICKS,
	CAPTURE_TOTAL_PEAK_EPOCH,
	CAPTURE_TOTAL_HEAP,		/* live bytes */
	CAPTURE_TOTAL_MIN_SIZE,
	CAPTURE_TOTAL_MAX_SIZE,
	CAPTURE_TOTAL_COLUMNS,
};

enum capture_kind_column {
	CAPTURE_KIND_KIND,
	CAPTURE_KIND_COUNT,
	CAPTURE_KIND_BYTES,
	CAPTURE_KIND_COLUMNS,
};

enum capture_class_column { CAPTURE_CLASS_WIDTH, CAPTURE_CLASS_COUNT, CAPTURE_CLASS_COLUMNS };

/* JIT payload: count, then per address of a native frame without a module: address, flags (enum
 * capture_jit_flags), name (length, bytes) as the runtime's perf map or jitdump has it.
 *
 * SYMBOLS payload: string count, strings (length, bytes); then module notes: count, per module:
 * module id, status (enum capture_symbol_status), path used (string); then locations: count, per
 * native frame id: frame id, line count (innermost inline first), per line: function, file
 * (strings; 0: none), line number (0: none). String 0 is empty. */
enum capture_jit_flags {
	CAPTURE_JIT_CHANGED = 1 << 0,	/* the code there became another function during the capture */
};

enum capture_symbol_status {
	CAPTURE_SYMBOLS_NONE,		/* no file, no symbols */
	CAPTURE_SYMBOLS_TABLE,		/* symbol table only */
	CAPTURE_SYMBOLS_DWARF,
	CAPTURE_SYMBOLS_MISMATCH,	/* a file was there, of another build: not used */
	CAPTURE_SYMBOLS_DAMAGED,	/* parts of its symbols or debug information cannot be read */
};

_Static_assert(sizeof(struct capture_file_header) == 64, "file header layout");
_Static_assert(sizeof(struct capture_block_head) == 32, "block head layout");
_Static_assert(sizeof(struct capture_end) == 24, "end mark layout");

#endif
