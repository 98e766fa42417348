/* SPDX-License-Identifier: Apache-2.0 */
/* serve/pages.S - puts the server's own page into .rodata.
 * Knows: file names. Does not know: what is in them.
 * Read by serve/server.c. */
	.section .rodata
	.macro asset name, file
	.globl \name
	.globl \name\()_end
\name:
	.incbin "\file"
\name\()_end:
	.byte 0
	.endm

	asset asset_serve_html, serve/web/serve.html
	asset asset_serve_css, serve/web/serve.css
	asset asset_serve_js, serve/web/serve.js
	.section .note.GNU-stack, "", @progbits
