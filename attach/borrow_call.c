/* SPDX-License-Identifier: Apache-2.0 */
/* attach/borrow_call.c - runs system calls and functions in a borrowed thread.
 * Knows: the stops on the way and what to do at each. Does not know: how the thread was chosen.
 * Called by inject/; calls attach/borrow, attach/stop. */
#include "attach/borrow_private.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define SYSCALL_TIMEOUT_MS 10000
#define SETTLE_US 2000000
#define SI_KERNEL_MIN 1			/* si_code above 0: a fault, not kill() */

struct run {
	struct borrow *b;
	uint64_t frame_sp, result_slot, entry_sp;
	uint64_t deadline_us;
	bool rests;			/* in a stop where the next call can begin */
	bool enters;			/* in the stop at the entry of a system call */
	siginfo_t fault;		/* si_signo 0: none */
};

/* The thread cannot be driven on. If it is not dead it goes on by itself, from wherever it is: at once
 * where it is in a stop, of whatever kind. */
static void give_up(struct borrow *b, bool stopped)
{
	struct tracee_thread *thread = b->thread;
	b->thread = NULL;
	if (!thread)
		return;
	thread->held = stopped;
	tracee_release_thread(b->t, thread);
}

static struct mt_error *lost(struct borrow *b)
{
	give_up(b, true);
	return stop_gone_error(b->t, b->tid);
}

/* ---- what a stop was ---- */

enum event {
	EVENT_OTHER,		/* go on, with *signal_ret */
	EVENT_FAULT,
	EVENT_END,		/* the signal by which the call tells that it has come back */
	EVENT_EXEC,
	EVENT_SYSCALL,
	EVENT_TRAP,		/* the stop that PTRACE_INTERRUPT asks for, or a group-stop */
};

/* After the code at b->end raised its signal. */
static bool at_own_end(const struct run *r)
{
	struct user_regs_struct regs;
	return ptrace(PTRACE_GETREGS, r->b->tid, NULL, &regs) == 0 &&
	       regs.rip == r->b->end + ARCH_END_STOP && regs.rsp == r->entry_sp + 32;
}

static void keep_signal(struct borrow *b, int sig)
{
	if (b->kept_count < sizeof(b->kept) / sizeof(*b->kept))
		b->kept[b->kept_count++] = sig;
}

/* A signal that comes although nearly all are blocked: a stop signal, which goes its way; a fault
 * of the call; or one of the unblocked kind that somebody sent, which is sent again later. */
static enum event classify_signal(struct run *r, int sig, long *signal_ret)
{
	siginfo_t si = { 0 };
	if (sig == SIGSTOP) {
		*signal_ret = sig;
		return EVENT_OTHER;
	}
	if (r->b->end && sig == r->b->end_signal)	/* of anybody else: ignored by the program */
		return at_own_end(r) ? EVENT_END : EVENT_OTHER;
	if (ptrace(PTRACE_GETSIGINFO, r->b->tid, NULL, &si) == 0 && si.si_code >= SI_KERNEL_MIN) {
		stop_take_signal(r->b->thread);
		r->fault = si;
		return EVENT_FAULT;
	}
	keep_signal(r->b, sig);
	return EVENT_OTHER;
}

static enum event classify(struct run *r, int status, long *signal_ret)
{
	*signal_ret = 0;
	switch (status >> 16) {
	case PTRACE_EVENT_STOP:
		r->b->thread->group_stopped = WSTOPSIG(status) != SIGTRAP;
		return EVENT_TRAP;
	case PTRACE_EVENT_EXEC:
		r->b->t->execed = true;
		return EVENT_EXEC;
	case 0:
		break;
	default:
		return EVENT_OTHER;
	}
	if (WSTOPSIG(status) == (SIGTRAP | 0x80))
		return EVENT_SYSCALL;
	return classify_signal(r, WSTOPSIG(status), signal_ret);
}

/* At the entry of our own rt_sigreturn: the call has come back. Not to know is to lose the thread:
 * it would run on through that rt_sigreturn into its own code. */
static struct mt_error *at_end(const struct run *r, bool *ret)
{
	struct user_regs_struct regs;
	const struct arch_snippets *s = &r->b->snippets;
	if (ptrace(PTRACE_GETREGS, r->b->tid, NULL, &regs) < 0)
		return mt_error_os(errno, "cannot read the registers of thread %d", (int)r->b->tid);
	*ret = regs.orig_rax == 15 && regs.rip == s->sigreturn + s->sigreturn_size &&
	       regs.rsp == r->frame_sp && (int64_t)regs.rax == -ENOSYS;
	return NULL;
}

/* ---- back to rest ---- */

/* In a system call's entry orig_rax = -1 makes the kernel skip it, so that the thread's restart data
 * stay. But a filter is asked about it, as about any number it does not know, and may kill when we
 * are not there to suspend it: then it is a call that changes nothing and that a tracer makes
 * anyway. */
static struct mt_error *park_after_call(struct run *r)
{
	struct borrow *b = r->b;
	if (!r->enters || !b->status.seccomp)
		return borrow_park(b, b->home_sp);
	struct user_regs_struct regs = borrow_parked_regs(b, b->home_sp);
	regs.orig_rax = ARCH_HARMLESS_CALL;
	return borrow_set_regs(b, &regs);
}

/* From any ptrace-stop to the one inside the kernel's signal code, parked. */
static struct mt_error *come_to_rest(struct run *r)
{
	struct borrow *b = r->b;
	struct mt_error *err = park_after_call(r);
	uint64_t deadline = mt_now_us() + SETTLE_US;
	long sig = 0;
	while (!err) {
		int status;
		if (ptrace(PTRACE_INTERRUPT, b->tid, NULL, NULL) < 0 ||
		    ptrace(PTRACE_CONT, b->tid, NULL, sig) < 0)
			return lost(b);
		switch (stop_wait(b->t, b->thread, deadline, &status)) {
		case STOP_GONE:
			return lost(b);
		case STOP_TIMEOUT:
			return mt_error_create(MT_ERROR_BUSY, "thread %d of process %d does not stop",
					       (int)b->tid, (int)b->t->pid);
		case STOP_STOPPED:
			break;
		}
		if (classify(r, status, &sig) == EVENT_TRAP) {
			b->thread->held = true;
			return NULL;
		}
	}
	return err;
}

/* The call did not end in time. It cannot be undone, but its return address leads to the frame:
 * let go, the thread finishes and restores itself. */
static struct mt_error *abandon(struct run *r)
{
	struct borrow *b = r->b;
	give_up(b, false);
	return mt_error_hint(mt_error_create(MT_ERROR_BUSY,
		"a call in thread %d of process %d did not end in time", (int)b->tid, (int)b->t->pid),
		"the thread finishes the call and goes on by itself");
}

static struct mt_error *fault_error(const struct run *r)
{
	struct mt_error *err = mt_error_create(MT_ERROR_OTHER,
		"a call in thread %d of process %d failed with signal %d (%s) at 0x%" PRIx64
		" and was undone", (int)r->b->tid, (int)r->b->t->pid, r->fault.si_signo,
		strsignal(r->fault.si_signo), (uint64_t)(uintptr_t)r->fault.si_addr);
	if (!err->is_static)
		err->address = (uint64_t)(uintptr_t)r->fault.si_addr;
	return err;
}

/* ---- the run ---- */

static struct mt_error *wait_for_end(struct run *r)
{
	struct borrow *b = r->b;
	struct mt_error *err;
	bool ended;
	long sig = 0;
	for (;;) {
		int status;
		if (ptrace(b->end ? PTRACE_CONT : PTRACE_SYSCALL, b->tid, NULL, sig) < 0)
			return lost(b);
		b->thread->held = false;
		switch (stop_wait(b->t, b->thread, r->deadline_us, &status)) {
		case STOP_GONE:
			return lost(b);
		case STOP_TIMEOUT:
			return abandon(r);
		case STOP_STOPPED:
			break;
		}
		switch (classify(r, status, &sig)) {
		case EVENT_SYSCALL:
			ended = false;
			err = at_end(r, &ended);
			if (err)
				give_up(b, true);
			r->enters = ended;
			if (err || ended)
				return err;
			break;
		case EVENT_FAULT:
			return NULL;
		case EVENT_END:
			/* A stop for a signal is one inside the kernel's signal code, as good as the
			 * one that PTRACE_INTERRUPT asks for. */
			r->rests = b->thread->held = true;
			return NULL;
		case EVENT_EXEC:
			tracee_release_thread(b->t, b->thread);
			b->thread = NULL;
			return mt_error_create(MT_ERROR_GONE,
				"process %d runs another program now", (int)b->t->pid);
		case EVENT_TRAP:
		case EVENT_OTHER:
			break;
		}
		if (mt_now_us() >= r->deadline_us) {
			/* Between two stops of a long call: it is stopped, which abandon() wants. */
			if (ptrace(PTRACE_CONT, b->tid, NULL, sig) < 0)
				return lost(b);
			return abandon(r);
		}
	}
}

static struct mt_error *lay_out_own_end(struct run *r)
{
	struct borrow *b = r->b;
	uint64_t words[] = { b->end, r->result_slot, (uint64_t)b->status.ns_pid, (uint64_t)b->end_signal,
			     r->frame_sp };
	r->entry_sp = ((r->frame_sp - sizeof(words)) & ~15ull) - 8;
	return tracee_write(b->t, r->entry_sp, words, sizeof(words));
}

/* On the stack below the frame, upwards from the entry's stack pointer: the address of the store
 * snippet as the return address; what its epilogue skips; the address of the sigreturn snippet;
 * and there the frame begins. */
static struct mt_error *lay_out(struct run *r)
{
	struct borrow *b = r->b;
	uint64_t words[ARCH_SLACK_MAX / 8 + 2] = { 0 };
	size_t slack = b->snippets.store_slack / 8, count = slack + 2;
	words[0] = b->snippets.store;
	words[1 + slack] = b->snippets.sigreturn;
	r->frame_sp = b->home_sp;
	r->result_slot = b->home_result;
	if (b->low != b->home_low) {		/* scratch lies below the frame: another one there */
		uint64_t low;
		struct mt_error *err = borrow_make_frame(b, b->low, &r->frame_sp, &r->result_slot,
							 &low);
		if (err)
			return err;
	}
	r->entry_sp = r->frame_sp - count * 8;
	if (r->entry_sp < b->floor + 128)
		return mt_error_create(MT_ERROR_OTHER, "the stack of thread %d is full", (int)b->tid);
	if (b->end)
		return lay_out_own_end(r);
	return tracee_write(b->t, r->entry_sp, words, count * 8);
}

static struct mt_error *run(struct borrow *b, struct user_regs_struct *regs, int timeout_ms,
			    uint64_t *ret)
{
	struct run r = { .b = b };
	if (!b->thread)
		return mt_error_create(MT_ERROR_GONE, "thread %d of process %d is not held any more",
				       (int)b->tid, (int)b->t->pid);
	if (b->stack_error)
		return take_ptr(&b->stack_error);
	struct mt_error *err = lay_out(&r);
	if (err)
		return err;
	r.deadline_us = mt_now_us() + (uint64_t)timeout_ms * 1000;
	regs->rsp = r.entry_sp;
	arch_set_base(regs, b->snippets.store_base,
		      r.result_slot - (uint64_t)(int64_t)b->snippets.store_disp);
	err = borrow_set_regs(b, regs);
	if (!err)
		err = wait_for_end(&r);
	b->low = b->home_low;
	if (err)
		return err;
	uint64_t value = 0;
	err = tracee_read(b->t, r.result_slot, &value, sizeof(value));
	struct mt_error *rest = r.rests ? borrow_park(b, b->home_sp) : come_to_rest(&r);
	if (rest) {
		mt_error_destroy(err);
		return rest;
	}
	if (r.fault.si_signo) {
		mt_error_destroy(err);
		return fault_error(&r);
	}
	if (!err)
		*ret = value;
	return err;
}

struct mt_error *borrow_syscall(struct borrow *b, long nr, const uint64_t args[6], int64_t *ret)
{
	if (b->t->cooperates)
		return cooperation_syscall(b, nr, args, ret);
	struct user_regs_struct regs = borrow_clean_regs(b);
	regs.rip = b->snippets.syscall;
	regs.rax = (unsigned long long)nr;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	uint64_t value;
	struct mt_error *err = run(b, &regs, SYSCALL_TIMEOUT_MS, &value);
	if (!err)
		*ret = (int64_t)value;
	return err;
}

struct mt_error *borrow_scratch(struct borrow *b, const void *data, size_t size,
				uint64_t *address_ret)
{
	if (b->low < b->floor || b->low - b->floor < size + 64)
		return mt_error_create(MT_ERROR_OTHER, "the stack of thread %d is full", (int)b->tid);
	uint64_t address = (b->low - size) & ~15ull;
	struct mt_error *err = tracee_write(b->t, address, data, size);
	if (err)
		return err;
	b->low = address;
	*address_ret = address;
	return NULL;
}

static struct mt_error *call(struct borrow *b, uint64_t fn, const uint64_t *args, int nargs,
			     int timeout_ms, uint64_t *ret)
{
	struct user_regs_struct regs = borrow_clean_regs(b);
	unsigned long long *const places[6] = { &regs.rdi, &regs.rsi, &regs.rdx,
						&regs.rcx, &regs.r8, &regs.r9 };
	for (int i = 0; i < 6; i++)
		*places[i] = args && i < nargs ? args[i] : 0;
	regs.rip = fn;
	regs.rax = 0;		/* no vector registers, for functions with variable arguments */
	return run(b, &regs, timeout_ms, ret);
}

/* A call may change errno, which belongs to the thread: its place and value are asked first. */
static struct mt_error *save_errno(struct borrow *b)
{
	uint64_t address;
	if (b->errno_saved || !b->errno_function || !b->regs.fs_base)
		return NULL;
	struct mt_error *err = call(b, b->errno_function, NULL, 0, 2000, &address);
	if (!err)
		err = tracee_read(b->t, address, &b->errno_value, 4);
	if (err)
		return err;
	b->errno_address = address;
	b->errno_saved = true;
	return NULL;
}

/* The frame with errno in it goes below what the caller has put on the stack for its call, and
 * stays in use until the stack is set anew. */
static struct mt_error *prepare_errno(struct borrow *b)
{
	uint64_t low = b->low;
	if (!b->thread || b->errno_saved)
		return NULL;
	struct mt_error *err = save_errno(b);
	if (err || !b->errno_saved)
		return err;
	return borrow_settle_on(b, low);
}

struct mt_error *borrow_call(struct borrow *b, uint64_t fn, const uint64_t *args, int nargs,
			     int timeout_ms, uint64_t *ret)
{
	if (b->t->cooperates)
		return cooperation_call(b, fn, args, nargs, timeout_ms, ret);
	struct mt_error *err = prepare_errno(b);
	return err ? err : call(b, fn, args, nargs, timeout_ms, ret);
}
