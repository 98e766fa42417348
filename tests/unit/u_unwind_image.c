/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_unwind_image.c - where the frame information of loaded libraries is found.
 * Knows: inject/unwind_image.h, the C compiler. Does not know: call frame instructions.
 * Called by tests/run.py. */
#include "inject/unwind_image.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/memtrace-u_unwind_image-XXXXXX";

static const char source[] =
	"int first(int n) { volatile int a[40]; a[n] = n; return a[n / 2]; }\n"
	"int second(int n) { return first(n + 1) + first(n); }\n";

static const struct library {
	const char *name, *flags;
	bool has_header, has_rows;
} libraries[] = {
	{ "usual", "-O2", true, true },
	{ "no_terminator", "-O2 -nostdlib", true, true },
	{ "no_header", "-O2 -nostdlib -Wl,--no-eh-frame-hdr", false, true },
	{ "debug_frame", "-O2 -g -nostdlib -fno-asynchronous-unwind-tables", false, true },
	{ "compressed", "-O2 -g -gz -nostdlib -fno-asynchronous-unwind-tables", false, true },
	{ "nothing", "-O2 -nostdlib -fno-asynchronous-unwind-tables", false, false },
	{ "prelinked", "-O2 -nostdlib -Wl,-Ttext-segment=0x3900000000", true, true },
};

/* A twin of this process, in which the library is loaded at the same address. */
static pid_t start_twin(void)
{
	pid_t parent = getpid(), pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent)
			pause();
		_exit(0);
	}
	return pid;
}

static struct image *image_of(const struct images *images, void *function)
{
	return images_find(images, (uint64_t)(uintptr_t)function);
}

static void check_table(const struct library *l, const struct image *img,
			const struct unwind_rules *rules, const struct unwind_table *table,
			void *handle)
{
	static const char *const names[] = { "first", "second" };
	assert_int_equal(table->rows.len > 0, l->has_rows);
	assert_int_equal(table->damaged_at, 0);
	assert_int_equal(table->base, strcmp(l->name, "prelinked") ? 0 : 0x3900000000);
	for (size_t i = 0; i < 2; i++) {
		uint64_t vaddr = (uint64_t)(uintptr_t)dlsym(handle, names[i]) - img->bias;
		const struct wire_rule *rule = unwind_lookup(table, rules, vaddr);
		assert_int_equal(rule->cfa, l->has_rows ? WIRE_CFA_RSP : WIRE_CFA_UNSUPPORTED);
		assert_int_equal(rule->cfa_offset, l->has_rows ? 8 : 0);
		/* Both use the stack, so another row follows. */
		bool moved = false;
		for (uint64_t pc = vaddr; pc < vaddr + 32; pc++)
			moved |= unwind_lookup(table, rules, pc)->cfa_offset > 8;
		assert_int_equal(moved, l->has_rows);
	}
}

static void check_library(const struct library *l)
{
	char path[256], command[1024];
	struct tracee *t;
	struct images images;
	struct unwind_rules rules;
	struct unwind_table table = { 0 };
	snprintf(path, sizeof(path), "%s/%s.so", folder, l->name);
	snprintf(command, sizeof(command), "cc -w -x c -shared -fPIC %s -o %s %s/source", l->flags,
		 path, folder);
	assert_int_equal(system(command), 0);
	void *handle = dlopen(path, RTLD_NOW);
	assert_non_null(handle);
	pid_t pid = start_twin();
	assert_null(tracee_open(pid, &t));
	assert_null(images_read(t, &images));
	struct image *img = image_of(&images, dlsym(handle, "first"));
	assert_int_equal(img->eh_frame_hdr != 0, l->has_header);
	unwind_rules_init(&rules);
	struct mt_error *err = unwind_compile_image(t, img, &rules, &table);
	if (err)
		fail_msg("%s: %s", l->name, err->message);
	check_table(l, img, &rules, &table, handle);
	unwind_table_deinit(&table);
	unwind_rules_deinit(&rules);
	images_deinit(&images);
	tracee_close(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	dlclose(handle);
}

static void test_libraries(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		check_library(&libraries[i]);
}

/* Every loaded image of this program has a table that covers its functions. */
static void test_all_images(void **state)
{
	(void)state;
	struct tracee *t;
	struct images images;
	struct unwind_rules rules;
	pid_t pid = start_twin();
	assert_null(tracee_open(pid, &t));
	assert_null(images_read(t, &images));
	unwind_rules_init(&rules);
	for (size_t i = 0; i < images.list.len; i++) {
		struct unwind_table table = { 0 };
		struct image *img = images.list.items[i];
		assert_null(unwind_compile_image(t, img, &rules, &table));
		assert_true(table.rows.len > 1);
		assert_int_equal(table.damaged_at, 0);
		assert_true(table.rows.items[table.rows.len - 1].pc <= img->end - img->bias);
		unwind_table_deinit(&table);
	}
	unwind_rules_deinit(&rules);
	images_deinit(&images);
	tracee_close(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int set_up(void **state)
{
	(void)state;
	char path[256];
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/source", folder);
	FILE *f = fopen(path, "w");
	if (!f)
		return -1;
	fputs(source, f);
	return fclose(f);
}

static int tear_down(void **state)
{
	(void)state;
	char command[300];
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libraries),
		cmocka_unit_test(test_all_images),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
