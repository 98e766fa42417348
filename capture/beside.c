/* SPDX-License-Identifier: Apache-2.0 */
/* capture/beside.c - events read by a thread of its own, while others are worked on.
 * Knows: threads. Does not know: blocks, what events mean.
 * Called by capture/events.c, which reads for it.
 *
 * Batch number n is in batches[n % BATCHES], when whoever takes them has given the one back that was there. */
#include "capture/beside.h"

#include "capture/reader_private.h"

#include <pthread.h>
#include <signal.h>

#define BATCHES 8u	/* all of them stay in the cache */

struct batch {
	struct capture_event events[CAPTURE_BATCH];
	size_t count;			/* 0: it was the last */
	uint64_t progress;
	struct mt_error *err;
};

struct beside {
	struct capture_pass *pass;
	pthread_mutex_t lock;
	pthread_cond_t filled, freed;
	uint64_t put, taken;		/* batches; the one that is looked at is not taken yet */
	bool looking, stop;
	pthread_t thread;
	struct batch batches[BATCHES];
};

/* Waits for room; NULL: nobody wants more. */
static struct batch *claim(struct beside *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->put - b->taken == BATCHES && !b->stop)
		pthread_cond_wait(&b->freed, &b->lock);
	struct batch *batch = b->stop ? NULL : &b->batches[b->put % BATCHES];
	pthread_mutex_unlock(&b->lock);
	return batch;
}

static void *work(void *arg)
{
	struct beside *b = arg;
	struct batch *batch;
	bool more = true;
	while (more && (batch = claim(b))) {
		batch->err = pass_fill(b->pass, batch->events, &batch->count, &batch->progress);
		more = !batch->err && batch->count;
		pthread_mutex_lock(&b->lock);
		b->put++;
		pthread_cond_signal(&b->filled);
		pthread_mutex_unlock(&b->lock);
	}
	return NULL;
}

bool beside_begin(struct capture_pass *pass, struct beside **ret)
{
	sigset_t all, before;
	struct beside *b = malloc(sizeof(*b));
	if (!b)
		return false;
	b->pass = pass;
	b->put = b->taken = 0;
	b->looking = b->stop = false;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->filled, NULL);
	pthread_cond_init(&b->freed, NULL);
	sigfillset(&all);	/* signals are for who asked */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&b->thread, NULL, work, b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc) {
		*ret = b;
		return true;
	}
	pthread_cond_destroy(&b->filled);
	pthread_cond_destroy(&b->freed);
	pthread_mutex_destroy(&b->lock);
	free(b);
	return false;
}

struct mt_error *beside_next(struct beside *b, const struct capture_event **ret, size_t *count_ret,
			     uint64_t *progress_ret)
{
	pthread_mutex_lock(&b->lock);
	if (b->looking) {
		b->taken++;
		pthread_cond_signal(&b->freed);
	}
	b->looking = true;
	while (b->put == b->taken)
		pthread_cond_wait(&b->filled, &b->lock);
	struct batch *batch = &b->batches[b->taken % BATCHES];
	pthread_mutex_unlock(&b->lock);
	*ret = batch->events;
	*count_ret = batch->count;
	*progress_ret = batch->progress;
	return take_ptr(&batch->err);
}

void beside_end(struct beside *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_signal(&b->freed);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	/* An error that nobody came to see. */
	for (uint64_t i = b->taken; i < b->put; i++)
		mt_error_destroy(b->batches[i % BATCHES].err);
	pthread_cond_destroy(&b->filled);
	pthread_cond_destroy(&b->freed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
