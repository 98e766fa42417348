/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/check/registers.h - every register of a thread holds what was put into it.
 * Knows: general registers, flags, x87 with its control word, MXCSR, xmm / ymm / zmm and mask
 * registers by what the processor has, the red zone, errno, a pattern on the stack. One thread of
 * a program may run it. Included by tests/targets/selfcheck.c and tests/unit/borrow_target.h. */
#ifndef MT_TESTS_CHECK_REGISTERS_H
#define MT_TESTS_CHECK_REGISTERS_H

#include "page.h"

enum { VECTORS = 32, VECTOR_SIZE = 64 };
enum canary_width { CANARY_SSE = 16, CANARY_AVX = 32, CANARY_AVX512 = 64 };

uint64_t canary_count, canary_in[16], canary_out[16], canary_red[5];
uint64_t canary_masks_in[8], canary_masks_out[8];
unsigned char canary_vectors_in[VECTORS * VECTOR_SIZE], canary_vectors_out[VECTORS * VECTOR_SIZE];
double canary_x87[3];
uint32_t canary_mxcsr[2];		/* in, out */
uint16_t canary_control[3];		/* in, out, the default */

/* Some vector registers: one instruction each, from and to its own 64 bytes. */
#define EACH_LOW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH_HIGH(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) \
	X(29) X(30) X(31)
#define EACH_MASK(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define LOAD_XMM(i) "movdqu canary_vectors_in+64*" #i "(%rip),%xmm" #i "\n"
#define SAVE_XMM(i) "movdqu %xmm" #i ",canary_vectors_out+64*" #i "(%rip)\n"
#define LOAD_YMM(i) "vmovdqu canary_vectors_in+64*" #i "(%rip),%ymm" #i "\n"
#define SAVE_YMM(i) "vmovdqu %ymm" #i ",canary_vectors_out+64*" #i "(%rip)\n"
#define LOAD_ZMM(i) "vmovdqu64 canary_vectors_in+64*" #i "(%rip),%zmm" #i "\n"
#define SAVE_ZMM(i) "vmovdqu64 %zmm" #i ",canary_vectors_out+64*" #i "(%rip)\n"
#define LOAD_K(i) "kmovw canary_masks_in+8*" #i "(%rip),%k" #i "\n"
#define SAVE_K(i) "kmovw %k" #i ",canary_masks_out+8*" #i "(%rip)\n"

#define PUSH(reg) "push %" reg "\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %" reg ",0\n"
#define POP(reg) "pop %" reg "\n.cfi_adjust_cfa_offset -8\n.cfi_restore %" reg "\n"

/* Loads patterns, spins, stores what is left of them, returns the flags. Leaf: the red zone is in
 * use. */
#define CANARY_SPIN(name, load_vectors, save_vectors)					\
	__asm__(".text\n.globl " name "\n.type " name ",@function\n" name ":\n.cfi_startproc\n"	\
	PUSH("rbx") PUSH("rbp") PUSH("r12") PUSH("r13") PUSH("r14") PUSH("r15")		\
	"fninit\nfnstcw canary_control+4(%rip)\nfldpi\nfld1\nfldl2e\nfldcw canary_control(%rip)\n"	\
	"ldmxcsr canary_mxcsr(%rip)\n"							\
	load_vectors									\
	"mov canary_in+0(%rip),%rax\nmov canary_in+8(%rip),%rbx\nmov canary_in+16(%rip),%rcx\n"	\
	"mov canary_in+24(%rip),%rdx\nmov canary_in+32(%rip),%rsi\nmov canary_in+40(%rip),%rdi\n"	\
	"mov canary_in+48(%rip),%rbp\nmov canary_in+56(%rip),%r8\nmov canary_in+64(%rip),%r9\n"	\
	"mov canary_in+72(%rip),%r10\nmov canary_in+80(%rip),%r11\nmov canary_in+88(%rip),%r12\n"	\
	"mov canary_in+96(%rip),%r13\nmov canary_in+104(%rip),%r14\nmov canary_in+112(%rip),%r15\n"	\
	"mov %rax,-8(%rsp)\nmov %rbx,-16(%rsp)\nmov %r15,-64(%rsp)\nmov %r14,-120(%rsp)\n"	\
	"mov %r13,-128(%rsp)\nstd\nstc\n"						\
	"1: decq canary_count(%rip)\njnz 1b\n"						\
	"mov %rax,canary_out+0(%rip)\nmov %rbx,canary_out+8(%rip)\nmov %rcx,canary_out+16(%rip)\n"	\
	"mov %rdx,canary_out+24(%rip)\nmov %rsi,canary_out+32(%rip)\nmov %rdi,canary_out+40(%rip)\n"	\
	"mov %rbp,canary_out+48(%rip)\nmov %r8,canary_out+56(%rip)\nmov %r9,canary_out+64(%rip)\n"	\
	"mov %r10,canary_out+72(%rip)\nmov %r11,canary_out+80(%rip)\nmov %r12,canary_out+88(%rip)\n"	\
	"mov %r13,canary_out+96(%rip)\nmov %r14,canary_out+104(%rip)\nmov %r15,canary_out+112(%rip)\n"	\
	"mov -8(%rsp),%rbx\nmov %rbx,canary_red+0(%rip)\nmov -16(%rsp),%rbx\n"		\
	"mov %rbx,canary_red+8(%rip)\nmov -64(%rsp),%rbx\nmov %rbx,canary_red+16(%rip)\n"	\
	"mov -120(%rsp),%rbx\nmov %rbx,canary_red+24(%rip)\nmov -128(%rsp),%rbx\n"	\
	"mov %rbx,canary_red+32(%rip)\n"						\
	"pushfq\n.cfi_adjust_cfa_offset 8\npop %rax\n.cfi_adjust_cfa_offset -8\ncld\n"	\
	save_vectors									\
	"stmxcsr canary_mxcsr+4(%rip)\nmovl $0x1f80,-4(%rsp)\nldmxcsr -4(%rsp)\n"	\
	"fnstcw canary_control+2(%rip)\nfldcw canary_control+4(%rip)\n"			\
	"fstpl canary_x87+0(%rip)\nfstpl canary_x87+8(%rip)\nfstpl canary_x87+16(%rip)\n"	\
	POP("r15") POP("r14") POP("r13") POP("r12") POP("rbp") POP("rbx")		\
	"ret\n.cfi_endproc\n.size " name ",.-" name "\n")

CANARY_SPIN("canary_spin_sse", EACH_LOW(LOAD_XMM), EACH_LOW(SAVE_XMM));
CANARY_SPIN("canary_spin_avx", EACH_LOW(LOAD_YMM), EACH_LOW(SAVE_YMM) "vzeroupper\n");
CANARY_SPIN("canary_spin_avx512", EACH_LOW(LOAD_ZMM) EACH_HIGH(LOAD_ZMM) EACH_MASK(LOAD_K),
	    EACH_LOW(SAVE_ZMM) EACH_HIGH(SAVE_ZMM) EACH_MASK(SAVE_K) "vzeroupper\n");

uint64_t canary_spin_sse(void);
uint64_t canary_spin_avx(void);
uint64_t canary_spin_avx512(void);

/* By cpuid, which for these also asks whether the system saves the registers. */
static enum canary_width canary_width(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") ? CANARY_AVX512 :
	       __builtin_cpu_supports("avx") ? CANARY_AVX : CANARY_SSE;
}

static void check_vectors(enum canary_width width)
{
	int count = width == CANARY_AVX512 ? 32 : 16;
	for (int i = 0; i < count; i++)
		if (memcmp(canary_vectors_in + i * VECTOR_SIZE, canary_vectors_out + i * VECTOR_SIZE,
			   (size_t)width))
			fail("vector register", i, -1);
	for (int i = 1; width == CANARY_AVX512 && i < 8; i++)
		MUST("mask register", canary_masks_out[i], canary_masks_in[i] & 0xffff);
}

static void spin_canaries(uint64_t count)
{
	static const double x87[3] = { 1.4426950408889634, 1.0, 3.14159265358979323846 };
	static const unsigned red[5] = { 0, 1, 14, 13, 12 };
	enum canary_width width = canary_width();
	uint64_t seed = page->rounds;
	volatile uint64_t stack[64];
	for (size_t i = 0; i < 64; i++)
		stack[i] = 0x9e3779b97f4a7c15ull * (i + 7) ^ seed;
	for (size_t i = 0; i < 15; i++)
		canary_in[i] = stack[i] + 1;
	for (size_t i = 0; i < sizeof(canary_vectors_in); i++)
		canary_vectors_in[i] = (unsigned char)(i * 37 + (i >> 6) + page->rounds);
	for (size_t i = 0; i < 8; i++)
		canary_masks_in[i] = 0x1111 * (i + 1) ^ (page->rounds & 0xff);
	memset(canary_out, 0, sizeof(canary_out));
	memset(canary_vectors_out, 0, sizeof(canary_vectors_out));
	canary_control[0] = 0x0e7f;	/* towards zero, double precision */
	canary_mxcsr[0] = 0x7f80;	/* towards zero, all masked */
	canary_count = count;
	errno = 1234;
	uint64_t flags = width == CANARY_AVX512 ? canary_spin_avx512() :
			 width == CANARY_AVX ? canary_spin_avx() : canary_spin_sse();
	MUST("errno", errno, 1234);
	MUST("carry flag", flags & 1, 1);
	MUST("direction flag", flags >> 10 & 1, 1);
	MUST("trap flag", flags >> 8 & 1, 0);
	for (size_t i = 0; i < 15; i++)
		if (canary_out[i] != canary_in[i])
			fail("register", (long)i, -1);
	check_vectors(width);
	MUST("mxcsr", canary_mxcsr[1], canary_mxcsr[0]);
	MUST("x87 control word", canary_control[1], canary_control[0]);
	MUST("x87", memcmp(canary_x87, x87, sizeof(x87)), 0);
	for (size_t i = 0; i < 5; i++)
		MUST("red zone", canary_red[i], canary_in[red[i]]);
	for (size_t i = 0; i < 64; i++)
		if (stack[i] != (0x9e3779b97f4a7c15ull * (i + 7) ^ seed))
			fail("stack", (long)i, -1);
}

static void mode_regs(void)
{
	publish_thread();
	page->ready = 1;
	while (go_on()) {
		spin_canaries(300000);
		round_done();
		rest();
	}
}

#endif
