/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/jit.h - reads the names that runtimes give to code which they compile while they run.
 *
 * V8 ("JS:*turn /srv/app.js:5:14") and CPython ("py::turn:/srv/app.py") say where a function is
 * defined; the mark of V8's compilers is dropped, so that one function has one name. Every other name
 * is taken as it is. */
#ifndef MT_SYMBOLIZE_JIT_H
#define MT_SYMBOLIZE_JIT_H

#include "symbolize/dwarf.h"

/* Out of memory is the only error. */
struct mt_error *jit_name_read(const char *name, struct string_pool *pool, struct source_line *ret)
	MT_MUST_CHECK;

#endif
