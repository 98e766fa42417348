/* SPDX-License-Identifier: Apache-2.0 */
/* attach/loader_lock.h - does somebody hold the lock of the dynamic loader?
 *
 * A dlopen or dlclose that is called in a target waits for it: through another thread's constructor, or
 * while a library is read from a file system that does not answer, for as long as that takes. glibc keeps
 * the lock in _rtld_global, where its place differs by version; it is told by its looks. */
#ifndef MT_ATTACH_LOADER_LOCK_H
#define MT_ATTACH_LOADER_LOCK_H

#include "attach/image.h"

/* Waits for it to be free, at most that long; nothing is stopped meanwhile. True also where it cannot be
 * told: another C library. */
bool loader_lock_wait(struct tracee *t, const struct images *images, int ms);

#endif
