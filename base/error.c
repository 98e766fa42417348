/* SPDX-License-Identifier: Apache-2.0 */
/* base/error.c - makes and ends errors.
 * Knows: text, errno. Does not know: who prints it.
 * Called by every room outside the target; calls libc. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mt_error mt_enomem = {
	.code = MT_ERROR_NOMEM,
	.is_static = true,
	.message = (char *)"out of memory",
};

static struct mt_error *error_vcreate(enum mt_error_code code, int errnum, uint64_t address,
				      const char *suffix, const char *fmt, va_list ap)
{
	char *text = NULL, *whole = NULL;
	if (vasprintf(&text, fmt, ap) < 0)
		return &mt_enomem;
	if (suffix) {
		int n = asprintf(&whole, "%s%s", text, suffix);
		free(text);
		if (n < 0)
			return &mt_enomem;
		text = whole;
	}
	struct mt_error *err = calloc(1, sizeof(*err));
	if (!err) {
		free(text);
		return &mt_enomem;
	}
	err->code = code;
	err->errnum = errnum;
	err->address = address;
	err->message = text;
	return err;
}

struct mt_error *mt_error_create(enum mt_error_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct mt_error *err = error_vcreate(code, 0, 0, NULL, fmt, ap);
	va_end(ap);
	return err;
}

struct mt_error *mt_error_os(int errnum, const char *fmt, ...)
{
	char suffix[160];
	snprintf(suffix, sizeof(suffix), ": %s", strerror(errnum));
	va_list ap;
	va_start(ap, fmt);
	struct mt_error *err = error_vcreate(MT_ERROR_OS, errnum, 0, suffix, fmt, ap);
	va_end(ap);
	return err;
}

struct mt_error *mt_error_corrupt(uint64_t offset, const char *fmt, ...)
{
	char suffix[48];
	snprintf(suffix, sizeof(suffix), " at offset %llu", (unsigned long long)offset);
	va_list ap;
	va_start(ap, fmt);
	struct mt_error *err = error_vcreate(MT_ERROR_CORRUPT, 0, offset, suffix, fmt, ap);
	va_end(ap);
	return err;
}

struct mt_error *mt_error_hint(struct mt_error *err, const char *fmt, ...)
{
	if (!err || err->is_static)
		return err;
	char *hint = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&hint, fmt, ap);
	va_end(ap);
	if (n >= 0) {
		free(err->hint);
		err->hint = hint;
	}
	return err;
}

struct mt_error *mt_error_prefix(struct mt_error *err, const char *fmt, ...)
{
	if (!err || err->is_static)
		return err;
	char *prefix = NULL, *whole = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&prefix, fmt, ap);
	va_end(ap);
	if (n < 0)
		return err;
	if (asprintf(&whole, "%s: %s", prefix, err->message) >= 0) {
		free(err->message);
		err->message = whole;
	}
	free(prefix);
	return err;
}

void mt_error_destroy(struct mt_error *err)
{
	if (!err || err->is_static)
		return;
	free(err->message);
	free(err->hint);
	free(err);
}
