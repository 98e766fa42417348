/* SPDX-License-Identifier: Apache-2.0 */
/* capture/ahead.c - blocks of events read and unpacked by other threads.
 * Knows: threads. Does not know: what is in a block.
 * Called by capture/events.c; calls capture/scan.c.
 *
 * Block number n goes to slot n % SLOTS, when whoever takes blocks has given the one back that was there. */
#include "capture/ahead.h"

#include "capture/reader_private.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define SLOTS 4u
#define WORKERS 2u	/* a block takes less time to unpack than to be looked at */
#define BLOCKS_MIN 4u	/* fewer are read sooner than threads are made */

struct slot {
	struct block_reader reader;
	struct ahead_block block;
	struct mt_error *err;
	bool done;
};

struct ahead {
	const struct capture *cap;
	pthread_mutex_t lock;
	pthread_cond_t done, free;
	size_t next_block;		/* of the capture: the first that nobody has claimed */
	uint64_t claimed, taken, given_back;	/* blocks of events */
	bool stop;
	struct slot slots[SLOTS];
	pthread_t workers[WORKERS];
	unsigned worker_count;
};

/* The next block and its slot, when that is free; false: there is none, or nobody wants it. */
static bool claim(struct ahead *a, struct slot **slot_ret, const struct block_ref **ref_ret)
{
	const struct capture *cap = a->cap;
	while (a->next_block < cap->blocks.len && !block_has_events(cap->blocks.items[a->next_block].type))
		a->next_block++;
	if (a->next_block == cap->blocks.len)
		return false;
	*ref_ret = &cap->blocks.items[a->next_block++];
	uint64_t number = a->claimed++;
	while (number - a->given_back >= SLOTS && !a->stop)
		pthread_cond_wait(&a->free, &a->lock);
	*slot_ret = &a->slots[number % SLOTS];
	return !a->stop;
}

static void *work(void *arg)
{
	struct ahead *a = arg;
	struct slot *slot;
	const struct block_ref *ref;
	pthread_mutex_lock(&a->lock);
	while (claim(a, &slot, &ref)) {
		pthread_mutex_unlock(&a->lock);
		slot->block = (struct ahead_block){ 0 };
		slot->err = block_reader_fetch(&slot->reader, a->cap, ref, &slot->block.raw,
					       &slot->block.size, &slot->block.what);
		pthread_mutex_lock(&a->lock);
		slot->done = true;
		pthread_cond_signal(&a->done);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static unsigned workers_wanted(const struct capture *cap)
{
	cpu_set_t set;
	size_t blocks = 0;
	for (size_t i = 0; i < cap->blocks.len; i++)
		blocks += block_has_events(cap->blocks.items[i].type);
	if (blocks < BLOCKS_MIN || sched_getaffinity(0, sizeof(set), &set))
		return 0;
	unsigned others = (unsigned)CPU_COUNT(&set) - 1;
	return others < WORKERS ? others : WORKERS;
}

void ahead_begin(const struct capture *cap, struct ahead **ret)
{
	unsigned workers = workers_wanted(cap);
	sigset_t all, before;
	*ret = NULL;
	struct ahead *a = workers ? calloc(1, sizeof(*a)) : NULL;
	if (!a)
		return;
	a->cap = cap;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->done, NULL);
	pthread_cond_init(&a->free, NULL);
	sigfillset(&all);	/* signals are for who asked */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (a->worker_count < workers &&
	       !pthread_create(&a->workers[a->worker_count], NULL, work, a))
		a->worker_count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (a->worker_count)
		*ret = a;
	else
		ahead_end(a);
}

struct mt_error *ahead_take(struct ahead *a, struct ahead_block *ret)
{
	pthread_mutex_lock(&a->lock);
	if (a->taken) {
		a->slots[a->given_back++ % SLOTS].done = false;
		pthread_cond_broadcast(&a->free);
	}
	struct slot *slot = &a->slots[a->taken++ % SLOTS];
	while (!slot->done)
		pthread_cond_wait(&a->done, &a->lock);
	pthread_mutex_unlock(&a->lock);
	struct mt_error *err = slot->err;
	slot->err = NULL;
	*ret = slot->block;
	return err;
}

void ahead_end(struct ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->free);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->worker_count; i++)
		pthread_join(a->workers[i], NULL);
	for (unsigned i = 0; i < SLOTS; i++) {
		block_reader_deinit(&a->slots[i].reader);
		mt_error_destroy(a->slots[i].err);
	}
	pthread_cond_destroy(&a->done);
	pthread_cond_destroy(&a->free);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
