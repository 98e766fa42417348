/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_output.c - output files: never through links, never half, never over another.
 * Knows: cmds/output.h. Does not know: reports.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cmds/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static char dir[64];

static int enter_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/memtrace-unit.XXXXXX");
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return chdir("/") || system(command);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void expect_content(const char *path, const char *text)
{
	char buf[256] = "";
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	size_t n = fread(buf, 1, sizeof(buf) - 1, f);
	buf[n] = '\0';
	fclose(f);
	assert_string_equal(buf, text);
}

static unsigned files_here(void)
{
	unsigned n = 0;
	DIR *d = opendir(".");
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(d);
	return n;
}

static void test_new_file(void **state)
{
	(void)state;
	struct output out = { 0 };
	struct stat st;
	assert_null(output_check("new", false));
	assert_null(output_open("new", false, &out));
	fputs("text", out.file);
	assert_null(output_finish(&out));
	expect_content("new", "text");
	assert_int_equal(stat("new", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(files_here(), 1);
}

static void test_abort_leaves_nothing(void **state)
{
	(void)state;
	{
		auto_output struct output out = { 0 };
		assert_null(output_open("new", false, &out));
		fputs("text", out.file);
	}
	assert_int_equal(files_here(), 0);
	put("old", "old");
	{
		auto_output struct output out = { 0 };
		assert_null(output_open("old", true, &out));
		fputs("text", out.file);
	}
	expect_content("old", "old");
	assert_int_equal(files_here(), 1);
}

static void test_overwrite(void **state)
{
	(void)state;
	struct output out = { 0 };
	put("old", "old and longer");
	assert_null(output_open("old", true, &out));
	fputs("new", out.file);
	expect_content("old", "old and longer");	/* until it is finished */
	assert_null(output_finish(&out));
	expect_content("old", "new");
	assert_int_equal(files_here(), 1);
}

static void test_refusals(void **state)
{
	(void)state;
	put("there", "x");
	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(symlink("there", "link"), 0);
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	static const struct {
		const char *path;
		bool overwrite;
		const char *message, *hint;
	} rows[] = {
		{ "there", false, "cannot write 'there': it exists",
		  "-f overwrites it, -o names another file" },
		{ "folder", true, "cannot write 'folder': it is a directory",
		  "-o takes the name of a file" },
		{ "link", true, "cannot write 'link': it is a symbolic link",
		  "name the file itself; output never goes through a link" },
		{ "dangling", false, "cannot write 'dangling': it is a symbolic link",
		  "name the file itself; output never goes through a link" },
		{ "no/such", false, "cannot write 'no/such': No such file or directory", NULL },
		{ "there/x", false, "cannot write 'there/x': Not a directory", NULL },
		{ "", false, "the name of the output is empty", NULL },
		{ "/proc/x", false, NULL, NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct output out = { 0 };
		struct mt_error *err = output_open(rows[i].path, rows[i].overwrite, &out);
		assert_non_null(err);
		if (rows[i].message)
			assert_string_equal(err->message, rows[i].message);
		if (rows[i].hint)
			assert_string_equal(err->hint, rows[i].hint);
		mt_error_destroy(err);
	}
	expect_content("there", "x");
	assert_int_equal(files_here(), 4);
}

static void test_device(void **state)
{
	(void)state;
	struct output out = { 0 };
	struct stat st;
	assert_null(output_open("/dev/null", false, &out));
	fputs("x", out.file);
	assert_null(output_finish(&out));
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void test_full(void **state)
{
	(void)state;
	struct output out = { 0 };
	assert_null(output_open("/dev/full", false, &out));
	fputs("x", out.file);
	struct mt_error *err = output_finish(&out);
	assert_non_null(err);
	assert_string_equal(err->message, "cannot write '/dev/full': No space left on device");
	mt_error_destroy(err);
}

/* With standard streams closed, chatter must not land in the product. */
static void test_closed_streams(void **state)
{
	(void)state;
	int saved = fcntl(STDIN_FILENO, F_DUPFD, 10);
	close(STDIN_FILENO);
	struct output out = { 0 };
	assert_null(output_open("new", false, &out));
	int fd = fileno(out.file);
	struct mt_error *err = output_finish(&out);
	dup2(saved, STDIN_FILENO);
	close(saved);
	assert_null(err);
	assert_true(fd > STDERR_FILENO);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, enter_dir, leave_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new_file), TEST(test_abort_leaves_nothing), TEST(test_overwrite),
		TEST(test_refusals), TEST(test_device), TEST(test_full), TEST(test_closed_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
