/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/exec.h - the hooks of the functions that execute programs, for the table in hooks.c. */
#ifndef MT_TRACER_EXEC_H
#define MT_TRACER_EXEC_H

#define EXEC_FUNCTIONS(X)								\
	X(EXECVE) X(EXECV) X(EXECVP) X(EXECVPE) X(EXECL) X(EXECLE) X(EXECLP) X(FEXECVE)	\
	X(EXECVEAT) X(POSIX_SPAWN) X(POSIX_SPAWNP) X(PIDFD_SPAWN) X(PIDFD_SPAWNP)	\
	X(SYSTEM) X(POPEN)

#define EXEC_HOOKS(fn)	\
	extern const char exec_##fn##_0[], exec_##fn##_1[], exec_##fn##_2[], exec_##fn##_3[];
EXEC_FUNCTIONS(EXEC_HOOKS)

#endif
