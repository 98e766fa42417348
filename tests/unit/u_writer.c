/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_writer.c - the writer at the end of its ids, which no real test can reach.
 * Knows: the inside of capture/writer.c, compiled once more under other names.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define capture_writer_create own_create
#define capture_writer_create_in_memory own_create_in_memory
#define capture_writer_destroy own_destroy
#define capture_writer_meta own_meta
#define capture_writer_module own_module
#define capture_writer_code own_code
#define capture_writer_thread own_thread
#define capture_writer_sample own_sample
#define capture_writer_counter own_counter
#define capture_writer_jit own_jit
#define capture_writer_frame_native own_frame_native
#define capture_writer_frame_python own_frame_python
#define capture_writer_node own_node
#define capture_writer_stack own_stack
#define capture_writer_event own_event
#define capture_writer_flush own_flush
#define capture_writer_finish own_finish
#define capture_writer_bytes own_bytes
#define capture_writer_events own_events
#define capture_writer_path own_path
#define capture_writer_put_events own_put_events
#define capture_writer_raw_block own_raw_block
#define capture_writer_copy_block own_copy_block
#define capture_writer_set_header own_set_header
#define capture_writer_time_unit own_time_unit
#include "capture/writer.c"		/* NOLINT(bugprone-suspicious-include) */

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
	ok(own_create(path, true, 0, &w));
	ok(own_event(w, &ev));
	w->next = (struct table_ids){ UINT32_MAX, UINT32_MAX, UINT32_MAX };
	ok(own_flush(w));			/* the next block begins there */
	refused(own_frame_native(w, 0, 1, &id));
	refused(own_frame_python(w, 1, false, 1, &id));
	refused(own_node(w, 0, 1, &id));
	refused(own_stack(w, 1, 0, 0, &id));
	assert_int_equal(id, 77);		/* untouched on failure */
	ok(own_event(w, &ev));			/* events go on */
	ok(own_finish(w));
	own_destroy(w);
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
