/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/run.c - `memtrace run PROGRAM`.
 * Knows: starting a program stopped, its exec events and signals. Does not know: how a capture works.
 * Called by cmds/main.c; calls cmds/session.h and cmds/child.h. */
#include "cmds/child.h"
#include "cmds/command.h"
#include "cmds/family.h"
#include "cmds/run_live.h"
#include "cmds/session.h"
#include "cmds/signals.h"
#include "cmds/start.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURN_MS 10	/* also how late the end of the program may be seen */

struct run_args {
	struct session_options session;
	bool live;
	const char *code, *module;
	char **rest;
	int rest_count;
};

enum { KEY_LIVE = 0x100 };

static error_t parse_arg(int key, char *arg, struct argp_state *state)
{
	struct run_args *a = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->session;
		return 0;
	case KEY_LIVE:
		a->live = true;
		return 0;
	case 'c':
	case 'm':
		*(key == 'c' ? &a->code : &a->module) = arg;
		a->rest = state->argv + state->next;
		a->rest_count = state->argc - state->next;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_ARG:
		a->rest = state->argv + state->next - 1;
		a->rest_count = state->argc - state->next + 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		if (!a->code && !a->module)
			argp_error(state, "which program?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option rows[] = {
	{ "live", KEY_LIVE, NULL, 0, "show on the terminal what is recorded, and then what the program wrote", 0 },
	{ "module", 'm', "MODULE", 0, "run a Python module: python3 -m MODULE ARGS", 0 },
	{ "code", 'c', "CODE", 0, "run Python code: python3 -c CODE ARGS", 0 },
	{ 0 },
};
static const struct argp_child children[] = { { &session_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
	rows, parse_arg, "PROGRAM [ARGS...]\nscript.py [ARGS...]\n-m MODULE [ARGS...]\n-c CODE [ARGS...]",
	"Start a program and record its allocations from its entry point on.\v"
	"A script whose name ends in .py, -m and -c are given to the python3 in PATH. The program keeps "
	"its arguments, standard streams and signals; its exit code is memtrace's.",
	children, NULL, NULL,
};

/* ---- the program's command line ---- */

static bool is_python_script(const char *name)
{
	size_t n = strlen(name);
	return n > 3 && !strcmp(name + n - 3, ".py");
}

static char **program_argv(const struct run_args *a)
{
	char **argv = calloc((size_t)a->rest_count + 4, sizeof(*argv));
	int n = 0;
	if (!argv)
		return NULL;
	if (a->code || a->module || is_python_script(a->rest[0]))
		argv[n++] = (char *)"python3";
	if (a->code || a->module) {
		argv[n++] = (char *)(a->code ? "-c" : "-m");
		argv[n++] = (char *)(a->code ? a->code : a->module);
	}
	for (int i = 0; i < a->rest_count; i++)
		argv[n++] = a->rest[i];
	return argv;
}

/* ---- one image of the program ---- */

/* The program became another one: wrapper scripts and interpreter shims do that before the real
 * work begins. The capture begins anew; where the new program cannot be traced the old one stays. */
struct mt_error *run_follow_exec(struct session *s, struct child *child,
				 const struct session_options *options)
{
	struct session next;
	session_drop(s, false);
	struct mt_error *err = child_run_to_entry(child);
	if (!err && child->state == CHILD_AT_ENTRY)
		err = session_start(&next, child->pid, options, true);
	if (!err && child->state == CHILD_AT_ENTRY)
		*s = next;
	return err;
}

/* The capture goes on: what ends it is the program's answer. */
void run_forward_signals(struct child *child)
{
	for (int sig; (sig = signals_take());)
		if (sig != SIGINT)	/* the terminal gives SIGINT to the program by itself */
			kill(child->pid, sig);
}

static void close_and_tell(struct session *s, int *exit_code)
{
	auto_error struct mt_error *err = session_close(s, exit_code);
	if (err)
		cmd_print_error(err);
}

static struct mt_error *run_loop(struct session *s, struct child *child,
				 const struct session_options *options, int *exit_code)
{
	while (child->state != CHILD_ENDED) {
		child_poll(child);
		if (child->state == CHILD_EXECED) {
			struct mt_error *err = run_follow_exec(s, child, options);
			if (err)
				return err;
			continue;
		}
		run_forward_signals(child);
		if (!s->t) {		/* the capture is over, the program goes on */
			child_wait(child, TURN_MS * 3);
			continue;
		}
		session_turn(s, TURN_MS);
		if (s->end == SESSION_EXIT || s->end == SESSION_EXEC) {
			child_wait(child, TURN_MS);	/* says which by an event of its own */
			continue;
		}
		if (s->end == SESSION_GOES_ON)
			continue;
		child_let_go(child);
		close_and_tell(s, exit_code);
		session_drop(s, false);
	}
	return NULL;
}

/* With --follow-fork the program is not traced while it runs: what it executes is seen as of any of its
 * children, and gets a file of its own. */
static void run_family(struct session *s, struct family *family, struct child *child, int *exit_code)
{
	bool stop;
	child_let_go(child);
	do {
		child_poll(child);
		run_forward_signals(child);
		session_turn(s, FAMILY_TURN_MS);
		family_turn(family);
	} while (s->end == SESSION_GOES_ON);
	stop = s->end != SESSION_EXIT && s->end != SESSION_EXEC;
	close_and_tell(s, exit_code);
	while (child->state != CHILD_ENDED && !stop) {
		run_forward_signals(child);
		family_turn(family);
		child_wait(child, FAMILY_TURN_MS);
	}
	family_end(family, stop);
	session_drop(s, false);
	while (child->state != CHILD_ENDED) {
		run_forward_signals(child);
		child_wait(child, TURN_MS * 3);
	}
}

/* The caller sees how the program ended: by its exit code or by the same signal. */
static int child_exit_code(const struct child *child)
{
	if (WIFEXITED(child->status))
		return WEXITSTATUS(child->status);
	int sig = WTERMSIG(child->status);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });	/* one core is enough */
	signal(sig, SIG_DFL);
	fflush(NULL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig;
}

static struct mt_error *start_traced(struct child *child, char **argv, const int *streams,
				     struct session *s, const struct session_options *options)
{
	struct mt_error *err = child_start(child, argv, streams);
	if (!err)
		err = child_run_to_entry(child);
	if (!err && child->state == CHILD_AT_ENTRY)
		err = session_start(s, child->pid, options, false);
	if (err)
		child_kill(child);
	return err;
}

/* With the error of what went before, or else its own. */
static struct mt_error *close_session(struct session *s, struct mt_error *err, int *exit_code)
{
	if (!s->t)
		return err;
	if (s->end == SESSION_GOES_ON || s->end == SESSION_EXEC)	/* gone either way */
		s->end = SESSION_EXIT;
	struct mt_error *close_err = session_close(s, exit_code);
	session_drop(s, false);
	if (!err)
		return close_err;
	mt_error_destroy(close_err);
	return err;
}

struct mt_error *cmd_run(int argc, char **argv, int *exit_code_ret)
{
	struct run_args args = { .session.mode = "run" };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, ARGP_IN_ORDER, &args);
	if (err)
		return err;
	auto_free char **program = program_argv(&args);
	if (!program)
		return &mt_enomem;
	signals_catch();
	struct session s = { 0 };
	struct child child = { 0 };
	struct family family = { 0 };
	struct run_live live = { .s = &s, .child = &child, .options = &args.session,
				 .exit_code = exit_code_ret };
	err = args.live ? run_live_prepare(&live, &args.session) : NULL;
	if (!err)
		err = start_traced(&child, program, args.live ? live.streams : NULL, &s, &args.session);
	if (err)
		return err;
	if (s.t)
		family_begin(&family, &s);
	if (family.page)
		run_family(&s, &family, &child, exit_code_ret);
	else if (args.live)
		err = run_live(&live);
	else
		err = run_loop(&s, &child, &args.session, exit_code_ret);
	err = close_session(&s, err, exit_code_ret);
	if (err) {
		cmd_print_error(err);
		mt_error_destroy(err);
		child_let_go(&child);
	}
	if (args.live)
		run_live_rest(&live);
	while (child.state != CHILD_ENDED)
		child_wait(&child, 1000);
	if (live.stuck)		/* a word to the terminal would keep us here */
		_exit(WIFEXITED(child.status) ? WEXITSTATUS(child.status) : 128 + WTERMSIG(child.status));
	*exit_code_ret = child_exit_code(&child);
	return NULL;
}
