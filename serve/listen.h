/* SPDX-License-Identifier: Apache-2.0 */
/* serve/listen.h - the sockets the server listens on: addresses, Unix sockets, systemd's. */
#ifndef MT_SERVE_LISTEN_H
#define MT_SERVE_LISTEN_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTEN_MAX 4u

struct listen_socket {
	int fd;
	bool local;		/* loopback or a Unix socket: nobody on the network sees it */
	bool is_unix;
	uint16_t port;		/* 0 for a Unix socket */
	char host[64];		/* as in an URL: "127.0.0.1", "[::1]"; of a Unix socket "localhost" */
	char path[108];		/* of a Unix socket that is ours to remove; else "" */
};

/* "127.0.0.1:0", "[::1]:8080", "localhost:0", "unix:/run/memtrace.sock" (mode 0600; what is there and
 * nobody listens on is replaced). Names are not looked up. */
struct mt_error *listen_open(const char *address, struct listen_socket *ret) MT_MUST_CHECK;
/* Sockets that systemd passed to this process (LISTEN_PID, LISTEN_FDS), at most LISTEN_MAX. */
struct mt_error *listen_inherit(struct listen_socket ret[LISTEN_MAX], size_t *count_ret)
	MT_MUST_CHECK;
void listen_close(struct listen_socket *l);

#endif
