/* SPDX-License-Identifier: Apache-2.0 */
/* serve/server.h - captures in the browser.
 *
 *	server_create(&options, &s)	listens from here on
 *	server_url(s, i)		what a person opens; NULL after the last
 *	server_run(s, &stop)		until *stop
 *	server_destroy(s)		ends what is being recorded
 *
 * One thread, which never waits for anything but poll(): reports and captures are made by children.
 * Who may ask: the holder of the token, by an address that the server was told to have, from a page
 * of its own. What may be asked for: captures in DIR, nothing else. */
#ifndef MT_SERVE_SERVER_H
#define MT_SERVE_SERVER_H

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVER_HOSTS 8u
#define SERVER_TOKEN_MIN 16u
#define SERVER_TOKEN_MAX 256u

struct server_options {			/* all borrowed until server_destroy() */
	const char *folder;
	const char *const *listens;	/* NULL at the end; none: systemd's, else 127.0.0.1:0 */
	const char *const *hosts;	/* further names the server is asked by; NULL at the end */
	const char *const *formats;	/* of `memtrace transform`; NULL at the end */
	const char *token_file;		/* NULL: a new token */
	const char *tls_cert, *tls_key;	/* files; both or none */
	bool insecure;			/* other addresses than loopback without TLS */
	bool read_only;			/* no captures are started */
	uint64_t report_memory, report_seconds;
	uint64_t max_seconds, max_bytes;	/* of a capture */
};

struct server;
struct mt_error *server_create(const struct server_options *options, struct server **ret)
	MT_MUST_CHECK;
/* Borrowed until the next call. */
const char *server_url(struct server *s, size_t i);
/* SIGINT, SIGTERM and SIGHUP are blocked but while it waits. */
struct mt_error *server_run(struct server *s, bool (*stop)(void)) MT_MUST_CHECK;
void server_destroy(struct server *s);	/* NULL accepted */

#endif
