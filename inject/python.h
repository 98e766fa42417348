/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python.h - is there a CPython in the target, and where does it keep its frames?
 *
 * Works from symbols that every CPython exports; which fields lie where, inject/python_layout.h says.
 * A build whose frames cannot be read gives `known` false: native stacks only, and one clear line
 * for the user. */
#ifndef MT_INJECT_PYTHON_H
#define MT_INJECT_PYTHON_H

#include "attach/image.h"
#include "base/buf.h"
#include "capture/wire.h"
#include "inject/python_alloc.h"
#include "inject/python_layout.h"

struct python {
	bool present, known;
	uint32_t version;		/* PY_VERSION_HEX >> 16; 0: could not be read */
	const char *why_unknown;	/* when it is not known; static */
	struct wire_python layout;
	struct mt_buf eval_ranges;	/* "start-end,..." hex addresses, of eval loops */
	const struct image *image;
	uint64_t runtime;		/* address of _PyRuntime; 0: not found */
	struct python_lists lists;	/* with a runtime and when it is known */
	struct python_allocators allocators;	/* all 0: not found, or not asked for */
};

/* `allocators`: look for the allocator tables too. */
struct mt_error *python_probe(struct tracee *t, const struct images *images, bool allocators,
			      struct python *ret) MT_MUST_CHECK;
void python_deinit(struct python *py);

#endif
