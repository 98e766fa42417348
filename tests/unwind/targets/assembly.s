# SPDX-License-Identifier: Apache-2.0
# tests/unwind/targets/assembly.s - written call frame information; its rows: test_tables.py.
	.text
	.balign 16
	.globl saves_rbp
	.type saves_rbp, @function
saves_rbp:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register %rbp
	.cfi_remember_state
	test %edi, %edi
	je 1f
	pop %rbp
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	ret
	.cfi_restore_state
1:	nop
	leave
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	ret
	.cfi_endproc
	.size saves_rbp, . - saves_rbp

	.balign 16, 0xcc
	.globl saves_rsp
	.type saves_rsp, @function
saves_rsp:				# the old stack pointer in a slot
	.cfi_startproc
	mov %rsp, %rax
	sub $64, %rsp
	.cfi_adjust_cfa_offset 64
	and $-64, %rsp
	mov %rax, 8(%rsp)
	.cfi_escape 0x0f, 0x03, 0x77, 0x08, 0x06	# CFA = *(rsp + 8)
	nop
	mov 8(%rsp), %rsp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size saves_rsp, . - saves_rsp

	.balign 16, 0xcc
	.globl by_r10
	.type by_r10, @function
by_r10:					# what gcc does to realign with r10
	.cfi_startproc
	lea 8(%rsp), %r10
	.cfi_def_cfa %r10, 0
	and $-32, %rsp
	push -8(%r10)
	push %rbp
	.cfi_escape 0x10, 0x06, 0x02, 0x76, 0x00	# rbp at rbp + 0
	mov %rsp, %rbp
	push %r10
	.cfi_escape 0x0f, 0x03, 0x76, 0x78, 0x06	# CFA = *(rbp - 8)
	nop
	mov -8(%rbp), %r10
	.cfi_def_cfa %r10, 0
	leave
	lea -8(%r10), %rsp
	.cfi_def_cfa %rsp, 8
	.cfi_same_value %rbp
	ret
	.cfi_endproc
	.size by_r10, . - by_r10

	.balign 16, 0xcc
	.globl thread_root
	.type thread_root, @function
thread_root:
	.cfi_startproc
	.cfi_undefined %rip
	nop
	ret
	.cfi_endproc
	.size thread_root, . - thread_root

	.balign 16, 0xcc
	.globl no_information
	.type no_information, @function
no_information:
	nop
	ret
	.size no_information, . - no_information
	.section .note.GNU-stack, "", @progbits
