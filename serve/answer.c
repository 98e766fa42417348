/* SPDX-License-Identifier: Apache-2.0 */
/* serve/answer.c - answers and the headers that all of them have.
 * Knows: libmicrohttpd's responses. Does not know: what is asked for.
 * Called by serve/; calls base/. */
#include "serve/exchange.h"

#include <fcntl.h>
#include <string.h>

/* Our own pages: nothing inline, nothing from elsewhere, in nobody's frame. */
static const char own_policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	"connect-src 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/* Reports carry script and style inside, and name their hashes in a policy of their own. Whatever a
 * capture may bring into one, it has no origin: it sees no cookie and reaches no address. */
static const char report_policy[] =
	"sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; "
	"script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
	"base-uri 'none'; form-action 'none'";

static void header(struct exchange *x, struct MHD_Response *response, const char *name,
		   const char *value)
{
	if (value)
		x->server->mhd->add_response_header(response, name, value);
}

/* The name for the client's disk: what a header can hold, the rest as RFC 5987 has it. */
static void put_disposition(struct exchange *x, struct MHD_Response *response, const char *file)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
	auto_buf struct mt_buf text = MT_BUF_INIT;
	mt_buf_put_str(&text, "attachment; filename*=UTF-8''");
	for (const char *c = file; *c; c++)
		if (strchr(plain, *c))
			mt_buf_put_char(&text, *c);
		else
			mt_buf_printf(&text, "%%%02X", (unsigned char)*c);
	mt_buf_put_u8(&text, 0);
	if (!text.failed)
		header(x, response, "Content-Disposition", (const char *)text.data);
}

void answer_headers(struct exchange *x, const struct answer *a, struct MHD_Response *response)
{
	header(x, response, "Content-Type", a->type);
	header(x, response, "Content-Security-Policy",
	       a->flags & ANSWER_REPORT ? report_policy : own_policy);
	header(x, response, "X-Content-Type-Options", "nosniff");
	header(x, response, "X-Frame-Options", a->flags & ANSWER_REPORT ? "SAMEORIGIN" : "DENY");
	header(x, response, "Referrer-Policy", "no-referrer");
	header(x, response, "Cross-Origin-Opener-Policy", "same-origin");
	header(x, response, "Cross-Origin-Resource-Policy", "same-origin");
	header(x, response, "Cache-Control", a->flags & ANSWER_CACHE ? "private, max-age=60" : "no-store");
	header(x, response, "Location", a->location);
	header(x, response, "Set-Cookie", a->cookie);
	header(x, response, "Allow", a->allow);
	if (a->status == MHD_HTTP_UNAUTHORIZED)
		header(x, response, "WWW-Authenticate", "Bearer");
	if (a->status == MHD_HTTP_SERVICE_UNAVAILABLE)
		header(x, response, "Retry-After", "5");
	if (a->flags & ANSWER_DOWNLOAD)
		put_disposition(x, response, a->file);
}

static enum MHD_Result queue(struct exchange *x, const struct answer *a,
			    struct MHD_Response *response)
{
	const struct mhd *mhd = x->server->mhd;
	if (!response)
		return MHD_NO;		/* out of memory: the connection is closed */
	answer_headers(x, a, response);
	enum MHD_Result rc = mhd->queue_response(x->connection, a->status, response);
	mhd->destroy_response(response);
	return rc;
}

enum MHD_Result answer_bytes(struct exchange *x, const struct answer *a, const void *data,
			     size_t size, enum MHD_ResponseMemoryMode mode)
{
	return queue(x, a, x->server->mhd->create_response_from_buffer(size, (void *)data, mode));
}

enum MHD_Result answer_text(struct exchange *x, unsigned status, const char *text)
{
	auto_buf struct mt_buf line = MT_BUF_INIT;
	struct answer a = { .status = status, .type = "text/plain; charset=utf-8",
			    .allow = status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET, HEAD, POST" : NULL };
	mt_text_put_clean(&line, text, strlen(text), MT_TEXT_KEEP_NEWLINE);
	mt_buf_put_char(&line, '\n');
	return line.failed ? MHD_NO :
			     answer_bytes(x, &a, line.data, line.len, MHD_RESPMEM_MUST_COPY);
}

enum MHD_Result answer_error(struct exchange *x, unsigned status, const struct mt_error *err)
{
	auto_buf struct mt_buf text = MT_BUF_INIT;
	mt_buf_printf(&text, "%s%s%s", err->message, err->hint ? "\nhint: " : "",
		      err->hint ? err->hint : "");
	mt_buf_put_u8(&text, 0);
	return text.failed ? MHD_NO : answer_text(x, status, (const char *)text.data);
}

enum MHD_Result answer_fd(struct exchange *x, const struct answer *a, int fd, uint64_t size)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct MHD_Response *response = copy < 0 ? NULL :
		x->server->mhd->create_response_from_fd64(size, copy);
	if (!response && copy >= 0)
		close(copy);
	return queue(x, a, response);
}

enum MHD_Result answer_json(struct exchange *x, unsigned status,
			    struct mt_error *(*write)(struct exchange *x, const void *arg,
						      struct mt_json *j), const void *arg)
{
	char *text = NULL;
	size_t size = 0;
	struct answer a = { .status = status, .type = "application/json" };
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return MHD_NO;
	struct mt_json j = mt_json_make(out, false);
	auto_error struct mt_error *err = write(x, arg, &j);
	bool bad = ferror(out);
	if (fclose(out) || bad) {
		free(text);
		return MHD_NO;
	}
	if (!err)
		return answer_bytes(x, &a, text, size, MHD_RESPMEM_MUST_FREE);
	free(text);
	return answer_error(x, MHD_HTTP_INTERNAL_SERVER_ERROR, err);
}
