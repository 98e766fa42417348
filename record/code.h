/* SPDX-License-Identifier: Apache-2.0 */
/* record/code.h - Python code objects, put together from the chunks the tracer sends. */
#ifndef MT_RECORD_CODE_H
#define MT_RECORD_CODE_H

#include "base/array.h"
#include "base/buf.h"
#include "capture/writer.h"

struct codes {
	struct capture_writer *writer;
	MT_ARRAY(struct code_part) open;	/* not yet whole */
	uint64_t damaged;			/* chunks that fit nowhere */
};

struct code_part {
	uint32_t id;
	uint64_t total;
	struct mt_buf bytes;
};

void codes_deinit(struct codes *codes);
/* A chunk; the object goes to the capture when it is whole. */
struct mt_error *codes_chunk(struct codes *codes, uint32_t id, uint64_t total, uint64_t offset,
			     const uint8_t *bytes, size_t size) MT_MUST_CHECK;

#endif
