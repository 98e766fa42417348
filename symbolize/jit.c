/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/jit.c - takes the names apart that V8 and CPython write into perf maps.
 * Knows: their spelling. Does not know: files, addresses.
 * Called by symbolize/resolve.c; calls symbolize/strings. */
#include "symbolize/jit.h"

#include <ctype.h>
#include <string.h>

struct piece {
	const char *text;
	size_t len;
};

static const struct v8_kind {
	const char *prefix;
	const char *unnamed;	/* what a function without a name is called */
} v8_kinds[] = {
	{ "JS:", "(anonymous)" },	  { "LazyCompile:", "(anonymous)" },
	{ "Function:", "(anonymous)" }, { "Script:", "(script)" },
	{ "Eval:", "(eval)" },
};

/* Cuts ":NUMBER" off the end. */
static bool cut_number(struct piece *p, uint32_t *ret)
{
	size_t n = p->len;
	uint64_t value = 0, scale = 1;
	while (n && isdigit((unsigned char)p->text[n - 1]) && scale < 10000000000ull) {
		value += (uint64_t)(p->text[--n] - '0') * scale;
		scale *= 10;
	}
	if (!n || n == p->len || p->text[n - 1] != ':' || value > INT32_MAX)
		return false;
	p->len = n - 1;
	*ret = (uint32_t)value;
	return true;
}

/* Where the place begins in "get size /my files/a.js": names and paths may both have spaces. */
static const char *place_of(const struct piece *p)
{
	static const char *const starts[] = { " /", " file:", " node:" };
	const char *first = NULL;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		const char *at = memmem(p->text, p->len, starts[i], strlen(starts[i]));
		if (at && (!first || at < first))
			first = at;
	}
	return first ? first : memrchr(p->text, ' ', p->len);
}

static bool read_v8(const char *name, struct piece *function, struct piece *file, uint32_t *line)
{
	for (size_t i = 0; i < sizeof(v8_kinds) / sizeof(v8_kinds[0]); i++) {
		const struct v8_kind *k = &v8_kinds[i];
		uint32_t column;
		if (strncmp(name, k->prefix, strlen(k->prefix)))
			continue;
		struct piece all = { name + strlen(k->prefix), 0 };
		if (*all.text && strchr("~*^+-", *all.text))
			all.text++;
		all.len = strlen(all.text);
		const char *space = cut_number(&all, &column) && cut_number(&all, line) ?
				    place_of(&all) : NULL;
		if (!space)
			return false;
		*function = (struct piece){ all.text, (size_t)(space - all.text) };
		*file = (struct piece){ space + 1, all.len - function->len - 1 };
		if (file->len > 7 && !strncmp(file->text, "file://", 7)) {
			file->text += 7;
			file->len -= 7;
		}
		if (!function->len)
			*function = (struct piece){ k->unnamed, strlen(k->unnamed) };
		return file->len != 0;
	}
	return false;
}

static bool read_python(const char *name, struct piece *function, struct piece *file)
{
	static const char prefix[] = "py::";
	size_t skip = sizeof(prefix) - 1, len = strlen(name);
	if (len < skip || memcmp(name, prefix, skip))
		return false;
	const char *colon = memchr(name + skip, ':', len - skip);
	if (!colon || colon == name + skip || !colon[1])
		return false;
	*function = (struct piece){ name + skip, (size_t)(colon - name) - skip };
	*file = (struct piece){ colon + 1, (size_t)(name + len - colon - 1) };
	return true;
}

struct mt_error *jit_name_read(const char *name, struct string_pool *pool, struct source_line *ret)
{
	struct piece function, file = { NULL, 0 };
	uint32_t line = 0;
	if (!read_v8(name, &function, &file, &line)) {
		line = 0;
		file.len = 0;
		if (!read_python(name, &function, &file))
			function = (struct piece){ name, strlen(name) };
	}
	*ret = (struct source_line){ .function = string_pool_put(pool, function.text, function.len),
				     .line = line };
	if (file.len)
		ret->file = string_pool_put(pool, file.text, file.len);
	return ret->function && (!file.len || ret->file) ? NULL : &mt_enomem;
}
