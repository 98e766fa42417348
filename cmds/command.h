/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/command.h - the shape of a command, and what all commands share.
 *
 * A command is one row of the table in cmds/main.c and one file `cmds/NAME.c` with an argp parser
 * and `struct mt_error *cmd_NAME(int argc, char **argv, int *exit_code_ret)`. A returned error is
 * printed by main as "memtrace: <message>" and, on a line of its own, "hint: <hint>"; the exit code
 * is then 1, or 2 for MT_ERROR_USAGE. Product goes to stdout, chatter to stderr; main checks that
 * stdout was written. */
#ifndef MT_CMDS_COMMAND_H
#define MT_CMDS_COMMAND_H

#include "base/error.h"
#include "base/version.h"

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PRESENT = 3,	/* status: something is in the target; detach: disarmed, not unloaded */
};

struct command {
	const char *name;
	const char *help;	/* one line of `memtrace --help` */
	struct mt_error *(*run)(int argc, char **argv, int *exit_code_ret);
};

struct mt_error *cmd_attach(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_run(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_live(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_detach(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_status(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_stack(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_symbolize(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_flamegraph(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_table(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_leaks(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_tree(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_summary(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_stats(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_diff(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_transform(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_serve(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_info(int argc, char **argv, int *exit_code_ret);
struct mt_error *cmd_parse(int argc, char **argv, int *exit_code_ret);

/* ---- cmds/transform.c ---- */

/* Names of its formats, NULL at the end. */
const char *const *cmd_transform_formats(void);

/* ---- cmds/common.c ---- */

/* argp_parse with this project's habits: `argv[0]` is "memtrace NAME", -h works, a wrong command
 * line is MT_ERROR_USAGE after argp's own text; --help and --usage print and exit 0. */
struct mt_error *cmd_parse_args(const struct argp *argp, int argc, char **argv, unsigned flags,
				void *input) MT_MUST_CHECK;
/* A warning or note on stderr, "memtrace: ...". */
void cmd_note(const char *fmt, ...) MT_PRINTF(1, 2);
struct symbolizer;
/* A warning about debuginfod servers that did not do, if any; true: none should be asked again. */
bool cmd_warn_servers(const struct symbolizer *s);
/* Prints the error (and hint) without ending it. */
void cmd_print_error(const struct mt_error *err);
/* A decimal process id. */
struct mt_error *cmd_parse_pid(const char *text, int *ret) MT_MUST_CHECK;
/* The whole command line of a command that takes a PID and nothing else; doc as of argp. */
struct mt_error *cmd_parse_one_pid(const char *doc, int argc, char **argv, int *ret) MT_MUST_CHECK;
/* "30", "30s", "500ms", "5m", "1h30m", "inf" (0) to nanoseconds. */
struct mt_error *cmd_parse_duration(const char *text, uint64_t *ns_ret) MT_MUST_CHECK;
/* "512KiB": 1 byte to 1024 GiB, powers of 1024. */
struct mt_error *cmd_parse_size(const char *text, uint64_t *ret) MT_MUST_CHECK;
/* True when colour may be used on fd (NO_COLOR, TERM=dumb, not a terminal). */
bool cmd_color(int fd);
/* Size of the terminal behind fd; false when there is none (the outputs stay). */
bool cmd_terminal_size(int fd, size_t *rows_ret, size_t *columns_ret);
/* Whether the locale of the environment is UTF-8. */
bool cmd_utf8(void);
/* A decimal number of `least` to SIZE_MAX as an option's argument, else argp_error(). */
size_t cmd_number(struct argp_state *state, const char *text, size_t least);
/* A progress bar on stderr when that is a terminal and the work takes over a second; usable as the
 * progress callback of views_compute and symbolizer_resolve (arg: the label). */
void cmd_progress(double done, void *label);
void cmd_progress_end(void);

#endif
