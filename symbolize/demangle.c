/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/demangle.c - libiberty's demanglers with limits around them.
 * Knows: which prefix is whose. Does not know: where names come from.
 * Called by symbolize/; calls libiberty. */
#include "symbolize/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Substitutions let a short hostile name unfold to gigabytes. libiberty's callback cannot say
 * "enough", so a full buffer leaves by longjmp; its demanglers keep their state on the stack, so
 * that nothing is lost but, in the worst case, one decoded Rust identifier. */
struct sink {
	char *buf;
	size_t len;
	jmp_buf full;
};

static void sink_put(const char *s, size_t n, void *arg)
{
	struct sink *sink = arg;
	if (n > DEMANGLE_OUTPUT_MAX - sink->len) {
		n = DEMANGLE_OUTPUT_MAX - sink->len;
		memcpy(sink->buf + sink->len, s, n);
		strcpy(sink->buf + DEMANGLE_OUTPUT_MAX, "...");
		sink->len = DEMANGLE_OUTPUT_MAX;
		longjmp(sink->full, 1);
	}
	if (n)			/* s may be NULL then */
		memcpy(sink->buf + sink->len, s, n);
	sink->len += n;
}

static bool demangle_to(struct sink *sink, const char *name)
{
	/* The recursion limit of libiberty also refuses every name of over 1,024 characters, which
	 * template code has; our own length limit bounds the recursion instead. */
	int options = DMGL_PARAMS | DMGL_ANSI | DMGL_NO_RECURSE_LIMIT;
	if (setjmp(sink->full))
		return true;
	/* Old Rust names look like C++ ones, so Rust is asked first. */
	if (rust_demangle_callback(name, options & ~DMGL_NO_RECURSE_LIMIT, sink_put, sink))
		return true;
	sink->len = 0;
	return cplus_demangle_v3_callback(name, options, sink_put, sink);
}

static const char *demangle_d(const char *name, char *buf)
{
	char *s = dlang_demangle(name, 0);
	size_t n = s && *s ? strlen(s) : DEMANGLE_OUTPUT_MAX;
	if (n < DEMANGLE_OUTPUT_MAX)
		memcpy(buf, s, n + 1);
	free(s);
	return n < DEMANGLE_OUTPUT_MAX ? buf : name;
}

const char *demangle(const char *name, char buf[DEMANGLE_OUTPUT_MAX + 4])
{
	if (name[0] != '_' || !strchr("ZRD_G", name[1]) ||
	    strnlen(name, DEMANGLE_INPUT_MAX) == DEMANGLE_INPUT_MAX)
		return name;
	if (name[1] == 'D')
		return demangle_d(name, buf);
	struct sink sink = { .buf = buf };
	if (!demangle_to(&sink, name) || !sink.len)	/* garbage can mean "" */
		return name;
	if (sink.len < DEMANGLE_OUTPUT_MAX)
		buf[sink.len] = 0;
	return buf;
}
