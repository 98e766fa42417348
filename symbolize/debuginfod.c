/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/debuginfod.c - libdebuginfod, loaded at run time, kept within limits of time.
 * Knows: its three calls and its environment. Does not know: modules, captures.
 * Called by symbolize/files.c; calls base/, and libdebuginfod when installed. */
#include "symbolize/debuginfod.h"

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOTAL_SECONDS 90
#define SILENT_SECONDS "20"
#define NAMES_SHOWN 3

struct question {
	uint8_t build_id[64];
	size_t size;
	bool debuginfo;
};

/* Loaded rather than linked: it brings an HTTP client and some twenty libraries, which a program
 * that is copied to bare hosts cannot count on. libdw does the same. */
struct debuginfod {
	void *library;
	void *client;
	void (*end)(void *client);
	int (*find_debuginfo)(void *client, const unsigned char *id, int len, char **path);
	int (*find_executable)(void *client, const unsigned char *id, int len, char **path);
	MT_ARRAY(struct question) asked;	/* and not answered with a file */
	MT_ARRAY(char *) missing;		/* names */
	char *unusable;				/* the first one, in words */
	double spent;				/* seconds */
	int error;				/* errno of the last question that failed; 0: none */
	bool stopped;				/* nothing is asked any more */
};

static bool load(struct debuginfod *d)
{
	d->library = dlopen("libdebuginfod.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (!d->library)
		return false;
	void *(*begin)(void) = (void *(*)(void))dlsym(d->library, "debuginfod_begin");
	d->end = (void (*)(void *))dlsym(d->library, "debuginfod_end");
	d->find_debuginfo = (int (*)(void *, const unsigned char *, int, char **))
		dlsym(d->library, "debuginfod_find_debuginfo");
	d->find_executable = (int (*)(void *, const unsigned char *, int, char **))
		dlsym(d->library, "debuginfod_find_executable");
	if (!begin || !d->end || !d->find_debuginfo || !d->find_executable)
		return false;
	d->client = begin();
	return d->client;
}

struct debuginfod *debuginfod_open(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debuginfod *d = urls && *urls ? calloc(1, sizeof(*d)) : NULL;
	if (d && !load(d))
		d->stopped = true;
	return d;
}

/* The library stays loaded: its HTTP client does not survive being unloaded. */
void debuginfod_close(struct debuginfod *d)
{
	if (!d)
		return;
	if (d->client)
		d->end(d->client);
	for (size_t i = 0; i < d->missing.len; i++)
		free(d->missing.items[i]);
	mt_array_deinit(&d->missing);
	mt_array_deinit(&d->asked);
	free(d->unusable);
	free(d);
}

static bool was_asked(const struct debuginfod *d, const struct question *q)
{
	for (size_t i = 0; i < d->asked.len; i++) {
		const struct question *a = &d->asked.items[i];
		if (a->debuginfo == q->debuginfo && a->size == q->size &&
		    !memcmp(a->build_id, q->build_id, q->size))
			return true;
	}
	return false;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int total_seconds(void)
{
	const char *text = getenv("DEBUGINFOD_MAXTIME");
	int n = text ? atoi(text) : 0;
	return n > 0 ? n : TOTAL_SECONDS;
}

static bool is_only_server(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	return urls && !strchr(urls + strspn(urls, " "), ' ');
}

/* The limits are the client's own, of one question, in its environment. Its other way to end one
 * early, a callback, leaves a mark in its cache that the server does not have the file. */
static int ask(struct debuginfod *d, const struct question *q, char **path_ret)
{
	char left[16];
	int total = total_seconds();
	auto_free char *given = strdup(getenv("DEBUGINFOD_MAXTIME") ?: "");
	double begin = now();
	snprintf(left, sizeof(left), "%d", total - (int)d->spent);
	if (!given || setenv("DEBUGINFOD_MAXTIME", left, 1) ||
	    setenv("DEBUGINFOD_TIMEOUT", SILENT_SECONDS, 0) ||
	    setenv("DEBUGINFOD_RETRY_LIMIT", "0", 0))
		return -ENOMEM;
	int fd = (q->debuginfo ? d->find_debuginfo : d->find_executable)(d->client, q->build_id,
									 (int)q->size, path_ret);
	if (*given)
		setenv("DEBUGINFOD_MAXTIME", given, 1);
	else
		unsetenv("DEBUGINFOD_MAXTIME");
	d->spent += now() - begin;
	if (fd < 0 && fd != -ENOENT) {
		d->error = -fd;
		d->stopped = fd == -ETIME || is_only_server();
	}
	if (d->spent >= total && !d->stopped) {
		d->error = ETIME;
		d->stopped = true;
	}
	return fd;
}

static size_t find_missing(const struct debuginfod *d, const char *name)
{
	size_t i = 0;
	while (i < d->missing.len && strcmp(d->missing.items[i], name))
		i++;
	return i;
}

static void put_missing(struct debuginfod *d, const char *name)
{
	if (find_missing(d, name) < d->missing.len)
		return;
	auto_free char *copy = strdup(name);
	if (copy && mt_array_push(&d->missing, copy))
		copy = NULL;
}

/* There is no separate debug information of it, but the file itself. */
static void drop_missing(struct debuginfod *d, const char *name)
{
	size_t i = find_missing(d, name);
	if (i == d->missing.len)
		return;
	free(d->missing.items[i]);
	d->missing.items[i] = d->missing.items[--d->missing.len];
}

int debuginfod_find(struct debuginfod *d, bool debuginfo, const uint8_t *build_id, size_t size,
		    const char *name, char **path_ret)
{
	struct question q = { .size = size, .debuginfo = debuginfo };
	if (d->stopped || !size || size >= sizeof(q.build_id))
		return -1;
	memcpy(q.build_id, build_id, size);
	if (was_asked(d, &q))
		return -1;
	int fd = ask(d, &q, path_ret);
	if (fd >= 0) {
		drop_missing(d, name);
		return fd;
	}
	if (!mt_array_push(&d->asked, q))
		d->stopped = true;
	if (fd == -ENOENT)
		put_missing(d, name);
	return -1;
}

void debuginfod_unusable(struct debuginfod *d, const char *name, const char *path)
{
	auto_free char *clean = mt_text_clean(name), *file = mt_text_clean(path);
	if (!d->unusable && clean && file &&
	    asprintf(&d->unusable, "'%s' is not the file of %s: not used", file, clean) < 0)
		d->unusable = NULL;
}

static void put_missing_names(const struct debuginfod *d, struct mt_buf *out)
{
	size_t n = d->missing.len, shown = n <= NAMES_SHOWN + 1 ? n : NAMES_SHOWN;
	mt_buf_put_str(out, "nothing there for ");
	for (size_t i = 0; i < shown; i++) {
		auto_free char *clean = mt_text_clean(d->missing.items[i]);
		mt_buf_printf(out, "%s%s", !i ? "" : i + 1 == n ? " and " : ", ", clean ? clean : "");
	}
	if (shown < n)
		mt_buf_printf(out, " and %zu more", n - shown);
}

static void put_error(const struct debuginfod *d, struct mt_buf *out)
{
	if (!d->library)
		mt_buf_put_str(out, "no libdebuginfod.so.1 here; nothing was asked");
	else if (d->error == ETIME)
		mt_buf_printf(out, "no answer in time, %d s in all; nothing more was asked", (int)d->spent);
	else
		mt_buf_printf(out, "%s%s", strerror(d->error ? d->error : ENOMEM),
			      d->stopped ? "; nothing more was asked" : "");
}

/* Without the passwords that can be in them. */
static void put_servers(struct mt_buf *out)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	auto_free char *clean = mt_text_clean(urls ? urls : "");
	for (const char *at = clean; at && *at;) {
		size_t len = strcspn(at, " ");
		const char *name = strstr(at, "://"), *end = at + len;
		name = name && name + 3 < end ? name + 3 : at;
		const char *host = memchr(name, '@', strcspn(name, "/ "));
		mt_buf_put(out, at, (size_t)(name - at));
		name = host ? host + 1 : name;
		mt_buf_put(out, name, (size_t)(end - name));
		at = end + strspn(end, " ");
		mt_buf_put_str(out, *at ? ", " : "");
	}
}

char *debuginfod_warning(const struct debuginfod *d, bool *dead_ret)
{
	*dead_ret = d && d->stopped;
	if (!d || (!d->stopped && !d->error && !d->missing.len && !d->unusable))
		return NULL;
	auto_buf struct mt_buf out = MT_BUF_INIT;
	const char *between = ": ";
	mt_buf_put_str(&out, "debuginfod at ");
	put_servers(&out);
	if (d->stopped || d->error) {
		mt_buf_put_str(&out, between);
		put_error(d, &out);
		between = "; ";
	}
	if (d->missing.len) {
		mt_buf_put_str(&out, between);
		put_missing_names(d, &out);
		between = "; ";
	}
	if (d->unusable)
		mt_buf_printf(&out, "%s%s", between, d->unusable);
	return mt_buf_take_str(&out);
}
