/* SPDX-License-Identifier: Apache-2.0 */
/* serve/exchange.h - one request and its answer; what the files behind serve/server.h share.
 *
 * The callbacks of libmicrohttpd are in serve/server.c. They make an exchange of a request, have
 * serve/guard.c check it, collect the body, and hand it to serve/routes.c, which answers with one of
 * the answer_ functions, or suspends the connection and is called again when there is more. */
#ifndef MT_SERVE_EXCHANGE_H
#define MT_SERVE_EXCHANGE_H

#include "base/buf.h"
#include "serve/listen.h"
#include "serve/mhd.h"
#include "serve/peers.h"
#include "serve/recordings.h"
#include "serve/reports.h"
#include "serve/request.h"
#include "serve/server.h"

#define BODY_MAX 4096u
#define STREAMS_MAX 64u

struct listener {
	struct server *server;
	struct listen_socket socket;
	struct MHD_Daemon *daemon;
	int fd;				/* of its epoll, borrowed */
	char cookie[32];		/* its name: a browser keeps ports apart by nothing else */
};

struct stream;
struct server {
	struct server_options options;
	const struct mhd *mhd;
	int folder;
	char token[SERVER_TOKEN_MAX + 1];
	size_t token_len;
	char *cert, *key;
	struct listener listeners[LISTEN_MAX];
	size_t listener_count;
	struct reports *reports;
	struct recordings *recordings;
	struct peers peers;
	struct stream *streams;
	size_t stream_count;
	struct exchange *exchanges;	/* that wait for a report */
	uint64_t now_ns;		/* CLOCK_MONOTONIC, of this turn */
	bool closing;
	bool woken;			/* a connection was resumed: it is to be looked at now */
	char url[512];
};

struct exchange {
	struct server *server;
	struct listener *listener;
	struct MHD_Connection *connection;
	struct peer *peer;
	const char *method;		/* borrowed */
	struct request_path path;
	bool head, by_cookie, begun;
	struct mt_buf body;
	size_t body_expected;
	struct served_report *report;	/* held */
	bool suspended;
	struct exchange *next;
};

static inline bool server_tls(const struct server *s)
{
	return s->cert != NULL;
}

/* ---- answers (serve/answer.c); each is what the handler returns ---- */

enum answer_flags {
	ANSWER_REPORT = 1 << 0,		/* a page with a script of its own: kept in a sandbox */
	ANSWER_DOWNLOAD = 1 << 1,	/* to be saved, under `file` */
	ANSWER_CACHE = 1 << 2,		/* part of the program: may be kept for a while */
};

struct answer {
	unsigned status;
	const char *type;		/* MIME */
	unsigned flags;			/* enum answer_flags */
	const char *file;		/* for ANSWER_DOWNLOAD */
	const char *location;		/* for a redirection */
	const char *cookie;		/* Set-Cookie */
	const char *allow;		/* for 405 */
};

enum MHD_Result answer_bytes(struct exchange *x, const struct answer *a, const void *data,
			     size_t size, enum MHD_ResponseMemoryMode mode);
enum MHD_Result answer_text(struct exchange *x, unsigned status, const char *text);
enum MHD_Result answer_error(struct exchange *x, unsigned status, const struct mt_error *err);
/* Duplicates fd. */
enum MHD_Result answer_fd(struct exchange *x, const struct answer *a, int fd, uint64_t size);
/* What `write` writes. */
enum MHD_Result answer_json(struct exchange *x, unsigned status,
			    struct mt_error *(*write)(struct exchange *x, const void *arg,
						      struct mt_json *j), const void *arg);
/* The headers that every answer has. */
void answer_headers(struct exchange *x, const struct answer *a, struct MHD_Response *response);

/* ---- who may ask (serve/guard.c): true, or the answer was given ---- */

bool guard_passes(struct exchange *x, const char *url, enum MHD_Result *ret);
const char *exchange_header(const struct exchange *x, const char *name);	/* NULL: none */

/* ---- what there is to ask for (serve/routes.c) ---- */

enum MHD_Result route_answer(struct exchange *x);
/* Called when a report is made: goes on with those who wait. */
void exchange_wait(struct exchange *x);
void exchange_resume(struct exchange *x);

/* ---- live progress (serve/stream.c) ---- */

enum MHD_Result stream_answer(struct exchange *x, unsigned recording);
/* Goes on with those that have news, or said nothing for long. */
void streams_turn(struct server *s);

#endif
