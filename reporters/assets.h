/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/assets.h - the files of reporters/web/, inside the program. */
#ifndef MT_REPORTERS_ASSETS_H
#define MT_REPORTERS_ASSETS_H

extern const char asset_page_html[], asset_page_html_end[];
extern const char asset_page_css[], asset_page_css_end[];
extern const char asset_page_js[], asset_page_js_end[];	/* all scripts, one after the other */
extern const char asset_table_html[], asset_table_html_end[];
extern const char asset_table_css[], asset_table_css_end[];
extern const char asset_table_js[], asset_table_js_end[];
extern const char asset_leaks_html[], asset_leaks_html_end[];
extern const char asset_leaks_css[], asset_leaks_css_end[];
extern const char asset_serve_html[], asset_serve_html_end[];
extern const char asset_serve_css[], asset_serve_css_end[];
extern const char asset_serve_js[], asset_serve_js_end[];

#endif
