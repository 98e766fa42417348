/* SPDX-License-Identifier: Apache-2.0 */
/* inject/runtime.c - tells runtimes by what they export, and how they were asked to compile.
 * Knows: runtimes, command lines. Does not know: their code.
 * Called by inject/tables.c; calls attach/. */
#include "inject/runtime.h"

#include <stdio.h>
#include <string.h>

static const struct runtime {
	const char *symbol;		/* exported by the image that is the runtime */
	const char *option;		/* without it there are no frame pointers; NULL: always */
	enum runtime_frames frames;
} runtimes[] = {
	/* Its own unwinder (v8-unwinder.h) walks frame pointers. Its builtins are linked in as bytes. */
	{ "_ZN2v82V810GetVersionEv", NULL, RUNTIME_FRAMES_IN_IMAGE },
	/* Its interpreter jumps to what it calls, the return address put in place before. */
	{ "JNI_CreateJavaVM", "-XX:+PreserveFramePointer", RUNTIME_FRAMES_PUSHED },
};

/* Command line and environment (JDK_JAVA_OPTIONS and the like) are texts divided by NUL. */
static bool file_says(pid_t pid, const char *name, const char *option)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)proc_living(pid), name);
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *text = NULL;
	size_t cap = 0;
	while (f && getdelim(&text, &cap, 0, f) > 0)
		if (strstr(text, option))
			return true;
	return false;
}

enum runtime_frames runtime_frames_of(struct tracee *t, struct image *img)
{
	struct image_symbol sym;
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		const struct runtime *r = &runtimes[i];
		if (!image_find_symbol(t, img, r->symbol, &sym))
			continue;
		if (!r->option || file_says(tracee_pid(t), "cmdline", r->option) ||
		    file_says(tracee_pid(t), "environ", r->option))
			return r->frames;
	}
	return RUNTIME_NO_FRAMES;
}
