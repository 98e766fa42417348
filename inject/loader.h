/* SPDX-License-Identifier: Apache-2.0 */
/* inject/loader.h - gets the tracer's image into a target, and out again.
 *
 * Two ways, chosen before anything is tried:
 *	dlopen	the target's own loader takes the image from a memory file, by its name in /proc. The
 *		loader knows it then: unwinders inside the target find its frames.
 *	mapped	the segments are mapped by system calls and relocated from here; the tracer has no
 *		dependencies, no constructors and, built for this way, no thread-local storage. It
 *		asks nothing of the C library: musl (whose dlclose does nothing and which has no room
 *		for the thread-local storage of late libraries), a libc without dlopen, a root without
 *		/proc, a full static TLS area. An unwinder inside the target (backtrace() called from
 *		below malloc) stops at its frames.
 * The second is also taken where a seccomp filter would kill for the calls of the first.
 * Both leave mappings of a memory file with the tracer's name, by which a later memtrace finds them;
 * an image that is in no list of the dynamic loader is one that was mapped. */
#ifndef MT_INJECT_LOADER_H
#define MT_INJECT_LOADER_H

#include "attach/borrow.h"
#include "attach/image.h"
#include "attach/seccomp.h"

#define LOADER_CALL_TIMEOUT_MS 30000	/* wall time: the thread may be starved */

struct loaded {
	uint64_t handle;	/* what dlopen returned, 0: mapped */
	uint64_t base, end;	/* where it lies, 0: not loaded */
	const uint8_t *file;	/* ours, that it was made from */
};

/* The system calls that each way makes on the borrowed thread, of channel.h and thunk.h as well: to be
 * asked of its seccomp filters. */
enum { LOADER_DLOPEN, LOADER_MAPPED, LOADER_WAYS };
extern const struct seccomp_way loader_ways[LOADER_WAYS];

/* On a borrowed thread whose calls run on a stack of ours, by dlopen if that is asked for and serves.
 * Nothing of a failed try stays but, after a
 * death of this process, mappings. */
struct mt_error *loader_load(struct tracee *t, struct borrow *b, const struct images *images,
			     bool by_dlopen, struct loaded *ret) MT_MUST_CHECK;
/* Where a symbol that the tracer exports lies in the target: told from our file, without a look
 * there. MT_ERROR_OTHER when it has none of that name. */
struct mt_error *loader_symbol(const struct loaded *loaded, const char *name, uint64_t *ret)
	MT_MUST_CHECK;

/* A function of the target's C library that deals with libraries: dlopen, dlclose, dlerror. */
struct mt_error *loader_find_dl(struct tracee *t, const struct images *images, const char *name,
				uint64_t *address_ret) MT_MUST_CHECK;

/* Where the C library keeps a thread's id, counted from the thread pointer, found in this thread;
 * 0: nowhere. */
uint32_t loader_tid_offset(struct tracee *t, const struct borrow *b);

#endif
