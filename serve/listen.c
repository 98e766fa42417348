/* SPDX-License-Identifier: Apache-2.0 */
/* serve/listen.c - opens the socket.
 * Knows: addresses. Does not know: HTTP.
 * Called by serve/server.c; calls the kernel. */
#include "serve/listen.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 64

static struct mt_error *listen_unix(const char *path, struct listener *ret)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(a.sun_path) || strlen(path) >= sizeof(ret->address))
		return mt_error_create(MT_ERROR_USAGE, "the path of a Unix socket is short: '%s'", path);
	strcpy(a.sun_path, path);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return mt_error_os(errno, "cannot make a socket");
	mode_t old = umask(0177);	/* before it can be connected to */
	int failed = bind(fd, (struct sockaddr *)&a, sizeof(a)) ? errno : 0;
	umask(old);
	if (failed || listen(fd, BACKLOG))
		return mt_error_os(failed ? failed : errno, "cannot listen on '%s'", path);
	*ret = (struct listener){ .fd = take_fd(&fd) };
	strcpy(ret->address, path);
	return NULL;
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool parse_host(const char *host, union address *a, socklen_t *len)
{
	size_t n = strlen(host);
	char inner[INET6_ADDRSTRLEN + 2];
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		*len = sizeof(a->v4);
		return true;
	}
	if (n < 3 || n >= sizeof(inner) || host[0] != '[' || host[n - 1] != ']')
		return false;
	memcpy(inner, host + 1, n - 2);
	inner[n - 2] = 0;
	a->v6.sin6_family = AF_INET6;
	*len = sizeof(a->v6);
	return inet_pton(AF_INET6, inner, &a->v6.sin6_addr) == 1;
}

static bool is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static struct mt_error *parse(const char *where, char host[64], union address *a, socklen_t *len)
{
	const char *colon = strrchr(where, ':');
	char *end;
	size_t n = colon ? (size_t)(colon - where) : 0;
	unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 65536;
	if (n && n < 64) {
		memcpy(host, where, n);
		host[n] = 0;
	}
	if (!n || n >= 64 || port > 65535 || *end || !parse_host(host, a, len))
		return mt_error_hint(mt_error_create(MT_ERROR_USAGE, "cannot listen on '%s'", where),
				     "--listen takes 127.0.0.1:8080, [::1]:8080 or unix:PATH");
	if (a->any.sa_family == AF_INET)
		a->v4.sin_port = htons((uint16_t)port);
	else
		a->v6.sin6_port = htons((uint16_t)port);
	return NULL;
}

struct mt_error *listen_on(const char *where, bool anywhere, struct listener *ret)
{
	union address a;
	socklen_t len = 0;
	char host[64] = "";
	int on = 1;
	if (!strncmp(where, "unix:", 5))
		return listen_unix(where + 5, ret);
	struct mt_error *err = parse(where, host, &a, &len);
	if (err)
		return err;
	if (!is_loopback(&a) && !anywhere)
		return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
						     "others can reach '%s', and nothing is encrypted", where),
				     "listen on 127.0.0.1 and use ssh -L, or say --insecure");
	auto_close int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || bind(fd, &a.any, len) ||
	    listen(fd, BACKLOG) || getsockname(fd, &a.any, &len))
		return mt_error_os(errno, "cannot listen on '%s'", where);
	*ret = (struct listener){ .port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port) };
	snprintf(ret->address, sizeof(ret->address), "%s:%u", host, ret->port);
	ret->fd = take_fd(&fd);
	return NULL;
}
