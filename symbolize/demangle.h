/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/demangle.h - names of C++, Rust and D functions as their authors wrote them.
 *
 * Bounded: names too long to be real stay as they are, and a name that would unfold to more than
 * DEMANGLE_OUTPUT_MAX bytes is cut there with "...". */
#ifndef MT_SYMBOLIZE_DEMANGLE_H
#define MT_SYMBOLIZE_DEMANGLE_H

#include <stddef.h>

#define DEMANGLE_INPUT_MAX 4096u
#define DEMANGLE_OUTPUT_MAX 4096u

/* Writes the readable name, NUL-terminated, and returns buf; or returns `name` itself (nothing
 * written) when it is not mangled or cannot be read. */
const char *demangle(const char *name, char buf[DEMANGLE_OUTPUT_MAX + 4]);

#endif
