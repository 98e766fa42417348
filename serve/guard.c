/* SPDX-License-Identifier: Apache-2.0 */
/* serve/guard.c - who may ask.
 * Knows: token, Host, Origin, cookies. Does not know: what is asked for.
 * Called by serve/server.c; calls serve/request.h.
 *
 * Host: another name that leads to this address is somebody's DNS (rebinding). Origin and
 * Sec-Fetch-Site: another site's page, in a browser that has our cookie. The cookie is SameSite and
 * alone does nothing but read: a POST needs, with it, our own Origin and a header that no other site
 * can send without being asked first. */
#include "serve/exchange.h"

#include <string.h>

const char *exchange_header(const struct exchange *x, const char *name)
{
	return x->server->mhd->lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}


struct named {
	const char *name;
	unsigned count;
};

static enum MHD_Result count_header(void *arg, enum MHD_ValueKind kind, const char *key,
				    const char *value)
{
	struct named *n = arg;
	(void)kind;
	(void)value;
	n->count += key && !strcasecmp(key, n->name);
	return MHD_YES;
}

/* A header twice is a quarrel between two parsers. */
static bool is_twice(const struct exchange *x, const char *name)
{
	struct named n = { name, 0 };
	x->server->mhd->get_connection_values(x->connection, MHD_HEADER_KIND, count_header, &n);
	return n.count > 1;
}

static bool is_ours(const struct exchange *x, const char *host)
{
	const struct listen_socket *l = &x->listener->socket;
	uint16_t usual = server_tls(x->server) ? 443 : 80;
	if (!host)
		return false;
	if (request_host_is(host, l->host, l->port, usual))
		return true;
	if (l->local && request_host_is(host, "localhost", l->port, usual))
		return true;
	/* A proxy in front has a port of its own: these are compared whole. */
	for (const char *const *h = x->server->options.hosts; *h; h++)
		if (!strcasecmp(host, *h) || request_host_is(host, *h, l->port, usual))
			return true;
	return false;
}

static bool origin_is_ours(const struct exchange *x, const char *origin)
{
	const char *scheme = server_tls(x->server) ? "https://" : "http://";
	if (!strncmp(origin, scheme, strlen(scheme)))
		return is_ours(x, origin + strlen(scheme));
	/* Behind a proxy that speaks TLS for us. */
	if (x->listener->socket.local && !strncmp(origin, "https://", 8))
		for (const char *const *h = x->server->options.hosts; *h; h++)
			if (!strcasecmp(origin + 8, *h))
				return true;
	return false;
}

static bool is_token(const struct server *s, const char *text, size_t len)
{
	return request_same_secret(text, len, s->token, s->token_len);
}

static bool has_token(struct exchange *x)
{
	const char *header = exchange_header(x, "Authorization"), *value;
	size_t len;
	if (header && request_bearer(header, &value))
		return is_token(x->server, value, strlen(value));
	header = exchange_header(x, "Cookie");
	if (!header || !request_cookie(header, x->listener->cookie, &value, &len))
		return false;
	x->by_cookie = true;
	return is_token(x->server, value, len);
}

/* "/?token=...": the address that was printed. Gives the cookie and takes the token out of sight. */
static bool is_entrance(const struct exchange *x)
{
	const char *token = x->server->mhd->lookup_connection_value(x->connection,
								    MHD_GET_ARGUMENT_KIND, "token");
	return !x->path.count && token && is_token(x->server, token, strlen(token));
}

static enum MHD_Result let_in(struct exchange *x)
{
	char cookie[SERVER_TOKEN_MAX + 128];
	struct answer a = { .status = MHD_HTTP_SEE_OTHER, .type = "text/plain", .location = "/",
			    .cookie = cookie };
	snprintf(cookie, sizeof(cookie), "%s=%s; HttpOnly; SameSite=Strict; Path=/%s",
		 x->listener->cookie, x->server->token, server_tls(x->server) ? "; Secure" : "");
	return answer_bytes(x, &a, "", 0, MHD_RESPMEM_PERSISTENT);
}

/* NULL: it may. */
static const char *why_not_post(struct exchange *x)
{
	const char *type = exchange_header(x, "Content-Type"), *origin = exchange_header(x, "Origin");
	if (!type || strncasecmp(type, "application/json", 16) || (type[16] && type[16] != ';'))
		return "the body has to be application/json";
	if (x->by_cookie && !(origin && exchange_header(x, "X-Memtrace")))
		return "this request does not come from a page of this server";
	return NULL;
}

static bool is_other_site(struct exchange *x)
{
	const char *origin = exchange_header(x, "Origin"), *site = exchange_header(x, "Sec-Fetch-Site");
	if (origin && !origin_is_ours(x, origin))
		return true;
	/* A link to the entrance may stand anywhere. */
	return site && x->path.count && strcmp(site, "same-origin") && strcmp(site, "none");
}

static const struct {
	const char *name, *value;
} methods[] = { { "GET", NULL }, { "HEAD", NULL }, { "POST", NULL } };

static bool is_method(const char *method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (!strcmp(method, methods[i].name))
			return true;
	return false;
}

bool guard_passes(struct exchange *x, const char *url, enum MHD_Result *ret)
{
	const char *why = NULL;
	unsigned status = 0;
	if (!is_method(x->method)) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		why = "GET, HEAD and POST are answered";
	} else if (!request_path(url, &x->path)) {
		status = MHD_HTTP_BAD_REQUEST;
		why = "not a path";
	} else if (is_twice(x, "Host") || is_twice(x, "Origin") || is_twice(x, "Content-Length") ||
		   is_twice(x, "Authorization")) {
		status = MHD_HTTP_BAD_REQUEST;
		why = "a header twice";
	} else if (!is_ours(x, exchange_header(x, "Host"))) {
		status = MHD_HTTP_MISDIRECTED_REQUEST;
		why = "the server is not known by this name (--host adds one)";
	} else if (is_other_site(x)) {
		status = MHD_HTTP_FORBIDDEN;
		why = "this request comes from another site";
	} else if (is_entrance(x)) {
		*ret = let_in(x);
		return false;
	} else if (!has_token(x)) {
		status = MHD_HTTP_UNAUTHORIZED;
		why = "open the address that `memtrace serve` printed";
	} else if (!strcmp(x->method, "POST") && (why = why_not_post(x))) {
		status = MHD_HTTP_FORBIDDEN;
	}
	if (!status)
		return true;
	*ret = answer_text(x, status, why);
	return false;
}
