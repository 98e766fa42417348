/* SPDX-License-Identifier: Apache-2.0 */
/* serve/request.c - what a client sent, taken apart.
 * Knows: RFC 3986, 6265, 8259 as far as we need them. Does not know: connections, files.
 * Called by serve/; calls base/. */
#include "serve/request.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

/* ---- percent signs ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool request_decode(const char *raw, size_t len, char *ret, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)raw[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_digit(raw[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(raw[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		}
		if (!c || n + 1 >= size)
			return false;
		ret[n++] = (char)c;
	}
	if (!size)
		return false;
	ret[n] = 0;
	return true;
}

/* Valid UTF-8 without control characters. */
static bool is_clean(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t code;
		size_t n = mt_text_utf8(s + i, len - i, &code);
		if (!n || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
		i += n;
	}
	return true;
}

static bool is_segment(const char *s)
{
	return *s && strcmp(s, ".") && strcmp(s, "..") && !strchr(s, '/') && is_clean(s, strlen(s));
}

bool request_path(const char *raw, struct request_path *ret)
{
	size_t used = 0;
	ret->count = 0;
	if (strnlen(raw, REQUEST_PATH_MAX + 1) > REQUEST_PATH_MAX || *raw != '/')
		return false;
	for (const char *p = raw + 1; *p || ret->count;) {
		size_t len = strcspn(p, "/");
		char *to = ret->text + used;
		if (ret->count == REQUEST_SEGMENTS ||
		    !request_decode(p, len, to, sizeof(ret->text) - used) || !is_segment(to))
			return false;
		ret->segments[ret->count++] = to;
		used += strlen(to) + 1;
		if (!p[len])
			break;
		p += len + 1;
	}
	return true;
}

/* ---- headers ---- */

bool request_cookie(const char *header, const char *name, const char **ret, size_t *len_ret)
{
	size_t name_len = strlen(name);
	while (*header) {
		header += strspn(header, " ;");
		size_t len = strcspn(header, ";");
		if (len > name_len && header[name_len] == '=' && !strncmp(header, name, name_len)) {
			*ret = header + name_len + 1;
			*len_ret = len - name_len - 1;
			return true;
		}
		header += len;
	}
	return false;
}

bool request_bearer(const char *header, const char **ret)
{
	if (strncasecmp(header, "Bearer ", 7))
		return false;
	*ret = header + 7 + strspn(header + 7, " ");
	return true;
}

bool request_host_is(const char *host, const char *name, uint16_t port, uint16_t default_port)
{
	size_t len = strlen(name);
	if (strncasecmp(host, name, len))
		return false;
	const char *rest = host + len;
	if (!*rest)
		return !port || port == default_port;
	if (*rest++ != ':' || !port || *rest < '1' || *rest > '9')
		return false;
	uint32_t value = 0;
	for (; *rest >= '0' && *rest <= '9' && value < 65536; rest++)
		value = value * 10 + (uint32_t)(*rest - '0');
	return !*rest && value == port;
}

bool request_same_secret(const char *a, size_t a_len, const char *b, size_t b_len)
{
	volatile unsigned char difference = a_len != b_len;
	for (size_t i = 0; i < a_len && b_len; i++)
		difference |= (unsigned char)(a[i] ^ b[i % b_len]);
	return !difference && b_len;
}

/* ---- JSON ---- */

struct json {
	const char *p, *end;
};

static void skip_space(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
		j->p++;
}

static bool take(struct json *j, char c)
{
	skip_space(j);
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

/* The escapes of one character; \u has no place in names of ours and is refused. */
static bool take_escape(struct json *j, char *ret)
{
	static const char from[] = "\"\\/", *at;
	if (j->p == j->end || !*j->p || !(at = strchr(from, *j->p)))
		return false;
	*ret = *at;
	j->p++;
	return true;
}

static bool take_string(struct json *j, char *ret, size_t size)
{
	size_t n = 0;
	if (!take(j, '"'))
		return false;
	while (j->p < j->end && *j->p != '"') {
		char c = *j->p++;
		if (n + 1 >= size || !c || (c == '\\' && !take_escape(j, &c)))
			return false;
		ret[n++] = c;
	}
	ret[n] = 0;
	return take(j, '"') && is_clean(ret, n);
}

static bool take_number(struct json *j, uint64_t *ret)
{
	const char *begin = j->p;
	*ret = 0;
	for (; j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++)
		if (__builtin_mul_overflow(*ret, 10, ret) ||
		    __builtin_add_overflow(*ret, (uint64_t)(*j->p - '0'), ret))
			return false;
	return j->p > begin && (*begin != '0' || j->p == begin + 1);
}

static bool take_word(struct json *j, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(j->end - j->p) < len || memcmp(j->p, word, len))
		return false;
	j->p += len;
	return true;
}

static bool take_value(struct json *j, struct request_field *f)
{
	skip_space(j);
	if (j->p == j->end)
		return false;
	f->type = REQUEST_BOOL;
	if (take_word(j, "true")) {
		f->number = 1;
		return true;
	}
	if (take_word(j, "false"))
		return true;
	f->type = *j->p == '"' ? REQUEST_STRING : REQUEST_NUMBER;
	return f->type == REQUEST_STRING ? take_string(j, f->text, sizeof(f->text)) :
					   take_number(j, &f->number);
}

bool request_object(const char *text, size_t len, struct request_object *ret)
{
	struct json j = { text, text + len };
	memset(ret, 0, sizeof(*ret));
	if (!take(&j, '{'))
		return false;
	bool first = true;
	while (!take(&j, '}')) {
		struct request_field f = { .name = "" };
		if ((!first && !take(&j, ',')) || ret->count == REQUEST_FIELDS ||
		    !take_string(&j, f.name, sizeof(f.name)) || !take(&j, ':') || !take_value(&j, &f) ||
		    request_field(ret, f.name))
			return false;
		ret->fields[ret->count++] = f;
		first = false;
	}
	skip_space(&j);
	return j.p == j.end;
}

const struct request_field *request_field(const struct request_object *o, const char *name)
{
	for (size_t i = 0; i < o->count; i++)
		if (!strcmp(o->fields[i].name, name))
			return &o->fields[i];
	return NULL;
}
