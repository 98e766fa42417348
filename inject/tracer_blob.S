/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer_blob.S - the tracer's shared object inside the program, so that one file is all: to
 * be opened by the target's dlopen, and to be mapped without it. */
	.section .rodata
	.global mt_tracer_blob, mt_tracer_blob_end
	.balign 16
mt_tracer_blob:
	.incbin "memtrace-tracer.so.stripped"
mt_tracer_blob_end:
	.byte 0
	.global mt_tracer_mapped_blob, mt_tracer_mapped_blob_end
	.balign 16
mt_tracer_mapped_blob:
	.incbin "memtrace-tracer-mapped.so.stripped"
mt_tracer_mapped_blob_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
