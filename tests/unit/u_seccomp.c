/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_seccomp.c - classic BPF programs and what they answer; filters read back from a
 * stopped thread; the refusals by their text. */
#include "attach/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OFFSET(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define S(code, k) { (uint16_t)(code), 0, 0, (uint32_t)(k) }
#define J(code, k, jt, jf) { (uint16_t)(BPF_JMP | (code)), (jt), (jf), (uint32_t)(k) }
#define LOAD(offset) S(BPF_LD | BPF_W | BPF_ABS, offset)
#define IMM(k) S(BPF_LD | BPF_IMM, k)
#define IMM_X(k) S(BPF_LDX | BPF_IMM, k)
#define RET(k) S(BPF_RET | BPF_K, k)
#define RET_A S(BPF_RET | BPF_A, 0)
#define ALU(op, k) S(BPF_ALU | (op) | BPF_K, k)
#define ALU_X(op) S(BPF_ALU | (op) | BPF_X, 0)
#define TAX S(BPF_MISC | BPF_TAX, 0)
#define TXA S(BPF_MISC | BPF_TXA, 0)
#define BAD SECCOMP_RET_KILL_PROCESS

static const struct seccomp_data data = {
	.nr = 28, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = 0x7f0011223344,
	.args = { 0x1111222233334444, 2, 3, 4, 5, 0x6666777788889999 },
};

static const struct row {
	const char *name;
	struct sock_filter code[8];
	uint32_t answer;
} rows[] = {
	{ "return constant", { RET(0x7fff0000) }, 0x7fff0000 },
	{ "return a", { IMM(0x50001), RET_A }, 0x50001 },
	{ "return x is not known", { IMM(1), S(BPF_RET | BPF_X, 0) }, BAD },
	{ "a begins as 0", { RET_A }, 0 },
	{ "x begins as 0", { IMM(7), TXA, RET_A }, 0 },
	{ "number", { LOAD(OFFSET(nr)), RET_A }, 28 },
	{ "arch", { LOAD(OFFSET(arch)), RET_A }, AUDIT_ARCH_X86_64 },
	{ "ip low", { LOAD(OFFSET(instruction_pointer)), RET_A }, 0x11223344 },
	{ "ip high", { LOAD(OFFSET(instruction_pointer) + 4), RET_A }, 0x7f00 },
	{ "argument low", { LOAD(16), RET_A }, 0x33334444 },
	{ "argument high", { LOAD(20), RET_A }, 0x11112222 },
	{ "last word", { LOAD(60), RET_A }, 0x66667777 },
	{ "beyond the data", { LOAD(64), RET_A }, BAD },
	{ "far beyond the data", { LOAD(0xfffffffc), RET_A }, BAD },
	{ "half a word", { LOAD(2), RET_A }, BAD },
	{ "a byte", { S(BPF_LD | BPF_B | BPF_ABS, 0), RET_A }, BAD },
	{ "indirect", { S(BPF_LD | BPF_W | BPF_IND, 0), RET_A }, BAD },
	{ "header length", { S(BPF_LDX | BPF_B | BPF_MSH, 0), RET_A }, BAD },
	{ "length", { S(BPF_LD | BPF_W | BPF_LEN, 0), RET_A }, 64 },
	{ "length x", { S(BPF_LDX | BPF_W | BPF_LEN, 0), TXA, RET_A }, 64 },
	{ "immediate x", { IMM_X(9), TXA, RET_A }, 9 },
	{ "tax", { IMM(5), TAX, IMM(0), TXA, RET_A }, 5 },
	{ "store and load", { IMM(5), S(BPF_ST, 15), IMM(0), S(BPF_LD | BPF_MEM, 15), RET_A }, 5 },
	{ "store x, load x", { IMM_X(6), S(BPF_STX, 0), IMM_X(0), S(BPF_LDX | BPF_MEM, 0), TXA, RET_A }, 6 },
	{ "store outside", { S(BPF_ST, 16), RET(1) }, BAD },
	{ "store x outside", { S(BPF_STX, 0xffffffff), RET(1) }, BAD },
	{ "load outside", { S(BPF_LD | BPF_MEM, 16), RET(1) }, BAD },
	{ "load x outside", { S(BPF_LDX | BPF_MEM, 0x80000000), RET(1) }, BAD },
	{ "add", { IMM(0xffffffff), ALU(BPF_ADD, 3), RET_A }, 2 },
	{ "add x", { IMM(1), IMM_X(2), ALU_X(BPF_ADD), RET_A }, 3 },
	{ "sub", { IMM(1), ALU(BPF_SUB, 2), RET_A }, 0xffffffff },
	{ "mul", { IMM(0x10000), ALU(BPF_MUL, 0x10001), RET_A }, 0x10000 },
	{ "div", { IMM(0xffffffff), ALU(BPF_DIV, 16), RET_A }, 0x0fffffff },
	{ "div by x, 0, ends", { IMM(9), ALU_X(BPF_DIV), RET(0x7fff0000) }, SECCOMP_RET_KILL_THREAD },
	{ "and", { IMM(0xff), ALU(BPF_AND, 0x3c), RET_A }, 0x3c },
	{ "or", { IMM(0xf0), ALU(BPF_OR, 0x0f), RET_A }, 0xff },
	{ "xor", { IMM(0xff), ALU(BPF_XOR, 0x0f), RET_A }, 0xf0 },
	{ "lsh", { IMM(1), ALU(BPF_LSH, 31), RET_A }, 0x80000000 },
	{ "lsh x, too far", { IMM(1), IMM_X(33), ALU_X(BPF_LSH), RET_A }, 2 },
	{ "rsh", { IMM(0x80000000), ALU(BPF_RSH, 31), RET_A }, 1 },
	{ "neg", { IMM(1), ALU(BPF_NEG, 0), RET_A }, 0xffffffff },
	{ "mod is not seccomp's", { IMM(9), ALU(BPF_MOD, 2), RET_A }, BAD },
	{ "ja", { J(BPF_JA, 1, 0, 0), RET(1), RET(2) }, 2 },
	{ "ja to the end", { J(BPF_JA, 6, 0, 0), RET(1) }, 0 },
	{ "ja far away", { J(BPF_JA, 0xffffffff, 0, 0), RET(1) }, BAD },
	{ "jeq", { LOAD(0), J(BPF_JEQ, 28, 0, 1), RET(1), RET(2) }, 1 },
	{ "jeq not", { LOAD(0), J(BPF_JEQ, 29, 0, 1), RET(1), RET(2) }, 2 },
	{ "jgt unsigned", { IMM(0x80000000), J(BPF_JGT, 1, 0, 1), RET(1), RET(2) }, 1 },
	{ "jgt not equal", { IMM(1), J(BPF_JGT, 1, 0, 1), RET(1), RET(2) }, 2 },
	{ "jge equal", { IMM(1), J(BPF_JGE, 1, 0, 1), RET(1), RET(2) }, 1 },
	{ "jset", { IMM(6), J(BPF_JSET, 2, 0, 1), RET(1), RET(2) }, 1 },
	{ "jset not", { IMM(6), J(BPF_JSET, 9, 0, 1), RET(1), RET(2) }, 2 },
	{ "jeq x", { IMM(4), TAX, J(BPF_JEQ | BPF_X, 99, 0, 1), RET(1), RET(2) }, 1 },
	{ "jump out", { J(BPF_JEQ, 0, 255, 255), RET(1) }, BAD },
	{ "no such jump", { J(0x50, 0, 0, 0), RET(1) }, BAD },
};

static void programs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Those that end before are padded with `ld #0`, and with a ret. */
		struct sock_filter code[8];
		memcpy(code, rows[i].code, sizeof(code));
		code[7] = (struct sock_filter)RET(0);
		uint32_t answer = seccomp_run(code, 8, &data);
		if (answer != rows[i].answer)
			print_error("%s: %#x\n", rows[i].name, answer);
		assert_int_equal(answer, rows[i].answer);
	}
	struct sock_filter endless[] = { IMM(1), IMM(2) };
	assert_int_equal(seccomp_run(endless, 2, &data), BAD);
	assert_int_equal(seccomp_run(endless, 0, &data), BAD);
}

/* Any bytes: nothing outside is touched (the sanitizers tell), and it ends. */
static void random_programs(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252ull;
	for (int round = 0; round < 20000; round++) {
		struct sock_filter code[64];
		for (size_t i = 0; i < sizeof(code); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			((uint8_t *)code)[i] = (uint8_t)(x >> 32 & (i % 8 == 1 || (i % 8 > 4 && x & 1) ? 0 : 255));
		}
		seccomp_run(code, 64, &data);
	}
}

static const struct seccomp_call madvise_call = { "madvise", SYS_madvise, false, { 0 } };
static const struct seccomp_call needed_call = { "madvise", SYS_madvise, true, { 0 } };

static void strictest(void **state)
{
	(void)state;
	static const struct {
		uint32_t a, b, answer;
		bool fine, fine_if_needed;
	} pairs[] = {
		{ SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, true, true },
		{ SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_LOG, true, true },
		{ SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, true, false },
		{ SECCOMP_RET_ERRNO | 1, SECCOMP_RET_TRAP | 3, SECCOMP_RET_TRAP, false, false },
		{ SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_KILL_THREAD, false, false },
		{ SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_KILL_PROCESS, false, false },
		{ SECCOMP_RET_TRACE, SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, false, false },
		{ SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF, false, false },
		{ 0x12340000, SECCOMP_RET_ALLOW, 0x12340000, false, false },	/* unknown */
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct sock_filter a[] = { RET(pairs[i].a) }, b[] = { RET(pairs[i].b) };
		struct seccomp_filter both[] = { { a, 1 }, { b, 1 } };
		struct seccomp_filters filters = { .list = { both, 2, 2 } };
		uint32_t answer = seccomp_judge(&filters, &madvise_call);
		assert_int_equal(answer, pairs[i].answer);
		assert_int_equal(seccomp_is_fine(answer, &madvise_call), pairs[i].fine);
		assert_int_equal(seccomp_is_fine(answer, &needed_call), pairs[i].fine_if_needed);
	}
	struct seccomp_filters none = { 0 };
	assert_int_equal(seccomp_judge(&none, &madvise_call), SECCOMP_RET_ALLOW);
}

/* ---- live ---- */

static struct sock_filter no_madvise[] = {
	LOAD(0), J(BPF_JEQ, SYS_madvise, 0, 1), RET(SECCOMP_RET_KILL_PROCESS), RET(SECCOMP_RET_ALLOW),
};
static struct sock_filter no_restart[] = {
	LOAD(0), J(BPF_JEQ, SYS_restart_syscall, 0, 1), RET(SECCOMP_RET_KILL_PROCESS),
	RET(SECCOMP_RET_ALLOW),
};

static pid_t start_filtered(struct sock_filter *code, size_t len, int times)
{
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid) {
		struct sock_fprog prog = { (unsigned short)len, code };
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < times; i++)
			if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
				_exit(9);
		if (write(ready[1], "r", 1) < 0)
			_exit(9);
		poll(NULL, 0, 700);
		_exit(42);
	}
	char c;
	assert_int_equal(read(ready[0], &c, 1), 1);
	usleep(50000);			/* into poll() */
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static int end_of(pid_t pid)
{
	int status = 0;
	waitpid(pid, &status, 0);
	return status;
}

static void read_back(void **state)
{
	(void)state;
	pid_t pid = start_filtered(no_madvise, 4, 3);
	struct tracee *t;
	struct tracee_thread *thread;
	struct seccomp_filters filters;
	assert_null(tracee_open(pid, &t));
	assert_null(tracee_stop_thread(t, pid, &thread));
	assert_null(seccomp_read(pid, pid, &filters));
	assert_int_equal(filters.list.len, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(filters.list.items[i].len, 4);
		assert_memory_equal(filters.list.items[i].code, no_madvise, sizeof(no_madvise));
	}
	seccomp_filters_deinit(&filters);
	tracee_close(t);
	int status = end_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

static void refused_by_name(void **state)
{
	(void)state;
	pid_t pid = start_filtered(no_madvise, 4, 1);
	struct tracee *t;
	bool filtered = false;
	char expected[160];
	static const struct seccomp_call gettid_call = { "gettid", SYS_gettid, true, { 0 } };
	assert_null(tracee_open(pid, &t));
	assert_null(seccomp_check(t, &gettid_call, 1, NULL, 0, &filtered));
	assert_true(filtered);
	struct mt_error *err = seccomp_check(t, &madvise_call, 1, NULL, 0, &filtered);
	assert_non_null(err);
	snprintf(expected, sizeof(expected), "process %d cannot be traced: its seccomp filter does not "
		 "allow 'madvise', which recording needs", (int)pid);
	assert_string_equal(err->message, expected);
	assert_int_equal(err->code, MT_ERROR_REFUSED);
	mt_error_destroy(err);
	tracee_close(t);
	assert_true(WIFEXITED(end_of(pid)));
}

/* A filter that forgot restart_syscall: a stop in a timed wait would be death. */
static void stop_in_a_timed_wait(void **state)
{
	(void)state;
	pid_t pid = start_filtered(no_restart, 4, 1);
	struct tracee *t;
	struct tracee_thread *thread;
	assert_null(tracee_open(pid, &t));
	for (int i = 0; i < 3; i++) {
		assert_null(tracee_stop_thread(t, pid, &thread));
		tracee_release_thread(t, thread);
		usleep(20000);
	}
	tracee_close(t);
	int status = end_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

static void no_filter(void **state)
{
	(void)state;
	pid_t pid = start_filtered(NULL, 0, 0);
	struct tracee *t;
	bool filtered = true;
	assert_null(tracee_open(pid, &t));
	assert_null(seccomp_check(t, &madvise_call, 1, NULL, 0, &filtered));
	assert_false(filtered);
	tracee_close(t);
	assert_true(WIFEXITED(end_of(pid)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs),
		cmocka_unit_test(random_programs),
		cmocka_unit_test(strictest),
		cmocka_unit_test(read_back),
		cmocka_unit_test(refused_by_name),
		cmocka_unit_test(stop_in_a_timed_wait),
		cmocka_unit_test(no_filter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
