/* SPDX-License-Identifier: Apache-2.0 */
/* serve/guard.h - who may ask: the token, and that the browser means this server.
 *
 * The token is 32 random bytes, shown once in the address that is printed. A page of another site can
 * send requests here with the browser's cookies, and a name of another site can lead here (DNS
 * rebinding); hence Host and Origin are checked before anything else. */
#ifndef MT_SERVE_GUARD_H
#define MT_SERVE_GUARD_H

#include "base/error.h"

#include <stdbool.h>

#define GUARD_TOKEN_SIZE 65	/* hexadecimal digits and a NUL */

struct guard {
	char token[GUARD_TOKEN_SIZE];
	unsigned port;		/* 0: a Unix socket */
	bool any_name;		/* --insecure: the Host may be any address of this machine */
};

struct mt_error *guard_init(struct guard *g, unsigned port, bool any_name) MT_MUST_CHECK;
/* In a time that does not depend on where they differ. NULL is no token. */
bool guard_token(const struct guard *g, const char *given);
/* The value of our cookie in a Cookie header is the token. */
bool guard_cookie(const struct guard *g, const char *header);
/* "127.0.0.1:1234", "localhost:1234" or "[::1]:1234": never a name that somebody else controls. */
bool guard_host(const struct guard *g, const char *host);
/* NULL (not sent with plain GETs), or this very server. */
bool guard_origin(const char *origin, const char *host);
/* Sec-Fetch-Site: NULL, or not of another site. */
bool guard_site(const char *site);

#endif
