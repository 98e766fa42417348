/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/rooms.c - works when told to, and is the same before and after it.
 * Usage: rooms [hidden]; "g": 1000 blocks got and released, then "done"; "e": the end. `hidden`:
 * not dumpable. A second thread waits all the time. Used by tests/e2e/test_namespaces.py. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

__attribute__((noinline)) static void *make_block(size_t size)
{
	void *p = malloc(size);
	if (!p)
		_exit(97);
	memset(p, 1, size);
	return p;
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		poll(NULL, 0, -1);
	return arg;
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(96);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char c;
	if (argc > 1 && !strcmp(argv[1], "hidden"))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	poll(NULL, 0, 0);		/* bound now, not when the thread comes to it */
	if (pthread_create(&thread, NULL, wait_for_ever, NULL))
		return 95;
	say("ready\n");
	while (read(0, &c, 1) == 1 && c != 'e') {
		for (int i = 0; i < 1000; i++)
			free(make_block(100 + (size_t)i % 10));
		say("done\n");
	}
	say("ok\n");
	return 0;
}
