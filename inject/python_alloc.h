/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python_alloc.h - the tables through which CPython allocates.
 *
 * Each of its three domains (raw, mem, obj) has one struct PyMemAllocatorEx: a context and the
 * functions malloc, calloc, realloc and free, which every allocation of the domain reads. Whichever
 * allocator is in use (pymalloc, its debug hooks, mimalloc, malloc, tracemalloc on top), it is in
 * there, and what replaces it replaces what is in there. No symbol names the tables in a stripped
 * program, and up to 3.11 nothing says where they are; but the exported functions
 * PyMem_RawMalloc() and its eleven siblings read them, so their code holds the addresses. */
#ifndef MT_INJECT_PYTHON_ALLOC_H
#define MT_INJECT_PYTHON_ALLOC_H

#include "attach/image.h"
#include "capture/wire.h"

enum python_field {	/* words of a table; word 0 is the context, which stays as it is */
	PYTHON_FIELD_MALLOC = 1,
	PYTHON_FIELD_CALLOC,
	PYTHON_FIELD_REALLOC,
	PYTHON_FIELD_FREE,
	PYTHON_FIELDS,
};

struct python_allocators {
	uint64_t table[WIRE_PYTHON_DOMAINS];	/* addresses: raw, mem, obj */
};

/* The code of one exported function, and what its bytes may mean. */
struct machine_code {
	uint64_t address;
	const uint8_t *bytes;
	size_t size;
};
/* Does the code refer to this address: relative to the instruction, as a plain 32-bit number, or
 * as a displacement from `runtime` (_PyRuntime, 0: none)? By bytes, not by instructions: it can
 * say yes where nothing does, never no where a compiler's code does. */
bool python_code_refers(const struct machine_code *code, uint64_t runtime, uint64_t address);

/* False: not found, or not without doubt. `runtime`: address of _PyRuntime, 0: none. */
bool python_allocators_find(struct tracee *t, const struct images *images, struct image *img,
			    uint64_t runtime, struct python_allocators *ret);
/* The function that stands in a field; WIRE_FN_COUNT for the context. */
enum wire_function python_field_function(unsigned field);

#endif
