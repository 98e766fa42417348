/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/html.c - escaping, gzip, base64 and SHA-256 for self-contained pages.
 * Knows: bytes and characters. Does not know: captures, trees, files.
 * Called by reporters/; calls base/ and zlib. */
#include "reporters/html.h"

#include "base/text.h"

#include <string.h>
#include <zlib.h>

/* ---- text ---- */

static const char *entity(uint8_t c)
{
	switch (c) {
	case '&': return "&amp;";
	case '<': return "&lt;";
	case '>': return "&gt;";
	case '"': return "&quot;";
	case '\'': return "&#39;";
	default: return NULL;
	}
}

/* Length of the longest start of s that has at most max bytes and cuts no character. */
static size_t cut_length(const char *s, size_t max)
{
	size_t len = strnlen(s, max + 1);
	if (len <= max)
		return len;
	for (len = max; len > 0 && ((uint8_t)s[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

void html_escape_max(struct mt_buf *out, const char *s, size_t max)
{
	size_t len = cut_length(s, max);
	html_escape_len(out, s, len);
	if (s[len])
		mt_buf_put_str(out, "\xe2\x80\xa6");
}

void html_escape_len(struct mt_buf *out, const char *s, size_t len)
{
	auto_buf struct mt_buf clean = MT_BUF_INIT;
	mt_text_put_clean(&clean, s, len, 0);
	if (clean.failed)
		out->failed = true;
	for (size_t i = 0; i < clean.len; i++) {
		const char *e = entity(clean.data[i]);
		if (e)
			mt_buf_put_str(out, e);
		else
			mt_buf_put_u8(out, clean.data[i]);
	}
}

void html_escape(struct mt_buf *out, const char *s)
{
	html_escape_max(out, s, SIZE_MAX - 1);
}

/* ---- packing ---- */

void html_base64(struct mt_buf *out, const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = data;
	if (!mt_buf_reserve(out, (len + 2) / 3 * 4))
		return;
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);
		uint8_t *to = out->data + out->len;
		to[0] = (uint8_t)digits[v >> 18];
		to[1] = (uint8_t)digits[v >> 12 & 63];
		to[2] = left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
		to[3] = left > 2 ? (uint8_t)digits[v & 63] : '=';
		out->len += 4;
	}
}

struct mt_error *html_gzip(const void *data, size_t len, struct mt_buf *out)
{
	z_stream z = { 0 };
	/* 15 + 16: a gzip frame, which every browser's DecompressionStream knows. */
	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return &mt_enomem;
	const uint8_t *p = data;
	int rc = Z_OK;
	while (rc == Z_OK) {
		if (!mt_buf_reserve(out, 65536))
			break;
		uInt chunk = len > (1u << 30) ? 1u << 30 : (uInt)len;
		size_t room = out->cap - out->len;
		uInt space = room > (1u << 30) ? 1u << 30 : (uInt)room;
		z.next_in = (Bytef *)p;
		z.avail_in = chunk;
		z.next_out = out->data + out->len;
		z.avail_out = space;
		rc = deflate(&z, chunk == len ? Z_FINISH : Z_NO_FLUSH);
		p += chunk - z.avail_in;
		len -= chunk - z.avail_in;
		out->len += space - z.avail_out;
	}
	deflateEnd(&z);
	if (rc != Z_STREAM_END)
		return &mt_enomem;
	return mt_buf_error(out);
}

/* ---- SHA-256 (FIPS 180-4) ---- */

struct sha256 {
	uint32_t h[8];
};

static uint32_t ror(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(struct sha256 *s, const uint8_t *p)
{
	uint32_t w[64], v[8];
	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)p[i * 4] << 24 | (uint32_t)p[i * 4 + 1] << 16 |
		       (uint32_t)p[i * 4 + 2] << 8 | p[i * 4 + 3];
	for (unsigned i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, s->h, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
			      ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha256_k[i] + w[i];
		uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
			      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof(*v));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		s->h[i] += v[i];
}

void html_csp_hash(struct mt_buf *out, const void *data, size_t len)
{
	struct sha256 s = { { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
			      0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };
	const uint8_t *p = data;
	size_t left = len;
	for (; left >= 64; left -= 64, p += 64)
		sha256_block(&s, p);
	uint8_t tail[128] = { 0 }, digest[32];
	if (left)
		memcpy(tail, p, left);
	tail[left] = 0x80;
	size_t end = left < 56 ? 64 : 128;
	for (unsigned i = 0; i < 8; i++)
		tail[end - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
	for (size_t i = 0; i < end; i += 64)
		sha256_block(&s, tail + i);
	for (unsigned i = 0; i < 32; i++)
		digest[i] = (uint8_t)(s.h[i / 4] >> (24 - 8 * (i % 4)));
	mt_buf_put_str(out, "'sha256-");
	html_base64(out, digest, sizeof(digest));
	mt_buf_put_char(out, '\'');
}

/* ---- templates ---- */

static void put_policy(struct mt_buf *out, const struct html_page *page)
{
	mt_buf_put_str(out, "default-src 'none'; ");
	if (page->js) {
		mt_buf_put_str(out, "script-src ");
		html_csp_hash(out, page->js, (size_t)(page->js_end - page->js));
		mt_buf_put_str(out, "; ");
	}
	mt_buf_put_str(out, "style-src ");
	html_csp_hash(out, page->css, (size_t)(page->css_end - page->css));
	mt_buf_put_str(out, "; img-src data:; base-uri 'none'; form-action 'none'");
}

/* False: the mark is none of the page's own. */
static bool put_part(struct mt_buf *out, const char *name, size_t len, const struct html_page *page)
{
	if (len == 3 && !memcmp(name, "CSP", 3))
		put_policy(out, page);
	else if (len == 3 && !memcmp(name, "CSS", 3))
		mt_buf_put(out, page->css, (size_t)(page->css_end - page->css));
	else if (len == 2 && !memcmp(name, "JS", 2))
		mt_buf_put(out, page->js, (size_t)(page->js_end - page->js));
	else
		return false;
	return true;
}

static struct mt_error *put_mark(struct mt_buf *out, const char *name, size_t len,
				 const struct html_page *page, const struct html_mark *marks,
				 const void *arg)
{
	if (put_part(out, name, len, page))
		return NULL;
	for (; marks->name; marks++)
		if (strlen(marks->name) == len && !memcmp(marks->name, name, len))
			return marks->put(out, arg);
	return mt_error_create(MT_ERROR_OTHER, "the page template has an unknown mark '%.*s'",
			       (int)len, name);
}

struct mt_error *html_fill(struct mt_buf *out, const struct html_page *page,
			   const struct html_mark *marks, const void *arg)
{
	const char *html = page->html, *end = page->html_end;
	for (;;) {
		const char *mark = memmem(html, (size_t)(end - html), "{{", 2);
		const char *close = mark ? memmem(mark, (size_t)(end - mark), "}}", 2) : NULL;
		if (!close)
			break;
		mt_buf_put(out, html, (size_t)(mark - html));
		struct mt_error *err = put_mark(out, mark + 2, (size_t)(close - mark - 2), page,
						marks, arg);
		if (err)
			return err;
		html = close + 2;
	}
	mt_buf_put(out, html, (size_t)(end - html));
	return mt_buf_error(out);
}
