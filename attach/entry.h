/* SPDX-License-Identifier: Apache-2.0 */
/* attach/entry.h - brings a program that was just executed to its entry point.
 *
 *	in the stop of PTRACE_EVENT_EXEC, seized with ENTRY_OPTIONS:
 *	entry_run(pid, cancel, &end, &status)	the loader has run, and the constructors
 *	ptrace(PTRACE_DETACH, pid, 0, 0)	or tracee_adopt_thread()
 *
 * The loader takes the address of the entry point from the auxiliary vector on the stack. There it
 * finds that of a few bytes of code, written behind the end of some executable segment, which make
 * a system call that means nothing and jump to the entry point. So there is no breakpoint: killed at
 * any instant, we leave a program that starts as if nothing had been. At the entry the vector, the
 * bytes and all registers are as the loader left them. */
#ifndef MT_ATTACH_ENTRY_H
#define MT_ATTACH_ENTRY_H

#include "base/error.h"

#include <sys/ptrace.h>
#include <sys/types.h>

#define ENTRY_OPTIONS (PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD)

enum entry_end {
	ENTRY_REACHED,
	ENTRY_ENDED,		/* the process did; status_ret is of waitpid */
	ENTRY_EXECED,		/* another program, in the stop of its exec */
	ENTRY_CANCELLED,	/* still traced and running, or in some stop */
};

/* `cancel` may be NULL. An error: not a program with a dynamic loader (MT_ERROR_REFUSED), or it
 * cannot be driven; then it is in its stop yet, or gone. */
struct mt_error *entry_run(pid_t pid, bool (*cancel)(void), enum entry_end *ret, int *status_ret)
	MT_MUST_CHECK;

/* ---- the same steps for other waits of a traced thread ---- */
/* True: there is news of it, and a stop is not resumed yet; 0 when it is simply gone. */
bool entry_look(pid_t tid, int *status_ret);
/* Between two looks. */
void entry_pause(void);
/* Resumes a thread from a stop that means nothing to the caller: signals are delivered, stops of
 * job control kept. `request`: PTRACE_CONT or PTRACE_SYSCALL. False:
 * that failed (errno), and not because it is about to be gone. */
bool entry_pass_on(pid_t tid, int status, int request);

#endif
