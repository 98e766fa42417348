/* SPDX-License-Identifier: Apache-2.0 */
/* attach/arch/x86_64.c - the x86-64 facts of a borrowed call: system calls, snippets, signal frame.
 * Knows: the instruction bytes and the kernel's layouts. Does not know: ptrace, processes.
 * Called by attach/stop and attach/borrow; calls nothing. */
#include "attach/arch/x86_64.h"

#include <asm/unistd.h>
#include <cpuid.h>
#include <string.h>

/* Kernel-internal error numbers (include/linux/errno.h), visible to a tracer only. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516
#define K_EINTR 4

/* ---- system calls ---- */

/* -1: no timeout argument or one that the kernel keeps over a restart; else the argument that is
 * a timeout in ms (negative: none), or with TIMEOUT_PTR a pointer to one (0: none). */
#define TIMEOUT_PTR 0x10
#define LIES 0x20	/* EINTR for a stop without a handler, signal(7) */

static const struct wait_call {
	int nr;
	int timeout;
	unsigned flags;
} wait_calls[] = {
	{ __NR_read, -1, LIES }, { __NR_readv, -1, LIES }, { __NR_pread64, -1, LIES },
	{ __NR_preadv, -1, LIES }, { __NR_preadv2, -1, LIES },
	{ __NR_write, -1, LIES }, { __NR_writev, -1, LIES },
	{ __NR_recvfrom, -1, LIES }, { __NR_recvmsg, -1, LIES }, { __NR_recvmmsg, -1, LIES },
	{ __NR_sendto, -1, LIES }, { __NR_sendmsg, -1, LIES },
	{ __NR_accept, -1, LIES }, { __NR_accept4, -1, LIES }, { __NR_connect, -1, LIES },
	{ __NR_poll, -1, 0 }, { __NR_ppoll, -1, 0 }, { __NR_select, -1, 0 },
	{ __NR_pselect6, -1, 0 },
	{ __NR_epoll_wait, 3, LIES }, { __NR_epoll_pwait, 3, LIES },
	{ __NR_epoll_pwait2, 3, LIES | TIMEOUT_PTR },
	{ __NR_nanosleep, -1, 0 }, { __NR_clock_nanosleep, -1, 0 },
	{ __NR_futex, -1, 0 }, { __NR_futex_waitv, -1, 0 },
	{ __NR_pause, -1, 0 }, { __NR_rt_sigsuspend, -1, 0 },
	{ __NR_rt_sigtimedwait, 2, LIES | TIMEOUT_PTR },
	{ __NR_wait4, -1, 0 }, { __NR_waitid, -1, 0 },
	{ __NR_flock, -1, 0 }, { __NR_fcntl, -1, 0 },
	{ __NR_msgrcv, -1, LIES }, { __NR_msgsnd, -1, LIES },
	{ __NR_semop, -1, LIES }, { __NR_semtimedop, 3, LIES | TIMEOUT_PTR },
	{ __NR_mq_timedreceive, -1, LIES }, { __NR_mq_timedsend, -1, LIES },
	{ __NR_io_getevents, 4, LIES | TIMEOUT_PTR },
	{ __NR_io_pgetevents, 4, LIES | TIMEOUT_PTR },
	{ __NR_io_uring_enter, -1, LIES },
	{ __NR_restart_syscall, -1, 0 }, { __NR_sched_yield, -1, 0 },
};

static const struct wait_call *find_wait(long nr)
{
	for (size_t i = 0; i < sizeof(wait_calls) / sizeof(*wait_calls); i++)
		if (wait_calls[i].nr == nr)
			return &wait_calls[i];
	return NULL;
}

enum arch_wait arch_classify_wait(long nr, const uint64_t args[6])
{
	const struct wait_call *c = find_wait(nr);
	if (!c)
		return ARCH_WAIT_NO;
	if (c->timeout < 0)
		return ARCH_WAIT_GOOD;
	uint64_t v = args[c->timeout];
	bool endless = c->flags & TIMEOUT_PTR ? v == 0 : (int32_t)v < 0;
	return endless ? ARCH_WAIT_GOOD : ARCH_WAIT_LATER;
}

bool arch_is_vfork_like(long nr)
{
	return nr == __NR_vfork || nr == __NR_clone || nr == __NR_clone3;
}

bool arch_undo_false_eintr(struct user_regs_struct *regs)
{
	if ((int64_t)regs->orig_rax < 0 || (int64_t)regs->rax != -K_EINTR)
		return false;
	const struct wait_call *c = find_wait((long)regs->orig_rax);
	if (!c || !(c->flags & LIES))
		return false;
	regs->rax = (uint64_t)-ERESTARTNOHAND;
	return true;
}

bool arch_restarts_by_call(const struct user_regs_struct *regs)
{
	return (int64_t)regs->orig_rax >= 0 && (int64_t)regs->rax == -ERESTART_RESTARTBLOCK &&
	       regs->orig_rax != __NR_restart_syscall;
}

void arch_restart_anew(struct user_regs_struct *regs)
{
	regs->rax = (uint64_t)-ERESTARTNOHAND;
}

bool arch_follows_call(const uint8_t before[ARCH_CALL_MAX])
{
	static const uint8_t lengths[] = { 2, 3, 4, 6, 7 };	/* ff /2, by its operand */
	if (before[ARCH_CALL_MAX - 5] == 0xe8)
		return true;
	for (size_t i = 0; i < sizeof(lengths); i++) {
		const uint8_t *code = before + ARCH_CALL_MAX - lengths[i];
		if (code[0] == 0xff && (code[1] >> 3 & 7) == 2)
			return true;
	}
	return false;
}

/* ---- code snippets ---- */

/* add $imm8,%rsp | pop reg: bytes used, 0 when it is neither; *slack grows by what it skips. */
static size_t match_epilogue(const uint8_t *p, size_t left, uint32_t *slack)
{
	if (left >= 4 && p[0] == 0x48 && p[1] == 0x83 && p[2] == 0xc4 && !(p[3] & 0x87)) {
		*slack += p[3];
		return 4;
	}
	if (left >= 2 && p[0] == 0x41 && p[1] >= 0x58 && p[1] <= 0x5f) {
		*slack += 8;
		return 2;
	}
	if (left >= 1 && p[0] >= 0x58 && p[0] <= 0x5f && p[0] != 0x5c) {
		*slack += 8;
		return 1;
	}
	return 0;
}

/* mov %rax,DISP8(BASE) with a callee-saved base, then pops and ret. */
static bool match_store(const uint8_t *p, size_t left, struct arch_snippets *s)
{
	if (left < 16 || (p[0] != 0x48 && p[0] != 0x49) || p[1] != 0x89)
		return false;
	unsigned mod = p[2] >> 6, reg = p[2] >> 3 & 7, rm = p[2] & 7;
	unsigned base = rm | (p[0] == 0x49 ? 8 : 0);
	if (reg != 0 || mod > 1 || rm == 4 || (mod == 0 && rm == 5))
		return false;
	if (base != 3 && base != 5 && base < 13)
		return false;
	size_t at = mod ? 4 : 3;
	uint32_t slack = 0;
	for (size_t n; (n = match_epilogue(p + at, left - at, &slack)); at += n)
		if (at + n + 5 > left || slack > ARCH_SLACK_MAX - 128)
			return false;
	if (p[at] != 0xc3)
		return false;
	s->store_base = base;
	s->store_disp = mod ? (int8_t)p[3] : 0;
	s->store_slack = slack;
	return true;
}

bool arch_snippets_complete(const struct arch_snippets *s)
{
	return s->syscall && s->sigreturn && s->store;
}

static void find_sigreturn(const uint8_t *code, size_t size, uint64_t address, struct arch_snippets *s)
{
	static const uint8_t ret32[] = { 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	static const uint8_t ret64[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	const uint8_t *wide = memmem(code, size, ret64, sizeof(ret64));
	const uint8_t *narrow = memmem(code, size, ret32, sizeof(ret32));
	if (!wide && !narrow)
		return;
	bool is_wide = wide && (!narrow || wide < narrow);
	s->sigreturn = address + (uint64_t)((is_wide ? wide : narrow) - code);
	s->sigreturn_size = is_wide ? sizeof(ret64) : sizeof(ret32);
}

static void find_store(const uint8_t *code, size_t size, uint64_t address, struct arch_snippets *s)
{
	const uint8_t *end = code + size, *p = code + 1;
	for (; (p = memchr(p, 0x89, (size_t)(end - p))); p++)
		if (match_store(p - 1, (size_t)(end - p + 1), s)) {
			s->store = address + (uint64_t)(p - 1 - code);
			return;
		}
}

void arch_find_snippets(const uint8_t *code, size_t size, uint64_t address,
			struct arch_snippets *s)
{
	static const uint8_t sys[] = { 0x0f, 0x05, 0xc3 };
	if (!code || !size)
		return;
	if (!s->syscall) {
		const uint8_t *p = memmem(code, size, sys, sizeof(sys));
		s->syscall = p ? address + (uint64_t)(p - code) : 0;
	}
	if (!s->sigreturn)
		find_sigreturn(code, size, address, s);
	if (!s->store)
		find_store(code, size, address, s);
}

void arch_set_base(struct user_regs_struct *regs, unsigned base, uint64_t value)
{
	switch (base) {
	case 3:
		regs->rbx = value;
		break;
	case 5:
		regs->rbp = value;
		break;
	case 13:
		regs->r13 = value;
		break;
	case 14:
		regs->r14 = value;
		break;
	case 15:
		regs->r15 = value;
		break;
	}
}

/* ---- the end of a call ---- */

const uint8_t arch_end_code[ARCH_END_SIZE] = {
	0x5a,				/* 0: pop %rdx */
	0x48, 0x89, 0x02,		/* 1: mov %rax,(%rdx) */
	0x5f, 0x5e,			/* 4: pop %rdi; pop %rsi */
	0xb8, 0xc8, 0, 0, 0,		/* 6: mov $200,%eax: tkill */
	0x0f, 0x05,			/* 11: syscall */
	0x5c,				/* 13: pop %rsp */
	0xb8, 0x0f, 0, 0, 0,		/* 14: mov $15,%eax: rt_sigreturn */
	0x0f, 0x05,			/* 19: syscall */
	0x0f, 0x0b, 0xcc,		/* 21: ud2 */
};

/* ---- the signal frame ---- */

/* struct ucontext and struct sigcontext_64 of arch/x86/include/uapi/asm, spelled out because the
 * user headers of libc have another mask size. */
struct k_sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
};

struct k_ucontext {
	uint64_t flags, link;
	uint64_t stack_sp;
	int32_t stack_flags, stack_pad;
	uint64_t stack_size;
	struct k_sigcontext mcontext;
	uint64_t sigmask;
};

_Static_assert(sizeof(struct k_sigcontext) == 256, "kernel ABI");
_Static_assert(sizeof(struct k_ucontext) == 304, "kernel ABI");

#define UC_FP_XSTATE 1u
#define UC_SIGCONTEXT_SS 2u
#define UC_STRICT_RESTORE_SS 4u
/* do_sigaltstack() refuses unknown modes with EINVAL, and rt_sigreturn ignores that: the
 * alternate stack stays what it is. */
#define NO_ALTSTACK_CHANGE 0x00ff00ff

#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define SW_RESERVED 464		/* offset in the legacy area; the regset has XCR0 here */
#define XSTATE_HEADER 512
#define XFEATURE_TILE_DATA (1ull << 18)

struct k_fpx_sw {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t padding[7];
};

_Static_assert(sizeof(struct k_fpx_sw) == 48, "kernel ABI");

/* The end of the last of the features in the standard format. */
static size_t features_size(uint64_t features)
{
	size_t size = XSTATE_HEADER + 64;
	for (unsigned i = 2; i < 63; i++) {
		unsigned eax, ebx, ecx, edx;
		if (!(features >> i & 1) || !__get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx))
			continue;
		if (ebx + eax > size)
			size = ebx + eax;
	}
	return size;
}

size_t arch_frame_size(size_t xstate_size)
{
	return (sizeof(struct k_ucontext) + 8 + 63) / 64 * 64 + (xstate_size + 4 + 63) / 64 * 64;
}

static bool make_xstate(uint8_t *out, const uint8_t *xstate, size_t size)
{
	uint64_t features, in_use;
	if (size < XSTATE_HEADER + 64)
		return false;
	memcpy(&features, xstate + SW_RESERVED, 8);
	memcpy(&in_use, xstate + XSTATE_HEADER, 8);
	/* A task without permission for AMX has a smaller state than the regset's size says, and
	 * the kernel takes a frame with too large a size as one without extended state. */
	if (!(in_use & XFEATURE_TILE_DATA))
		features &= ~XFEATURE_TILE_DATA;
	size_t used = features_size(features);
	if (used > size || in_use & ~features)
		return false;
	memcpy(out, xstate, used);
	struct k_fpx_sw sw = {
		.magic1 = FP_XSTATE_MAGIC1,
		.extended_size = (uint32_t)used + 4,
		.xfeatures = features,
		.xstate_size = (uint32_t)used,
	};
	memcpy(out + SW_RESERVED, &sw, sizeof(sw));
	uint32_t magic2 = FP_XSTATE_MAGIC2;
	memcpy(out + used, &magic2, 4);
	return true;
}

/* Without us the kernel would start the call again; rt_sigreturn does not, so the frame points at
 * the system call instruction. A call with a timeout starts with the whole of it: later than it
 * should, but not the EINTR that programs trip over. Only when it was restarted before is its
 * number lost. */
static void restart_in_frame(struct k_sigcontext *mc, const struct user_regs_struct *regs)
{
	if ((int64_t)regs->orig_rax < 0)
		return;
	switch (-(int64_t)regs->rax) {
	case ERESTART_RESTARTBLOCK:
		if (regs->orig_rax == __NR_restart_syscall) {
			mc->rax = (uint64_t)-K_EINTR;
			break;
		}
		__attribute__((fallthrough));
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		mc->rax = regs->orig_rax;
		mc->rip = regs->rip - 2;
		break;
	}
}

long arch_restarted_call(const struct user_regs_struct *regs, const uint8_t *code)
{
	/* The calls with a restart block. */
	static const long calls[] = { __NR_poll, __NR_nanosleep, __NR_clock_nanosleep, __NR_futex };
	if (regs->orig_rax != __NR_restart_syscall ||
	    -(int64_t)regs->rax != ERESTART_RESTARTBLOCK || code[14] != 0x0f || code[15] != 0x05)
		return -1;
	for (size_t i = 14 - 5 + 1; i-- > 0;) {		/* mov $nr,%eax; something short; syscall */
		uint32_t nr;
		memcpy(&nr, code + i + 1, 4);
		for (size_t k = 0; code[i] == 0xb8 && k < sizeof(calls) / sizeof(*calls); k++)
			if (nr == (uint32_t)calls[k])
				return calls[k];
	}
	return -1;
}

static struct k_ucontext make_ucontext(const struct user_regs_struct *regs, uint64_t sigmask)
{
	return (struct k_ucontext){
		.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
		.stack_flags = NO_ALTSTACK_CHANGE,
		.mcontext = {
			.r8 = regs->r8, .r9 = regs->r9, .r10 = regs->r10, .r11 = regs->r11,
			.r12 = regs->r12, .r13 = regs->r13, .r14 = regs->r14, .r15 = regs->r15,
			.rdi = regs->rdi, .rsi = regs->rsi, .rbp = regs->rbp, .rbx = regs->rbx,
			.rdx = regs->rdx, .rax = regs->rax, .rcx = regs->rcx, .rsp = regs->rsp,
			.rip = regs->rip, .eflags = regs->eflags,
			.cs = (uint16_t)regs->cs, .ss = (uint16_t)regs->ss,
		},
		.sigmask = sigmask,
	};
}

_Static_assert(sizeof(struct k_ucontext) == ARCH_BARE_FRAME, "what the header says");

void arch_make_bare_frame(uint8_t *frame, const struct user_regs_struct *regs, uint64_t sigmask)
{
	struct k_ucontext uc = make_ucontext(regs, sigmask);
	memcpy(frame, &uc, sizeof(uc));
}

bool arch_make_frame(uint8_t *frame, uint64_t address, unsigned shift,
		     const struct user_regs_struct *regs, uint64_t sigmask, const uint8_t *xstate,
		     size_t xstate_size, uint64_t *sp_ret)
{
	size_t uc_size = (sizeof(struct k_ucontext) + 8 + 63) / 64 * 64;
	memset(frame, 0, arch_frame_size(xstate_size));
	if (!make_xstate(frame + uc_size, xstate, xstate_size))
		return false;
	struct k_ucontext uc = make_ucontext(regs, sigmask);
	uc.flags |= UC_FP_XSTATE;
	uc.mcontext.fpstate = address + uc_size;
	restart_in_frame(&uc.mcontext, regs);
	memcpy(frame + shift, &uc, sizeof(uc));
	*sp_ret = address + shift;
	return true;
}
