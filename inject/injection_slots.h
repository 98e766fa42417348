/* SPDX-License-Identifier: Apache-2.0 */
/* inject/injection_slots.h - the slots of an injection (inject/injection.c) on the list that the tracer applies. */
#ifndef MT_INJECT_INJECTION_SLOTS_H
#define MT_INJECT_INJECTION_SLOTS_H

#include "inject/injection.h"

/* Slots found since the last call, and those that were lost, go onto the patch list; the tracer
 * applies it. */
struct mt_error *injection_publish_patches(struct injection *in) MT_MUST_CHECK;
/* A pointer of an earlier capture may lead to any thunk: what each of them stands for. */
void injection_publish_originals(struct injection *in);
/* In a forked child the slots lead to thunks already, but for those of a library that came in that moment:
 * the next refresh looks at all of them. */
void injection_forget_slots(struct injection *in);

#endif
