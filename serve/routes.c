/* SPDX-License-Identifier: Apache-2.0 */
/* serve/routes.c - what there is to ask for.
 * Knows: addresses, which command makes which report. Does not know: who asks.
 * Called by serve/server.c; calls the rest of serve/. */
#include "base/cleanup.h"
#include "base/version.h"
#include "reporters/assets.h"
#include "serve/exchange.h"
#include "serve/folder.h"
#include "serve/processes.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static enum MHD_Result not_found(struct exchange *x)
{
	return answer_text(x, MHD_HTTP_NOT_FOUND, "there is nothing here");
}

/* ---- our own pages ---- */

static const struct {
	const char *path, *type, *begin, *end;
} assets[] = {
	{ "serve.js", "text/javascript; charset=utf-8", asset_serve_js, asset_serve_js_end },
	{ "serve.css", "text/css; charset=utf-8", asset_serve_css, asset_serve_css_end },
};

static enum MHD_Result own_page(struct exchange *x)
{
	struct answer a = { .status = MHD_HTTP_OK, .type = "text/html; charset=utf-8" };
	return answer_bytes(x, &a, asset_serve_html, (size_t)(asset_serve_html_end - asset_serve_html),
			    MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result own_asset(struct exchange *x)
{
	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
		struct answer a = { .status = MHD_HTTP_OK, .type = assets[i].type,
				    .flags = ANSWER_CACHE };
		if (!strcmp(x->path.segments[0], assets[i].path))
			return answer_bytes(x, &a, assets[i].begin,
					    (size_t)(assets[i].end - assets[i].begin),
					    MHD_RESPMEM_PERSISTENT);
	}
	return not_found(x);
}

/* ---- reports ---- */

enum report_flags {
	REPORT_PAGE = 1 << 0,		/* HTML with a script of its own */
	REPORT_VIEWS = 1 << 1,		/* takes the options below */
};

static const struct report_kind {
	const char *folder, *suffix, *type;
	unsigned files, flags;
	const char *argv[6];
} kinds[] = {
	{ "flamegraphs", ".html", "text/html; charset=utf-8", 1, REPORT_PAGE | REPORT_VIEWS,
	  { "flamegraph", "-o", "-" } },
	{ "tables", ".html", "text/html; charset=utf-8", 1, REPORT_PAGE | REPORT_VIEWS,
	  { "table", "-o", "-" } },
	{ "leaks", ".html", "text/html; charset=utf-8", 1, REPORT_PAGE,
	  { "leaks", "--html", "-o", "-" } },
	{ "leaks", ".json", "application/json", 1, 0, { "leaks", "--json" } },
	{ "stats", ".json", "application/json", 1, REPORT_VIEWS, { "stats", "--json", "-n", "20" } },
	{ "info", ".json", "application/json", 1, 0, { "info", "--json" } },
	{ "summaries", ".txt", "text/plain; charset=utf-8", 1, REPORT_VIEWS, { "summary" } },
	{ "diffs", ".html", "text/html; charset=utf-8", 2, REPORT_PAGE | REPORT_VIEWS,
	  { "diff", "--html", "-o", "-" } },
	{ "diffs", ".json", "application/json", 2, REPORT_VIEWS, { "diff", "--json" } },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Of the query; anything else in it is an error, so that a slip of the pen is not a wrong report. */
static const struct {
	const char *name, *value;
	const char *argv[3];
} parameters[] = {
	{ "view", "peak", { "--view", "peak" } },
	{ "view", "leaks", { "--view", "leaks" } },
	{ "view", "allocated", { "--view", "allocated" } },
	{ "view", "temporary", { "--view", "temporary" } },
	{ "metric", "bytes", { "--metric", "bytes" } },
	{ "metric", "count", { "--metric", "count" } },
	{ "threads", "split", { "--split-threads" } },
	{ "native", "no", { "--no-native" } },
};

struct query {
	struct report_wish *wish;
	size_t n;
	unsigned seen;			/* bits of `parameters` */
	bool wrong;
};

/* One of a name. */
static bool was_given(const struct query *q, const char *name)
{
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (q->seen & 1u << i && !strcmp(parameters[i].name, name))
			return true;
	return false;
}

static enum MHD_Result take_parameter(void *arg, enum MHD_ValueKind kind, const char *key,
				      const char *value)
{
	struct query *q = arg;
	(void)kind;
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		if (strcmp(key, parameters[i].name) || !value || strcmp(value, parameters[i].value))
			continue;
		for (const char *const *a = parameters[i].argv; *a && q->n < REPORT_ARGS - 6; a++)
			q->wish->argv[q->n++] = *a;
		size_t used = strlen(q->wish->key);
		snprintf(q->wish->key + used, sizeof(q->wish->key) - used, " %zu", i);
		q->wrong |= was_given(q, key);
		q->seen |= 1u << i;
		return MHD_YES;
	}
	q->wrong = true;
	return MHD_NO;
}

/* `name` without `suffix`, or that with ".bin", as people leave it out; which it is. -1: no such capture. */
static int open_named(struct exchange *x, const char *name, const char *suffix, struct stat *st,
		      char file_ret[REPORT_NAME_MAX])
{
	static const char *const ends[] = { "", ".bin" };
	size_t len = strlen(name), cut = strlen(suffix);
	if (len <= cut || strcmp(name + len - cut, suffix))
		return -1;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		int n = snprintf(file_ret, REPORT_NAME_MAX, "%.*s%s", (int)(len - cut), name, ends[i]);
		int fd = n < (int)REPORT_NAME_MAX ? folder_capture_open(x->server->folder, file_ret, st) : -1;
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void put_identity(struct report_wish *wish, const struct stat *st)
{
	size_t n = strlen(wish->key);
	snprintf(wish->key + n, sizeof(wish->key) - n, " %" PRIx64 ":%" PRIx64 ":%" PRIx64 ":%" PRIx64 ".%lx",
		 (uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
		 (uint64_t)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec);
}

/* Root reads a capture of another user with that user's rights: it names files to look into, and whoever
 * made it may know of a way to have code run by what reads it. False: captures of two owners, of which none
 * may read both. */
static bool take_owner(struct report_wish *wish, const struct stat *st, bool first)
{
	uid_t owner = geteuid() ? 0 : st->st_uid;
	if (first)
		wish->owner = owner;
	return wish->owner == owner;
}

/* Opens the captures that the segments from `first` on name. 0, or the status: one is not there. */
static unsigned open_files(struct exchange *x, size_t first, unsigned count, const char *suffix,
			   struct report_wish *wish)
{
	for (unsigned i = 0; i < count; i++) {
		struct stat st;
		const char *end = i + 1 == count ? suffix : "";
		wish->files[i] = open_named(x, x->path.segments[first + i], end, &st, wish->called[i]);
		if (wish->files[i] < 0)
			return MHD_HTTP_NOT_FOUND;
		put_identity(wish, &st);
		if (!take_owner(wish, &st, !i))
			return MHD_HTTP_FORBIDDEN;
	}
	return 0;
}

/* What open_files() found wrong. */
static enum MHD_Result refuse_files(struct exchange *x, unsigned status)
{
	return status == MHD_HTTP_NOT_FOUND ? not_found(x) :
	       answer_text(x, status, "the two captures have different owners, and this server runs as root:"
			   " it does not read both at once");
}

static void close_files(struct report_wish *wish)
{
	for (size_t i = 0; i < WORKER_FILES; i++)
		mt_cleanup_close(&wish->files[i]);
}

static enum MHD_Result wait_for(struct exchange *x, struct report_wish *wish)
{
	x->report = reports_get(x->server->reports, wish);
	if (!x->report)
		return answer_text(x, MHD_HTTP_SERVICE_UNAVAILABLE, "too many reports are being made");
	if (x->report->state < REPORT_DONE)
		exchange_wait(x);
	return MHD_YES;
}

static enum MHD_Result send_report(struct exchange *x, const struct answer *a)
{
	const struct served_report *r = x->report;
	if (r->state == REPORT_FAILED)
		return answer_text(x, (unsigned)r->status, r->text);
	return answer_fd(x, a, r->worker.out, r->size);
}

/* Asks for the report, or answers with it: called again when it is made. */
static enum MHD_Result report(struct exchange *x, const struct report_kind *kind)
{
	struct report_wish wish = { .files = { -1, -1 } };
	struct answer a = { .status = MHD_HTTP_OK, .type = kind->type,
			    .flags = kind->flags & REPORT_PAGE ? ANSWER_REPORT : 0 };
	struct query q = { .wish = &wish };
	if (!x->report) {
		snprintf(wish.key, sizeof(wish.key), "%zu", (size_t)(kind - kinds));
		while (kind->argv[q.n]) {
			wish.argv[q.n] = kind->argv[q.n];
			q.n++;
		}
		x->server->mhd->get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND,
						      take_parameter, &q);
		if (q.wrong || (q.seen && !(kind->flags & REPORT_VIEWS)))
			return answer_text(x, MHD_HTTP_BAD_REQUEST, "the query has something unknown in it");
		wish.argv[q.n++] = WORKER_FILE(3);
		if (kind->files == 2)
			wish.argv[q.n++] = WORKER_FILE(4);
		unsigned bad = open_files(x, 1, kind->files, kind->suffix, &wish);
		enum MHD_Result rc = bad ? refuse_files(x, bad) : wait_for(x, &wish);
		close_files(&wish);
		if (bad || !x->report || x->suspended)
			return rc;
	}
	return send_report(x, &a);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n > m && !strcmp(s + n - m, end);
}

static enum MHD_Result some_report(struct exchange *x)
{
	const struct request_path *p = &x->path;
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(p->segments[0], kinds[i].folder) && p->count == kinds[i].files + 1 &&
		    ends_with(p->segments[p->count - 1], kinds[i].suffix))
			return report(x, &kinds[i]);
	return not_found(x);
}

/* stats/NAME.html is our own page, which draws stats/NAME.json. */
static enum MHD_Result stats(struct exchange *x)
{
	struct stat st;
	char file[REPORT_NAME_MAX];
	auto_close int fd = open_named(x, x->path.segments[1], ".html", &st, file);
	return fd >= 0 ? own_page(x) : some_report(x);
}

/* ---- files to keep ---- */

static enum MHD_Result capture(struct exchange *x)
{
	struct stat st;
	const char *name = x->path.segments[1];
	struct answer a = { .status = MHD_HTTP_OK, .type = "application/octet-stream",
			    .flags = ANSWER_DOWNLOAD, .file = name };
	auto_close int fd = folder_capture_open(x->server->folder, name, &st);
	return fd >= 0 ? answer_fd(x, &a, fd, (uint64_t)st.st_size) : not_found(x);
}

/* exports/FORMAT/NAME */
static enum MHD_Result export(struct exchange *x)
{
	const char *const *format = x->server->options.formats;
	const char *name = x->path.segments[2];
	char file[REQUEST_PATH_MAX + 64];
	struct answer a = { .status = MHD_HTTP_OK, .type = "application/octet-stream",
			    .flags = ANSWER_DOWNLOAD, .file = file };
	while (*format && strcmp(*format, x->path.segments[1]))
		format++;
	if (!*format)
		return not_found(x);
	snprintf(file, sizeof(file), "%s.%s", name, *format);
	if (!x->report) {
		struct report_wish wish = { .files = { -1, -1 } };
		const char *const argv[] = { "transform", *format, WORKER_FILE(3), NULL };
		memcpy(wish.argv, argv, sizeof(argv));
		snprintf(wish.key, sizeof(wish.key), "export %s", *format);
		unsigned bad = open_files(x, 2, 1, "", &wish);
		enum MHD_Result rc = bad ? refuse_files(x, bad) : wait_for(x, &wish);
		close_files(&wish);
		if (bad || !x->report || x->suspended)
			return rc;
	}
	return send_report(x, &a);
}

/* ---- lists ---- */

static struct mt_error *write_about(struct exchange *x, const void *arg, struct mt_json *j)
{
	const struct server_options *o = &x->server->options;
	(void)arg;
	mt_json_open(j, NULL, '{');
	mt_json_str(j, "version", MT_VERSION);
	mt_json_str(j, "folder", o->folder);
	mt_json_bool(j, "read_only", o->read_only);
	mt_json_bool(j, "root", !geteuid());
	mt_json_u64(j, "max_seconds", o->max_seconds);
	mt_json_open(j, "formats", '[');
	for (const char *const *f = o->formats; *f; f++)
		mt_json_str(j, NULL, *f);
	mt_json_close(j);
	mt_json_close(j);
	return NULL;
}

static enum MHD_Result about(struct exchange *x)
{
	return answer_json(x, MHD_HTTP_OK, write_about, NULL);
}

static bool is_being_recorded(const struct server *s, const char *file)
{
	for (const struct recording *r = recordings_first(s->recordings); r; r = r->next)
		if (!recording_is_over(r) && !strcmp(r->file, file))
			return true;
	return false;
}

static struct mt_error *write_captures(struct exchange *x, const void *arg, struct mt_json *j)
{
	struct folder_list list = { 0 };
	(void)arg;
	struct mt_error *err = folder_list(x->server->folder, &list);
	mt_json_open(j, NULL, '{');
	mt_json_open(j, "captures", '[');
	for (size_t i = 0; i < list.items.len; i++) {
		const struct folder_capture *c = &list.items.items[i];
		mt_json_open(j, NULL, '{');
		mt_json_str(j, "name", c->name);
		mt_json_u64(j, "size", c->size);
		mt_json_u64(j, "time", (uint64_t)(c->mtime_ns > 0 ? c->mtime_ns / 1000000 : 0));
		mt_json_bool(j, "recording", is_being_recorded(x->server, c->name));
		mt_json_close(j);
	}
	mt_json_close(j);
	mt_json_bool(j, "more", list.more);
	mt_json_close(j);
	folder_list_deinit(&list);
	return err;
}

static enum MHD_Result captures(struct exchange *x)
{
	return answer_json(x, MHD_HTTP_OK, write_captures, NULL);
}

static enum MHD_Result processes(struct exchange *x)
{
	struct answer a = { .status = MHD_HTTP_OK, .type = "application/json" };
	if (x->server->options.read_only)
		return answer_text(x, MHD_HTTP_FORBIDDEN, "this server starts no captures");
	if (!x->report) {
		struct report_wish wish = { .key = "processes", .run = processes_write,
					    .files = { -1, -1 } };
		enum MHD_Result rc = wait_for(x, &wish);
		if (!x->report || x->suspended)
			return rc;
	}
	return send_report(x, &a);
}

/* ---- recordings ---- */

static struct recording *named_recording(struct exchange *x)
{
	char *end;
	const char *text = x->path.segments[2];
	unsigned long id = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && id <= UINT32_MAX ?
	       recordings_find(x->server->recordings, (unsigned)id) : NULL;
}

static struct mt_error *write_recording(struct exchange *x, const void *arg, struct mt_json *j)
{
	recording_json(arg, x->server->now_ns, j, NULL);
	return NULL;
}

static struct mt_error *write_recordings(struct exchange *x, const void *arg, struct mt_json *j)
{
	(void)arg;
	mt_json_open(j, NULL, '[');
	for (const struct recording *r = recordings_first(x->server->recordings); r; r = r->next)
		recording_json(r, x->server->now_ns, j, NULL);
	mt_json_close(j);
	return NULL;
}

static enum MHD_Result recordings(struct exchange *x)
{
	return answer_json(x, MHD_HTTP_OK, write_recordings, NULL);
}

static enum MHD_Result one_recording(struct exchange *x)
{
	const struct recording *rec = named_recording(x);
	return rec ? answer_json(x, MHD_HTTP_OK, write_recording, rec) : not_found(x);
}

static enum MHD_Result recording_events(struct exchange *x)
{
	const struct recording *rec = named_recording(x);
	return rec && !strcmp(x->path.segments[3], "events") ? stream_answer(x, rec->id) : not_found(x);
}

static enum MHD_Result stop_recording(struct exchange *x)
{
	struct recording *rec = named_recording(x);
	if (!rec || strcmp(x->path.segments[3], "stop"))
		return not_found(x);
	recording_stop(rec);
	return answer_json(x, MHD_HTTP_OK, write_recording, rec);
}

static const struct {
	const char *name;
	enum request_type type;
	uint64_t least, most;
} wish_fields[] = {
	{ "pid", REQUEST_NUMBER, 1, INT32_MAX },
	{ "seconds", REQUEST_NUMBER, 1, UINT32_MAX },
	{ "sample", REQUEST_NUMBER, 0, 1ull << 40 },
	{ "no_native", REQUEST_BOOL, 0, 1 },
	{ "trace_python_allocators", REQUEST_BOOL, 0, 1 },
	{ "aggregate", REQUEST_BOOL, 0, 1 },
};
#define WISH_FIELDS (sizeof(wish_fields) / sizeof(wish_fields[0]))

static bool read_wish(const struct exchange *x, struct recording_wish *ret)
{
	struct request_object object;
	uint64_t values[WISH_FIELDS] = { 0, 30 };
	if (!request_object((const char *)x->body.data, x->body.len, &object))
		return false;
	for (size_t i = 0; i < object.count; i++) {
		const struct request_field *f = &object.fields[i];
		size_t k = 0;
		while (k < WISH_FIELDS && strcmp(wish_fields[k].name, f->name))
			k++;
		if (k == WISH_FIELDS || f->type != wish_fields[k].type ||
		    f->number < wish_fields[k].least || f->number > wish_fields[k].most)
			return false;
		values[k] = f->number;
	}
	*ret = (struct recording_wish){
		.pid = (pid_t)values[0], .seconds = values[1], .sample = values[2],
		.no_native = values[3], .python_allocators = values[4],
		.aggregate = values[5],
	};
	return ret->pid > 0;
}

static unsigned status_of(const struct mt_error *err)
{
	switch (err->code) {
	case MT_ERROR_USAGE: return MHD_HTTP_BAD_REQUEST;
	case MT_ERROR_REFUSED: return MHD_HTTP_FORBIDDEN;
	case MT_ERROR_GONE: return MHD_HTTP_NOT_FOUND;
	case MT_ERROR_BUSY: return MHD_HTTP_TOO_MANY_REQUESTS;
	default: return MHD_HTTP_INTERNAL_SERVER_ERROR;
	}
}

static enum MHD_Result start_recording(struct exchange *x)
{
	struct recording_wish wish;
	struct recording *rec = NULL;
	if (x->server->options.read_only)
		return answer_text(x, MHD_HTTP_FORBIDDEN, "this server starts no captures");
	if (!read_wish(x, &wish))
		return answer_text(x, MHD_HTTP_BAD_REQUEST,
				   "the body is an object with pid, seconds, sample (bytes), no_native,"
				   " trace_python_allocators, aggregate");
	auto_error struct mt_error *err = recordings_start(x->server->recordings, &wish,
							   x->server->now_ns, &rec);
	return err ? answer_error(x, status_of(err), err) :
		     answer_json(x, MHD_HTTP_CREATED, write_recording, rec);
}

/* ---- the table ---- */

static const struct route {
	bool post;
	size_t segments;
	const char *first, *second;	/* NULL: any */
	enum MHD_Result (*answer)(struct exchange *x);
} routes[] = {
	{ false, 0, NULL, NULL, own_page },
	{ false, 1, NULL, NULL, own_asset },
	{ false, 2, "api", "about", about },
	{ false, 2, "api", "captures", captures },
	{ false, 2, "api", "processes", processes },
	{ false, 2, "api", "recordings", recordings },
	{ false, 3, "api", "recordings", one_recording },
	{ false, 4, "api", "recordings", recording_events },
	{ true, 2, "api", "recordings", start_recording },
	{ true, 4, "api", "recordings", stop_recording },
	{ false, 2, "captures", NULL, capture },
	{ false, 2, "stats", NULL, stats },
	{ false, 3, "exports", NULL, export },
	{ false, 2, NULL, NULL, some_report },
	{ false, 3, NULL, NULL, some_report },
};

enum MHD_Result route_answer(struct exchange *x)
{
	bool post = !strcmp(x->method, "POST"), other = false;
	const struct request_path *p = &x->path;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *r = &routes[i];
		if (r->segments != p->count || (r->first && strcmp(r->first, p->segments[0])) ||
		    (r->second && strcmp(r->second, p->segments[1])))
			continue;
		if (r->post == post)
			return r->answer(x);
		other |= r->first != NULL;
	}
	return other ? answer_text(x, MHD_HTTP_METHOD_NOT_ALLOWED, "not by this method") : not_found(x);
}
