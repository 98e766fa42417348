/* SPDX-License-Identifier: Apache-2.0 */
/* base/text.c - numbers and foreign strings as text for people, terminals and JSON.
 * Knows: UTF-8, terminals' control characters, JSON. Does not know: what the text says.
 * Called by reporters/ and cmds/; calls base/ and libc. */
#include "base/text.h"

#include "base/cursor.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

/* ---- numbers ------------------------------------------------------------------------------- */

char *mt_text_size(char buf[MT_TEXT_MAX], uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	if (bytes < 1024) {
		snprintf(buf, MT_TEXT_MAX, "%" PRIu64 " B", bytes);
		return buf;
	}
	double v = (double)bytes / 1024;
	size_t unit = 0;
	/* 1023.95 would print as 1024 of the smaller unit. */
	while (v >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		unit++;
	}
	int decimals = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
	snprintf(buf, MT_TEXT_MAX, "%.*f %s", decimals, v, units[unit]);
	return buf;
}

char *mt_text_count(char buf[MT_TEXT_MAX], uint64_t count)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *p = buf;
	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = '\0';
	return buf;
}

char *mt_text_percent(char buf[MT_TEXT_MAX], uint64_t part, uint64_t whole)
{
	double share = whole ? 100.0 * (double)part / (double)whole : 0;
	if (part && whole && share < 0.1)
		snprintf(buf, MT_TEXT_MAX, "<0.1%%");
	else
		snprintf(buf, MT_TEXT_MAX, "%.1f%%", share);
	return buf;
}

char *mt_text_duration(char buf[MT_TEXT_MAX], uint64_t ns)
{
	uint64_t s = ns / 1000000000u;
	if (ns < 1000)
		snprintf(buf, MT_TEXT_MAX, "%" PRIu64 " ns", ns);
	else if (ns < 999950)
		snprintf(buf, MT_TEXT_MAX, "%.1f us", (double)ns / 1e3);
	else if (ns < 999950000)
		snprintf(buf, MT_TEXT_MAX, "%.1f ms", (double)ns / 1e6);
	else if (ns < 59950000000u)
		snprintf(buf, MT_TEXT_MAX, "%.1f s", (double)ns / 1e9);
	else if (ns < 60000000000u)
		snprintf(buf, MT_TEXT_MAX, "1m 00s");
	else if (s < 3600)
		snprintf(buf, MT_TEXT_MAX, "%" PRIu64 "m %02" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(buf, MT_TEXT_MAX, "%" PRIu64 "h %02" PRIu64 "m %02" PRIu64 "s", s / 3600,
			 s / 60 % 60, s % 60);
	return buf;
}

char *mt_text_time(char buf[MT_TEXT_MAX], uint64_t realtime_ns)
{
	time_t t = (time_t)(realtime_ns / 1000000000u);
	struct tm tm;
	size_t n = gmtime_r(&t, &tm) ? strftime(buf, MT_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm) : 0;
	/* A year of eleven digits is damage, not a time; what fits is printed. */
	snprintf(buf + n, MT_TEXT_MAX - n, ".%06u+00:00",
		 (unsigned)(realtime_ns / 1000 % 1000000));
	return buf;
}

/* ---- foreign strings ----------------------------------------------------------------------- */

size_t mt_text_utf8(const char *s, size_t len, uint32_t *code_ret)
{
	const uint8_t *p = (const uint8_t *)s;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (p[0] < 0x80) {
		*code_ret = p[0];
		return 1;
	}
	size_t n = p[0] >= 0xf0 && p[0] < 0xf8 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	if (!n || n > len || p[0] >= 0xf8)
		return 0;
	uint32_t code = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*code_ret = code;
	return n;
}

struct range {
	uint32_t first, last;
};

static bool in_ranges(uint32_t code, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	return false;
}
#define IN_RANGES(code, ranges) in_ranges(code, ranges, sizeof(ranges) / sizeof((ranges)[0]))

/* The locale's wcwidth() would answer -1 for everything beyond ASCII under LC_ALL=C, so the large
 * blocks are here: East Asian wide ones and marks that take no column. */
unsigned mt_text_char_width(uint32_t code)
{
	static const struct range zero[] = {
		{ 0x300, 0x36f }, { 0x483, 0x489 }, { 0x591, 0x5bd }, { 0x610, 0x61a },
		{ 0x64b, 0x65f }, { 0x200b, 0x200f }, { 0x2060, 0x2064 }, { 0x20d0, 0x20f0 },
		{ 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff }, { 0xe0100, 0xe01ef },
	};
	static const struct range wide[] = {
		{ 0x1100, 0x115f }, { 0x2e80, 0x303e }, { 0x3041, 0x33ff }, { 0x3400, 0x4dbf },
		{ 0x4e00, 0x9fff }, { 0xa000, 0xa4cf }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff },
		{ 0xfe30, 0xfe4f }, { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f },
		{ 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
	};
	if (code < 0x300)
		return 1;
	return IN_RANGES(code, zero) ? 0 : IN_RANGES(code, wide) ? 2 : 1;
}

/* What a terminal acts on instead of showing it: C0, C1, line separators, direction changes. */
static bool is_active(uint32_t code)
{
	static const struct range active[] = {
		{ 0, 0x1f }, { 0x7f, 0x9f }, { 0x61c, 0x61c }, { 0x200e, 0x200f },
		{ 0x2028, 0x202e }, { 0x2066, 0x2069 }, { 0xfff9, 0xfffb }, { 0xe0001, 0xe007f },
	};
	return IN_RANGES(code, active);
}

static void put_escape(struct mt_buf *buf, uint32_t code)
{
	if (code == '\n')
		mt_buf_put_str(buf, "\\n");
	else if (code == '\r')
		mt_buf_put_str(buf, "\\r");
	else if (code == '\t')
		mt_buf_put_str(buf, "\\t");
	else if (code < 0x100)
		mt_buf_printf(buf, "\\x%02x", (unsigned)code);
	else if (code < 0x10000)
		mt_buf_printf(buf, "\\u%04x", (unsigned)code);
	else
		mt_buf_printf(buf, "\\U%08x", (unsigned)code);
}

void mt_text_put_clean(struct mt_buf *buf, const char *s, size_t len, unsigned flags)
{
	for (size_t i = 0; i < len;) {
		uint32_t code = 0;
		size_t n = mt_text_utf8(s + i, len - i, &code);
		if (!n)
			put_escape(buf, (uint8_t)s[i]);
		else if ((flags & MT_TEXT_KEEP_NEWLINE) && (code == '\n' || code == '\t'))
			mt_buf_put_char(buf, (char)code);
		else if (is_active(code) || ((flags & MT_TEXT_FOLDED) && code == ';'))
			put_escape(buf, code);
		else if ((flags & MT_TEXT_FOLDED) && code == '\\')
			mt_buf_put_str(buf, "\\\\");
		else
			mt_buf_put(buf, s + i, n);
		i += n ? n : 1;
	}
}

char *mt_text_clean(const char *s)
{
	auto_buf struct mt_buf buf = MT_BUF_INIT;
	mt_text_put_clean(&buf, s, strlen(s), 0);
	return mt_buf_take_str(&buf);
}

/* Bytes and columns of the character at s, which is clean text. */
static size_t step(const char *s, size_t len, unsigned *width_ret)
{
	uint32_t code;
	size_t n = mt_text_utf8(s, len, &code);
	*width_ret = n ? mt_text_char_width(code) : 1;
	return n ? n : 1;
}

size_t mt_text_width(const char *s)
{
	size_t width = 0, len = strlen(s);
	unsigned w;
	for (size_t i = 0; i < len; i += step(s + i, len - i, &w), width += w)
		;
	return width;
}

/* Bytes from the start that take at most `width` columns; the columns are added to *used. */
static size_t head_bytes(const char *s, size_t len, size_t width, size_t *used)
{
	size_t i = 0, taken = 0;
	while (i < len) {
		unsigned w;
		size_t n = step(s + i, len - i, &w);
		if (taken + w > width)
			break;
		taken += w;
		i += n;
	}
	*used += taken;
	return i;
}

/* Offset of the longest tail, of a string of `total` columns, that takes at most `width`. */
static size_t tail_start(const char *s, size_t len, size_t total, size_t width, size_t *used)
{
	size_t i = 0;
	while (i < len && total > width) {
		unsigned w;
		size_t n = step(s + i, len - i, &w);
		total -= w;
		i += n;
	}
	*used += total;
	return i;
}

void mt_text_put_fitted(struct mt_buf *buf, const char *s, size_t width, bool pad)
{
	size_t total = mt_text_width(s), len = strlen(s);
	size_t used = total;
	if (total <= width) {
		mt_buf_put(buf, s, len);
	} else if (width) {
		used = 1;
		size_t left = (width - 1) / 2;
		size_t head = head_bytes(s, len, left, &used);
		size_t tail = tail_start(s, len, total, width - 1 - left, &used);
		mt_buf_put(buf, s, head);
		mt_buf_put_str(buf, "\xe2\x80\xa6");
		mt_buf_put(buf, s + tail, len - tail);
	}
	while (pad && used++ < width)
		mt_buf_put_char(buf, ' ');
}

static bool needs_quotes(const char *s, size_t len)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-./:=@%+,";
	if (!len)
		return true;
	for (size_t i = 0; i < len; i++)
		if (!((unsigned char)s[i] >= 0x80 || (s[i] && strchr(plain, s[i]))))
			return true;
	return false;
}

static void put_argument(struct mt_buf *buf, const char *s, size_t len)
{
	if (!needs_quotes(s, len)) {
		mt_text_put_clean(buf, s, len, 0);
		return;
	}
	mt_buf_put_char(buf, '\'');
	for (size_t i = 0; i < len;) {
		const char *q = memchr(s + i, '\'', len - i);
		size_t n = q ? (size_t)(q - (s + i)) : len - i;
		mt_text_put_clean(buf, s + i, n, 0);
		if (q)
			mt_buf_put_str(buf, "'\\''");
		i += n + (q ? 1 : 0);
	}
	mt_buf_put_char(buf, '\'');
}

char *mt_text_command(const char *args, size_t len)
{
	auto_buf struct mt_buf buf = MT_BUF_INIT;
	/* /proc/PID/cmdline ends with a NUL; some programs overwrite theirs with spaces. */
	while (len && !args[len - 1])
		len--;
	for (size_t i = 0; i < len;) {
		size_t n = strnlen(args + i, len - i);
		if (i)
			mt_buf_put_char(&buf, ' ');
		/* One argument with spaces alone is a program's own title, not an argument. */
		if (!i && n == len)
			mt_text_put_clean(&buf, args, n, 0);
		else
			put_argument(&buf, args + i, n);
		i += n + 1;
	}
	return mt_buf_take_str(&buf);
}

static void put_utf8(struct mt_buf *out, uint32_t c)
{
	if (c >= 0xd800 && c < 0xe000)	/* lone surrogates stand for undecodable bytes */
		c = 0xfffd;
	if (c < 0x80) {
		mt_buf_put_u8(out, (uint8_t)c);
	} else if (c < 0x800) {
		mt_buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		mt_buf_put_u8(out, (uint8_t)(0xe0 | c >> 12));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x110000) {
		mt_buf_put_u8(out, (uint8_t)(0xf0 | c >> 18));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		mt_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

void mt_text_put_unicode(struct mt_buf *out, const void *bytes, size_t size, unsigned width)
{
	width += !width;
	struct mt_cursor c = mt_cursor_make(bytes, size);
	while (mt_cursor_left(&c) >= width)
		put_utf8(out, (uint32_t)mt_cursor_uint(&c, width));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

struct mt_json mt_json_make(FILE *out, bool pretty)
{
	return (struct mt_json){ .out = out, .pretty = pretty };
}

static void json_char(FILE *out, const char *s, size_t n, uint32_t code)
{
	if (!n)
		fputs("\\ufffd", out);
	else if (code == '"' || code == '\\')
		fprintf(out, "\\%c", (int)code);
	else if (code == '\n')
		fputs("\\n", out);
	else if (code == '\t')
		fputs("\\t", out);
	/* U+2028 and U+2029 end a line in JavaScript. */
	else if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029)
		fprintf(out, "\\u%04x", (unsigned)code);
	else
		fwrite(s, 1, n, out);
}

void mt_json_quote(FILE *out, const char *s, size_t len)
{
	putc('"', out);
	for (size_t i = 0; i < len;) {
		uint32_t code = 0;
		size_t n = mt_text_utf8(s + i, len - i, &code);
		json_char(out, s + i, n, code);
		i += n ? n : 1;
	}
	putc('"', out);
}

static void json_newline(struct mt_json *j)
{
	if (j->pretty)
		fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
}

/* What stands before a value: the comma after the last one, the key. */
static void json_begin(struct mt_json *j, const char *key)
{
	if (j->depth) {
		bool *any = &j->any[j->depth - 1];
		if (*any)
			putc(',', j->out);
		*any = true;
		json_newline(j);
	}
	if (!key)
		return;
	mt_json_quote(j->out, key, strlen(key));
	fputs(j->pretty ? ": " : ":", j->out);
}

void mt_json_open(struct mt_json *j, const char *key, char bracket)
{
	assert(j->depth < MT_JSON_DEPTH);
	json_begin(j, key);
	putc(bracket, j->out);
	j->any[j->depth] = false;
	j->close[j->depth++] = bracket == '{' ? '}' : ']';
}

void mt_json_close(struct mt_json *j)
{
	assert(j->depth > 0);
	bool any = j->any[--j->depth];
	if (any)
		json_newline(j);
	putc(j->close[j->depth], j->out);
	if (!j->depth)
		putc('\n', j->out);
}

void mt_json_strn(struct mt_json *j, const char *key, const char *value, size_t len)
{
	json_begin(j, key);
	mt_json_quote(j->out, value, len);
}

void mt_json_str(struct mt_json *j, const char *key, const char *value)
{
	if (value)
		mt_json_strn(j, key, value, strlen(value));
	else
		mt_json_null(j, key);
}

void mt_json_u64(struct mt_json *j, const char *key, uint64_t value)
{
	json_begin(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void mt_json_double(struct mt_json *j, const char *key, double value)
{
	json_begin(j, key);
	if (isfinite(value))
		fprintf(j->out, "%.15g", value);
	else
		fputs("null", j->out);	/* JSON has no infinities */
}

void mt_json_bool(struct mt_json *j, const char *key, bool value)
{
	json_begin(j, key);
	fputs(value ? "true" : "false", j->out);
}

void mt_json_null(struct mt_json *j, const char *key)
{
	json_begin(j, key);
	fputs("null", j->out);
}
