/* SPDX-License-Identifier: Apache-2.0 */
/* inject/injection.h - puts the tracer into a tracee and keeps it up to date.
 *
 *	injection_prepare(t, &options, &in)	reads images, compiles tables; stops nothing but, for
 *						a moment each, threads with a seccomp filter
 *	injection_step(in, step, borrow)	for each step, on a borrowed thread: in the end slots
 *						lead to the tracer, through thunks that are still
 *						switched off
 *	injection_arm(in)			unwind tables into the shared memory, then the switch:
 *						the long part, for which nobody stands still
 *	injection_refresh(in, ...)		libraries came or went: tables and slots follow
 *	removal_run() (inject/removal.h)	the way back
 *	injection_destroy(in)			this side's memory; the target is not touched
 *
 * The calling thread must be the process's main thread and live as long as the process: the
 * kernel disarms the tracer when it dies. */
#ifndef MT_INJECT_INJECTION_H
#define MT_INJECT_INJECTION_H

#include "attach/linkmap.h"
#include "inject/channel.h"
#include "inject/loader.h"
#include "inject/python.h"
#include "inject/slots.h"
#include "inject/tables.h"
#include "inject/thunk.h"

struct inject_options {
	bool no_native;		/* no native frames */
	bool drop;		/* a full ring drops instead of waiting */
	uint64_t sample_rate;	/* bytes from one recorded block to the next, 0: all are */
	bool follow_fork;	/* children shall ask for a channel of their own */
	bool python_allocators;	/* what Python asks of its own allocators, not what they ask */
};

struct injection {
	struct tracee *t;
	struct inject_options options;
	struct images images;
	struct linkmap linkmap;
	struct tables tables;
	struct slots slots;
	size_t slots_patched;	/* of slots.list, turned into patches */
	struct thunks thunks;
	struct python python;
	bool seeks_python;	/* there is none, and images came */
	struct channel channel;
	struct wire_family *family;	/* our mapping; NULL: children are not followed */
	struct loaded tracer;
	/* Read beforehand, so that no thread stands still for it. */
	struct injection_facts {
		uint64_t controller_start, main_stack_end;
		pid_t target_pid;		/* as it sees itself */
		unsigned long descriptors;	/* open in it, 0: unknown */
	} facts;
	bool armed;
	bool filtered;		/* some thread has a seccomp filter */
	bool by_dlopen;		/* the tracer may be loaded so: no filter would kill for it */
	unsigned slots_refused;	/* no thunk left for them */
	/* What last went from the fields of Python's allocator tables into slots.list. */
	uint64_t table_value[WIRE_PYTHON_DOMAINS][PYTHON_FIELDS];
};

struct mt_error *injection_prepare(struct tracee *t, const struct inject_options *options,
				   struct injection **ret) MT_MUST_CHECK;
/* Shared memory and thunks; the tracer's code; its first call, which changes the slots. Each of them
 * holds a thread about as long, so one may be let go and another borrowed in between. */
enum injection_step { INJECTION_MAP, INJECTION_LOAD, INJECTION_START, INJECTION_STEPS };
/* On failure everything that was done in the target is undone, but for MT_ERROR_GONE. */
struct mt_error *injection_step(struct injection *in, enum injection_step step, struct borrow *b)
	MT_MUST_CHECK;
/* On failure the tracer is still in the target: injection_undo(), or removal_run(). */
struct mt_error *injection_arm(struct injection *in) MT_MUST_CHECK;
/* In a process forked for it: turns the copy of a parent's injection into that of its forked child,
 * which asked for it in an entry of the family (its descriptor, its mapping), and arms it. */
struct mt_error *injection_adopt(struct injection *in, struct tracee *child, int fd, uint64_t base)
	MT_MUST_CHECK;
/* Takes out what was loaded, as far as it can be on this thread. */
void injection_undo(struct injection *in, struct borrow *b);
/* Looks whether the loader's list changed (cheap), or in any case with `force`; answers waiting
 * dlopens of the target. *changed_ret (may be NULL): the images changed. */
struct mt_error *injection_refresh(struct injection *in, bool force, bool *changed_ret)
	MT_MUST_CHECK;
void injection_destroy(struct injection *in);
MT_DEFINE_CLEANUP(injection, struct injection *, injection_destroy)
#define auto_injection mt_auto(mt_cleanup_injection)

#endif
