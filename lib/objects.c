/* SPDX-License-Identifier: Apache-2.0 */
/* lib/objects.c - which objects of an interpreter came and did not go again.
 * Knows: addresses. Does not know: Python, what an object is.
 * Called by other programs, and by an interpreter at every object; calls base/. */
#include "lib/memtrace.h"

#include "base/error.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

struct memtrace_objects {
	pthread_mutex_t lock;		/* an interpreter without a lock of its own calls at once */
	struct mt_map live;		/* address -> 1 */
	bool paused, incomplete;	/* incomplete: there was no memory to note one */
};

struct memtrace_objects *memtrace_objects_create(void)
{
	struct memtrace_objects *o = calloc(1, sizeof(*o));
	if (o)
		pthread_mutex_init(&o->lock, NULL);
	return o;
}

void memtrace_objects_free(struct memtrace_objects *o)
{
	if (!o)
		return;
	mt_map_deinit(&o->live);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

int memtrace_objects_note(void *object, int event, void *objects)
{
	struct memtrace_objects *o = objects;
	uint64_t key = (uint64_t)(uintptr_t)object;
	pthread_mutex_lock(&o->lock);
	if (event == MEMTRACE_OBJECT_FREED)
		mt_map_delete(&o->live, key, NULL);
	else if (event == MEMTRACE_OBJECT_CREATED && !o->paused && !mt_map_put(&o->live, key, 1))
		o->incomplete = true;
	pthread_mutex_unlock(&o->lock);
	return 0;
}

void memtrace_objects_pause(struct memtrace_objects *o)
{
	pthread_mutex_lock(&o->lock);
	o->paused = true;
	pthread_mutex_unlock(&o->lock);
}

struct memtrace_error *memtrace_objects_take(struct memtrace_objects *o, void (*hold)(void *), void ***ret,
					     size_t *count_ret)
{
	const struct mt_map_slot *s;
	size_t pos = 0, count = 0;
	pthread_mutex_lock(&o->lock);
	o->paused = true;
	void **list = o->incomplete ? NULL : calloc(o->live.len + 1, sizeof(*list));
	while (list && (s = mt_map_next(&o->live, &pos))) {
		list[count] = (void *)(uintptr_t)s->key;
		hold(list[count++]);
	}
	pthread_mutex_unlock(&o->lock);
	if (!list)
		return (struct memtrace_error *)&mt_enomem;
	*ret = list;
	*count_ret = count;
	return NULL;
}
