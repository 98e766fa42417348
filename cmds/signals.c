/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/signals.c - catches what would end this process in the middle of something.
 * Knows: signal dispositions. Does not know: captures.
 * Called by cmds/; calls libc. */
#include "cmds/signals.h"

#include <signal.h>
#include <stddef.h>

static void note_signal(int sig);
static void nothing(int sig);

static struct {
	int sig;
	void (*handler)(int);
	bool keep_ignored;
	struct sigaction before;
} rows[] = {
	{ .sig = SIGINT, .handler = note_signal, .keep_ignored = true },
	{ .sig = SIGTERM, .handler = note_signal, .keep_ignored = true },
	{ .sig = SIGHUP, .handler = note_signal, .keep_ignored = true },
	/* A closed terminal or pipe and a file size limit are errors of a write, not deaths. */
	{ .sig = SIGPIPE, .handler = SIG_IGN },
	{ .sig = SIGXFSZ, .handler = SIG_IGN },
	{ .sig = SIGCHLD, .handler = nothing },	/* ends sleeps when a child stops */
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static volatile sig_atomic_t count[3], taken[3];	/* of the first rows */
static volatile sig_atomic_t asked;
static bool caught;

static void note_signal(int sig)
{
	for (size_t i = 0; i < 3; i++)
		if (rows[i].sig == sig)
			count[i]++;
}

static void nothing(int sig)
{
	(void)sig;
}

void signals_catch(void)
{
	for (size_t i = 0; i < ROWS && !caught; i++) {
		struct sigaction sa = { .sa_handler = rows[i].handler };
		sigaction(rows[i].sig, NULL, &rows[i].before);
		if (!rows[i].keep_ignored || rows[i].before.sa_handler != SIG_IGN)
			sigaction(rows[i].sig, &sa, NULL);
	}
	caught = true;
}

bool signals_end_asked(void)
{
	return asked || count[0] || count[1] || count[2];
}

void signals_forget(void)
{
	for (size_t i = 0; i < 3; i++)
		taken[i] = count[i] = 0;
	asked = 0;
}

void signals_ask_end(void)
{
	asked = 1;
}

int signals_take(void)
{
	for (size_t i = 0; i < 3; i++)
		if (taken[i] != count[i]) {
			taken[i]++;
			return rows[i].sig;
		}
	return 0;
}

void signals_restore(void)
{
	for (size_t i = 0; i < ROWS && caught; i++)
		sigaction(rows[i].sig, &rows[i].before, NULL);
}
