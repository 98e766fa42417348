/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/html.h - what a self-contained page needs: escaped text, packed data, hashes.
 *
 * Everything appends to a buffer (base/buf.h), which remembers running out of memory. */
#ifndef MT_REPORTERS_HTML_H
#define MT_REPORTERS_HTML_H

#include "base/buf.h"

/* Text for element content or a quoted attribute, made clean first (mt_text_put_clean): names
 * are foreign. */
void html_escape(struct mt_buf *out, const char *s);
/* At most `max` bytes of it (cut between characters), with an ellipsis when cut. */
void html_escape_max(struct mt_buf *out, const char *s, size_t max);
void html_base64(struct mt_buf *out, const void *data, size_t len);
/* Of `len` bytes. */
void html_escape_len(struct mt_buf *out, const char *s, size_t len);
/* As a Content-Security-Policy source: 'sha256-...'. */
void html_csp_hash(struct mt_buf *out, const void *data, size_t len);
struct mt_error *html_gzip(const void *data, size_t len, struct mt_buf *out) MT_MUST_CHECK;

/* The parts of a page (reporters/assets.h); without a script `js` is NULL. */
struct html_page {
	const char *html, *html_end, *css, *css_end, *js, *js_end;
};

/* A template's {{NAME}} is replaced by what its function appends; the list ends with NULL. {{CSS}} and
 * {{JS}} are the page's own parts, {{CSP}} its whole policy: that script, that style, pictures in
 * data: and nothing else. */
struct html_mark {
	const char *name;
	struct mt_error *(*put)(struct mt_buf *out, const void *arg);
};
struct mt_error *html_fill(struct mt_buf *out, const struct html_page *page,
			   const struct html_mark *marks, const void *arg) MT_MUST_CHECK;

/* LEB128, which a page decodes with ordinary numbers. */
static inline void html_put_leb(struct mt_buf *out, uint64_t v)
{
	if (!mt_buf_reserve(out, 10))
		return;
	do {
		uint8_t b = v & 0x7f;
		v >>= 7;
		out->data[out->len++] = v ? b | 0x80 : b;
	} while (v);
}

#endif
