/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/facts.c - what a capture says about itself.
 * Knows: meta keys and counters. Does not know: how a report looks.
 * Called by reporters/; calls capture/ and base/. */
#include "reporters/facts.h"
#include "base/text.h"

#include <string.h>

static uint64_t counter(const struct capture *cap, const char *name)
{
	uint64_t v = 0;
	return capture_counter(cap, name, &v) ? v : 0;
}

static void read_times(const struct capture *cap, uint64_t last_ticks, struct facts *f)
{
	f->start_ns = capture_meta_u64(cap, CAPTURE_META_START, 0);
	f->end_ns = capture_meta_u64(cap, CAPTURE_META_END, 0);
	if (f->end_ns > f->start_ns && f->start_ns)
		f->duration_ns = f->end_ns - f->start_ns;
	else if (last_ticks)
		f->duration_ns = capture_ticks_to_ns(cap, last_ticks);
}

/* Under all names of PYTHONMALLOC but "malloc" and "malloc_debug". */
static bool has_arenas(const struct capture *cap)
{
	const char *name = capture_meta(cap, CAPTURE_META_PYTHON_ALLOCATOR, NULL);
	return name && strncmp(name, "malloc", 6) != 0 &&
	       !facts_meta_has(cap, CAPTURE_META_OPTIONS, "python-allocators");
}

struct mt_error *facts_init(const struct capture *cap, uint64_t last_ticks, struct facts *ret)
{
	struct facts f = { 0 };
	size_t size = 0;
	const char *command = capture_meta(cap, CAPTURE_META_COMMAND, &size);
	f.command = mt_text_command(command ? command : "", size);
	if (!f.command)
		return &mt_enomem;
	f.pid = capture_meta_u64(cap, CAPTURE_META_PID, 0);
	f.main_tid = capture_meta_u64(cap, CAPTURE_META_MAIN_TID, 0);
	read_times(cap, last_ticks, &f);
	f.has_counters = capture_counter(cap, CAPTURE_COUNTER_PRODUCED, &f.produced);
	f.written = counter(cap, CAPTURE_COUNTER_WRITTEN);
	f.dropped = counter(cap, CAPTURE_COUNTER_DROPPED);
	f.sample_rate = capture_meta_u64(cap, CAPTURE_META_SAMPLE, 0);
	f.nested = counter(cap, CAPTURE_COUNTER_NESTED);
	f.waits = counter(cap, CAPTURE_COUNTER_WAITS);
	f.wait_ticks = counter(cap, CAPTURE_COUNTER_WAIT_TICKS);
	f.late_loads = counter(cap, CAPTURE_COUNTER_LATE_LOADS);
	f.arenas = has_arenas(cap);
	*ret = f;
	return NULL;
}

void facts_deinit(struct facts *f)
{
	free(f->command);
	*f = (struct facts){ 0 };
}

int64_t facts_missing(const struct facts *f)
{
	return (int64_t)(f->produced - f->written - f->dropped);
}

char *facts_meta(const struct capture *cap, const char *key, const char *missing)
{
	size_t size = 0;
	const char *value = capture_meta(cap, key, &size);
	if (!value)
		return strdup(missing);
	auto_buf struct mt_buf buf = MT_BUF_INIT;
	mt_text_put_clean(&buf, value, size, 0);
	return mt_buf_take_str(&buf);
}

bool facts_meta_has(const struct capture *cap, const char *key, const char *word)
{
	const char *value = capture_meta(cap, key, NULL);
	size_t n = strlen(word);
	while (value && *value) {
		size_t len = strcspn(value, ",");
		if (len == n && !strncmp(value, word, n))
			return true;
		value += len + (value[len] == ',');
	}
	return false;
}
