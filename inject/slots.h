/* SPDX-License-Identifier: Apache-2.0 */
/* inject/slots.h - which pointers of a target lead to an allocation function, and to which one.
 *
 * A slot is where a JUMP_SLOT, GLOB_DAT or R_X86_64_64 relocation against one of the names of
 * WIRE_FUNCTIONS was applied. Its original is what the loader binds it to: what the slot holds, when
 * that is a definition of the name in some image; else (an unresolved lazy slot, a program's
 * canonical PLT entry) the first definition in the loader's order. A slot that holds anything else
 * was redirected by somebody and is left alone.
 *
 * The loader lists a library, and says that its list is consistent, before it relocates it. A slot that
 * it has not come to is kept as pending and looked at again. */
#ifndef MT_INJECT_SLOTS_H
#define MT_INJECT_SLOTS_H

#include "attach/linkmap.h"
#include "base/array.h"
#include "capture/wire.h"

struct slot {
	uint64_t address, value;	/* value: what it held when looked at */
	uint64_t original;
	uint64_t module_start;
	uint32_t image;			/* id */
	uint32_t protection;		/* PROT_* of its page */
	enum wire_function function;
};

struct slot_pending {
	uint64_t address;
	uint32_t image;			/* id */
	uint32_t looks;
	enum wire_function function;
	bool in_relro;
};

struct slots {
	MT_ARRAY(struct slot) list;
	MT_ARRAY(struct slot_pending) pending;
	uint32_t foreign;		/* redirected by somebody else: left alone */
	MT_ARRAY(bool) images_done;	/* by image id */
	bool executes;			/* functions that execute programs count, too */
};

void slots_deinit(struct slots *slots);
/* Some slot is so new that its library is being relocated now: to be looked for again soon. */
bool slots_unsettled(const struct slots *slots);
/* Appends the slots of all images not looked at before, and those that were pending. */
struct mt_error *slots_find(struct tracee *t, const struct images *images, const struct linkmap *map,
			    struct slots *slots) MT_MUST_CHECK;
/* Appends the field of PyCode_Type by which code objects are freed: `type` is its address,
 * `size_field` where ob_size lies in an object. Nothing when it holds no function. */
struct mt_error *slots_add_code_dealloc(struct tracee *t, const struct images *images, uint64_t type,
					uint32_t size_field, struct slots *slots) MT_MUST_CHECK;
/* Appends a word that leads to a function of some image: a field of an allocator table. Nothing when
 * it holds no function. */
struct mt_error *slots_add_function(const struct images *images, uint64_t address,
				    uint64_t value, enum wire_function function,
				    struct slots *slots) MT_MUST_CHECK;
/* Calls fn for every slot of every loaded image, whatever it holds. */
struct mt_error *slots_each(struct tracee *t, const struct images *images,
			    struct mt_error *(*fn)(uint64_t address, enum wire_function function,
						   void *arg),
			    void *arg) MT_MUST_CHECK;
/* The image that defines malloc for the program, NULL: none (a static allocator). */
struct image *slots_allocator(struct tracee *t, const struct images *images,
			      const struct linkmap *map);

#endif
