/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python_layout.h - where a build of CPython keeps its frames.
 *
 * Up to 3.12 one table of minor versions says it, each row checked by compiling against that
 * version's headers. From 3.13 on the interpreter says it itself: _PyRuntime begins with struct
 * _Py_DebugOffsets. But fields are put into the middle of that struct from one minor version to the
 * next, so where to read in it is again a table. A version without a row has no layout. */
#ifndef MT_INJECT_PYTHON_LAYOUT_H
#define MT_INJECT_PYTHON_LAYOUT_H

#include "capture/wire.h"

#include <stdbool.h>
#include <stddef.h>

struct python_build {
	uint32_t hex;			/* PY_VERSION_HEX, of which the low 16 bits may be 0: unknown */
	bool trace_refs;		/* every object begins with two pointers more (--with-trace-refs) */
	const uint8_t *debug_offsets;	/* first bytes of _PyRuntime; NULL: not found */
	size_t debug_offsets_size;
};

/* How the interpreters and their thread states hang together, for whoever looks from outside. */
struct python_lists {
	uint16_t runtime_interpreters;	/* _PyRuntime: pointer to the first interpreter */
	uint16_t interpreter_next, interpreter_threads;
	uint16_t tstate_next;
	uint16_t tstate_thread;		/* pthread_t */
};
/* For a build that python_layout() knows; false otherwise. */
bool python_lists(const struct python_build *build, struct python_lists *ret);

#define PYTHON_DEBUG_OFFSETS_MAX 1024u	/* bytes to give */

/* False, with a reason for a person, when the frames of this build cannot be read: unknown version,
 * or one that says of itself something this table contradicts. Addresses are left 0. */
bool python_layout(const struct python_build *build, struct wire_python *ret, const char **why_ret);

#endif
