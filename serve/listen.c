/* SPDX-License-Identifier: Apache-2.0 */
/* serve/listen.c - the sockets the server listens on.
 * Knows: addresses, sd_listen_fds(3)'s protocol. Does not know: HTTP.
 * Called by serve/server.c; calls base/ and the kernel. */
#include "serve/listen.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128
#define FIRST_INHERITED 3

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

static struct mt_error *bad_address(const char *address)
{
	return mt_error_hint(mt_error_create(MT_ERROR_USAGE, "not an address: '%s'", address),
			     "addresses look like 127.0.0.1:8080, [::1]:0, unix:/run/memtrace.sock");
}

static bool parse_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || port > 65535)
		return false;
	*ret = (uint16_t)port;
	return true;
}

static bool parse_inet(const char *text, union address *ret, socklen_t *size_ret)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	uint16_t port;
	size_t len = colon ? (size_t)(colon - text) : 0;
	if (!len || len >= sizeof(host) || !parse_port(colon + 1, &port))
		return false;
	memcpy(host, text, len);
	host[len] = 0;
	memset(ret, 0, sizeof(*ret));
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = 0;
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(port);
		*size_ret = sizeof(ret->v6);
		return inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1;
	}
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = htons(port);
	*size_ret = sizeof(ret->v4);
	return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1",
			 &ret->v4.sin_addr) == 1;
}

/* What the socket is bound to. */
static struct mt_error *describe(struct listen_socket *l)
{
	union address a;
	char text[INET6_ADDRSTRLEN] = "";
	socklen_t size = sizeof(a);
	if (getsockname(l->fd, &a.any, &size))
		return mt_error_os(errno, "cannot listen");
	switch (a.any.sa_family) {
	case AF_UNIX:
		l->local = l->is_unix = true;
		snprintf(l->host, sizeof(l->host), "localhost");
		return NULL;
	case AF_INET:
		l->local = ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
		l->port = ntohs(a.v4.sin_port);
		inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof(text));
		snprintf(l->host, sizeof(l->host), "%s", text);
		return NULL;
	case AF_INET6:
		l->local = IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
		l->port = ntohs(a.v6.sin6_port);
		inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof(text));
		snprintf(l->host, sizeof(l->host), "[%s]", text);
		return NULL;
	default:
		return mt_error_create(MT_ERROR_OTHER, "not a socket of a kind that is served");
	}
}

/* A socket file that nobody listens on is a leftover. */
static bool is_leftover(const struct sockaddr_un *un)
{
	struct stat st;
	if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof(*un)) && errno == ECONNREFUSED;
}

static struct mt_error *bind_unix(int fd, const char *path, struct listen_socket *l)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(un.sun_path))
		return mt_error_create(MT_ERROR_USAGE, "not a path for a socket: '%s'", path);
	memcpy(un.sun_path, path, strlen(path) + 1);
	if (is_leftover(&un))
		unlink(path);
	/* From the first moment on: chmod() afterwards would leave one in which anybody connects. */
	mode_t mask = umask(0177);
	int rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
	int saved = errno;
	umask(mask);
	if (rc)
		return mt_error_os(saved, "cannot listen on '%s'", path);
	memcpy(l->path, un.sun_path, sizeof(l->path));
	return NULL;
}

struct mt_error *listen_open(const char *address, struct listen_socket *ret)
{
	union address a;
	socklen_t size = 0;
	struct listen_socket l = { .fd = -1 };
	bool is_unix = !strncmp(address, "unix:", 5);
	if (!is_unix && !parse_inet(address, &a, &size))
		return bad_address(address);
	auto_close int fd = socket(is_unix ? AF_UNIX : a.any.sa_family,
				   SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	if (fd < 0)
		return mt_error_os(errno, "cannot listen on '%s'", address);
	if (is_unix) {
		struct mt_error *err = bind_unix(fd, address + 5, &l);
		if (err)
			return err;
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, &a.any, size))
			return mt_error_os(errno, "cannot listen on '%s'", address);
	}
	if (listen(fd, BACKLOG))
		return mt_error_os(errno, "cannot listen on '%s'", address);
	l.fd = fd;
	struct mt_error *err = describe(&l);
	if (err)
		return err;
	take_fd(&fd);
	*ret = l;
	return NULL;
}

struct mt_error *listen_inherit(struct listen_socket ret[LISTEN_MAX], size_t *count_ret)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	*count_ret = 0;
	if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
		return NULL;
	long n = strtol(fds, NULL, 10);
	if (n < 0 || n > (long)LISTEN_MAX)
		return mt_error_create(MT_ERROR_OTHER, "%ld sockets were passed; %u are served", n,
				       LISTEN_MAX);
	for (long i = 0; i < n; i++) {
		struct listen_socket l = { .fd = FIRST_INHERITED + (int)i };
		int listening = 0;
		socklen_t size = sizeof(listening);
		if (getsockopt(l.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) || !listening)
			return mt_error_create(MT_ERROR_OTHER,
					       "descriptor %d was passed and is no listening socket",
					       l.fd);
		fcntl(l.fd, F_SETFD, FD_CLOEXEC);
		fcntl(l.fd, F_SETFL, fcntl(l.fd, F_GETFL) | O_NONBLOCK);
		struct mt_error *err = describe(&l);
		if (err)
			return err;
		ret[i] = l;
	}
	*count_ret = (size_t)n;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	return NULL;
}

void listen_close(struct listen_socket *l)
{
	mt_cleanup_close(&l->fd);
	l->fd = -1;
	if (*l->path)
		unlink(l->path);
	l->path[0] = 0;
}
