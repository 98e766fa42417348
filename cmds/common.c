/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/common.c - parsing and printing that all commands share.
 * Knows: the terminal, argp. Does not know: captures, processes.
 * Called by cmds/; calls base/ and libc. */
#include "cmds/command.h"

#include "base/cleanup.h"
#include "symbolize/symbolize.h"

#include <ctype.h>
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* argp knows --help and -?; people type -h. */
static void map_short_help(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "-h"))
		argv[1] = (char *)"--help";
}

struct mt_error *cmd_parse_args(const struct argp *argp, int argc, char **argv, unsigned flags,
				void *input)
{
	char *name = NULL;
	if (asprintf(&name, "memtrace %s", argv[0]) < 0)
		return &mt_enomem;
	char *saved = argv[0];
	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	map_short_help(argc, argv);
	int rc = argp_parse(argp, argc, argv, flags, NULL, input);
	argv[0] = saved;
	free(name);
	if (rc)
		return mt_error_create(MT_ERROR_USAGE, "cannot parse the arguments of '%s': %s", saved,
				       strerror(rc));
	return NULL;
}

void cmd_note(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("memtrace: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

bool cmd_warn_servers(const struct symbolizer *s)
{
	bool dead;
	auto_free char *text = symbolizer_servers(s, &dead);
	if (text)
		cmd_note("warning: %s", text);
	return dead;
}

void cmd_print_error(const struct mt_error *err)
{
	fprintf(stderr, "memtrace: %s\n", err->message);
	if (err->hint)
		fprintf(stderr, "hint: %s\n", err->hint);
}

struct mt_error *cmd_parse_pid(const char *text, int *ret)
{
	char *end;
	errno = 0;
	long v = strtol(text, &end, 10);
	if (errno || end == text || *end || v <= 0 || v > INT_MAX)
		return mt_error_create(MT_ERROR_USAGE, "not a process id: '%s'", text);
	*ret = (int)v;
	return NULL;
}

static error_t parse_one_pid(int key, char *arg, struct argp_state *state)
{
	const char **pid = state->input;
	switch (key) {
	case ARGP_KEY_ARG:
		if (*pid)
			argp_error(state, "one process at a time");
		*pid = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which process? give its PID");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

struct mt_error *cmd_parse_one_pid(const char *doc, int argc, char **argv, int *ret)
{
	const char *text = NULL;
	const struct argp argp = { NULL, parse_one_pid, "PID", doc, NULL, NULL, NULL };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &text);
	return err ? err : cmd_parse_pid(text, ret);
}

static const struct {
	const char *name;
	uint64_t ns;
} duration_units[] = {
	{ "ms", 1000000ull }, { "s", 1000000000ull }, { "m", 60000000000ull },
	{ "h", 3600000000000ull }, { "d", 86400000000000ull },
};

static bool parse_duration_part(const char **text, double *ns)
{
	char *end;
	double value = strtod(*text, &end);
	/* strtod also takes "inf", "nan" and hexadecimal, which are not durations. */
	if (end == *text || !(isdigit((unsigned char)**text) || **text == '.') || value < 0 ||
	    strspn(*text, "0123456789.") != (size_t)(end - *text))
		return false;
	if (!*end) {		/* a bare number is seconds */
		*ns += value * 1e9;
		*text = end;
		return true;
	}
	for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
		size_t n = strlen(duration_units[i].name);
		if (!strncmp(end, duration_units[i].name, n) && !isalpha((unsigned char)end[n])) {
			*ns += value * (double)duration_units[i].ns;
			*text = end + n;
			return true;
		}
	}
	return false;
}

struct mt_error *cmd_parse_duration(const char *text, uint64_t *ns_ret)
{
	if (!strcmp(text, "inf")) {
		*ns_ret = 0;
		return NULL;
	}
	double ns = 0;
	const char *p = text;
	do {
		if (!parse_duration_part(&p, &ns))
			return mt_error_hint(mt_error_create(MT_ERROR_USAGE, "not a duration: '%s'", text),
					     "durations look like 30s, 500ms, 5m, 1h30m");
	} while (*p);
	if (ns < 1 || ns > 1e18)
		return mt_error_create(MT_ERROR_USAGE, "duration out of range: '%s'", text);
	*ns_ret = (uint64_t)ns;
	return NULL;
}

struct mt_error *cmd_parse_size(const char *text, uint64_t *ret)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {
		{ "", 0 }, { "B", 0 }, { "K", 10 }, { "KiB", 10 }, { "M", 20 }, { "MiB", 20 },
		{ "G", 30 }, { "GiB", 30 },
	};
	char *end;
	errno = 0;
	unsigned long long value = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
	for (size_t i = 0; value && !errno && i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].name) && value <= (1ull << 40) >> units[i].shift) {
			*ret = value << units[i].shift;
			return NULL;
		}
	return mt_error_create(MT_ERROR_USAGE, "not a size of 1 to 1024GiB: '%s' (sizes look like"
			       " 4096, 512KiB, 2MiB)", text);
}

bool cmd_color(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	if (no_color && *no_color)
		return false;
	return isatty(fd) && term && strcmp(term, "dumb");
}

bool cmd_terminal_size(int fd, size_t *rows_ret, size_t *columns_ret)
{
	struct winsize size;
	if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		return false;
	*rows_ret = size.ws_row;
	*columns_ret = size.ws_col;
	return true;
}

bool cmd_utf8(void)
{
	setlocale(LC_CTYPE, "");
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

size_t cmd_number(struct argp_state *state, const char *text, size_t least)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || n < least)
		argp_error(state, "not a number of %zu or more: '%s'", least, text);
	return n;
}

static struct {
	struct timespec begin;
	bool begun, shown;
} progress;

void cmd_progress(double done, void *label)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!progress.begun) {
		progress.begin = now;
		progress.begun = true;
	}
	double elapsed = (double)(now.tv_sec - progress.begin.tv_sec) +
			 (double)(now.tv_nsec - progress.begin.tv_nsec) / 1e9;
	if (elapsed < 1 || !isatty(STDERR_FILENO))
		return;
	int filled = (int)(done * 40);
	fprintf(stderr, "\r%s [%.*s%.*s] %3d%%", (const char *)label, filled,
		"########################################", 40 - filled,
		"........................................", (int)(done * 100));
	fflush(stderr);
	progress.shown = true;
}

void cmd_progress_end(void)
{
	if (progress.shown)
		fputs("\r\033[K", stderr);
	progress.begun = progress.shown = false;
}
