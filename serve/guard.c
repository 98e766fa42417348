/* SPDX-License-Identifier: Apache-2.0 */
/* serve/guard.c - checks of who asks.
 * Knows: header values. Does not know: what is asked for.
 * Called by serve/server.c; calls the kernel's random numbers. */
#include "serve/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct mt_error *guard_init(struct guard *g, unsigned port, bool any_name)
{
	unsigned char random[(GUARD_TOKEN_SIZE - 1) / 2];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return mt_error_os(errno, "no random numbers for a token");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(g->token + 2 * i, 3, "%02x", random[i]);
	g->port = port;
	g->any_name = any_name;
	return NULL;
}

static bool same_token(const struct guard *g, const char *given, size_t size)
{
	unsigned char differs = size != GUARD_TOKEN_SIZE - 1;
	for (size_t i = 0; i < GUARD_TOKEN_SIZE - 1; i++)
		differs |= (unsigned char)(g->token[i] ^ (size ? given[i % size] : 0));
	return !differs;
}

bool guard_token(const struct guard *g, const char *given)
{
	return given && same_token(g, given, strlen(given));
}

bool guard_cookie(const struct guard *g, const char *header)
{
	char name[32];
	/* Cookies do not know ports: two servers must not take each other's. */
	int n = snprintf(name, sizeof(name), "memtrace-%u=", g->port);
	while (header && *header) {
		header += strspn(header, "; ");
		size_t len = strcspn(header, ";");
		if (!strncmp(header, name, (size_t)n) &&
		    same_token(g, header + n, len - (size_t)n))
			return true;
		header += len;
	}
	return false;
}

static bool is_address(const char *name)
{
	unsigned char address[16];
	size_t len = strlen(name);
	char inner[64];
	if (inet_pton(AF_INET, name, address) == 1)
		return true;
	if (len < 3 || len >= sizeof(inner) || name[0] != '[' || name[len - 1] != ']')
		return false;
	memcpy(inner, name + 1, len - 2);
	inner[len - 2] = 0;
	return inet_pton(AF_INET6, inner, address) == 1;
}

bool guard_host(const struct guard *g, const char *host)
{
	char name[128], port[16];
	if (!host || strlen(host) >= sizeof(name))
		return false;
	strcpy(name, host);
	if (!g->port)		/* who reaches the socket's file is the user */
		return !strcmp(name, "localhost");
	char *colon = strrchr(name, ':');
	snprintf(port, sizeof(port), ":%u", g->port);
	if (!colon || strcmp(colon, port))
		return false;
	*colon = 0;
	if (!strcmp(name, "127.0.0.1") || !strcmp(name, "localhost") || !strcmp(name, "[::1]"))
		return true;
	return g->any_name && is_address(name);
}

bool guard_origin(const char *origin, const char *host)
{
	static const char scheme[] = "http://";
	return !origin || (!strncmp(origin, scheme, sizeof(scheme) - 1) &&
			   !strcmp(origin + sizeof(scheme) - 1, host));
}

bool guard_site(const char *site)
{
	return !site || !strcmp(site, "same-origin") || !strcmp(site, "none");
}
