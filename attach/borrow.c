/* SPDX-License-Identifier: Apache-2.0 */
/* attach/borrow.c - borrows a thread of the target: finds one, saves it, gives it back.
 * Knows: the order of steps in which the target survives our death at any instant.
 * Does not know: what is called. Called by inject/; calls attach/safepoint, attach/stop.
 *
 * The thread is at every moment in one of three states, and a single PTRACE_SETREGS moves it:
 *	as it came	our death lets it go on
 *	parked		pc at the sigreturn snippet, sp at a complete frame: our death runs
 *			rt_sigreturn, which restores registers, signal mask and FP state
 *	in a call	whose return address leads to the sigreturn snippet
 * Signal mask and FP state are changed only while it is parked or in a call. */
#include "attach/borrow_private.h"

#include "attach/seccomp.h"
#include "base/clock.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CANDIDATES 16		/* threads tried between two looks at all of them */
#define BACKOFF_MIN_US 300
#define BACKOFF_MAX_US 10000
/* However late it is: on a machine that stalls for seconds a deadline alone says nothing about the
 * target. */
#define ROUNDS_MIN 8
/* Room wanted below the red zone: the frame and a little for names of files and the like. */
#define STACK_EXTRA 2048
/* All but the signals that a fault raises: with one of those blocked or ignored the kernel would
 * reset its handler to the default on a fault. */
#define BLOCKED_SIGNALS (~(1ull << (SIGTRAP - 1) | 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | \
			   1ull << (SIGILL - 1) | 1ull << (SIGFPE - 1) | 1ull << (SIGSYS - 1)))

/* ---- saving ---- */

static struct mt_error *thread_error(const struct borrow *b, int errnum, const char *what)
{
	if (errnum == ESRCH)
		return stop_gone_error(b->t, b->tid);
	return mt_error_os(errnum, "cannot %s of thread %d", what, (int)b->tid);
}

static struct mt_error *save(struct borrow *b)
{
	pid_t tid = b->tid;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &b->regs) < 0)
		return thread_error(b, errno, "read the registers");
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(b->sigmask), &b->sigmask) < 0)
		return thread_error(b, errno, "read the signal mask");
	struct iovec iov = { b->xstate, sizeof(b->xstate) };
	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return thread_error(b, errno, "read the extended registers");
	b->xstate_size = iov.iov_len;
	return NULL;
}

struct mt_error *borrow_set_regs(struct borrow *b, const struct user_regs_struct *regs)
{
	if (ptrace(PTRACE_SETREGS, b->tid, NULL, regs) < 0)
		return thread_error(b, errno, "set the registers");
	return NULL;
}

/* Registers for code of ours: no restart of a system call, no single step, no odd flags. */
struct user_regs_struct borrow_clean_regs(const struct borrow *b)
{
	struct user_regs_struct regs = b->regs;
	regs.orig_rax = (unsigned long long)-1;
	regs.eflags &= ~(0x100ull | 0x400ull | 0x10000ull | 0x40000ull);	/* TF DF RF AC */
	return regs;
}

struct user_regs_struct borrow_parked_regs(const struct borrow *b, uint64_t frame_sp)
{
	struct user_regs_struct regs = borrow_clean_regs(b);
	regs.rip = b->snippets.sigreturn;
	regs.rsp = frame_sp;
	regs.rax = 15;
	return regs;
}

struct mt_error *borrow_park(struct borrow *b, uint64_t frame_sp)
{
	struct user_regs_struct regs = borrow_parked_regs(b, frame_sp);
	return borrow_set_regs(b, &regs);
}

/* On top of the complete frame at *sp: another one that first puts errno back, by the snippet that
 * also keeps results. It stores eight bytes; the four beside errno are thread-local too and of
 * the C library, and stay what they are now. */
static struct mt_error *add_errno_step(struct borrow *b, uint64_t *sp)
{
	const struct arch_snippets *sn = &b->snippets;
	uint64_t words[ARCH_SLACK_MAX / 8 + 1] = { 0 };
	size_t slack = sn->store_slack / 8;
	uint64_t place = b->errno_address & ~7ull, word;
	struct mt_error *err = tracee_read(b->t, place, &word, 8);
	if (err)
		return err;
	memcpy((uint8_t *)&word + (b->errno_address - place), &b->errno_value, 4);
	words[slack] = sn->sigreturn;
	struct user_regs_struct regs = borrow_clean_regs(b);
	regs.rip = sn->store;
	regs.rsp = *sp - (slack + 1) * 8;
	regs.rax = word;
	arch_set_base(&regs, sn->store_base, place - (uint64_t)(int64_t)sn->store_disp);
	uint8_t frame[ARCH_BARE_FRAME];
	arch_make_bare_frame(frame, &regs, BLOCKED_SIGNALS);
	uint64_t address = regs.rsp - ARCH_BARE_FRAME;
	address -= (address - *sp) % 16;	/* aligned as the one above */
	err = tracee_write(b->t, regs.rsp, words, (slack + 1) * 8);
	if (!err)
		err = tracee_write(b->t, address, frame, sizeof(frame));
	if (!err)
		*sp = address;
	return err;
}

struct mt_error *borrow_make_frame(struct borrow *b, uint64_t top, uint64_t *sp_ret,
				   uint64_t *result_ret, uint64_t *low_ret)
{
	size_t size = arch_frame_size(b->xstate_size);
	size_t total = size + 64;	/* and the word that takes a call's result */
	if (top < b->floor || top - b->floor < total + STACK_EXTRA / 2)
		return mt_error_create(MT_ERROR_OTHER, "the stack of thread %d is full", (int)b->tid);
	uint64_t address = (top - total) & ~63ull;
	auto_free uint8_t *frame = calloc(1, total);
	if (!frame)
		return &mt_enomem;
	/* The stack pointer at a function's entry is 8 modulo 16; see lay_out(). */
	unsigned shift = b->snippets.store_slack % 16 ? 0 : 8;
	uint64_t sp;
	struct user_regs_struct regs = b->regs;
	uint8_t code[ARCH_BEFORE_CALL];
	if (tracee_read_some(b->t, regs.rip - sizeof(code), code, sizeof(code)) == sizeof(code) &&
	    arch_restarted_call(&regs, code) >= 0)
		regs.orig_rax = (unsigned long long)arch_restarted_call(&regs, code);
	if (!arch_make_frame(frame, address, shift, &regs, b->sigmask, b->xstate,
			     b->xstate_size, &sp))
		return mt_error_create(MT_ERROR_REFUSED,
			"the extended registers of thread %d cannot be saved", (int)b->tid);
	struct mt_error *err = tracee_write(b->t, address, frame, total);
	if (!err && b->errno_saved)
		err = add_errno_step(b, &sp);
	if (err)
		return err;
	*sp_ret = sp;
	*result_ret = address + size;
	*low_ret = sp < address ? sp : address;
	return NULL;
}

struct mt_error *borrow_settle_on(struct borrow *b, uint64_t top)
{
	uint64_t sp, result, low;
	struct mt_error *err = borrow_make_frame(b, top, &sp, &result, &low);
	if (!err)
		err = borrow_park(b, sp);
	if (err)
		return err;
	b->top = top;
	b->home_sp = sp;
	b->home_result = result;
	b->home_low = b->low = low;
	return NULL;
}

static struct mt_error *take(struct borrow *b)
{
	struct mt_error *err = proc_status_read(b->tid, &b->status);
	if (!err)
		err = seccomp_suspend(b->t, b->tid, &b->status);
	if (err)
		return err;
	b->suspended = true;
	err = borrow_settle_on(b, b->regs.rsp - ARCH_RED_ZONE);
	if (err)
		return err;		/* nothing changed: regs are as they came */
	b->taken = true;
	uint64_t mask = BLOCKED_SIGNALS;
	if (ptrace(PTRACE_SETSIGMASK, b->tid, sizeof(mask), &mask) < 0)
		return thread_error(b, errno, "block the signals");
	return NULL;
}

/* ---- giving back ---- */

static bool restore_errno(struct borrow *b)
{
	struct mt_error *err = b->errno_saved ?
		tracee_write(b->t, b->errno_address, &b->errno_value, 4) : NULL;
	mt_error_destroy(err);
	return !err;
}

/* It is parked: whatever cannot be put back from here, its own rt_sigreturn puts back. The
 * registers come last, for they end that. */
static bool restore_from_here(struct borrow *b)
{
	struct iovec iov = { b->xstate, b->xstate_size };
	return restore_errno(b) &&
	       ptrace(PTRACE_SETREGSET, b->tid, NT_X86_XSTATE, &iov) == 0 &&
	       ptrace(PTRACE_SETSIGMASK, b->tid, sizeof(b->sigmask), &b->sigmask) == 0 &&
	       ptrace(PTRACE_SETREGS, b->tid, NULL, &b->regs) == 0;
}

static void restore(struct borrow *b)
{
	restore_from_here(b);
	/* Signals of the kind that had to stay unblocked, sent by somebody meanwhile. */
	for (size_t i = 0; i < b->kept_count; i++)
		syscall(SYS_tgkill, b->t->pid, b->tid, b->kept[i]);
}

void borrow_release(struct borrow *b, bool keep_stopped)
{
	if (!b)
		return;
	if (b->thread && b->taken)
		restore(b);
	if (b->thread && b->suspended)
		seccomp_resume(b->tid);
	if (b->thread && !keep_stopped)
		tracee_release_thread(b->t, b->thread);
	mt_error_destroy(b->stack_error);
	free(b);
}

pid_t borrow_tid(const struct borrow *b)
{
	return b->tid;
}

const struct proc_status *borrow_status(const struct borrow *b)
{
	return &b->status;
}

uint64_t borrow_thread_pointer(const struct borrow *b)
{
	return b->regs.fs_base;
}

/* ---- finding ---- */

static struct mt_error *create(struct tracee *t, struct tracee_thread *thread,
			       const struct safepoint *sp, struct borrow **ret)
{
	struct borrow *b = calloc(1, sizeof(*b));
	if (!b)
		return &mt_enomem;
	b->t = t;
	b->thread = thread;
	b->tid = thread->tid;
	b->snippets = *safepoint_snippets(sp);
	b->errno_function = safepoint_errno_function(sp);
	*ret = b;
	return NULL;
}

/* Takes a held thread. On failure it is left held, as it was. */
static struct mt_error *take_thread(struct tracee *t, struct safepoint *sp,
				    struct tracee_thread *thread, bool trusted,
				    struct borrow **ret, enum safepoint_reason *why_ret)
{
	struct borrow *b = NULL;
	*why_ret = SAFEPOINT_OK;
	struct mt_error *err = create(t, thread, sp, &b);
	if (err)
		return err;
	err = save(b);
	if (!err) {
		size_t room = arch_frame_size(b->xstate_size) + STACK_EXTRA;
		*why_ret = safepoint_check(sp, thread, &b->regs, b->sigmask, trusted, room,
					   &b->own_floor);
		b->floor = b->own_floor;
		if (*why_ret == SAFEPOINT_OK)
			err = take(b);
	}
	if (err || *why_ret != SAFEPOINT_OK) {
		borrow_release(b, true);
		return err;
	}
	*ret = b;
	return NULL;
}

struct mt_error *borrow_thread(struct tracee *t, struct tracee_thread *thread, bool trusted,
			       struct borrow **ret)
{
	struct safepoint *sp;
	enum safepoint_reason why;
	struct mt_error *err = safepoint_prepare(t, &sp);
	if (!err)
		err = take_thread(t, sp, thread, trusted, ret, &why);
	if (!err && why != SAFEPOINT_OK)
		err = mt_error_create(MT_ERROR_BUSY, "thread %d of process %d is %s",
				      (int)thread->tid, (int)t->pid, safepoint_reason_text(why));
	return err;
}

struct search {
	struct tracee *t;
	struct safepoint *sp;
	unsigned rounds, tries;
	unsigned reasons[SAFEPOINT_REASONS];
	/* A thread still blocked where it was refused is not stopped again. */
	struct safepoint_candidate refused[64];
	size_t refused_next;
};

static bool was_refused(const struct search *s, const struct safepoint_candidate *c)
{
	if (!c->pc)
		return false;
	for (size_t i = 0; i < 64; i++)
		if (s->refused[i].tid == c->tid && s->refused[i].pc == c->pc &&
		    s->refused[i].sp == c->sp)
			return true;
	return false;
}

static struct mt_error *try_candidate(struct search *s, const struct safepoint_candidate *c,
				      struct borrow **ret)
{
	struct tracee_thread *thread;
	s->tries++;
	safepoint_rehearse(s->sp, c);
	struct mt_error *err = tracee_stop_thread(s->t, c->tid, &thread);
	if (err) {
		s->reasons[SAFEPOINT_NO_STOP]++;
		bool other = err->code == MT_ERROR_BUSY ||
			     (err->code == MT_ERROR_GONE && tracee_alive(s->t) && !s->t->execed);
		if (!other)
			return err;
		mt_error_destroy(err);
		return NULL;
	}
	enum safepoint_reason why;
	struct borrow *b = NULL;
	err = take_thread(s->t, s->sp, thread, false, &b, &why);
	if (!err && why == SAFEPOINT_OK) {
		*ret = b;
		return NULL;
	}
	tracee_release_thread(s->t, thread);
	if (err && err->code == MT_ERROR_GONE && tracee_alive(s->t)) {
		mt_error_destroy(err);
		return NULL;
	}
	s->reasons[why]++;
	if (!err && c->pc)
		s->refused[s->refused_next++ % 64] = *c;
	return err;
}

static struct mt_error *search_round(struct search *s, uint64_t deadline_us, struct borrow **ret)
{
	struct safepoint_candidate list[CANDIDATES];
	size_t count;
	enum safepoint_reason why;
	struct mt_error *err = safepoint_prepare(s->t, &s->sp);
	s->rounds++;
	if (err)
		return err;
	why = safepoint_process(s->sp);
	if (why != SAFEPOINT_OK) {
		s->reasons[why]++;
		return NULL;
	}
	err = safepoint_candidates(s->sp, list, CANDIDATES, &count, &why);
	if (err)
		return err;
	if (!count)
		s->reasons[why]++;
	for (size_t i = 0; i < count && !err && !*ret; i++) {
		if (i && s->rounds > ROUNDS_MIN && mt_now_us() > deadline_us)
			break;
		if (!was_refused(s, &list[i]))
			err = try_candidate(s, &list[i], ret);
	}
	return err;
}

static struct mt_error *no_safe_point(const struct search *s, int deadline_ms)
{
	char text[512] = "";
	size_t len = 0;
	for (int i = 1; i < SAFEPOINT_REASONS && len < sizeof(text); i++)
		if (s->reasons[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s (%u)",
						len ? ", " : "",
						safepoint_reason_text((enum safepoint_reason)i),
						s->reasons[i]);
	return mt_error_hint(mt_error_create(MT_ERROR_BUSY,
		"no thread of process %d was at a safe point within %d ms (%u tries): %s",
		(int)s->t->pid, deadline_ms, s->tries, len ? text : "no thread could be looked at"),
		"nothing was changed; try again later");
}

struct mt_error *borrow_acquire(struct tracee *t, int deadline_ms, struct borrow **ret)
{
	if (t->cooperates)
		return cooperation_borrow(t, ret);
	struct search s = { .t = t };
	uint64_t start = mt_now_us(), deadline = start + (uint64_t)deadline_ms * 1000;
	uint64_t backoff = BACKOFF_MIN_US;
	struct borrow *b = NULL;
	for (;;) {
		struct mt_error *err = search_round(&s, deadline, &b);
		if (err)
			return err;
		if (b)
			break;
		if (t->cancel_asked && t->cancel_asked())
			return mt_error_create(MT_ERROR_INTERRUPTED,
					       "interrupted before the capture began");
		if (mt_now_us() + backoff > deadline && s.rounds >= ROUNDS_MIN)
			return no_safe_point(&s, deadline_ms);
		/* An exec of the target waits until we have reaped those of its threads that we had seized. */
		stop_sweep(t);
		struct timespec ts = { 0, (long)backoff * 1000 };
		nanosleep(&ts, NULL);
		/* Not in step with what the target does periodically. */
		backoff = backoff * 3 / 2 + mt_now_us() % 97;
		if (backoff > BACKOFF_MAX_US)
			backoff = BACKOFF_MIN_US;
	}
	t->borrowed = b->tid;
	*ret = b;
	return NULL;
}

const uint8_t *const borrow_end_code = arch_end_code;
_Static_assert(BORROW_END_SIZE == ARCH_END_SIZE, "what the header says");

/* A signal whose default is to be ignored, that has no handler, and that the thread does not block
 * (who does may be waiting for it). 0: none. */
static int meaningless_signal(const struct borrow *b)
{
	static const int signals[] = { SIGURG, SIGWINCH };
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		if (!((b->status.caught | b->sigmask) >> (signals[i] - 1) & 1))
			return signals[i];
	return 0;
}

void borrow_set_end(struct borrow *b, uint64_t address)
{
	if (!b->thread || b->end || b->status.seccomp || b->status.ns_pid <= 0)
		return;
	int sig = meaningless_signal(b);
	uint64_t mask = BLOCKED_SIGNALS & ~(1ull << (sig ? sig - 1 : 0));
	if (!sig || ptrace(PTRACE_SETSIGMASK, b->tid, sizeof(mask), &mask) < 0)
		return;
	b->end = address;
	b->end_signal = sig;
}

void borrow_set_stack(struct borrow *b, uint64_t address, uint64_t size)
{
	if (b->t->cooperates)
		return;
	uint64_t top = address ? address + size : b->regs.rsp - ARCH_RED_ZONE;
	b->floor = address ? address : b->own_floor;
	if (!b->thread)
		return;
	struct mt_error *err = borrow_settle_on(b, top);
	if (err) {
		/* Reported by the next call: this one has no way to. */
		mt_error_destroy(b->stack_error);
		b->stack_error = err;
	}
}
