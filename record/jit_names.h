/* SPDX-License-Identifier: Apache-2.0 */
/* record/jit_names.h - names of code that a process compiles while it runs, from the files in which its
 * runtime tells them.
 *
 *	jit_names_open(t, since, &j)		at the start of a capture
 *	jit_names_watch(j, images)		whenever images were looked at: finds a jitdump
 *	jit_names_put(j, addresses, ..., w)	at the end; the process may be gone
 *	jit_names_close(j)
 *
 * A perf map is /tmp/perf-PID.map, in the process's own mount namespace, by the pid it sees itself; a
 * jitdump is any mapped file of the name jit-PID.dump. Both belong to the process's user, who may have put anything there:
 * only a regular file of that user (or of root) is opened, through no symbolic link, and its bytes are
 * never written anywhere but as names of addresses that were recorded. */
#ifndef MT_RECORD_JIT_NAMES_H
#define MT_RECORD_JIT_NAMES_H

#include "attach/image.h"
#include "capture/writer.h"
#include "record/clock.h"

struct jit_names;

/* Out of memory is the only error: a process that has no such files has no names. */
struct mt_error *jit_names_open(struct tracee *t, struct clock_pair since, struct jit_names **ret)
	MT_MUST_CHECK;
void jit_names_close(struct jit_names *j);	/* NULL accepted */
MT_DEFINE_CLEANUP(jit_names, struct jit_names *, jit_names_close)
#define auto_jit_names mt_auto(mt_cleanup_jit_names)
void jit_names_watch(struct jit_names *j, const struct images *images);
/* Writes what is known of the addresses; they are sorted in place. */
struct mt_error *jit_names_put(struct jit_names *j, uint64_t *addresses, size_t count,
			       struct capture_writer *w) MT_MUST_CHECK;
/* What people should know, NULL: nothing. Borrowed. */
const char *jit_names_note(const struct jit_names *j);

#endif
