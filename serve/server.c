/* SPDX-License-Identifier: Apache-2.0 */
/* serve/server.c - the server's one loop, and what libmicrohttpd calls.
 * Knows: connections, poll(), when to look after what. Does not know: addresses, reports.
 * Called by cmds/serve.c; calls the rest of serve/. */
#include "serve/server.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "serve/exchange.h"
#include "serve/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define CONNECTIONS 512u
#define CONNECTION_MEMORY 16384u	/* a request's line and headers fit, or are refused */
#define IDLE_SECONDS 15u
#define LOOK_MS 500			/* at what is being recorded */
#define FDS_MAX 32u
#define END_MS 20000			/* what is being recorded may take to end */

/* ---- the token, the certificate ---- */

static struct mt_error *read_file(const char *path, size_t max, char **ret, size_t *len_ret)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	auto_free char *text = malloc(max + 1);
	if (!text)
		return &mt_enomem;
	ssize_t n = fd >= 0 ? read(fd, text, max + 1) : -1;
	if (n < 0)
		return mt_error_os(errno, "cannot read '%s'", path);
	if ((size_t)n > max)
		return mt_error_create(MT_ERROR_USAGE, "'%s' is too long", path);
	text[n] = 0;
	*ret = take_ptr(&text);
	*len_ret = (size_t)n;
	return NULL;
}

static struct mt_error *token_of_file(struct server *s, const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	auto_free char *text = NULL;
	size_t len;
	struct stat st;
	struct mt_error *err = read_file(path, SERVER_TOKEN_MAX + 2, &text, &len);
	if (err)
		return err;
	if (!stat(path, &st) && st.st_mode & 07)
		return mt_error_hint(mt_error_create(MT_ERROR_USAGE, "anybody can read the token in '%s'",
						     path), "chmod 600");
	text[strcspn(text, "\r\n")] = 0;
	len = strlen(text);
	if (len < SERVER_TOKEN_MIN || len > SERVER_TOKEN_MAX || strspn(text, plain) != len)
		return mt_error_create(MT_ERROR_USAGE,
				       "the token in '%s' is not %u to %u letters, digits, '-' and '_'",
				       path, SERVER_TOKEN_MIN, SERVER_TOKEN_MAX);
	memcpy(s->token, text, len + 1);
	s->token_len = len;
	return NULL;
}

static struct mt_error *make_token(struct server *s)
{
	uint8_t random[32];
	if (s->options.token_file)
		return token_of_file(s, s->options.token_file);
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return mt_error_os(errno, "cannot make a token");
	for (size_t i = 0; i < sizeof(random); i++)
		s->token_len += (size_t)sprintf(s->token + s->token_len, "%02x", random[i]);
	return NULL;
}

static struct mt_error *load_tls(struct server *s)
{
	size_t len;
	if (!s->options.tls_cert)
		return NULL;
	if (s->mhd->is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return mt_error_create(MT_ERROR_OTHER, "this libmicrohttpd has no TLS");
	struct mt_error *err = read_file(s->options.tls_cert, 1u << 20, &s->cert, &len);
	return err ? err : read_file(s->options.tls_key, 1u << 20, &s->key, &len);
}

/* ---- one request ---- */

void exchange_wait(struct exchange *x)
{
	x->suspended = true;
	x->next = x->server->exchanges;
	x->server->exchanges = x;
	x->server->mhd->suspend_connection(x->connection);
}

void exchange_resume(struct exchange *x)
{
	struct exchange **at = &x->server->exchanges;
	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	x->suspended = false;
	x->server->woken = true;
	x->server->mhd->resume_connection(x->connection);
}

static void report_changed(struct served_report *report, void *arg)
{
	struct server *s = arg;
	for (struct exchange *x = s->exchanges, *next; x; x = next) {
		next = x->next;
		if (x->report == report)
			exchange_resume(x);
	}
}

static struct exchange *exchange_create(struct listener *l, struct MHD_Connection *connection,
					const char *method)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	const union MHD_ConnectionInfo *info =
		l->server->mhd->get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	x->server = l->server;
	x->listener = l;
	x->connection = connection;
	x->method = method;
	x->peer = info ? info->socket_context : NULL;
	return x;
}

/* Before a byte of the body is read. */
static bool body_is_welcome(struct exchange *x, enum MHD_Result *ret)
{
	const char *length = exchange_header(x, "Content-Length");
	bool chunked = exchange_header(x, "Transfer-Encoding") != NULL;
	char *end;
	x->body_expected = length ? strtoull(length, &end, 10) : 0;
	if (chunked) {
		*ret = answer_text(x, MHD_HTTP_LENGTH_REQUIRED, "the length of the body has to be told");
		return false;
	}
	if (x->body_expected > BODY_MAX || (x->body_expected && strcmp(x->method, "POST"))) {
		*ret = answer_text(x, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
		return false;
	}
	return true;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **state)
{
	struct listener *l = arg;
	struct exchange *x = *state;
	enum MHD_Result rc = MHD_NO;
	(void)version;
	if (!x) {
		*state = x = exchange_create(l, connection, method);
		if (!x)
			return MHD_NO;
		if (!guard_passes(x, url, &rc) || !body_is_welcome(x, &rc)) {
			if (x->peer)
				peer_answered(x->peer);
			return rc;
		}
		return MHD_YES;
	}
	if (*size) {
		if (x->body.len + *size > BODY_MAX)
			return MHD_NO;
		mt_buf_put(&x->body, data, *size);
		*size = 0;
		return x->body.failed ? MHD_NO : MHD_YES;
	}
	if (x->peer)
		peer_answered(x->peer);
	if (l->server->closing)
		return MHD_NO;
	return route_answer(x);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct listener *l = arg;
	struct exchange *x = *state;
	(void)connection;
	(void)code;
	if (!x)
		return;
	if (x->peer)
		peers_asks(&l->server->peers, x->peer, mt_now_ns());
	reports_put(x->report);
	mt_buf_deinit(&x->body);
	free(x);
	*state = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct listener *l = arg;
	struct server *s = l->server;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		peers_remove(&s->peers, *socket_context);
		*socket_context = NULL;
		return;
	}
	const union MHD_ConnectionInfo *info =
		s->mhd->get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	*socket_context = info ? peers_add(&s->peers, info->connect_fd, mt_now_ns()) : NULL;
}

/* Paths are decoded once, by serve/request.c. */
static size_t leave_as_it_is(void *arg, struct MHD_Connection *connection, char *s)
{
	(void)arg;
	(void)connection;
	return strlen(s);
}

static void no_log(void *arg, const char *fmt, va_list ap)
{
	(void)arg;
	(void)fmt;
	(void)ap;
}

/* ---- the life of the server ---- */

static struct mt_error *check_listener(const struct server *s, const struct listen_socket *l)
{
	if (l->local || s->cert || s->options.insecure)
		return NULL;
	return mt_error_hint(mt_error_create(MT_ERROR_USAGE, "%s is reached from the network, and"
					     " everything would be sent in the clear", l->host),
			     "--tls-cert and --tls-key, or --insecure behind something that encrypts");
}

static struct mt_error *start_listener(struct server *s, struct listener *l)
{
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
			 (s->cert ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, s->cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, s->key },
		{ MHD_OPTION_END, 0, NULL },
	};
	l->server = s;
	snprintf(l->cookie, sizeof(l->cookie), "memtrace-%u", l->socket.port);
	l->daemon = s->mhd->start_daemon(flags, l->socket.port, NULL, NULL, on_request, l,
		MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, l->socket.fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_as_it_is, NULL,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_ARRAY, s->cert ? tls : &tls[2],
		MHD_OPTION_END);
	const union MHD_DaemonInfo *info = l->daemon ?
		s->mhd->get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return mt_error_create(MT_ERROR_OTHER, "cannot serve %s%s", l->socket.host,
				       s->cert ? ": is the certificate with its key in order?" : "");
	l->fd = info->epoll_fd;
	return NULL;
}

static struct mt_error *open_listeners(struct server *s)
{
	struct listen_socket sockets[LISTEN_MAX];
	static const char *const usual[] = { "127.0.0.1:0", NULL };
	struct mt_error *err = listen_inherit(sockets, &s->listener_count);
	for (size_t i = 0; !err && i < s->listener_count; i++)
		s->listeners[i].socket = sockets[i];
	const char *const *address = s->options.listens;
	if (!*address && !s->listener_count)
		address = usual;
	for (; !err && *address; address++) {
		if (s->listener_count == LISTEN_MAX)
			return mt_error_create(MT_ERROR_USAGE, "more than %u addresses", LISTEN_MAX);
		err = listen_open(*address, &s->listeners[s->listener_count].socket);
		s->listener_count += !err;
	}
	for (size_t i = 0; !err && i < s->listener_count; i++)
		err = check_listener(s, &s->listeners[i].socket);
	for (size_t i = 0; !err && i < s->listener_count; i++)
		err = start_listener(s, &s->listeners[i]);
	return err;
}

/* A descriptor each for all connections, and the children's. */
static void make_room(void)
{
	struct rlimit r;
	rlim_t want = CONNECTIONS * LISTEN_MAX + 256;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= want)
		return;
	r.rlim_cur = want < r.rlim_max ? want : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static struct mt_error *set_up(struct server *s)
{
	const struct server_options *o = &s->options;
	struct reports_options reports = { o->report_memory, o->report_seconds, report_changed, s };
	struct mt_error *err = mhd_load(&s->mhd);
	if (!err)
		err = folder_open(o->folder, &s->folder);
	if (!err)
		err = make_token(s);
	if (!err)
		err = load_tls(s);
	if (!err)
		err = reports_create(&reports, &s->reports);
	struct recordings_options recordings = { s->folder, o->max_seconds, o->max_bytes };
	if (!err)
		err = recordings_create(&recordings, &s->recordings);
	make_room();
	peers_init(&s->peers, CONNECTIONS);
	return err ? err : open_listeners(s);
}

struct mt_error *server_create(const struct server_options *options, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	if (!s)
		return &mt_enomem;
	s->options = *options;
	s->folder = -1;
	s->now_ns = mt_now_ns();
	struct mt_error *err = set_up(s);
	if (err) {
		server_destroy(s);
		return err;
	}
	*ret = s;
	return NULL;
}

const char *server_url(struct server *s, size_t i)
{
	if (i >= s->listener_count)
		return NULL;
	const struct listen_socket *l = &s->listeners[i].socket;
	int n = snprintf(s->url, sizeof(s->url), "%s://%s", s->cert ? "https" : "http", l->host);
	if (!l->is_unix)
		n += snprintf(s->url + n, sizeof(s->url) - (size_t)n, ":%u", l->port);
	n += snprintf(s->url + n, sizeof(s->url) - (size_t)n, "/");
	/* A token that the user keeps in a file does not go to a terminal or a log. */
	if (!s->options.token_file)
		n += snprintf(s->url + n, sizeof(s->url) - (size_t)n, "?token=%s", s->token);
	if (l->is_unix && *l->path)
		snprintf(s->url + n, sizeof(s->url) - (size_t)n, " (unix:%s)", l->path);
	return s->url;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* Until something has to be looked at without an event; NULL: no such time. */
static const struct timespec *time_to_wait(struct server *s, uint64_t peers_ns, struct timespec *ret)
{
	uint64_t at = earlier(peers_ns, reports_deadline_ns(s->reports));
	if (s->woken)
		at = s->now_ns;
	if (recordings_any_running(s->recordings) || s->streams)
		at = earlier(at, s->now_ns + LOOK_MS * 1000000ull);
	for (size_t i = 0; i < s->listener_count; i++) {
		MHD_UNSIGNED_LONG_LONG ms;
		if (s->mhd->get_timeout(s->listeners[i].daemon, &ms) == MHD_YES)
			at = earlier(at, s->now_ns + ms * 1000000ull + 1);
	}
	if (!at)
		return NULL;
	uint64_t ns = at > s->now_ns ? at - s->now_ns : 0;
	*ret = (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
	return ret;
}

static void turn(struct server *s, const sigset_t *signals)
{
	struct pollfd fds[FDS_MAX];
	int children[FDS_MAX - LISTEN_MAX];
	struct timespec time;
	size_t n = 0, m;
	s->now_ns = mt_now_ns();
	uint64_t peers_ns = peers_turn(&s->peers, s->now_ns);
	for (size_t i = 0; i < s->listener_count; i++)
		fds[n++] = (struct pollfd){ .fd = s->listeners[i].fd, .events = POLLIN };
	m = reports_fds(s->reports, children, sizeof(children) / sizeof(children[0]));
	m += recordings_fds(s->recordings, children + m, sizeof(children) / sizeof(children[0]) - m);
	for (size_t i = 0; i < m; i++)
		fds[n++] = (struct pollfd){ .fd = children[i], .events = POLLIN };
	ppoll(fds, n, time_to_wait(s, peers_ns, &time), signals);
	s->now_ns = mt_now_ns();
	recordings_turn(s->recordings, s->now_ns);
	streams_turn(s);
	s->woken = false;
	for (size_t i = 0; i < s->listener_count; i++)
		s->mhd->run(s->listeners[i].daemon);
	reports_turn(s->reports, s->now_ns);
}

struct mt_error *server_run(struct server *s, bool (*stop)(void))
{
	sigset_t block, before;
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &block, &before))
		return mt_error_os(errno, "cannot block signals");
	while (!stop())
		turn(s, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return NULL;
}

/* Every connection has to be awake before its daemon can be stopped. */
static void wake_all(struct server *s)
{
	s->closing = true;
	while (s->exchanges)
		exchange_resume(s->exchanges);
	streams_turn(s);
}

void server_destroy(struct server *s)
{
	if (!s)
		return;
	/* Ask first, so that the targets are free while the rest is taken down. */
	recordings_destroy(s->recordings, END_MS);
	s->recordings = NULL;
	s->closing = true;
	if (s->mhd)
		wake_all(s);
	for (size_t i = 0; i < s->listener_count; i++) {
		struct listener *l = &s->listeners[i];
		if (l->daemon) {
			s->mhd->run(l->daemon);
			s->mhd->stop_daemon(l->daemon);
			l->socket.fd = -1;	/* it has closed it */
		}
		listen_close(&l->socket);
	}
	reports_destroy(s->reports);
	mt_cleanup_close(&s->folder);
	free(s->cert);
	free(s->key);
	free(s);
}
