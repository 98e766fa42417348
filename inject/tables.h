/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tables.h - unwind tables for the tracer: compiled once an image, published as a list.
 *
 * tables_compile() reads an image's call frame information and needs no stopped target; it is the
 * slow part and is done before anything is borrowed. What it makes waits in a memory file of this
 * process, for there is no shared memory yet: written from one buffer that every image uses again,
 * since megabytes that are touched once cost more than compiling them. tables_publish() copies what
 * is new into the shared memory's file and switches the module list. */
#ifndef MT_INJECT_TABLES_H
#define MT_INJECT_TABLES_H

#include "attach/image.h"
#include "inject/channel.h"
#include "inject/unwind_image.h"

struct tables {
	struct unwind_rules rules;
	MT_ARRAY(struct table_entry) entries;	/* by image id */
	struct unwind_table buffer;		/* of the image that is being compiled */
	int waiting;				/* rows not yet published; -1: none ever were */
	uint64_t waiting_size;
};

struct table_entry {
	bool compiled, published;
	uint64_t base;			/* what struct unwind_table has */
	uint64_t waiting_offset;
	uint64_t rows_offset;		/* once published */
	uint32_t row_count;		/* 0 as well where there was no room */
	uint64_t exec_start, exec_end;
	uint32_t made;			/* enum wire_module_flags of code that it makes at run time */
	uint64_t ret_gadget;
};

void tables_init(struct tables *tables);
void tables_deinit(struct tables *tables);
/* In a forked process: shares no file with the other one any more. */
void tables_detach(struct tables *tables);
/* All images that have no table yet. An image whose tables cannot be read gets an empty one:
 * stacks are truncated there. */
struct mt_error *tables_compile(struct tracee *t, const struct images *images, struct tables *tables)
	MT_MUST_CHECK;
struct mt_error *tables_publish(struct channel *ch, const struct images *images,
				struct tables *tables) MT_MUST_CHECK;

#endif
