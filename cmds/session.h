/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/session.h - one capture of one process, from the open file to the closing line; what
 * `attach` and `run` share.
 *
 *	session_open(&s, pid, &options)		checks everything that can be checked untouched
 *	injection_step(s.injection, ...)	all of them: the tracer is in, still switched off
 *	session_arm(&s)				and recording
 *	session_turn(&s)			one turn of the loop; sets s.end when it is over
 *	session_close(&s, ...)			tracer out, file finished, closing lines printed
 */
#ifndef MT_CMDS_SESSION_H
#define MT_CMDS_SESSION_H

#include "analysis/aggregate.h"
#include "attach/borrow.h"
#include "attach/tracee.h"
#include "cmds/command.h"
#include "inject/injection.h"
#include "record/recorder.h"

struct session_options {
	const char *output;		/* NULL: memtrace-<comm>.<pid>.bin */
	uint64_t duration_ns;		/* 0: no end */
	uint64_t sample_rate;		/* bytes, 0: every allocation */
	bool force, quiet, verbose, no_native, drop, python_allocators, follow_fork;
	bool aggregate;			/* sums of the events in place of the events */
	bool signals_end;		/* SIGINT, SIGTERM and SIGHUP end the capture */
	bool in_memory;			/* to no file: who reads s.memory_fd sees it, and it is gone then */
	uint64_t flush_ns;		/* what is recorded is to be read after this time; 0: a second */
	const char *mode;		/* "attach", "run" */
	const struct cooperation *cooperation;	/* NULL: by ptrace; see attach/cooperation.h */
	const char *follows;		/* of a child, or what a child executed: the first one's file; NULL */
};

enum session_end {
	SESSION_GOES_ON,
	SESSION_DURATION,
	SESSION_INTERRUPT,
	SESSION_DETACH,			/* `memtrace detach` asked */
	SESSION_EXIT,			/* the target is gone */
	SESSION_EXEC,			/* the target became another program */
	SESSION_ERROR,			/* the capture cannot be written on: error is set */
};

struct session {
	const struct session_options *options;
	struct tracee *t;
	struct injection *injection;
	struct capture_writer *writer;	/* until the recorder has it */
	struct recorder *recorder;
	struct aggregate *aggregate;	/* the recorder's sink; NULL: events go to the file */
	char *path;			/* NULL: in memory */
	int memory_fd;
	char comm[64];
	pid_t pid;
	uint32_t features;		/* of the file: enum capture_feature */
	struct clock_pair opened;	/* when it began */
	uint64_t armed_ns, refresh_ns;
	bool knows_python;		/* the file says that there is an interpreter */
	enum session_end end;
	struct mt_error *error;
	/* of session_finish(), for session_tell() */
	uint64_t ended_ns;
	char *left;			/* what is still in the target and why; NULL: nothing */
};

/* The rows and parser of the options that both commands have; input is a struct session_options. */
extern const struct argp session_argp;

/* `overwrite`: replace the file even without -f (our own, of before an exec). */
struct mt_error *session_open(struct session *s, pid_t pid, const struct session_options *options,
			      bool overwrite) MT_MUST_CHECK;
/* After the last injection_step(). On failure the tracer is still in: session_abort(), or injection_undo(). */
struct mt_error *session_arm(struct session *s) MT_MUST_CHECK;
/* In a process forked for it: the capture of a forked child of root's target, to root's file name with
 * (options.follows) with the child's pid, recording when it returns. `fd`, `base`: the child's own file (inject/injection.h).
 * Ends root's hold on everything in this process. */
struct mt_error *session_adopt(struct session *s, struct session *root, pid_t pid,
			       const struct session_options *options, int fd, uint64_t base) MT_MUST_CHECK;
/* One poll and one sleep of at most ms. */
void session_turn(struct session *s, int ms);
/* Takes the tracer out when the target lives, and finishes the file. Prints nothing. */
void session_finish(struct session *s, int *exit_code_ret);
/* Then, any time later: the closing lines; the error of the session, if any, is returned. */
struct mt_error *session_tell(struct session *s) MT_MUST_CHECK;
/* Both. */
struct mt_error *session_close(struct session *s, int *exit_code_ret) MT_MUST_CHECK;
/* Why it is over, for people; NULL: it goes on. */
const char *session_end_text(enum session_end end);
/* For a capture that failed to begin: takes the tracer out if it is in, removes the file, frees. */
void session_abort(struct session *s);
/* Frees; a session that was not closed leaves what is in the file. `unlink_file` for a capture
 * that never began. */
void session_drop(struct session *s, bool unlink_file);

#endif
