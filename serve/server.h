/* SPDX-License-Identifier: Apache-2.0 */
/* serve/server.h - the HTTP server of `memtrace serve`: captures of one folder, read only.
 *
 *	struct server *s;
 *	server_start(&options, &s)
 *	server_address(s)		what to open, with the token
 *	server_stop(s)
 */
#ifndef MT_SERVE_SERVER_H
#define MT_SERVE_SERVER_H

#include "base/error.h"

#include <stdbool.h>

struct server_options {
	const char *folder;
	const char *listen;	/* "ADDRESS:PORT", "[ADDRESS]:PORT" (port 0: a free one) or "unix:PATH" */
	bool insecure;		/* addresses that others can reach, without encryption */
};

struct server;

struct mt_error *server_start(const struct server_options *options, struct server **ret) MT_MUST_CHECK;
const char *server_address(const struct server *s);	/* borrowed */
void server_stop(struct server *s);			/* NULL accepted */

#endif
