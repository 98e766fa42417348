/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/assets.S - puts the page's parts into .rodata.
 * Knows: file names. Does not know: what is in them.
 * Read by reporters/flamegraph.c, table.c, leaks_html.c and serve/routes.c. The scripts follow each other and are one. */
	.section .rodata
	.macro asset name
	.globl \name
	.balign 16
\name:
	.endm
	.macro asset_end name
	.globl \name\()_end
\name\()_end:
	.byte 0
	.endm

	asset asset_page_html
	.incbin "reporters/web/head.html"
	.incbin "reporters/web/page.html"
	asset_end asset_page_html

	asset asset_page_css
	.incbin "reporters/web/page.css"
	asset_end asset_page_css

	asset asset_page_js
	.incbin "reporters/web/model.js"
	.incbin "reporters/web/trees.js"
	.incbin "reporters/web/draw.js"
	.incbin "reporters/web/chart.js"
	.incbin "reporters/web/state.js"
	.incbin "reporters/web/report.js"
	.incbin "reporters/web/page.js"
	asset_end asset_page_js

	asset asset_table_html
	.incbin "reporters/web/head.html"
	.incbin "reporters/web/table.html"
	asset_end asset_table_html

	asset asset_table_css
	.incbin "reporters/web/table.css"
	asset_end asset_table_css

	asset asset_table_js
	.incbin "reporters/web/model.js"
	.incbin "reporters/web/table.js"
	asset_end asset_table_js

	asset asset_leaks_html
	.incbin "reporters/web/head.html"
	.incbin "reporters/web/leaks.html"
	asset_end asset_leaks_html

	asset asset_leaks_css
	.incbin "reporters/web/leaks.css"
	asset_end asset_leaks_css

	asset asset_serve_html
	.incbin "reporters/web/serve.html"
	asset_end asset_serve_html

	asset asset_serve_css
	.incbin "reporters/web/serve.css"
	asset_end asset_serve_css

	asset asset_serve_js
	.incbin "reporters/web/serve.js"
	asset_end asset_serve_js

	.section .note.GNU-stack, "", %progbits
