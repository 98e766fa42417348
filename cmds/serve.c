/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/serve.c - memtrace serve [DIR].
 * Knows: options. Does not know: HTTP.
 * Called by cmds/main.c; calls serve/server.h. */
#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "cmds/command.h"
#include "cmds/signals.h"
#include "serve/server.h"

#include <errno.h>
#include <string.h>

#define SECOND_NS 1000000000ull
#define DAY_NS (86400 * SECOND_NS)

struct serve_args {
	MT_ARRAY(const char *) listens, hosts;
	struct server_options server;
};

enum {
	KEY_LISTEN = 'l', KEY_HOST = 0x2000, KEY_TOKEN, KEY_CERT, KEY_KEY, KEY_INSECURE, KEY_READ_ONLY,
	KEY_REPORT_TIME, KEY_REPORT_MEMORY, KEY_MAX_DURATION, KEY_MAX_SIZE,
};

static const struct argp_option options[] = {
	{ "listen", KEY_LISTEN, "ADDRESS", 0, "127.0.0.1:0 (the default: any free port), [::1]:8080,"
	  " unix:/run/memtrace.sock (may be repeated)", 0 },
	{ "host", KEY_HOST, "NAME", 0, "Answer by this name too, NAME or NAME:PORT (may be repeated)", 0 },
	{ "token-file", KEY_TOKEN, "FILE", 0, "The token is in FILE (default: a new one)", 0 },
	{ "tls-cert", KEY_CERT, "FILE", 0, "Certificate chain, PEM", 0 },
	{ "tls-key", KEY_KEY, "FILE", 0, "Its key, PEM", 0 },
	{ "insecure", KEY_INSECURE, NULL, 0, "Listen on the network without TLS", 0 },
	{ "read-only", KEY_READ_ONLY, NULL, 0, "Start no captures", 0 },
	{ "report-time", KEY_REPORT_TIME, "DURATION", 0, "What a report may take (default 2m)", 0 },
	{ "report-memory", KEY_REPORT_MEMORY, "SIZE", 0, "Memory of a report (default 4GiB)", 0 },
	{ "max-duration", KEY_MAX_DURATION, "DURATION", 0, "Of a capture (default 1h)", 0 },
	{ "max-size", KEY_MAX_SIZE, "SIZE", 0, "A capture ends when its file has this size"
	  " (default 4GiB)", 0 },
	{ 0 },
};

static uint64_t seconds(struct argp_state *state, const char *text)
{
	uint64_t ns = 0;
	auto_error struct mt_error *err = cmd_parse_duration(text, &ns);
	if (err || ns < SECOND_NS || ns > DAY_NS)
		argp_error(state, "not a duration of 1s to 1d: '%s'", text);
	return ns / SECOND_NS;
}

static uint64_t size(struct argp_state *state, const char *text)
{
	uint64_t bytes = 0;
	auto_error struct mt_error *err = cmd_parse_size(text, &bytes);
	if (err)
		argp_error(state, "%s", err->message);
	return bytes;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct serve_args *args = state->input;
	struct server_options *server = &args->server;
	switch (key) {
	case KEY_LISTEN:
		return mt_array_push(&args->listens, arg) ? 0 : ENOMEM;
	case KEY_HOST:
		return mt_array_push(&args->hosts, arg) ? 0 : ENOMEM;
	case KEY_TOKEN:
		server->token_file = arg;
		return 0;
	case KEY_CERT:
		server->tls_cert = arg;
		return 0;
	case KEY_KEY:
		server->tls_key = arg;
		return 0;
	case KEY_INSECURE:
		server->insecure = true;
		return 0;
	case KEY_READ_ONLY:
		server->read_only = true;
		return 0;
	case KEY_REPORT_TIME:
		server->report_seconds = seconds(state, arg);
		return 0;
	case KEY_REPORT_MEMORY:
		server->report_memory = size(state, arg);
		return 0;
	case KEY_MAX_DURATION:
		server->max_seconds = seconds(state, arg);
		return 0;
	case KEY_MAX_SIZE:
		server->max_bytes = size(state, arg);
		return 0;
	case ARGP_KEY_ARG:
		if (server->folder)
			argp_error(state, "one folder at a time");
		server->folder = arg;
		return 0;
	case ARGP_KEY_END:
		if (!server->tls_cert != !server->tls_key)
			argp_error(state, "--tls-cert and --tls-key go together");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[DIR]",
	.doc = "Shows the captures of DIR (default: the current directory) in the browser, and makes new"
	       " ones."
	       "\vPrints an address with a token, and serves until Ctrl-C. Who has the token can look at"
	       " the captures and, unless --read-only, record every process of this user (as root: every"
	       " process).",
};

static void args_deinit(struct serve_args *args)
{
	mt_array_deinit(&args->listens);
	mt_array_deinit(&args->hosts);
}

static struct mt_error *serve(const struct server_options *server)
{
	struct server *s = NULL;
	struct mt_error *err = server_create(server, &s);
	if (err)
		return err;
	const char *url;
	for (size_t i = 0; (url = server_url(s, i)); i++)
		printf("%s\n", url);
	auto_free char *folder = mt_text_clean(server->folder);
	cmd_note("serving the captures of '%s'; Ctrl-C ends it", folder ? folder : "");
	if (fflush(stdout))
		err = mt_error_os(errno, "cannot write the address to standard output");
	else
		err = server_run(s, signals_end_asked);
	server_destroy(s);
	return err;
}

struct mt_error *cmd_serve(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct serve_args args = {
		.server = { .report_memory = 4ull << 30, .report_seconds = 120, .max_seconds = 3600,
			    .max_bytes = 4ull << 30, .formats = cmd_transform_formats() },
	};
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (err)
		return err;
	if (!args.server.folder)
		args.server.folder = ".";
	if (!mt_array_push(&args.listens, NULL) || !mt_array_push(&args.hosts, NULL))
		return &mt_enomem;
	args.server.listens = args.listens.items;
	args.server.hosts = args.hosts.items;
	signals_catch();
	return serve(&args.server);
}
