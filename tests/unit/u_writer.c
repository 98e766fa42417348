/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_writer.c - the writer at the end of its ids, which no real test can reach.
 * Knows: the inside of the writer.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/writer_private.h"

#include "capture/reader.h"

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

static void refused(struct mt_error *err)
{
	assert_non_null(err);
	assert_string_equal(err->message, "the capture has too many different stacks");
	mt_error_destroy(err);
}

static struct mt_error *count(const struct capture_event *events, size_t n, void *arg)
{
	(void)events;
	*(size_t *)arg += n;
	return NULL;
}

static void test_out_of_ids(void **state)
{
	char path[] = "/tmp/memtrace-writer.XXXXXX";
	struct capture_writer *w;
	struct capture_event ev = { .ticks = 1, .address = 16, .kind = WIRE_REC_FREE };
	uint32_t id = 77;
	size_t events = 0;
	(void)state;
	close(mkstemp(path));
	ok(capture_writer_create(path, true, 0, &w));
	ok(capture_writer_event(w, &ev));
	w->next = (struct table_ids){ UINT32_MAX, UINT32_MAX, UINT32_MAX };
	ok(capture_writer_flush(w));			/* the next block begins there */
	refused(capture_writer_frame_native(w, 0, 1, &id));
	refused(capture_writer_frame_python(w, 1, false, 1, &id));
	refused(capture_writer_node(w, 0, 1, &id));
	refused(capture_writer_stack(w, 1, 0, 0, &id));
	assert_int_equal(id, 77);		/* untouched on failure */
	ok(capture_writer_event(w, &ev));			/* events go on */
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	/* The block that claims four billion ids in a small file is damage, not memory. */
	struct capture *cap;
	ok(capture_open(path, &cap));
	ok(capture_events(cap, count, &events));
	assert_int_equal(events, 1);
	assert_non_null(strstr(capture_damage(cap), "the content of a block is damaged"));
	capture_close(cap);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_out_of_ids) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
