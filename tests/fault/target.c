/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/target.c - the program that memtrace is killed or fails on.
 *
 *	target VIEW [strict]
 *
 * Checks itself by the parts of tests/targets/check/: registers incl. vectors and x87, red zone,
 * errno, blocked calls that must never see EINTR, blocks that must keep their content. VIEW is a
 * file of a page that it shares with the test: struct view. strict: also the calls to which the
 * kernel answers EINTR at any stop of a tracer must not see it, for a memtrace that lives puts
 * that right. Ends with code 0 when all is fine, 1 when not, after the test wrote `stop`.
 * SIGUSR1 makes it another program: itself, anew. */
#include "tests/targets/check/modes.h"

#include <fcntl.h>
#include <malloc.h>

struct view {
	_Atomic uint64_t magic;		/* all threads work */
	_Atomic uint64_t ticks;		/* goes up while every thread gets on */
	_Atomic uint64_t failed;	/* text is valid */
	_Atomic uint64_t stop;		/* by the test */
	_Atomic uint64_t execs;
	char text[256];
};
#define VIEW_MAGIC 0x6d747661756c74ull

static struct view *view;
static char **arguments;

static void become_another(int sig)
{
	(void)sig;
	atomic_fetch_add(&view->execs, 1);
	execv("/proc/self/exe", arguments);
	_exit(99);
}

static _Atomic uint64_t gates[4];	/* rounds of each thread below */
static _Atomic bool waited;		/* in each call once: what it needed is bound */

static void *check_registers(void *arg)
{
	publish_thread();
	while (go_on()) {
		spin_canaries(20000);
		atomic_fetch_add(&gates[0], 1);
		usleep(500);
	}
	return arg;
}

static void *check_blocks(void *arg)
{
	enum { BLOCKS = 32 };
	unsigned char *blocks[BLOCKS] = { 0 };
	unsigned seed = 7, sizes[BLOCKS] = { 0 };
	publish_thread();
	while (go_on()) {
		for (int k = 0; k < 50; k++) {
			unsigned i = (unsigned)rand_r(&seed) % BLOCKS;
			if (blocks[i] && (blocks[i][0] != i || blocks[i][sizes[i] - 1] != i))
				fail("block content", blocks[i][0], i);
			sizes[i] = 1 + (unsigned)rand_r(&seed) % 700;
			blocks[i] = realloc(blocks[i], sizes[i]);
			blocks[i][0] = blocks[i][sizes[i] - 1] = (unsigned char)i;
			unsigned j = (unsigned)rand_r(&seed) % BLOCKS;
			free(blocks[j]);
			blocks[j] = NULL;
		}
		atomic_fetch_add(&gates[1], 1);
		usleep(300);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
	return arg;
}

/* Those that end by themselves, without a child. */
static bool is_used(const struct wait *w)
{
	return !w->wake && w->once != wait_wait4;
}

/* The waits one after the other, so that one thread is in each of them now and then. */
static void *check_waits(void *arg)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	publish_thread();
	while (go_on()) {
		for (size_t i = 0; i < WAITS && go_on(); i++) {
			struct wait *w = &waits[i];
			if (!is_used(w))
				continue;
			w->begun = now_us();
			errno = 0;
			w->once(w);
			atomic_fetch_add(&gates[2], 1);
		}
		waited = true;
	}
	return arg;
}

/* Blocked in a read that the main thread ends now and then. */
static void *check_read(void *arg)
{
	int *fds = arg;
	char c;
	publish_thread();
	while (go_on()) {
		errno = 77;
		MUST("blocked read", read(fds[0], &c, 1), 1);
		MUST("errno of a read", errno, 77);
		atomic_fetch_add(&gates[3], 1);
	}
	return arg;
}

static bool all_passed(const uint64_t before[4])
{
	for (int i = 0; i < 4; i++)
		if (gates[i] == before[i])
			return false;
	return true;
}

static void work(void)
{
	static void *(*const parts[4])(void *) = { check_registers, check_blocks, check_waits,
						   check_read };
	static int fds[2];
	pthread_t th[4];
	MUST("pipe", pipe(fds), 0);
	for (size_t i = 0; i < WAITS; i++)
		if (is_used(&waits[i]) && waits[i].open)
			waits[i].open(&waits[i]);
	for (int i = 0; i < 4; i++)
		pthread_create(&th[i], NULL, parts[i], fds);
	uint64_t before[4] = { 0 };
	while (go_on() && !view->stop) {
		usleep(4000);
		(void)!write(fds[1], "x", 1);
		if (!all_passed(before))
			continue;
		for (int i = 0; i < 4; i++)
			before[i] = gates[i];
		atomic_fetch_add(&view->ticks, 1);
		if (waited)
			view->magic = VIEW_MAGIC;
	}
	page->stop = 1;
	(void)!write(fds[1], "xx", 2);
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	for (size_t i = 0; i < WAITS; i++)
		if (is_used(&waits[i]))
			close_wait(&waits[i]);
}

int main(int argc, char **argv)
{
	(void)find_mode;
	arguments = argv;
	int fd = argc > 1 ? open(argv[1], O_RDWR) : -1;
	view = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (view == MAP_FAILED || page == MAP_FAILED)
		return 2;
	close(fd);
	mallopt(M_ARENA_MAX, 1);	/* mappings must not change by what it does itself */
	page->allow_eintr = argc < 3 || strcmp(argv[2], "strict");
	struct sigaction sa = { .sa_handler = become_another, .sa_flags = SA_RESTART | SA_NODEFER };
	sigaction(SIGUSR1, &sa, NULL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	work();
	if (page->failed) {
		memcpy(view->text, page->failure, sizeof(page->failure));
		view->failed = 1;
	}
	return page->failed ? 1 : 0;
}
