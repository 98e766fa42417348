/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/site.h - which frame of a stack a person can act on.
 *
 * The site is the innermost Python frame when there is one, else the innermost native frame that
 * is neither in the C library, the loader, an allocator or the C++ runtime nor one of their
 * wrappers inlined into the program (operator new, std::vector ...). All reports that name one
 * place an allocation use this one, so that their numbers agree. */
#ifndef MT_REPORTERS_SITE_H
#define MT_REPORTERS_SITE_H

#include "symbolize/symbolize.h"

#include <stdbool.h>
#include <stddef.h>

/* Frames are root to leaf; NULL when there is none but marks. */
const struct symbol_frame *site_find(const struct symbol_frame *frames, size_t count);
/* The C library, loader, allocators, C++ and thread runtimes, by base name of the module. */
bool site_is_runtime_module(const char *module);
/* "python3.11", "libpython3.11.so.1.0": the interpreter itself, by base name. */
bool site_is_interpreter_module(const char *module);
/* Any of these, for a native frame; also a header of the C++ library inlined into the program. */
bool site_is_runtime_frame(const struct symbol_frame *frame);
/* A demangled name in std:: or __gnu_cxx::, operator new, CPython's allocation functions. */
bool site_is_runtime_function(const char *function);

/* The package a site counts for: the nearest Python frame outside the standard library gives its
 * top-level package ("django", "app"), else the native module ("libfoo.so.1"). Writes into buf
 * and returns it; "<unknown>" when there is nothing. */
const char *site_package(const struct symbol_frame *frames, size_t count, char *buf, size_t size);

#endif
