/* SPDX-License-Identifier: Apache-2.0 */
/* base/error.h - the one error type of everything outside the target.
 *
 * A function that can fail returns `struct mt_error *`; NULL is success. The caller owns a
 * returned error and either returns it further or ends it with mt_error_destroy(). Text is
 * lower case, says what failed first and quotes its subject; the hint says what to do about it.
 * Out of memory needs no memory: mt_enomem is static and destroying it does nothing. */
#ifndef MT_BASE_ERROR_H
#define MT_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum mt_error_code {
	MT_ERROR_OTHER,
	MT_ERROR_OS,		/* errnum is set */
	MT_ERROR_NOMEM,
	MT_ERROR_USAGE,		/* wrong command line: exit code 2 */
	MT_ERROR_GONE,		/* the target exited */
	MT_ERROR_REFUSED,	/* the target may not or cannot be traced */
	MT_ERROR_BUSY,		/* no safe point now; trying later may work */
	MT_ERROR_CORRUPT,	/* foreign bytes are damaged; address is the offset */
	MT_ERROR_INTERRUPTED,	/* the user asked to end before it began */
	MT_ERROR_EXISTS,	/* an output is there already */
};

struct mt_error {
	enum mt_error_code code;
	int errnum;		/* errno value, 0 when there is none */
	bool is_static;
	uint64_t address;	/* address or file offset the error is about, 0 when there is none */
	char *message;
	char *hint;		/* NULL when there is none */
};

#define MT_MUST_CHECK __attribute__((warn_unused_result))
#define MT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

extern struct mt_error mt_enomem;

struct mt_error *mt_error_create(enum mt_error_code code, const char *fmt, ...)
	MT_MUST_CHECK MT_PRINTF(2, 3);
/* Appends ": <strerror(errnum)>" to the text. */
struct mt_error *mt_error_os(int errnum, const char *fmt, ...) MT_MUST_CHECK MT_PRINTF(2, 3);
/* Damaged input at byte `offset`; appends " at offset N". */
struct mt_error *mt_error_corrupt(uint64_t offset, const char *fmt, ...)
	MT_MUST_CHECK MT_PRINTF(2, 3);
/* Sets (replaces) the hint and returns the same error, so that it can be returned in one line. */
struct mt_error *mt_error_hint(struct mt_error *err, const char *fmt, ...)
	MT_MUST_CHECK MT_PRINTF(2, 3);
/* Puts "<text>: " before the message and returns the same error. */
struct mt_error *mt_error_prefix(struct mt_error *err, const char *fmt, ...)
	MT_MUST_CHECK MT_PRINTF(2, 3);
/* NULL is accepted. */
void mt_error_destroy(struct mt_error *err);

#endif
