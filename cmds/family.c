/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family.c - answers forked children of a target and has each recorded.
 * Knows: the family's page, forking. Does not know: how a capture works.
 * Called by cmds/attach.c and cmds/run.c; calls cmds/session.h. */
#include "cmds/family.h"

#include "cmds/signals.h"
#include "record/clock.h"

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STALE_NS 6000000000ull	/* longer than any child waits */
#define TURN_MS 20
#define LAST_LOOK_MS 20

static bool read_namespace(pid_t pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	ssize_t n = readlink(path, ret, size - 1);
	ret[n > 0 ? n : 0] = 0;
	return n > 0;
}

void family_begin(struct family *f, struct session *s)
{
	f->s = s;
	f->page = s->injection->family;
	read_namespace(s->pid, f->pid_namespace, sizeof(f->pid_namespace));
}

/* ---- which process is it? ---- */

/* It gave its number as it sees itself, and has the file of its channel open. */
static bool is_called(pid_t pid, uint32_t inner, int fd)
{
	struct proc_status status;
	auto_error struct mt_error *err = proc_status_read(pid, &status);
	return !err && (uint32_t)status.ns_tgid == inner && channel_is_at(pid, fd);
}

static pid_t find_process(const struct family *f, uint32_t inner, int fd)
{
	char own[64], its[64];
	if (read_namespace(getpid(), own, sizeof(own)) && !strcmp(own, f->pid_namespace) &&
	    read_namespace((pid_t)inner, its, sizeof(its)) && !strcmp(own, its) &&
	    channel_is_at((pid_t)inner, fd))
		return (pid_t)inner;
	auto_closedir DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));) {
		pid_t pid = atoi(e->d_name);
		if (pid > 0 && is_called(pid, inner, fd))
			return pid;
	}
	return 0;
}

/* ---- entries ---- */

static bool entry_step(struct wire_family *page, unsigned entry, uint32_t from, uint32_t to)
{
	bool done = atomic_compare_exchange_strong(&page->entry[entry].word, &from, to);
	if (done)
		syscall(SYS_futex, &page->entry[entry].word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
	return done;
}

static uint32_t with_state(uint32_t word, enum wire_join state)
{
	return WIRE_JOIN_PID(word) << WIRE_JOIN_BITS | state;
}

/* Of a child that was killed in the middle. */
static void free_stale_entry(struct family *f, unsigned entry, uint32_t word, uint64_t now)
{
	if (!word || word != f->stale_word[entry]) {
		f->stale_word[entry] = word;
		f->stale_ns[entry] = now;
	} else if (now - f->stale_ns[entry] > STALE_NS) {
		entry_step(f->page, entry, word, WIRE_JOIN_FREE);
	}
}

/* ---- a process for one child ---- */

/* What is left of the time given to all. */
static uint64_t time_left(const struct session *root)
{
	uint64_t all = root->options->duration_ns, gone = clock_ns(CLOCK_MONOTONIC) - root->armed_ns;
	return !all ? 0 : all > gone ? all - gone : 1;
}

static struct mt_error *record_child(struct session *root, struct wire_family *page, unsigned entry,
				     uint32_t taken, pid_t pid)
{
	struct session s;
	struct session_options options = *root->options;
	int code = 0;
	options.signals_end = true;
	options.duration_ns = time_left(root);
	options.follows = root->path;
	struct mt_error *err = session_adopt(&s, root, pid, &options, page->entry[entry].fd,
					     page->entry[entry].base);
	if (err)
		return err;
	if (!entry_step(page, entry, taken, with_state(taken, WIRE_JOIN_ACCEPTED))) {
		atomic_store(&s.injection->channel.header->mode, 0);
		session_drop(&s, true);		/* it did not wait */
		return mt_error_create(MT_ERROR_GONE, "process %d did not wait", pid);
	}
	do
		session_turn(&s, TURN_MS);
	while (s.end == SESSION_GOES_ON);
	err = session_close(&s, &code);
	session_drop(&s, false);
	return err;
}

/* It ends with whoever made it: the capture is then closed as by Ctrl-C. A Ctrl-C under `run` is for
 * the programs. */
static void recorder_main(struct session *root, struct wire_family *page, unsigned entry, uint32_t taken,
			  pid_t pid, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (!strcmp(root->options->mode, "run"))
		signal(SIGINT, SIG_IGN);
	struct mt_error *err = getppid() == parent ? record_child(root, page, entry, taken, pid) : NULL;
	entry_step(page, entry, taken, with_state(taken, WIRE_JOIN_REFUSED));
	bool gone = err && err->code == MT_ERROR_GONE;
	if (err && !gone)
		fprintf(stderr, "memtrace: child %d: %s\n", pid, err->message);
	mt_error_destroy(err);
	fflush(NULL);
	_exit(err && !gone ? EXIT_FAILED : EXIT_DONE);
}

static struct family_member *free_member(struct family *f)
{
	for (unsigned i = 0; i < FAMILY_MAX; i++)
		if (!f->members[i].recorder)
			return &f->members[i];
	return NULL;
}

static void answer(struct family *f, unsigned entry, uint32_t ready)
{
	uint32_t taken = with_state(ready, WIRE_JOIN_TAKEN);
	atomic_fetch_add(&f->page->beat, 1);
	struct family_member *m = free_member(f);
	pid_t pid = m ? find_process(f, WIRE_JOIN_PID(ready), f->page->entry[entry].fd) : 0;
	if (!pid || !entry_step(f->page, entry, ready, taken)) {
		f->missed += entry_step(f->page, entry, ready, with_state(ready, WIRE_JOIN_REFUSED));
		return;
	}
	fflush(NULL);
	pid_t parent = getpid(), recorder = fork();
	if (!recorder)
		recorder_main(f->s, f->page, entry, taken, pid, parent);
	if (recorder < 0) {
		f->missed += entry_step(f->page, entry, taken, with_state(taken, WIRE_JOIN_REFUSED));
		return;
	}
	*m = (struct family_member){ .recorder = recorder, .target = pid, .entry = entry,
				    .word = taken };
	f->count++;
	f->followed++;
}

static void collect(struct family *f)
{
	for (unsigned i = 0; i < FAMILY_MAX && f->count; i++) {
		struct family_member *m = &f->members[i];
		int status = 0;
		pid_t done = m->recorder ? waitpid(m->recorder, &status, WNOHANG) : 0;
		/* While a thread is seized children are reaped by themselves: attach/exec_guard.c. */
		if (!done || (done < 0 && errno != ECHILD))
			continue;
		if (WIFSIGNALED(status))	/* otherwise it has said why itself */
			cmd_note("the capture of child %d was killed; `memtrace detach %d` removes what it left",
				 m->target, m->target);
		f->failed += !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_DONE;
		if (f->page)
			entry_step(f->page, m->entry, m->word, with_state(m->word, WIRE_JOIN_REFUSED));
		m->recorder = 0;
		f->count--;
	}
}

void family_turn(struct family *f)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	if (f->page) {
		atomic_fetch_add(&f->page->beat, 1);	/* also while many ask: in answer() */
		atomic_store(&f->page->closed, 0);
	}
	for (unsigned i = 0; f->page && i < WIRE_JOIN_ENTRIES; i++) {
		uint32_t word = atomic_load(&f->page->entry[i].word);
		if (WIRE_JOIN_STATE(word) == WIRE_JOIN_READY)
			answer(f, i, word);
		else
			free_stale_entry(f, i, word, now);
	}
	collect(f);
}

/* ---- the end ---- */

void family_forget(struct family *f)
{
	if (!f->page)
		return;
	atomic_store(&f->page->closed, 1);	/* for children of children */
	f->missed += atomic_load(&f->page->missed);
	f->page = NULL;
}

static bool anybody_asks(const struct family *f)
{
	for (unsigned i = 0; f->page && i < WIRE_JOIN_ENTRIES; i++) {
		uint32_t state = WIRE_JOIN_STATE(atomic_load(&f->page->entry[i].word));
		if (state == WIRE_JOIN_CLAIMED || state == WIRE_JOIN_READY)
			return true;
	}
	return false;
}

static void stop_recorders(struct family *f)
{
	family_forget(f);
	for (unsigned i = 0; i < FAMILY_MAX; i++)
		if (f->members[i].recorder)
			kill(f->members[i].recorder, SIGTERM);
}

static void sleep_ms(int ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000l }, NULL);
}

static void say(const struct family *f)
{
	if (f->followed && !f->s->options->quiet)
		cmd_note("%u forked %s: %s.PID", f->followed,
			 f->followed == 1 ? "child has a capture of its own" :
			 "children have captures of their own",
			 f->s->path);
	if (f->missed)
		cmd_note("%u forked %s not recorded: too many at a time", f->missed,
			 f->missed == 1 ? "child was" : "children were");
	if (f->failed)
		cmd_note("%u of the captures of children failed", f->failed);
}

void family_end(struct family *f, bool stop)
{
	if (!f->page && !f->count)
		return;
	/* A child of the last moment may be about to ask. */
	for (int quiet = 0; !stop && !signals_end_asked() && quiet < 3;) {
		family_turn(f);
		quiet = f->count || anybody_asks(f) ? 0 : quiet + 1;
		sleep_ms(quiet ? FAMILY_TURN_MS : LAST_LOOK_MS);
	}
	stop_recorders(f);
	for (; f->count; sleep_ms(FAMILY_TURN_MS))
		collect(f);
	say(f);
}
