/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_proc.c - the maps parser by rows; the rest of attach/proc against live processes. */
#include "attach/proc.h"

#include <elf.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void parse_rows(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		struct proc_map want;
	} rows[] = {
		{ "5581c0000000-5581c0001000 r-xp 00002000 fd:01 1234 /usr/bin/x y",
		  { 0x5581c0000000, 0x5581c0001000, 0x2000, 0xfd, 1, 1234, PROT_READ | PROT_EXEC,
		    false, (char *)"/usr/bin/x y" } },
		{ "7f00-8f00 rw-s 00000000 00:05 9 /memfd:a\\012b (deleted)",
		  { 0x7f00, 0x8f00, 0, 0, 5, 9, PROT_READ | PROT_WRITE, true,
		    (char *)"/memfd:a\\012b (deleted)" } },
		{ "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  "
		  "[vsyscall]",
		  { 0xffffffffff600000, 0xffffffffff601000, 0, 0, 0, 0, PROT_EXEC, false,
		    (char *)"[vsyscall]" } },
		{ "1000-2000 ---p 00000000 00:00 0 ",
		  { 0x1000, 0x2000, 0, 0, 0, 0, 0, false, (char *)"" } },
		{ "1000-2000 ---p 00000000 00:00 0",
		  { 0x1000, 0x2000, 0, 0, 0, 0, 0, false, (char *)"" } },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct proc_maps maps;
		assert_null(proc_maps_parse(rows[i].line, strlen(rows[i].line), &maps));
		assert_int_equal(maps.maps.len, 1);
		const struct proc_map *m = maps.maps.items, *w = &rows[i].want;
		assert_true(m->start == w->start && m->end == w->end && m->offset == w->offset);
		assert_int_equal(m->dev_major, w->dev_major);
		assert_int_equal(m->dev_minor, w->dev_minor);
		assert_int_equal(m->inode, w->inode);
		assert_int_equal(m->prot, w->prot);
		assert_int_equal(m->shared, w->shared);
		assert_string_equal(m->path, w->path);
		proc_maps_deinit(&maps);
	}
}

static void damaged_rows(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned offset;
	} rows[] = {
		{ "x", 0 },
		{ "\n", 0 },
		{ "1000-2000", 0 },
		{ "2000-1000 r--p 0 0:0 0", 0 },
		{ "1000-1000 r--p 0 0:0 0", 0 },
		{ "1000-2000 rwzp 0 0:0 0", 0 },
		{ "1000-2000 r--x 0 0:0 0", 0 },
		{ "1000-2000 r--p 0 0 0", 0 },
		{ "1000-fffffffffffffffff r--p 0 0:0 0", 0 },
		{ "1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n", 23 },
		{ "3000-4000 r--p 0 0:0 0\n1000-2000 r--p 0 0:0 0\n", 23 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct proc_maps maps;
		char want[80];
		snprintf(want, sizeof(want), "cannot understand the maps at offset %u",
			 rows[i].offset);
		struct mt_error *err = proc_maps_parse(rows[i].text, strlen(rows[i].text), &maps);
		assert_non_null(err);
		assert_int_equal(err->code, MT_ERROR_CORRUPT);
		assert_string_equal(err->message, want);
		mt_error_destroy(err);
	}
}

static void find(void **state)
{
	(void)state;
	static const char text[] = "1000-2000 r--p 0 0:0 0 a\n2000-3000 r--p 0 0:0 0 b\n"
				   "5000-6000 r--p 0 0:0 0 c\n";
	static const struct {
		uint64_t address;
		const char *path;
	} rows[] = {
		{ 0, NULL }, { 0xfff, NULL }, { 0x1000, "a" }, { 0x1fff, "a" }, { 0x2000, "b" },
		{ 0x3000, NULL }, { 0x4fff, NULL }, { 0x5000, "c" }, { 0x5fff, "c" },
		{ 0x6000, NULL }, { UINT64_MAX, NULL },
	};
	struct proc_maps maps;
	assert_null(proc_maps_parse(text, strlen(text), &maps));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct proc_map *m = proc_maps_find(&maps, rows[i].address);
		if (!rows[i].path)
			assert_null(m);
		else
			assert_string_equal(m->path, rows[i].path);
	}
	proc_maps_deinit(&maps);
}

static void myself(void **state)
{
	(void)state;
	struct proc_status st;
	assert_int_equal(prctl(PR_SET_NAME, "a) S 1 (b"), 0);
	assert_null(proc_status_read(getpid(), &st));
	assert_string_equal(st.comm, "a) S 1 (b");
	assert_int_equal(st.state, 'R');
	assert_int_equal(st.tgid, getpid());
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.uid, getuid());
	assert_int_equal(st.euid, geteuid());
	assert_int_equal(st.threads, 1);
	assert_int_equal(st.tracer, 0);
	assert_true(st.rss >= st.rss_anon && st.rss_anon > 0 && st.start_time > 0);
	assert_false(st.kernel_thread);

	struct proc_maps maps;
	assert_null(proc_maps_read(getpid(), &maps));
	const struct proc_map *code = proc_maps_find(&maps, (uint64_t)(uintptr_t)&myself);
	assert_non_null(code);
	assert_int_equal(code->prot, PROT_READ | PROT_EXEC);
	char *exe;
	assert_null(proc_exe(getpid(), &exe));
	assert_string_equal(exe, code->path);
	free(exe);
	proc_maps_deinit(&maps);

	uint64_t page = 0;
	assert_null(proc_auxv(getpid(), AT_PAGESZ, &page));
	assert_int_equal(page, 4096);
	struct mt_error *err = proc_auxv(getpid(), 0x1234567, &page);
	assert_non_null(err);
	mt_error_destroy(err);
}

static void gone(void **state)
{
	(void)state;
	struct proc_status st;
	struct proc_maps maps;
	struct proc_tids tids;
	pid_t pid = fork();
	if (!pid)
		_exit(0);
	siginfo_t si;
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_null(proc_status_read(pid, &st));	/* a zombie can still be asked */
	assert_int_equal(st.state, 'Z');
	struct mt_error *err = proc_maps_read(pid, &maps);
	assert_non_null(err);
	assert_int_equal(err->code, MT_ERROR_GONE);
	mt_error_destroy(err);
	waitpid(pid, NULL, 0);
	char want[64];
	snprintf(want, sizeof(want), "process %d is gone", (int)pid);
	err = proc_status_read(pid, &st);
	assert_int_equal(err->code, MT_ERROR_GONE);
	assert_string_equal(err->message, want);
	mt_error_destroy(err);
	err = proc_tids_read(pid, &tids);
	assert_int_equal(err->code, MT_ERROR_GONE);
	mt_error_destroy(err);
}

static void *named_thread(void *arg)
{
	prctl(PR_SET_NAME, "worker/7");
	*(pid_t *)arg = (pid_t)syscall(SYS_gettid);
	while (pause())
		;
	return NULL;
}

static void threads(void **state)
{
	(void)state;
	pthread_t th;
	volatile pid_t tid = 0;
	pthread_create(&th, NULL, named_thread, (void *)&tid);
	char thread_state = 0, name[32];
	long nr = 0;
	for (int i = 0; i < 2000 && thread_state != 'S'; i++) {
		usleep(1000);
		if (tid)
			assert_null(proc_thread_state(getpid(), tid, &thread_state, &nr));
	}
	assert_int_equal(thread_state, 'S');
	assert_int_equal(nr, SYS_pause);
	assert_null(proc_thread_name(getpid(), tid, name, sizeof(name)));
	assert_string_equal(name, "worker/7");
	struct proc_tids tids;
	assert_null(proc_tids_read(getpid(), &tids));
	assert_int_equal(tids.tids.len, 2);
	proc_tids_deinit(&tids);
	pthread_cancel(th);
	pthread_join(th, NULL);
}

static void command_line(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (!pid) {
		execl("/bin/sleep", "sleep", "100.0", NULL);
		_exit(127);
	}
	char *text = NULL;
	size_t size = 0;
	for (int i = 0; i < 2000 && size != 12; i++) {
		usleep(1000);
		free(text);
		assert_null(proc_cmdline(pid, &text, &size));
	}
	assert_int_equal(size, 12);
	assert_memory_equal(text, "sleep\000100.0", 12);
	free(text);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_rows), cmocka_unit_test(damaged_rows),
		cmocka_unit_test(find), cmocka_unit_test(myself), cmocka_unit_test(gone),
		cmocka_unit_test(threads), cmocka_unit_test(command_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
