/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family.c - answers who asks in a family's page and has each recorded.
 * Knows: the family's page, forking. Does not know: how a capture works.
 * Called by cmds/attach.c, cmds/run.c and cmds/program.c; calls cmds/session.h. */
#include "cmds/family.h"

#include "cmds/program.h"
#include "cmds/signals.h"
#include "record/clock.h"

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

void family_begin(struct family *f, struct session *s)
{
	f->s = s;
	f->page = s->injection->family;
	if (!f->page)
		return;
	if (!f->limit)
		f->limit = family_limit_create();
	if (!f->limit)
		f->page = NULL;		/* no memory: children pass through when they waited */
	else
		family_place_init(&f->place, s->pid, f->page);
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

static struct session_options member_options(const struct session *root)
{
	struct session_options options = *root->options;
	options.signals_end = true;
	options.duration_ns = time_left(root);
	if (!options.follows)
		options.follows = root->path;
	return options;
}

struct member_entry {
	struct wire_family *page;
	struct family_limit *limit;
	unsigned entry;
	int slot;
	uint32_t taken;
};

/* Once only: the next in that entry may be the same process, whose word is the same. */
static bool answer_entry(const struct member_entry *m, enum wire_join state)
{
	return !atomic_exchange(&m->limit->answered[m->slot], 1) &&
	       entry_step(m->page, m->entry, m->taken, with_state(m->taken, state));
}

static bool accept_entry(void *arg)
{
	return answer_entry(arg, WIRE_JOIN_ACCEPTED);
}

static struct mt_error *record_child(struct session *root, struct member_entry *m, pid_t pid)
{
	struct session s;
	struct session_options options = member_options(root);
	int code = 0;
	struct mt_error *err = session_adopt(&s, root, pid, &options, m->page->entry[m->entry].fd,
					     m->page->entry[m->entry].base);
	if (err)
		return err;
	if (!accept_entry(m)) {
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

static struct mt_error *record_program(struct family *f, struct member_entry *m, pid_t pid, pid_t tid)
{
	struct session_options options = member_options(f->s);
	struct program_ask ask = { .pid = pid, .tid = tid, .accept = accept_entry, .arg = m,
				   .spawns = m->page->entry[m->entry].what == WIRE_ASK_SPAWN };
	return program_record(f->s, f->limit, &options, &ask);
}

/* It ends with whoever made it: the capture is then closed as by Ctrl-C. A Ctrl-C under `run` is for
 * the programs. `tid`: of who asked for its program; 0: a child asked for itself. */
static void recorder_main(struct family *f, struct member_entry *m, pid_t pid, pid_t tid, pid_t parent)
{
	struct mt_error *err = NULL;
	signals_forget();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (!strcmp(f->s->options->mode, "run"))
		signal(SIGINT, SIG_IGN);
	if (getppid() == parent)
		err = tid ? record_program(f, m, pid, tid) : record_child(f->s, m, pid);
	answer_entry(m, WIRE_JOIN_REFUSED);
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

/* Whoever is refused goes on at once, and is counted where that was for want of room. */
static void refuse(struct family *f, unsigned entry, uint32_t word, bool missed)
{
	if (entry_step(f->page, entry, word, with_state(word, WIRE_JOIN_REFUSED)) && missed)
		atomic_fetch_add(&f->limit->missed, 1);
}

static void have_recorded(struct family *f, struct member_entry *m, pid_t pid, pid_t tid)
{
	struct family_member *member = free_member(f);
	m->slot = member ? family_slot_take(f->limit) : -1;
	if (m->slot < 0) {
		refuse(f, m->entry, m->taken, true);
		return;
	}
	fflush(NULL);
	pid_t parent = getpid(), recorder = fork();
	if (!recorder)
		recorder_main(f, m, pid, tid, parent);
	if (recorder < 0) {
		family_slot_free(f->limit, m->slot);
		refuse(f, m->entry, m->taken, true);
		return;
	}
	family_slot_set(f->limit, m->slot, recorder);
	*member = (struct family_member){ .recorder = recorder, .target = pid, .slot = m->slot,
					 .entry = m->entry, .word = m->taken };
	f->count++;
	if (!tid)
		atomic_fetch_add(&f->limit->forked, 1);
}

static void answer(struct family *f, unsigned entry, uint32_t ready)
{
	struct member_entry m = { .page = f->page, .limit = f->limit, .entry = entry,
				  .taken = with_state(ready, WIRE_JOIN_TAKEN) };
	const bool program = f->page->entry[entry].what != WIRE_ASK_CHANNEL;
	atomic_fetch_add(&f->page->beat, 1);
	if (program && !family_program_allowed(f->limit, clock_ns(CLOCK_MONOTONIC))) {
		refuse(f, entry, ready, true);
		return;
	}
	pid_t pid = family_find_process(&f->place, WIRE_JOIN_PID(ready),
					program ? -1 : f->page->entry[entry].fd);
	pid_t tid = program && pid ? family_find_thread(pid, f->page->entry[entry].tid) : 0;
	if (!pid || (program && !tid))
		refuse(f, entry, ready, true);
	else if (entry_step(f->page, entry, ready, m.taken))
		have_recorded(f, &m, pid, tid);
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
		if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_DONE)
			atomic_fetch_add(&f->limit->failed, 1);
		if (f->page && !atomic_load(&f->limit->answered[m->slot]))
			entry_step(f->page, m->entry, m->word, with_state(m->word, WIRE_JOIN_REFUSED));
		family_slot_free(f->limit, m->slot);
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

/* The page is not looked at any more. */
static void forget(struct family *f)
{
	if (!f->page)
		return;
	atomic_store(&f->page->closed, 1);	/* for children of children */
	atomic_fetch_add(&f->limit->missed, atomic_load(&f->page->missed));
	atomic_fetch_add(&f->limit->privileged, atomic_load(&f->page->privileged));
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
	forget(f);
	for (unsigned i = 0; i < FAMILY_MAX; i++)
		if (f->members[i].recorder)
			kill(f->members[i].recorder, SIGTERM);
}

static void sleep_ms(int ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000l }, NULL);
}

static const char *plural(uint32_t n, const char *one, const char *more)
{
	return n == 1 ? one : more;
}

static void say(const struct family *f)
{
	const struct family_limit *l = f->limit;
	const char *path = f->s->path;
	if (l->forked && !f->s->options->quiet)
		cmd_note("%u forked %s: %s.PID", l->forked,
			 plural(l->forked, "child has a capture of its own",
				"children have captures of their own"), path);
	if (l->executed && !f->s->options->quiet)
		cmd_note("%u executed %s: %s.PID", l->executed,
			 plural(l->executed, "program has a capture of its own",
				"programs have captures of their own"), path);
	if (l->missed)
		cmd_note("%u %s not recorded: too many at a time", l->missed,
			 plural(l->missed, "child was", "children were"));
	if (l->unfit && !f->s->options->quiet)
		cmd_note("%u executed %s not recorded%s %s", l->unfit,
			 plural(l->unfit, "program was", "programs were"),
			 plural(l->unfit, ":", "; the first:"), l->reason);
	if (l->privileged && !f->s->options->quiet)
		cmd_note("%u %s left alone: set-user-id, set-group-id or with capabilities",
			 l->privileged, plural(l->privileged, "program was", "programs were"));
	if (l->failed)
		cmd_note("%u of the captures of children failed", l->failed);
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
	if (!f->s->options->follows)
		say(f);
}
