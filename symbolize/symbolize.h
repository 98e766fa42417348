/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/symbolize.h - from program counters and code objects to functions, files and lines.
 *
 *	symbolizer_create(cap, &options, &s)
 *	symbolizer_resolve(s, ...)		native frames, from the files by build-id (libdw)
 *	symbolizer_stack(s, stack id, ...)	merged native and Python frames, root to leaf
 *	symbolizer_destroy(s)
 *
 * A capture that carries symbols (after `memtrace symbolize`) needs no files. Never sees a pid.
 * A file whose build-id differs from the captured one is refused with a note. */
#ifndef MT_SYMBOLIZE_SYMBOLIZE_H
#define MT_SYMBOLIZE_SYMBOLIZE_H

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/reader.h"

struct symbolizer;

struct symbolize_options {
	const char *const *debug_dirs;	/* NULL-terminated, or NULL */
	const char *sysroot;		/* NULL: "/" */
	/* A module's own file as somebody else can open it, asked first; -1: not. May be NULL. */
	int (*open_module)(const struct capture_module *m, void *arg);
	void *open_arg;
	bool no_debuginfod;
	bool no_native;			/* leave native frames out of merged stacks */
	bool again;			/* look up anew although the capture carries symbols */
};

enum frame_kind {
	FRAME_NATIVE,
	FRAME_PYTHON,
	FRAME_MARK,			/* "<truncated>", "<unknown>" */
};

enum frame_flags {
	FRAME_INLINED = 1 << 0,
	FRAME_INTERPRETER = 1 << 1,	/* CPython's own call and eval machinery */
	FRAME_IMPORT = 1 << 2,		/* the import system */
};

struct symbol_frame {			/* all strings borrowed from the symbolizer, never NULL */
	const char *function;		/* "malloc_hook_demo(int)", "Class.method", "0x1234" */
	const char *file;		/* source file, "" when unknown */
	const char *module;		/* base name of the native module, "" for Python */
	uint32_t line;			/* 0: unknown */
	uint8_t kind;			/* enum frame_kind */
	uint8_t flags;			/* enum frame_flags */
};

struct mt_error *symbolizer_create(struct capture *cap, const struct symbolize_options *options,
				   struct symbolizer **ret) MT_MUST_CHECK;
void symbolizer_destroy(struct symbolizer *s);
MT_DEFINE_CLEANUP(symbolizer, struct symbolizer *, symbolizer_destroy)
#define auto_symbolizer mt_auto(mt_cleanup_symbolizer)

/* Looks up every native frame of the capture. progress (may be NULL) gets 0..1. Missing or
 * mismatched files are notes, not errors. No-op for a capture that carries symbols. */
struct mt_error *symbolizer_resolve(struct symbolizer *s, void (*progress)(double, void *),
				    void *arg) MT_MUST_CHECK;
/* For a capture that grows: takes over the tables as they are now and looks up the native frames that are
 * new, instead of symbolizer_resolve(). Files stay open for the next time. */
struct mt_error *symbolizer_grow(struct symbolizer *s) MT_MUST_CHECK;
/* "libfoo.so.1: no debug information and no symbols; names are addresses" and the like. */
const char *const *symbolizer_notes(const struct symbolizer *s, size_t *count_ret);
/* What has to be said about debuginfod servers, in one line that the caller frees; NULL: nothing.
 * dead_ret: nobody answers, so that another symbolizer should not ask. */
char *symbolizer_servers(const struct symbolizer *s, bool *dead_ret);
/* Counts for the closing line: native frames, those with a function name, those with a line. */
void symbolizer_counts(const struct symbolizer *s, uint32_t *frames_ret, uint32_t *named_ret,
		       uint32_t *lined_ret);

/* Merged frames of a stack, root to leaf: Python frames stand where their eval loop was, native
 * frames expand inlines. The allocation function itself is not among them. Borrowed until the
 * next call. `no_native` of the options leaves Python frames only (native-only stacks: all). */
struct mt_error *symbolizer_stack(struct symbolizer *s, uint32_t stack,
				  const struct symbol_frame **ret, size_t *count_ret)
	MT_MUST_CHECK;

/* The same, or one kind of its frames alone; native ones are then all there are, eval loops too. */
enum stack_part { STACK_MERGED, STACK_NATIVE, STACK_PYTHON };
struct mt_error *symbolizer_stack_part(struct symbolizer *s, uint32_t stack, enum stack_part part,
				       const struct symbol_frame **ret, size_t *count_ret)
	MT_MUST_CHECK;

/* The line of a Python frame by its id, 0: unknown. */
struct mt_error *symbolizer_python_line(struct symbolizer *s, uint32_t frame, uint32_t *ret)
	MT_MUST_CHECK;

/* Changes `no_native` of the options for the stacks asked for from now on. */
void symbolizer_set_no_native(struct symbolizer *s, bool no_native);

/* The payload of a CAPTURE_BLOCK_SYMBOLS block for everything resolved. The caller frees. */
struct mt_error *symbolizer_encode(struct symbolizer *s, void **ret, size_t *size_ret)
	MT_MUST_CHECK;

#endif
