/* SPDX-License-Identifier: Apache-2.0 */
/* serve/listen.h - the socket a server listens on, from what a person wrote. */
#ifndef MT_SERVE_LISTEN_H
#define MT_SERVE_LISTEN_H

#include "base/error.h"

#include <stdbool.h>

struct listener {
	int fd;
	unsigned port;		/* 0: a Unix socket */
	char address[128];	/* "127.0.0.1:1234", or the path of the socket */
};

/* "ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:PATH". Only loopback addresses unless `anywhere`. A Unix
 * socket is for its user alone (mode 0600). The caller closes fd and removes the socket. */
struct mt_error *listen_on(const char *where, bool anywhere, struct listener *ret) MT_MUST_CHECK;

#endif
