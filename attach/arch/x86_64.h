/* SPDX-License-Identifier: Apache-2.0 */
/* attach/arch/x86_64.h - what a borrowed call needs to know about the machine and its kernel ABI.
 *
 * The porting checklist: system calls (blocking ones, those that lie about EINTR, those that share
 * memory), code snippets to find in the target, the signal frame of rt_sigreturn. */
#ifndef MT_ATTACH_ARCH_X86_64_H
#define MT_ATTACH_ARCH_X86_64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#define ARCH_RED_ZONE 128
#define ARCH_SLACK_MAX 256	/* bytes of stack that the `store` snippet may skip */
#define ARCH_XSTATE_MAX 16384	/* AMX needs 11 KiB */

/* ---- system calls ---- */
enum arch_wait {
	ARCH_WAIT_NO,		/* not one that a thread may be borrowed from */
	ARCH_WAIT_GOOD,		/* blocking, and restarted exactly by the kernel */
	ARCH_WAIT_LATER,	/* blocking, but a finite timeout would start anew */
};
#define ARCH_HARMLESS_CALL 186	/* gettid */
enum arch_wait arch_classify_wait(long nr, const uint64_t args[6]);
/* fork-like: while one thread sits in it a child may be using the same memory. */
bool arch_is_vfork_like(long nr);
/* Calls that answer EINTR to a tracer's stop although no handler ran get -ERESTARTNOHAND in its
 * place; true when regs changed. Only for the stop in the kernel's signal code. */
bool arch_undo_false_eintr(struct user_regs_struct *regs);
/* A timed wait that would go on by restart_syscall; in the same stop. */
bool arch_restarts_by_call(const struct user_regs_struct *regs);
/* It begins anew instead, with all its time. */
void arch_restart_anew(struct user_regs_struct *regs);

#define ARCH_CALL_MAX 7
/* The bytes before an address end in a call: it may be what that call returns to. */
bool arch_follows_call(const uint8_t before[ARCH_CALL_MAX]);

/* ---- code snippets ---- */
struct arch_snippets {
	uint64_t syscall;	/* syscall; ret */
	uint64_t sigreturn;	/* mov $15,%eax; syscall */
	uint64_t store;		/* mov %rax,DISP(BASE) ... ret: keeps the result of a call */
	unsigned sigreturn_size;
	/* How to use `store`: register that holds the address - disp, and bytes of stack between
	 * its entry and the address that its ret takes. */
	unsigned store_base;	/* number as in the ModRM byte: 3 rbx, 5 rbp, 12-15 r12-r15 */
	int32_t store_disp;
	uint32_t store_slack;
};
/* Looks for what is still 0 in code bytes that lie at `address` in the target. */
void arch_find_snippets(const uint8_t *code, size_t size, uint64_t address,
			struct arch_snippets *snippets);
bool arch_snippets_complete(const struct arch_snippets *snippets);
void arch_set_base(struct user_regs_struct *regs, unsigned base, uint64_t value);

/* ---- the end of a call in code of ours ---- */
/* Entered by the call's return, with these words on the stack: where the result goes; this thread's
 * id and a signal, for tkill; the stack pointer for the rt_sigreturn that follows. */
#define ARCH_END_SIZE 24
#define ARCH_END_STOP 13	/* offset of the instruction behind tkill */
extern const uint8_t arch_end_code[ARCH_END_SIZE];

/* ---- the frame that rt_sigreturn takes ---- */
/* A wait that was restarted before has the number of restart_syscall; which call it is can be read
 * from the instructions before it, ARCH_BEFORE_CALL bytes that end where the pc is. -1: unknown. */
#define ARCH_BEFORE_CALL 16
long arch_restarted_call(const struct user_regs_struct *regs, const uint8_t *code);
/* Bytes needed for a frame with this extended state, alignment included. */
size_t arch_frame_size(size_t xstate_size);
/* Fills `frame` (arch_frame_size() bytes that will lie at `address`, a multiple of 64) such that
 * rt_sigreturn with the stack pointer at *sp_ret (`address` + shift, 0 or 8) restores everything: registers, extended state
 * as NT_X86_XSTATE gave it, signal mask; the alternate stack is left alone. A system call that was
 * interrupted is started again. False: the extended state makes no sense. */
bool arch_make_frame(uint8_t *frame, uint64_t address, unsigned shift,
		     const struct user_regs_struct *regs, uint64_t sigmask, const uint8_t *xstate,
		     size_t xstate_size, uint64_t *sp_ret);
/* A frame of ARCH_BARE_FRAME bytes that sets registers and mask alone, the extended state to its
 * initial value: a step on the way to a complete one. */
#define ARCH_BARE_FRAME 304
void arch_make_bare_frame(uint8_t *frame, const struct user_regs_struct *regs, uint64_t sigmask);

#endif
