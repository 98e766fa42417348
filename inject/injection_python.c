/* SPDX-License-Identifier: Apache-2.0 */
/* inject/injection_python.c - an interpreter that was found becomes slots and words for the tracer.
 * Knows: when it may be believed. Does not know: how it is found.
 * Called by inject/injection.c; calls inject/python.c, inject/slots.c. */
#include "inject/injection_python.h"

#include <stdatomic.h>
#include <string.h>

/* The tracer looks at the version, and at the first table, before anything else of them. */
void injection_publish_python(struct injection *in)
{
	struct wire_header *h = in->channel.header;
	struct wire_python layout = in->python.known ? in->python.layout : (struct wire_python){ 0 };
	uint32_t version = layout.version;
	layout.version = 0;
	h->python = layout;
	for (unsigned domain = WIRE_PYTHON_DOMAINS - 1; domain > 0; domain--)
		h->python_tables[domain] = in->python.allocators.table[domain];
	atomic_thread_fence(memory_order_release);
	h->python_tables[0] = in->python.allocators.table[0];
	__atomic_store_n(&h->python.version, version, __ATOMIC_RELEASE);
}

struct mt_error *injection_take_python(struct injection *in)
{
	struct python py;
	struct mt_error *err = python_probe(in->t, &in->images, in->options.python_allocators, &py);
	if (err)
		return err;
	size_t slots = in->slots.list.len;
	if (py.known)
		err = slots_add_code_dealloc(in->t, &in->images, py.layout.code_type, py.layout.bytes_size,
					     &in->slots);
	/* The loader has not come to relocating it: the field leads nowhere. */
	if (err || (py.known && in->slots.list.len == slots)) {
		python_deinit(&py);
		return err;
	}
	in->seeks_python = false;
	python_deinit(&in->python);
	in->python = py;
	injection_publish_python(in);
	return NULL;
}

/* ---- Python's allocator tables ---- */

/* A program may set its allocators at any time, and the interpreter does while it starts. What was
 * given to the tracer and is not pending any more must be given again. */
static bool table_field_lost(struct injection *in, uint64_t slot)
{
	const struct wire_header *h = in->channel.header;
	const struct wire_patch *patches = channel_at(&in->channel, h->patches_offset);
	for (uint32_t i = atomic_load(&h->patches_wanted); i > 0; i--)
		if (patches[i - 1].slot == slot)
			return patches[i - 1].state != WIRE_PATCH_WANTED;
	return false;		/* no thunk was left for it */
}

static struct mt_error *take_table_field(struct injection *in, unsigned domain, unsigned field)
{
	uint64_t address = in->python.allocators.table[domain] + field * 8, value;
	uint64_t *given = &in->table_value[domain][field];
	if (tracee_read_some(in->t, address, &value, sizeof(value)) != sizeof(value) ||
	    thunks_index(&in->thunks, value) >= 0 ||
	    (value == *given && !table_field_lost(in, address)))
		return NULL;
	*given = value;
	return slots_add_function(&in->images, address, value, python_field_function(field),
				  &in->slots);
}

/* Releases first: while the hooks are armed, no block may be seen to come and not to go. */
struct mt_error *injection_take_tables(struct injection *in)
{
	struct mt_error *err = NULL;
	for (unsigned field = PYTHON_FIELDS - 1; field > 0 && in->python.allocators.table[0]; field--)
		for (unsigned domain = 0; domain < WIRE_PYTHON_DOMAINS && !err; domain++)
			err = take_table_field(in, domain, field);
	return err;
}
