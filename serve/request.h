/* SPDX-License-Identifier: Apache-2.0 */
/* serve/request.h - what a client sent, taken apart: paths, queries, cookies, hosts, JSON.
 *
 * Every byte is hostile. A function says false for what is not exactly right; nothing is repaired.
 * The parts are decoded once and never again. */
#ifndef MT_SERVE_REQUEST_H
#define MT_SERVE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_SEGMENTS 4u
#define REQUEST_PATH_MAX 1024u		/* as sent */
#define REQUEST_FIELDS 12u
#define REQUEST_NAME_MAX 32u
#define REQUEST_VALUE_MAX 256u

struct request_path {			/* "/diffs/a.bin/b.bin.html": three segments */
	size_t count;			/* 0: "/" */
	const char *segments[REQUEST_SEGMENTS];
	char text[REQUEST_PATH_MAX + 1];	/* what they point into */
};

/* A segment is decoded, not empty, no name of a folder ("." and ".."), and has no slash, no NUL and
 * no other control character. */
bool request_path(const char *raw, struct request_path *ret);
/* %XX to bytes; false: cut, not hexadecimal, a NUL, or longer than size - 1. */
bool request_decode(const char *raw, size_t len, char *ret, size_t size);

/* The value of a cookie in a Cookie header; borrowed from it. */
bool request_cookie(const char *header, const char *name, const char **ret, size_t *len_ret);

/* "Bearer TOKEN"; borrowed. */
bool request_bearer(const char *header, const char **ret);

/* Whether a Host header, or what follows the scheme of an Origin, is `name` with this port (0: none
 * is needed or allowed). Names are compared without case; "[::1]:80" has its brackets. */
bool request_host_is(const char *host, const char *name, uint16_t port, uint16_t default_port);

enum request_type { REQUEST_STRING, REQUEST_NUMBER, REQUEST_BOOL };

struct request_field {
	char name[REQUEST_NAME_MAX];
	enum request_type type;
	char text[REQUEST_VALUE_MAX];	/* of a string, UTF-8 without control characters */
	uint64_t number;		/* of a number, whole and not negative; of a bool 0 or 1 */
};

struct request_object {
	size_t count;
	struct request_field fields[REQUEST_FIELDS];
};

/* A JSON object of strings, whole numbers and booleans; no name twice. */
bool request_object(const char *text, size_t len, struct request_object *ret);
/* NULL: not there. */
const struct request_field *request_field(const struct request_object *o, const char *name);

/* Without a hint in its time of where two texts of the same length differ. */
bool request_same_secret(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
