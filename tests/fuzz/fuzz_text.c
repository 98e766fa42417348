/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_text.c - foreign names on their way to a terminal, a folded stack and JSON.
 * Knows: base/text.h, reporters/site.h. Does not know: captures.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/text/.
 *
 * Input: flags, a width, and then the name. */
#include "base/cleanup.h"
#include "base/text.h"
#include "reporters/site.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Valid UTF-8 and nothing that a terminal acts on. */
static void check_clean(const char *s, unsigned flags)
{
	for (size_t i = 0, len = strlen(s); i < len;) {
		uint32_t code = 0;
		size_t n = mt_text_utf8(s + i, len - i, &code);
		check(n > 0);
		check(code >= 0x20 || (flags & MT_TEXT_KEEP_NEWLINE && (code == 10 || code == 9)));
		check(code < 0x7f || code > 0x9f);
		check(code < 0x202a || code > 0x202e);
		check(!(flags & MT_TEXT_FOLDED) || code != ';');
		i += n;
	}
}

static void check_json(const char *name, size_t len)
{
	auto_free char *text = NULL;
	size_t size = 0, quotes = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return;
	mt_json_quote(out, name, len);
	fclose(out);
	for (size_t i = 0; i < size; i++) {
		check((unsigned char)text[i] >= 0x20);
		if (text[i] == '\\')
			i++;
		else
			quotes += text[i] == '"';
	}
	check(quotes == 2 && text[0] == '"' && text[size - 1] == '"');
}

static void check_site(const char *name)
{
	const struct symbol_frame frames[] = {
		{ name, "", name, 0, FRAME_NATIVE, 0 }, { name, name, "", 1, FRAME_PYTHON, 0 },
	};
	char package[64];
	check(site_find(frames, 2) == &frames[1]);
	site_package(frames, 2, package, sizeof(package));
	site_find(frames, 1);
	site_is_interpreter_module(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	unsigned flags = data[0] & (MT_TEXT_FOLDED | MT_TEXT_KEEP_NEWLINE);
	const char *name = (const char *)data + 2;
	auto_buf struct mt_buf buf = MT_BUF_INIT, fitted = MT_BUF_INIT;
	mt_text_put_clean(&buf, name, size - 2, flags);
	auto_free char *clean = mt_buf_take_str(&buf);
	check_clean(clean, flags);
	mt_text_put_fitted(&fitted, clean, data[1], true);
	auto_free char *line = mt_buf_take_str(&fitted);
	check(mt_text_width(line) == data[1]);
	auto_free char *command = mt_text_command(name, size - 2);
	check_clean(command, 0);
	check_json(name, size - 2);
	auto_free char *text = strndup(name, size - 2);
	check_site(text);
	return 0;
}
