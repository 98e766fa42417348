/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/acceptance/embedded.c - a C program that has a Python interpreter in a library.
 * Knows: the C API by name, so that one program does for all versions. Does not know: memtrace.
 * Used by tests/acceptance/test_embedded.py. */
/* usage: embedded LIBRARY CODE
 *
 * Prints "ready", and for each line of standard input does what it says, and prints "done": "load" loads
 * the library and makes an interpreter, "work" runs CODE in it, "thread" does so in a thread of C, "end"
 * finalizes it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *library;
static const char *code;

static void *find(const char *name)
{
	void *function = dlsym(library, name);
	if (!function) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	return function;
}

static void load(const char *path)
{
	library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	((void (*)(int))find("Py_InitializeEx"))(0);
}

static void work(void)
{
	if (((int (*)(const char *))find("PyRun_SimpleString"))(code))
		exit(2);
}

static void *in_thread(void *unused)
{
	int state = ((int (*)(void))find("PyGILState_Ensure"))();
	work();
	((void (*)(int))find("PyGILState_Release"))(state);
	return unused;
}

static void thread(void)
{
	pthread_t id;
	void *saved = ((void *(*)(void))find("PyEval_SaveThread"))();
	if (pthread_create(&id, NULL, in_thread, NULL) || pthread_join(id, NULL))
		exit(3);
	((void (*)(void *))find("PyEval_RestoreThread"))(saved);
}

int main(int argc, char **argv)
{
	char line[32];
	if (argc != 3)
		return 1;
	code = argv[2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "load\n"))
			load(argv[1]);
		else if (!strcmp(line, "work\n"))
			work();
		else if (!strcmp(line, "thread\n"))
			thread();
		else if (!strcmp(line, "end\n"))
			((int (*)(void))find("Py_FinalizeEx"))();
		puts("done");
	}
	return 0;
}
