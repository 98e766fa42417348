/* SPDX-License-Identifier: Apache-2.0 */
/* serve/server.c - answers requests.
 * Knows: addresses and what stands behind them. Does not know: how reports are made.
 * Called by cmds/serve.c; calls the rest of serve/ and libmicrohttpd.
 *
 * A thread a connection: a report is waited for in it. Everything is GET, nothing changes anything. */
#include "serve/server.h"

#include "base/cleanup.h"
#include "serve/assets.h"
#include "serve/folder.h"
#include "serve/guard.h"
#include "serve/listen.h"
#include "serve/mhd.h"
#include "serve/report.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CONNECTIONS 64u
#define IDLE_SECONDS 15u
#define REQUEST_BYTES (16u << 10)	/* of the line and the headers */
#define REPORTS 2u			/* made at a time */

struct server {
	struct mhd mhd;
	struct MHD_Daemon *daemon;
	struct listener listener;
	struct guard guard;
	struct folder folder;
	sem_t reports;
	char *address;
};

struct exchange {
	struct server *s;
	struct MHD_Connection *c;
	const char *host;
};

/* ---- answers ---- */

static const char own_policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
				 "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/* Reports allow their own script by its hash; whatever runs in them can reach nobody. */
static const char report_policy[] = "connect-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; "
				    "frame-ancestors 'self'";

static enum MHD_Result send_response(struct exchange *x, unsigned status, struct MHD_Response *r,
				     const char *type, const char *policy)
{
	const struct mhd *mhd = &x->s->mhd;
	if (!r)
		return MHD_NO;
	mhd->add_response_header(r, "Content-Type", type);
	mhd->add_response_header(r, "Content-Security-Policy", policy);
	mhd->add_response_header(r, "X-Content-Type-Options", "nosniff");
	mhd->add_response_header(r, "Referrer-Policy", "no-referrer");
	mhd->add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	mhd->add_response_header(r, "Cache-Control", "no-store");
	enum MHD_Result result = mhd->queue_response(x->c, status, r);
	mhd->destroy_response(r);
	return result;
}

static enum MHD_Result send_text(struct exchange *x, unsigned status, const char *type, const char *text,
				 size_t size)
{
	struct MHD_Response *r = x->s->mhd.create_response_from_buffer(size, (void *)text,
								       MHD_RESPMEM_MUST_COPY);
	return send_response(x, status, r, type, own_policy);
}

static enum MHD_Result send_message(struct exchange *x, unsigned status, const char *message)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "%s\n", message);
	return send_text(x, status, "text/plain; charset=utf-8", text,
			 (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Takes ownership of fd. */
static enum MHD_Result send_file(struct exchange *x, int fd, const char *type)
{
	struct stat st;
	if (fstat(fd, &st)) {
		close(fd);
		return send_message(x, 500, "the answer is gone");
	}
	return send_response(x, 200, x->s->mhd.create_response_from_fd((size_t)st.st_size, fd), type,
			     report_policy);
}

/* ---- what there is ---- */

#define HTML "text/html; charset=utf-8"
#define VIEW "%VIEW"		/* replaced by --view=... when the request has one */

static const struct report {
	const char *prefix, *suffix, *type;
	unsigned captures;		/* 2: PREFIX BASE / NEW SUFFIX */
	const char *args[8];
} reports[] = {
	{ "/flamegraphs/", ".html", HTML, 1, { "flamegraph", "--no-debuginfod", "-o", "-", VIEW } },
	{ "/tables/", ".html", HTML, 1, { "table", "--no-debuginfod", "-o", "-", VIEW } },
	{ "/leaks/", ".html", HTML, 1, { "leaks", "--no-debuginfod", "--html", "-o", "-" } },
	{ "/diffs/", ".html", HTML, 2, { "diff", "--no-debuginfod", "--html", "-o", "-", VIEW } },
	{ "/stats/", ".json", "application/json", 1, { "stats", "--no-debuginfod", "--json", VIEW } },
	{ "/exports/pprof/", ".pb.gz", "application/octet-stream", 1,
	  { "transform", "pprof", "--no-debuginfod", "-o", "-", VIEW } },
	{ "/exports/folded/", ".txt", "text/plain; charset=utf-8", 1,
	  { "transform", "folded", "--no-debuginfod", "-o", "-", VIEW } },
	{ "/exports/speedscope/", ".json", "application/json", 1,
	  { "transform", "speedscope", "--no-debuginfod", "-o", "-", VIEW } },
};

static const char *const views[] = {
	"--view=peak", "--view=leaks", "--view=allocated", "--view=temporary",
};

/* The option of a view by its name; NULL: no such view. */
static const char *view_option(const char *name)
{
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		if (!strcmp(views[i] + sizeof("--view=") - 1, name))
			return views[i];
	return NULL;
}

/* The middle of PREFIX middle SUFFIX; NULL when it is not so. The caller frees. */
static char *middle_of(const char *url, const char *prefix, const char *suffix)
{
	size_t n = strlen(url), p = strlen(prefix), s = strlen(suffix);
	if (n <= p + s || strncmp(url, prefix, p) || strcmp(url + n - s, suffix))
		return NULL;
	return strndup(url + p, n - p - s);
}

static enum MHD_Result make_report(struct exchange *x, const struct report *report, const int *fds,
				   const char *view)
{
	static const char *const files[] = { "/dev/fd/100", "/dev/fd/101" };
	_Static_assert(REPORT_FD == 100, "names of the descriptors");
	const char *args[12] = { 0 };
	struct timespec until;
	size_t n = 0;
	int out;
	for (size_t i = 0; report->args[i]; i++)
		if (strcmp(report->args[i], VIEW))
			args[n++] = report->args[i];
		else if (view)
			args[n++] = view;
	for (unsigned i = 0; i < report->captures; i++)
		args[n++] = files[i];
	x->s->mhd.set_connection_option(x->c, MHD_CONNECTION_OPTION_TIMEOUT, REPORT_SECONDS * 2u + IDLE_SECONDS);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += REPORT_SECONDS;
	while (sem_timedwait(&x->s->reports, &until))
		if (errno != EINTR)
			return send_message(x, 503, "too many reports are being made: try again in a moment");
	auto_error struct mt_error *err = report_run(args, fds, &out);
	sem_post(&x->s->reports);
	return err ? send_message(x, 500, err->message) : send_file(x, out, report->type);
}

static enum MHD_Result answer_report(struct exchange *x, const struct report *report, char *stems)
{
	const char *asked = x->s->mhd.lookup_connection_value(x->c, MHD_GET_ARGUMENT_KIND, "view");
	const char *view = asked ? view_option(asked) : NULL;
	char *second = report->captures == 2 ? strchr(stems, '/') : NULL;
	if (asked && !view)
		return send_message(x, 400, "view: peak, leaks, allocated or temporary");
	if (second)
		*second++ = 0;
	auto_close int base = folder_capture(&x->s->folder, stems);
	auto_close int new = second ? folder_capture(&x->s->folder, second) : -1;
	if (base < 0 || (report->captures == 2 && new < 0))
		return send_message(x, 404, "there is no such capture");
	return make_report(x, report, (const int[]){ base, new, -1 }, view);
}

static enum MHD_Result answer_list(struct exchange *x)
{
	auto_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	auto_error struct mt_error *err = out ? folder_list(&x->s->folder, out) : &mt_enomem;
	if (out && fclose(out) && !err)
		err = &mt_enomem;
	if (err)
		return send_message(x, 500, err->message);
	return send_text(x, 200, "application/json", text, size);
}

static enum MHD_Result answer_capture(struct exchange *x, const char *stem)
{
	int fd = folder_capture(&x->s->folder, stem);
	if (fd < 0)
		return send_message(x, 404, "there is no such capture");
	return send_file(x, fd, "application/octet-stream");
}

static enum MHD_Result answer(struct exchange *x, const char *url)
{
	auto_free char *stem = middle_of(url, "/captures/", ".bin");
	if (!strcmp(url, "/"))
		return send_text(x, 200, HTML, asset_serve_html, (size_t)(asset_serve_html_end - asset_serve_html));
	if (!strcmp(url, "/serve.css"))
		return send_text(x, 200, "text/css", asset_serve_css,
				 (size_t)(asset_serve_css_end - asset_serve_css));
	if (!strcmp(url, "/serve.js"))
		return send_text(x, 200, "text/javascript", asset_serve_js,
				 (size_t)(asset_serve_js_end - asset_serve_js));
	if (!strcmp(url, "/captures.json"))
		return answer_list(x);
	if (stem)
		return answer_capture(x, stem);
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		auto_free char *stems = middle_of(url, reports[i].prefix, reports[i].suffix);
		if (stems)
			return answer_report(x, &reports[i], stems);
	}
	return send_message(x, 404, "there is no such page");
}

/* ---- who asks ---- */

static const char *header(struct exchange *x, const char *name)
{
	return x->s->mhd.lookup_connection_value(x->c, MHD_HEADER_KIND, name);
}

/* The token moves from the address, which browsers keep and show, into a cookie. */
static enum MHD_Result let_in(struct exchange *x)
{
	char cookie[160];
	struct MHD_Response *r = x->s->mhd.create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	snprintf(cookie, sizeof(cookie), "memtrace-%u=%s; HttpOnly; SameSite=Strict; Path=/",
		 x->s->guard.port, x->s->guard.token);
	if (r) {
		x->s->mhd.add_response_header(r, "Set-Cookie", cookie);
		x->s->mhd.add_response_header(r, "Location", "/");
	}
	return send_response(x, 303, r, "text/plain", own_policy);
}

static bool has_token(struct exchange *x)
{
	const char *authorization = header(x, "Authorization");
	if (authorization && !strncmp(authorization, "Bearer ", 7) &&
	    guard_token(&x->s->guard, authorization + 7))
		return true;
	return guard_cookie(&x->s->guard, header(x, "Cookie"));
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url, const char *method,
			      const char *version, const char *data, size_t *data_size, void **state)
{
	static int begun;
	struct exchange x = { .s = arg, .c = c };
	(void)version;
	(void)data;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return *state ? MHD_NO : send_message(&x, 405, "this server is read only");
	if (!*state) {
		*state = &begun;	/* the headers are there; the body, if any, is not read */
		return MHD_YES;
	}
	if (*data_size)
		return MHD_NO;
	x.host = header(&x, "Host");
	if (!guard_host(&x.s->guard, x.host))
		return send_message(&x, 403, "this server is not called so");
	if (!guard_origin(header(&x, "Origin"), x.host) || !guard_site(header(&x, "Sec-Fetch-Site")))
		return send_message(&x, 403, "another site may not ask here");
	if (!strcmp(url, "/") &&
	    guard_token(&x.s->guard, x.s->mhd.lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "token")))
		return let_in(&x);
	if (!has_token(&x))
		return send_message(&x, 401, "open the address that memtrace serve printed");
	return answer(&x, url);
}

/* ---- life ---- */

static struct mt_error *start_daemon(struct server *s)
{
	s->daemon = s->mhd.start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
						MHD_USE_POLL,
					0, NULL, NULL, handle, s, MHD_OPTION_LISTEN_SOCKET, s->listener.fd,
					MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
					MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
					MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES, MHD_OPTION_END);
	if (!s->daemon)
		return mt_error_create(MT_ERROR_OTHER, "the server cannot start");
	s->listener.fd = -1;	/* the daemon's from here */
	int n = s->listener.port ?
			asprintf(&s->address, "http://%s/?token=%s", s->listener.address, s->guard.token) :
			asprintf(&s->address, "%s, token %s", s->listener.address, s->guard.token);
	return n < 0 ? &mt_enomem : NULL;
}

struct mt_error *server_start(const struct server_options *options, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	if (!s)
		return &mt_enomem;
	s->listener.fd = -1;
	s->folder.fd = -1;
	sem_init(&s->reports, 0, REPORTS);
	struct mt_error *err = mhd_load(&s->mhd);
	if (!err)
		err = folder_open(&s->folder, options->folder);
	if (!err)
		err = listen_on(options->listen, options->insecure, &s->listener);
	if (!err)
		err = guard_init(&s->guard, s->listener.port, options->insecure);
	if (!err)
		err = start_daemon(s);
	if (err) {
		server_stop(s);
		return err;
	}
	*ret = s;
	return NULL;
}

const char *server_address(const struct server *s)
{
	return s->address;
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	if (s->daemon)
		s->mhd.stop_daemon(s->daemon);
	mt_cleanup_close(&s->listener.fd);
	if (!s->listener.port && *s->listener.address)
		unlink(s->listener.address);
	folder_close(&s->folder);
	sem_destroy(&s->reports);
	free(s->address);
	free(s);
}
