/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_request.c - what a client sends to memtrace serve.
 * Knows: serve/request.h. Does not know: connections.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/request/. */
#include "serve/request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request_path path;
	struct request_object object;
	const char *value;
	size_t len;
	char *text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = 0;
	if (request_path(text, &path))
		for (size_t i = 0; i < path.count; i++) {
			const char *s = path.segments[i];
			check(*s && !strchr(s, '/') && strcmp(s, ".") && strcmp(s, ".."));
		}
	if (request_object(text, size, &object))
		for (size_t i = 0; i < object.count; i++)
			check(request_field(&object, object.fields[i].name) == &object.fields[i]);
	if (request_cookie(text, "memtrace-80", &value, &len))
		check(value >= text && value + len <= text + strlen(text));
	request_bearer(text, &value);
	request_host_is(text, "localhost", 80, 80);
	check(request_same_secret(text, size, text, size) == (size > 0));
	free(text);
	return 0;
}
