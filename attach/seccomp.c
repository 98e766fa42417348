/* SPDX-License-Identifier: Apache-2.0 */
/* attach/seccomp.c - reads the seccomp filters of a thread and runs them here.
 * Knows: classic BPF as seccomp takes it, the kernel's rules. Does not know: who makes the calls.
 * Called by attach/seccomp_check.c and attach/stop; calls the kernel. */
#include "attach/seccomp.h"

#include "attach/arch/x86_64.h"

#include <errno.h>
#include <linux/audit.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define FILTERS_MAX 4096	/* the kernel's limit on all their instructions is met earlier */
#define CODE_ADDRESS 0x7f1200345000ull	/* where the call comes from: somewhere among libraries */

/* ---- running a filter ---- */

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
	const struct seccomp_data *data;
};

static bool load(const struct machine *m, const struct sock_filter *in, uint32_t *ret)
{
	switch (BPF_MODE(in->code)) {
	case BPF_IMM:
		*ret = in->k;
		return true;
	case BPF_LEN:
		*ret = sizeof(*m->data);
		return BPF_SIZE(in->code) == BPF_W;
	case BPF_MEM:
		if (in->k >= BPF_MEMWORDS)
			return false;
		*ret = m->mem[in->k];
		return true;
	case BPF_ABS:
		if (BPF_CLASS(in->code) != BPF_LD || BPF_SIZE(in->code) != BPF_W || in->k % 4 ||
		    in->k > sizeof(*m->data) - 4)
			return false;
		memcpy(ret, (const uint8_t *)m->data + in->k, 4);
		return true;
	default:
		return false;
	}
}

/* 1 done, 0 the program ends with answer 0 (a division by zero), -1 no such instruction */
static int compute(struct machine *m, const struct sock_filter *in)
{
	uint32_t v = BPF_SRC(in->code) == BPF_X ? m->x : in->k;
	switch (BPF_OP(in->code)) {
	case BPF_ADD: m->a += v; return 1;
	case BPF_SUB: m->a -= v; return 1;
	case BPF_MUL: m->a *= v; return 1;
	case BPF_OR: m->a |= v; return 1;
	case BPF_AND: m->a &= v; return 1;
	case BPF_XOR: m->a ^= v; return 1;
	case BPF_LSH: m->a <<= v & 31; return 1;
	case BPF_RSH: m->a >>= v & 31; return 1;
	case BPF_NEG: m->a = 0 - m->a; return 1;
	case BPF_DIV:
		if (!v)
			return 0;
		m->a /= v;
		return 1;
	default:
		return -1;
	}
}

/* Instructions to skip; -1: no such instruction. */
static int64_t jump(const struct machine *m, const struct sock_filter *in)
{
	uint32_t v = BPF_SRC(in->code) == BPF_X ? m->x : in->k;
	switch (BPF_OP(in->code)) {
	case BPF_JA: return in->k;
	case BPF_JEQ: return m->a == v ? in->jt : in->jf;
	case BPF_JGT: return m->a > v ? in->jt : in->jf;
	case BPF_JGE: return m->a >= v ? in->jt : in->jf;
	case BPF_JSET: return m->a & v ? in->jt : in->jf;
	default: return -1;
	}
}

static bool store(struct machine *m, uint32_t k, uint32_t value)
{
	if (k >= BPF_MEMWORDS)
		return false;
	m->mem[k] = value;
	return true;
}

/* All but returns. 1: *skip more to be left out; 0 and -1 as compute(). */
static int step(struct machine *m, const struct sock_filter *in, uint64_t *skip)
{
	int64_t distance;
	*skip = 0;
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		return load(m, in, &m->a) ? 1 : -1;
	case BPF_LDX:
		return load(m, in, &m->x) ? 1 : -1;
	case BPF_ST:
		return store(m, in->k, m->a) ? 1 : -1;
	case BPF_STX:
		return store(m, in->k, m->x) ? 1 : -1;
	case BPF_ALU:
		return compute(m, in);
	case BPF_JMP:
		distance = jump(m, in);
		*skip = (uint64_t)distance;
		return distance < 0 ? -1 : 1;
	case BPF_MISC:
		if (BPF_MISCOP(in->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		return 1;
	default:
		return -1;
	}
}

uint32_t seccomp_run(const struct sock_filter *code, size_t len, const struct seccomp_data *data)
{
	struct machine m = { .data = data };
	/* Jumps go forward only: every instruction is met at most once. */
	for (uint64_t pc = 0; pc < len; pc++) {
		const struct sock_filter *in = &code[pc];
		uint64_t skip;
		if (BPF_CLASS(in->code) == BPF_RET) {
			uint16_t from = BPF_RVAL(in->code);
			return from == BPF_A ? m.a : from == BPF_K ? in->k : SECCOMP_RET_KILL_PROCESS;
		}
		int rc = step(&m, in, &skip);
		if (rc <= 0)
			return rc ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_KILL_THREAD;
		pc += skip;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

uint32_t seccomp_judge(const struct seccomp_filters *filters, const struct seccomp_call *call)
{
	struct seccomp_data data = {
		.nr = call->nr, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = CODE_ADDRESS,
	};
	memcpy(data.args, call->args, sizeof(data.args));
	uint32_t worst = SECCOMP_RET_ALLOW;
	for (size_t i = 0; i < filters->list.len; i++) {
		const struct seccomp_filter *f = &filters->list.items[i];
		uint32_t action = seccomp_run(f->code, f->len, &data) & SECCOMP_RET_ACTION_FULL;
		if ((int32_t)action < (int32_t)worst)	/* signed: KILL_PROCESS is the lowest */
			worst = action;
	}
	return worst;
}

bool seccomp_is_fine(uint32_t action, const struct seccomp_call *call)
{
	return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG ||
	       (action == SECCOMP_RET_ERRNO && !call->must_work);
}

/* ---- reading ---- */

void seccomp_filters_deinit(struct seccomp_filters *filters)
{
	for (size_t i = 0; i < filters->list.len; i++)
		free(filters->list.items[i].code);
	mt_array_deinit(&filters->list);
}

static struct mt_error *unreadable(pid_t pid, int errnum)
{
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"process %d has a seccomp filter, which the kernel does not let memtrace read (%s)",
		(int)pid, strerror(errnum)),
		"run memtrace as root, outside of containers; the kernel needs "
		"CONFIG_CHECKPOINT_RESTORE");
}

/* The next filter; *done_ret: there is none. */
static struct mt_error *read_filter(pid_t pid, pid_t tid, struct seccomp_filters *filters,
				    bool *done_ret)
{
	size_t index = filters->list.len;
	long len = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, NULL);
	/* EINVAL: the thread has no filter at all. */
	*done_ret = len < 0 && (errno == ENOENT || (errno == EINVAL && !index));
	if (*done_ret)
		return NULL;
	if (len < 0 && errno == ESRCH)
		return mt_error_create(MT_ERROR_GONE, "thread %d of process %d has exited",
				       (int)tid, (int)pid);
	if (len <= 0 || len > BPF_MAXINSNS || index >= FILTERS_MAX)
		return unreadable(pid, len < 0 ? errno : E2BIG);
	struct seccomp_filter f = { calloc((size_t)len, sizeof(*f.code)), (size_t)len };
	if (!f.code)
		return &mt_enomem;
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, f.code) != len) {
		struct mt_error *err = unreadable(pid, errno);
		free(f.code);
		return err;
	}
	if (!mt_array_push(&filters->list, f)) {
		free(f.code);
		return &mt_enomem;
	}
	return NULL;
}

struct mt_error *seccomp_read(pid_t pid, pid_t tid, struct seccomp_filters *ret)
{
	struct seccomp_filters filters = { 0 };
	bool done = false;
	while (!done) {
		struct mt_error *err = read_filter(pid, tid, &filters, &done);
		if (err) {
			seccomp_filters_deinit(&filters);
			return err;
		}
	}
	*ret = filters;
	return NULL;
}

/* ---- a wait that was interrupted ---- */

void seccomp_mend_restart(pid_t tid)
{
	struct user_regs_struct regs;
	struct seccomp_filters filters;
	static const struct seccomp_call restart = { "restart_syscall", SYS_restart_syscall, true, { 0 } };
	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0 || !arch_restarts_by_call(&regs))
		return;
	struct mt_error *err = seccomp_read(tid, tid, &filters);
	if (!err) {
		if (!seccomp_is_fine(seccomp_judge(&filters, &restart), &restart)) {
			arch_restart_anew(&regs);
			ptrace(PTRACE_SETREGS, tid, NULL, &regs);
		}
		seccomp_filters_deinit(&filters);
	}
	mt_error_destroy(err);		/* not to be told: left to the kernel */
}
