/* SPDX-License-Identifier: Apache-2.0 */
/* attach/borrow.h - one thread of the target borrowed at a safe point, to run a call for us.
 *
 *	borrow_acquire(t, deadline_ms, &b)	finds a safe point; only this thread stands still
 *	borrow_syscall(b, nr, ...)		before there is any memory of ours in the target
 *	borrow_set_stack(b, address, size)	from here calls run on this stack
 *	borrow_call(b, fn, ...)			runs fn(args) to its end
 *	borrow_release(b)			the thread goes on exactly where it was
 *
 * Safe point: the thread sits in a benign system call or in user code, on its own stack; the
 * remote unwind (attach/backtrace.h) reaches the thread's start and shows no frame in an
 * allocator, the dynamic loader, fork, exit handlers or thread creation; the loader's r_debug
 * state is consistent; no vfork is in progress. Where the unwind cannot be trusted the thread is
 * not used. None found: all resumed, retried with back-off until the deadline, then MT_ERROR_BUSY
 * naming the reasons (attach/safepoint.h).
 *
 * How a call runs: registers, FP/SIMD state (NT_X86_XSTATE) and the signal mask are saved; all
 * signals but SIGTRAP are blocked by PTRACE_SETSIGMASK; orig_rax is -1. The return address is
 * libc's `__restore_rt` (or any `mov $15,%eax; syscall`) above a signal frame that holds the saved
 * state, so if this process dies at any instant the thread finishes the call and restores itself
 * by rt_sigreturn, errno included. While we live, the entry of that rt_sigreturn is caught
 * (PTRACE_SYSCALL) and the state put back by ptrace, which keeps the kernel's restart of an
 * interrupted system call.
 *
 * Until borrow_set_stack() the frame lies below the red zone of the thread's own stack. */
#ifndef MT_ATTACH_BORROW_H
#define MT_ATTACH_BORROW_H

#include "attach/tracee.h"

struct borrow;

struct mt_error *borrow_acquire(struct tracee *t, int deadline_ms, struct borrow **ret)
	MT_MUST_CHECK;
/* As acquire, for a thread that is held already (run: at the entry point; detach: all stopped).
 * MT_ERROR_BUSY with the reason when it is not at a safe point; `trusted` skips the unwind. */
struct mt_error *borrow_thread(struct tracee *t, struct tracee_thread *thread, bool trusted,
			       struct borrow **ret) MT_MUST_CHECK;
/* Puts the state back. With `keep_stopped` the thread stays held (a struct tracee_thread of t),
 * else it is let go. NULL accepted. */
void borrow_release(struct borrow *b, bool keep_stopped);

pid_t borrow_tid(const struct borrow *b);
/* Its thread pointer (fs base): the C library's thread control block. */
uint64_t borrow_thread_pointer(const struct borrow *b);
/* What /proc says of it, read since it stands. */
const struct proc_status *borrow_status(const struct borrow *b);
/* A system call; *ret is its value or negative errno. Arguments beyond nargs are 0. String data is
 * the caller's business: borrow_scratch() is memory below the frame on the present stack. */
struct mt_error *borrow_syscall(struct borrow *b, long nr, const uint64_t args[6], int64_t *ret)
	MT_MUST_CHECK;
/* Copies bytes below the stack in use for the next call and gives their address in the target. */
struct mt_error *borrow_scratch(struct borrow *b, const void *data, size_t size,
				uint64_t *address_ret) MT_MUST_CHECK;
/* From here calls run on this stack; address 0: on the thread's own again, before ours is unmapped.
 * The stack must not be one that a thread may still use for a call of a controller that died. */
void borrow_set_stack(struct borrow *b, uint64_t address, uint64_t size);
/* From here a call ends at this address, where the target has the bytes of borrow_end_code in executable
 * memory that stays: the thread itself raises a signal that means nothing to the program, and the
 * stop for it is the only one of the call. Without, each system call that the call makes stops
 * the thread twice. If we are dead by then the signal is ignored and the thread restores itself as
 * ever. Does nothing for a thread with a seccomp filter, or where no such signal can be found. */
#define BORROW_END_SIZE 24
extern const uint8_t *const borrow_end_code;
void borrow_set_end(struct borrow *b, uint64_t address);
/* Calls fn(args...) with the other threads running; bounded by timeout_ms. A fatal signal in the
 * call is undone (state put back) and reported. MT_ERROR_BUSY when it does not end in time: the
 * thread was let go, ends the call and restores itself on the stack in use, which must stay mapped
 * and unused; the handle is good for borrow_release() only. */
struct mt_error *borrow_call(struct borrow *b, uint64_t fn, const uint64_t *args, int nargs,
			     int timeout_ms, uint64_t *ret) MT_MUST_CHECK;

#endif
