/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python_frames.h - the Python frames of a stopped thread, read from outside.
 *
 *	python_frames_init(&pf, t, &python)
 *	python_frames_threads(&pf)		all thread states, while everybody runs
 *	python_frames_read(&pf, fs_base, &st)	while the thread stands still; bounded
 *	python_frames_code(&pf, &st.frames[i], &code)	later, when it runs again
 *	python_frames_deinit(&pf)
 *
 * No lock of the interpreter is taken and none of its code runs. A thread's state is the one that
 * has its pthread_t, which is its thread pointer; that is looked at again when it stands still, as
 * other threads make and free states meanwhile. Its own chain of frames nobody else changes. Each
 * code object must be one by its type. Its name is read later, if its pointers are still those
 * seen in the stop; else it is gone and the frame has no name. */
#ifndef MT_INJECT_PYTHON_FRAMES_H
#define MT_INJECT_PYTHON_FRAMES_H

#include "base/array.h"
#include "base/buf.h"
#include "inject/python.h"

struct python_code_key {	/* what a code object is told by */
	uint64_t address, filename, name, linetable;
	uint32_t first_line;
};

struct python_frame {
	struct python_code_key code;	/* address 0: not a code object */
	uint32_t offset1;		/* of the instruction, bytes, + 1; 0: not begun */
	bool entry;			/* first of its eval loop */
};

struct python_stack {
	MT_ARRAY(struct python_frame) frames;	/* leaf first */
	bool cut;			/* more frames than are read, or the chain broke */
	bool none;			/* no thread of Python */
};

struct python_state {
	uint64_t thread, tstate;
};

struct python_frames {
	struct tracee *t;
	const struct python *py;
	MT_ARRAY(struct python_state) states;
	struct python_page *pages;	/* read in this stop */
	uint32_t round, reads;
};

struct mt_error *python_frames_init(struct python_frames *pf, struct tracee *t, const struct python *py)
	MT_MUST_CHECK;
void python_frames_deinit(struct python_frames *pf);
/* What cannot be read is left out. */
struct mt_error *python_frames_threads(struct python_frames *pf) MT_MUST_CHECK;
struct mt_error *python_frames_read(struct python_frames *pf, uint64_t fs_base,
				    struct python_stack *ret) MT_MUST_CHECK;
void python_stack_deinit(struct python_stack *st);

struct python_code {		/* UTF-8 without NUL */
	struct mt_buf file, name, lines;
	uint32_t first_traceable;	/* bytes */
};
/* False when the code object is gone. */
bool python_frames_code(struct python_frames *pf, const struct python_code_key *key,
			struct python_code *ret);
void python_code_deinit(struct python_code *code);

#endif
