/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_cooperation.c - answers of a process that helps, good, bad, late and none at all.
 * The process is a forked child that only sleeps; its answers stand in the pipe before they are asked. */
#include "attach/borrow.h"
#include "attach/cooperation.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static _Alignas(4096) char buffer[4096];	/* at the same place in the child */

struct helper {
	pid_t pid;
	int requests[2], answers[2];
	struct cooperation with;
	struct tracee *t;
};

static void begin(struct helper *h)
{
	char path[64];
	assert_return_code(pipe2(h->requests, O_CLOEXEC), errno);
	assert_return_code(pipe2(h->answers, O_CLOEXEC), errno);
	h->pid = fork();
	if (!h->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(h->answers[1]);
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", h->pid);
	h->with = (struct cooperation){ open(path, O_RDWR | O_CLOEXEC), h->requests[1], h->answers[0] };
	assert_true(h->with.memory >= 0);
	assert_null(tracee_open_cooperating(h->pid, &h->with, &h->t));
	assert_true(tracee_cooperates(h->t));
}

static void end(struct helper *h)
{
	tracee_close(h->t);
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	close(h->with.memory);
	close(h->requests[0]);
	close(h->requests[1]);
	close(h->answers[0]);
	if (h->answers[1] >= 0)
		close(h->answers[1]);
}

static void answer(struct helper *h, const char *text)
{
	assert_int_equal(write(h->answers[1], text, strlen(text)), strlen(text));
}

static void hang_up(struct helper *h)
{
	close(h->answers[1]);
	h->answers[1] = -1;
}

static void asked(struct helper *h, const char *text)
{
	char got[1024];
	ssize_t n = read(h->requests[0], got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = 0;
	assert_string_equal(got, text);
}

static void fails(struct mt_error *err, enum mt_error_code code)
{
	assert_non_null(err);
	assert_int_equal(err->code, code);
	mt_error_destroy(err);
}

static struct borrow *borrowed(struct helper *h)
{
	struct borrow *b = NULL;
	char text[256];
	snprintf(text, sizeof(text), "1 %d %lx %zx\n2 0\n", h->pid, (unsigned long)(uintptr_t)buffer,
		 sizeof(buffer));
	answer(h, text);
	assert_null(borrow_acquire(h->t, 1000, &b));
	assert_int_equal(borrow_tid(b), h->pid);
	snprintf(text, sizeof(text), "do 1 help\ndo 2 syscall 9e 1003 %lx 0 0 0 0\n",
		 (unsigned long)(uintptr_t)buffer + sizeof(buffer) - 16);
	asked(h, text);
	return b;
}

static void calls(void **state)
{
	struct helper h;
	uint64_t address, value;
	int64_t rc;
	char there[6] = "";
	(void)state;
	begin(&h);
	struct borrow *b = borrowed(&h);
	assert_null(borrow_scratch(b, "hello", 6, &address));
	assert_true(address >= (uintptr_t)buffer && address < (uintptr_t)buffer + sizeof(buffer));
	assert_null(tracee_read(h.t, address, there, 6));
	assert_string_equal(there, "hello");
	assert_string_equal(buffer, "");		/* it is the child's */
	answer(&h, "3 2a\n");
	assert_null(borrow_call(b, 0x1000, (uint64_t[]){ 1, 0xffffffffffffffff }, 2, 1000, &value));
	assert_int_equal(value, 42);
	asked(&h, "do 3 call 1000 1 ffffffffffffffff\n");
	answer(&h, "4 fffffffffffffff4\n");
	assert_null(borrow_syscall(b, SYS_close, (uint64_t[6]){ 7 }, &rc));
	assert_int_equal(rc, -ENOMEM);
	asked(&h, "do 4 syscall 3 7 0 0 0 0 0\n");
	fails(borrow_scratch(b, buffer, sizeof(buffer), &address), MT_ERROR_OTHER);
	borrow_release(b, false);
	end(&h);
}

/* What was not waited for comes later, and is not taken for the answer to the next. */
static void late(void **state)
{
	struct helper h;
	uint64_t value;
	(void)state;
	begin(&h);
	struct borrow *b = borrowed(&h);
	fails(borrow_call(b, 0x1000, NULL, 0, 150, &value), MT_ERROR_BUSY);
	answer(&h, "3 1\n4 2\n");
	assert_null(borrow_call(b, 0x1000, NULL, 0, 1000, &value));
	assert_int_equal(value, 2);
	hang_up(&h);
	fails(borrow_call(b, 0x1000, NULL, 0, 1000, &value), MT_ERROR_GONE);
	borrow_release(b, false);
	end(&h);
}

/* It was interrupted, and does not know whether it has been asked. */
static void asked_again(void **state)
{
	struct helper h;
	uint64_t value;
	(void)state;
	begin(&h);
	struct borrow *b = borrowed(&h);
	answer(&h, "0\n3 2a\n");
	assert_null(borrow_call(b, 0x1000, NULL, 0, 1000, &value));
	assert_int_equal(value, 42);
	asked(&h, "do 3 call 1000\ndo 3 call 1000\n");
	answer(&h, "3 2a\n4 1\n");		/* the second time */
	assert_null(borrow_call(b, 0x1000, NULL, 0, 1000, &value));
	assert_int_equal(value, 1);
	borrow_release(b, false);
	end(&h);
}

static void nonsense(void **state)
{
	static const char *const answers[] = { "", "\n", "what\n", "1\n", "1 2 3\n", "7 1 2 3\n", "1 ! no\n", "1 5 5" };
	char longest[2000];
	(void)state;
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	for (size_t i = 0; i <= sizeof(answers) / sizeof(*answers); i++) {
		struct helper h;
		struct borrow *b = NULL;
		begin(&h);
		answer(&h, i < sizeof(answers) / sizeof(*answers) ? answers[i] : longest);
		hang_up(&h);
		fails(borrow_acquire(h.t, 1000, &b), MT_ERROR_GONE);
		end(&h);
	}
}

static void it_ends(void **state)
{
	struct helper h;
	struct borrow *b = NULL;
	(void)state;
	begin(&h);
	kill(h.pid, SIGKILL);
	fails(borrow_acquire(h.t, 1000, &b), MT_ERROR_GONE);	/* the pipe stays open */
	end(&h);
}

static bool yes(void)
{
	return true;
}

static void given_up(void **state)
{
	struct helper h;
	struct borrow *b = NULL;
	(void)state;
	begin(&h);
	tracee_set_cancel(h.t, yes);
	fails(borrow_acquire(h.t, 1000, &b), MT_ERROR_INTERRUPTED);
	end(&h);
}

static void threads(void **state)
{
	struct helper h;
	struct tracee_thread *thread;
	struct proc_thread th;
	pid_t helper;
	char text[64];
	(void)state;
	begin(&h);
	fails(tracee_stop_thread(h.t, h.pid, &thread), MT_ERROR_BUSY);
	fails(tracee_stop_all(h.t, 100), MT_ERROR_BUSY);
	snprintf(text, sizeof(text), "1 %d\n", h.pid);
	answer(&h, text);
	assert_null(tracee_quiet_begin(h.t, &helper));
	assert_int_equal(helper, h.pid);
	for (int i = 0; i < 1000 && (proc_thread_read(h.pid, h.pid, &th) || th.syscall != SYS_pause); i++)
		usleep(1000);
	/* Where we are told ourselves nobody is asked. */
	assert_null(tracee_look_thread(h.t, h.pid, &th));
	assert_int_equal(th.syscall, SYS_pause);
	answer(&h, "2\n");
	tracee_quiet_end(h.t);
	asked(&h, "do 1 quiet\ndo 2 on\n");
	end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls),   cmocka_unit_test(late),	cmocka_unit_test(nonsense),
		cmocka_unit_test(it_ends), cmocka_unit_test(given_up),	cmocka_unit_test(threads),
		cmocka_unit_test(asked_again),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
