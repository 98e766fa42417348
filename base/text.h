/* SPDX-License-Identifier: Apache-2.0 */
/* base/text.h - numbers and foreign strings as text for people, terminals and JSON.
 *
 * The mt_text_* number functions write into the caller's buffer and return it, so that they can
 * stand among printf arguments:
 *
 *	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
 *	printf("%s in %s blocks\n", mt_text_size(a, bytes), mt_text_count(b, count));
 *
 * Strings that come from a target (thread names, function names, command lines) are hostile: they
 * go to a terminal only through mt_text_put_clean(), to JSON only through the writer below. */
#ifndef MT_BASE_TEXT_H
#define MT_BASE_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MT_TEXT_MAX 48		/* holds every text of the functions below, with its NUL */

/* IEC, base 1024: "0 B", "999 B", "1.00 KiB", "12.3 MiB", "1023 GiB". */
char *mt_text_size(char buf[MT_TEXT_MAX], uint64_t bytes);
/* "1,234,567" */
char *mt_text_count(char buf[MT_TEXT_MAX], uint64_t count);
/* Share of a whole, "12.3%"; "0.0%" when the whole is 0; "<0.1%" below what shows. */
char *mt_text_percent(char buf[MT_TEXT_MAX], uint64_t part, uint64_t whole);
/* "850 ns", "1.5 ms", "30.0 s", "5m 02s", "1h 02m 03s". */
char *mt_text_duration(char buf[MT_TEXT_MAX], uint64_t ns);
/* CLOCK_REALTIME as UTC, "2026-11-23 03:33:19.123456+00:00". */
char *mt_text_time(char buf[MT_TEXT_MAX], uint64_t realtime_ns);

/* ---- foreign strings - */

/* Characters of 0 (ASCII), 1, 2 or 4 bytes, little endian, as UTF-8; lone surrogates become U+FFFD. */
void mt_text_put_unicode(struct mt_buf *out, const void *bytes, size_t size, unsigned width);

enum mt_text_flags {
	MT_TEXT_FOLDED = 1 << 0,	/* escape ';' and '\' too: a frame of a folded stack */
	MT_TEXT_KEEP_NEWLINE = 1 << 1,	/* '\n' and '\t' pass */
};

/* Decodes one character of s[0..len), len > 0, and returns its length in bytes; 0 for a byte that
 * is not valid UTF-8 (overlong, surrogate, cut). */
size_t mt_text_utf8(const char *s, size_t len, uint32_t *code_ret);
/* Columns of a terminal that a character takes: 0, 1 or 2. */
unsigned mt_text_char_width(uint32_t code);
/* Columns of a string that is clean already. */
size_t mt_text_width(const char *s);
/* Appends s with everything a terminal could act on made visible: control characters, invalid
 * bytes and direction overrides become \n, \x1b, \xff, \u202e. The result is valid UTF-8. */
void mt_text_put_clean(struct mt_buf *buf, const char *s, size_t len, unsigned flags);
/* The same as a new string the caller frees; NULL: out of memory. */
char *mt_text_clean(const char *s);
/* Appends the clean string `s` in at most `width` columns; the middle of a longer one becomes
 * an ellipsis. Pads with spaces to `width` when `pad`. */
void mt_text_put_fitted(struct mt_buf *buf, const char *s, size_t width, bool pad);
/* NUL-separated arguments as one clean line, quoted for a shell where needed. The caller frees;
 * NULL: out of memory. */
char *mt_text_command(const char *args, size_t len);

/* ---- JSON ----
 * A streaming writer: commas, quotes and indentation are its job, the order of calls the
 * caller's. Errors of the stream stay in the stream (ferror).
 *
 *	struct mt_json j = mt_json_make(stdout, true);
 *	mt_json_open(&j, NULL, '{');
 *	mt_json_u64(&j, "pid", pid);
 *	mt_json_open(&j, "list", '[');  mt_json_str(&j, NULL, "x");  mt_json_close(&j);
 *	mt_json_close(&j);
 *
 * `key` is NULL inside an array. Strings need not be valid UTF-8: bad bytes become U+FFFD. The text
 * is not safe inside an HTML <script>: '<' stays. */
#define MT_JSON_DEPTH 32

struct mt_json {
	FILE *out;
	bool pretty;
	unsigned depth;
	bool any[MT_JSON_DEPTH];	/* something stands on this level */
	char close[MT_JSON_DEPTH];
};

struct mt_json mt_json_make(FILE *out, bool pretty);
void mt_json_open(struct mt_json *j, const char *key, char bracket);	/* '{' or '[' */
void mt_json_close(struct mt_json *j);		/* the innermost; a newline after the last */
void mt_json_str(struct mt_json *j, const char *key, const char *value);	/* NULL: null */
void mt_json_strn(struct mt_json *j, const char *key, const char *value, size_t len);
void mt_json_u64(struct mt_json *j, const char *key, uint64_t value);
void mt_json_double(struct mt_json *j, const char *key, double value);
void mt_json_bool(struct mt_json *j, const char *key, bool value);
void mt_json_null(struct mt_json *j, const char *key);
/* The string alone, with its quotes; also for other writers of JSON. */
void mt_json_quote(FILE *out, const char *s, size_t len);

#endif
