/* SPDX-License-Identifier: Apache-2.0 */
/* serve/assets.h - the files of serve/web/, inside the program. */
#ifndef MT_SERVE_ASSETS_H
#define MT_SERVE_ASSETS_H

extern const char asset_serve_html[], asset_serve_html_end[];
extern const char asset_serve_css[], asset_serve_css_end[];
extern const char asset_serve_js[], asset_serve_js_end[];

#endif
