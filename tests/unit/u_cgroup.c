/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_cgroup.c - room in a tree of control groups made of plain files. */
#include "attach/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/memtrace-u-cgroup-XXXXXX";

static void put(const char *path, const char *text)
{
	char full[256];
	snprintf(full, sizeof(full), "%s/%s", base, path);
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void folder(const char *path)
{
	char full[256];
	snprintf(full, sizeof(full), "%s/%s", base, path);
	assert_int_equal(mkdir(full, 0700), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	folder("a");
	folder("a/b");
	folder("a/b/c");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

static void test_nothing_there(void **state)
{
	(void)state;
	assert_true(cgroup_room_at(base, "/a/b", true) == CGROUP_NO_LIMIT);
	assert_true(cgroup_room_at("/no/such", "", false) == CGROUP_NO_LIMIT);
}

static void test_version_2(void **state)
{
	(void)state;
	put("a/memory.max", "1000000\n");
	put("a/memory.current", "900000\n");
	put("a/memory.stat", "anon 5\nfile 400000\ninactive_file 30000\nactive_file 20000\n"
	    "unevictable 7\n");
	put("a/b/memory.max", "max\n");
	put("a/b/memory.current", "800000\n");
	put("a/b/memory.stat", "inactive_file 999999\n");
	assert_int_equal(cgroup_room_at(base, "/a", true), 150000);
	assert_int_equal(cgroup_room_at(base, "/a/b", true), 150000);	/* the one above counts */
	assert_int_equal(cgroup_room_at(base, "/a/b/c", true), 150000);
	assert_true(cgroup_room_at(base, "", true) == CGROUP_NO_LIMIT);
	assert_true(cgroup_room_at(base, "/a", false) == CGROUP_NO_LIMIT);
	put("a/b/memory.max", "800010\n");
	put("a/b/memory.stat", "");
	assert_int_equal(cgroup_room_at(base, "/a/b/c", true), 10);
	put("a/b/memory.max", "5\n");		/* lowered below what is in use */
	assert_int_equal(cgroup_room_at(base, "/a/b", true), 0);
}

static void test_version_1(void **state)
{
	(void)state;
	put("a/b/memory.limit_in_bytes", "500000\n");
	put("a/b/memory.usage_in_bytes", "450000\n");
	put("a/b/memory.stat", "active_file 3\ntotal_inactive_file 1000\ntotal_active_file 2000\n");
	assert_int_equal(cgroup_room_at(base, "/a/b", false), 53000);
	put("a/b/memory.stat", "total_inactive_file 1000000\n");	/* never more than the limit */
	assert_int_equal(cgroup_room_at(base, "/a/b", false), 500000);
}

static void test_this_process(void **state)
{
	(void)state;
	assert_true(cgroup_room(getpid()) > 0);
	assert_true(cgroup_room(0x7ffffff0) == CGROUP_NO_LIMIT);	/* nobody */
	assert_false(cgroup_same(getpid(), 0x7ffffff0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_this_process),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
