# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_loader_lock.py - a process one of whose threads has the dynamic loader's lock for long.
# Knows: that dlopen and dlclose wait for it. Does not know: how memtrace sees it.
# Run by tests/run.py.
import os
import unittest

import harness
import session

# A library whose constructor stays until somebody writes into the FIFO that the environment names.
LIBRARY = r"""
#include <fcntl.h>
#include <stdlib.h>
__attribute__((constructor)) static void stay(void)
{
	open(getenv("STAY"), O_RDONLY);
}
"""

# The first thread allocates every millisecond and keeps the longest time that took; at "l" a second one
# loads the library, at "e" it prints and ends.
PROGRAM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}
/* By a pointer: no frame of memtrace's stands below it, as where the C library loads something. */
static void *load(void *path)
{
	void *(*by_pointer)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
	puts(by_pointer(path, RTLD_NOW) ? "loaded" : dlerror());
	fflush(stdout);
	return NULL;
}
int main(int argc, char **argv)
{
	struct pollfd in = { 0, POLLIN, 0 };
	double last = now(), longest = 0;
	pthread_t thread;
	char c = 0;
	(void)argc;
	puts("ready");
	fflush(stdout);
	while (c != 'e') {
		free(malloc(100));
		if (poll(&in, 1, 1) == 1 && read(0, &c, 1) == 1 && c == 'l')
			pthread_create(&thread, NULL, load, argv[1]);
		if (now() - last > longest)
			longest = now() - last;
		last = now();
	}
	printf("longest %f\n", longest);
	return 0;
}
"""


class LoaderLock(unittest.TestCase):
    def setUp(self):
        self.tmp = self.enterContext(harness.tmpdir())
        os.mkfifo(self.tmp / "stay")
        library = harness.compile_c(LIBRARY, name="stays", flags=["-shared", "-fPIC"])
        self.cap = self.tmp / "cap.bin"
        self.target = self.enterContext(harness.start_target(
            [harness.compile_c(PROGRAM, name="loads_slowly", flags=["-pthread"]), library], stdin=True,
            wait="^ready", env={**os.environ, "STAY": str(self.tmp / "stay")}))

    def begin_load(self):
        self.target.send("l")
        harness.wait_for(lambda: any("/stays-" in line for line in harness.maps(self.target.pid)),
                         what="the library")

    def end_load(self):
        os.close(os.open(self.tmp / "stay", os.O_WRONLY))       # waits for the constructor
        self.target.wait_line("^loaded")

    def end(self):
        self.assertEqual(harness.maps_clean(self.target.pid), [])
        self.target.send("e")
        self.assertEqual(self.target.wait(), 0, self.target.err)
        # Of a thread that waits for the lock it would be as long as the capture at least.
        self.assertLess(float(self.target.lines[-1].split()[1]), 2, self.target.lines)

    def test_attach(self):
        """The tracer is mapped then: no thread is made to wait for the lock."""
        self.begin_load()
        harness.memtrace("attach", self.target.pid, "--duration", "2.5s", "-o", self.cap)
        self.assertGreater(harness.stats(self.cap)["total_num_allocations"], 500)
        self.end_load()
        self.end()

    def test_detach(self):
        """The tracer was loaded by dlopen: it stays, disarmed, until the lock is free."""
        with session.Attach(self.target.pid, "-o", self.cap) as attach:
            self.begin_load()
            ended = attach.interrupt(check=None)
        self.assertEqual(ended.code, 3, ended)
        self.assertIn("another thread is loading or unloading a library", ended.err)
        self.end_load()
        harness.memtrace("detach", self.target.pid)
        self.end()


if __name__ == "__main__":
    unittest.main()
