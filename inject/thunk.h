/* SPDX-License-Identifier: Apache-2.0 */
/* inject/thunk.h - the one page that stays in a target for ever.
 *
 * Hooked slots point at a thunk of this page, never into the tracer: programs copy such pointers
 * (`xmlFree = free`), and the copies must stay good after the tracer is gone. A later attach finds
 * the page by its name in /proc/PID/maps and goes on using it. A thunk, once handed out, keeps its
 * function and its original for ever. */
#ifndef MT_INJECT_THUNK_H
#define MT_INJECT_THUNK_H

#include "attach/borrow.h"
#include "attach/proc.h"
#include "capture/wire.h"

#define WIRE_MEMFD_THUNK "memtrace-thunk"

struct thunks {
	uint64_t page;			/* address in the target, 0: none */
	struct wire_thunk_page content;	/* as it stands in the target */
};

/* The page of this target, if there is one (page 0 else). */
struct mt_error *thunks_find(const struct tracee *t, const struct proc_maps *maps,
			     struct thunks *ret) MT_MUST_CHECK;
/* Makes the page when there is none. */
struct mt_error *thunks_create(struct tracee *t, struct borrow *b, struct thunks *thunks)
	MT_MUST_CHECK;
/* Address of the thunk for (function, original); made when new. MT_ERROR_OTHER when all variants
 * of the function or all thunks are taken. */
struct mt_error *thunks_get(struct tracee *t, struct thunks *thunks, enum wire_function fn,
			    uint64_t original, uint64_t *address_ret) MT_MUST_CHECK;
/* Where the hooks are, for a new tracer: hooks[function][variant]. While disarmed only. */
struct mt_error *thunks_set_hooks(struct tracee *t, struct thunks *thunks,
				  const uint64_t hooks[WIRE_FN_COUNT][WIRE_VARIANTS]) MT_MUST_CHECK;
/* One byte: the switch between hooks and originals. */
struct mt_error *thunks_arm(struct tracee *t, struct thunks *thunks, bool armed) MT_MUST_CHECK;
/* Is a thread with this program counter in the page past the look at the switch, and maybe on its
 * way to a hook? One that is in the page before that look will see what the switch says. */
bool thunks_is_past_switch(uint64_t page, uint64_t pc);
/* The index of the thunk at this address, -1: none of ours. */
int thunks_index(const struct thunks *thunks, uint64_t address);

#endif
