/* SPDX-License-Identifier: Apache-2.0 */
/* attach/cooperation.c - requests to a process that helps to record itself, and its answers.
 * Knows: the lines. Does not know: what is called and why, who wrote the other end.
 * Called by attach/borrow, attach/tracee; calls attach/memory and the kernel. */
#include "attach/cooperation.h"

#include "attach/borrow_private.h"
#include "base/clock.h"

#include <asm/prctl.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_MAX 512u
#define STEP_MS 100		/* between two looks at whether it lives */
#define FOREVER (-1)
#define ASK_AGAIN 0u
#define LOOK_TIMEOUT_MS 2000
#define SYSCALL_TIMEOUT_MS 10000

static struct mt_error *over(const struct tracee *t)
{
	return mt_error_create(MT_ERROR_GONE, "process %d does not obey any more", (int)t->pid);
}

static struct mt_error *wait_for_answer(struct tracee *t, uint64_t deadline_ms)
{
	struct pollfd p = { .fd = t->cooperation.answers, .events = POLLIN };
	for (;;) {
		int n = poll(&p, 1, STEP_MS);
		if (n > 0)
			return NULL;
		if (n < 0 && errno != EINTR)
			return mt_error_os(errno, "cannot wait for process %d", (int)t->pid);
		if (!tracee_alive(t))
			return over(t);
		if (t->cancel_asked && t->cancel_asked())
			return mt_error_create(MT_ERROR_INTERRUPTED,
					       "interrupted before the capture began");
		if (mt_now_ms() >= deadline_ms)
			return mt_error_create(MT_ERROR_BUSY, "process %d does not answer in time",
					       (int)t->pid);
	}
}

/* Without its end of line. */
static struct mt_error *read_answer(struct tracee *t, uint64_t deadline_ms, char line[LINE_MAX])
{
	size_t n = 0;
	for (;;) {
		struct mt_error *err = wait_for_answer(t, deadline_ms);
		if (err)
			return err;
		ssize_t got = read(t->cooperation.answers, line + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || n + 1 >= LINE_MAX)
			return over(t);
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = 0;
	return NULL;
}

/* The answer to one request; those to earlier ones, which we did not wait for, are passed over. */
static struct mt_error *ask(struct tracee *t, int timeout_ms, char answer[LINE_MAX], const char *what)
{
	unsigned number = ++t->requests_made, got = ASK_AGAIN;
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : mt_now_ms() + (uint64_t)timeout_ms;
	for (;;) {
		int used = 0;
		if (got == ASK_AGAIN && dprintf(t->cooperation.requests, "do %u %s\n", number, what) < 0)
			return over(t);
		struct mt_error *err = read_answer(t, deadline, answer);
		if (err)
			return err;
		if (sscanf(answer, "%u%n", &got, &used) != 1)
			return over(t);
		if (got != number)
			continue;
		memmove(answer, answer + used, strlen(answer + used) + 1);
		return NULL;
	}
}

static struct mt_error *ask_number(struct tracee *t, int timeout_ms, const char *what, uint64_t *ret)
{
	char answer[LINE_MAX];
	struct mt_error *err = ask(t, timeout_ms, answer, what);
	if (!err && sscanf(answer, "%" SCNx64, ret) != 1)
		err = over(t);
	return err;
}

struct mt_error *cooperation_syscall(struct borrow *b, long nr, const uint64_t args[6], int64_t *ret)
{
	char what[LINE_MAX];
	uint64_t value;
	snprintf(what, sizeof(what), "syscall %lx %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
		 " %" PRIx64 " %" PRIx64, (unsigned long)nr, args[0], args[1], args[2], args[3],
		 args[4], args[5]);
	b->low = b->home_low;
	struct mt_error *err = ask_number(b->t, SYSCALL_TIMEOUT_MS, what, &value);
	if (!err)
		*ret = (int64_t)value;
	return err;
}

struct mt_error *cooperation_call(struct borrow *b, uint64_t fn, const uint64_t *args, int nargs,
				  int timeout_ms, uint64_t *ret)
{
	char what[LINE_MAX];
	int n = snprintf(what, sizeof(what), "call %" PRIx64, fn);
	for (int i = 0; i < nargs && n < (int)sizeof(what); i++)
		n += snprintf(what + n, sizeof(what) - (size_t)n, " %" PRIx64, args[i]);
	b->low = b->home_low;
	return ask_number(b->t, timeout_ms, what, ret);
}

static struct mt_error *find_thread_pointer(struct borrow *b)
{
	uint64_t address, pointer = 0;
	int64_t rc;
	struct mt_error *err = borrow_scratch(b, &pointer, sizeof(pointer), &address);
	if (!err)
		err = cooperation_syscall(b, SYS_arch_prctl, (uint64_t[6]){ ARCH_GET_FS, address }, &rc);
	if (!err)
		err = tracee_read(b->t, address, &pointer, sizeof(pointer));
	if (!err)
		b->regs.fs_base = pointer;
	return err;
}

static struct mt_error *set_up(struct borrow *b)
{
	char answer[LINE_MAX];
	int tid;
	uint64_t address, size;
	struct mt_error *err = ask(b->t, FOREVER, answer, "help");
	if (err)
		return err;
	if (sscanf(answer, "%d %" SCNx64 " %" SCNx64, &tid, &address, &size) != 3)
		return over(b->t);
	b->tid = b->t->borrowed = tid;
	b->floor = address;
	b->low = b->home_low = address + size;
	err = proc_status_read(tid, &b->status);
	return err ? err : find_thread_pointer(b);
}

struct mt_error *cooperation_borrow(struct tracee *t, struct borrow **ret)
{
	struct borrow *b = calloc(1, sizeof(*b));
	if (!b)
		return &mt_enomem;
	b->t = t;
	struct mt_error *err = set_up(b);
	if (err) {
		borrow_release(b, false);
		return err;
	}
	*ret = b;
	return NULL;
}

/* ---- threads, seen from outside ---- */

struct mt_error *tracee_quiet_begin(struct tracee *t, pid_t *helper_ret)
{
	char answer[LINE_MAX];
	int tid;
	*helper_ret = 0;
	if (!t->cooperates)
		return NULL;
	struct mt_error *err = ask(t, FOREVER, answer, "quiet");
	if (!err && sscanf(answer, "%d", &tid) != 1)
		err = over(t);
	if (!err)
		*helper_ret = tid;
	return err;
}

void tracee_quiet_end(struct tracee *t)
{
	char answer[LINE_MAX];
	if (t->cooperates)
		mt_error_destroy(ask(t, LOOK_TIMEOUT_MS, answer, "on"));
}

struct mt_error *tracee_look_thread(struct tracee *t, pid_t tid, struct proc_thread *ret)
{
	char answer[LINE_MAX], what[64];
	struct mt_error *err = proc_thread_read(t->pid, tid, ret);
	if (err || !t->cooperates || ret->pc)
		return err;
	snprintf(what, sizeof(what), "look %d", (int)tid);
	err = ask(t, LOOK_TIMEOUT_MS, answer, what);
	if (!err)
		proc_thread_place(answer, ret);
	return err;
}
