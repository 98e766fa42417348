/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_threads.c - threads that allocate at once, one after another, and very many.
 * Knows: what each allocates, and prints it (alloc_ledger.h). Does not know: memtrace.
 * Used by tests/e2e/test_exact_c.py. */
#include "alloc_ledger.h"

#include <sys/prctl.h>

#define BUSY 4
#define ROUNDS 500
#define CROWD 200

static void *volatile sink;
static void *left[BUSY][ROUNDS];
static pthread_barrier_t barrier;

static NOINLINE void busy_work(int me)
{
	for (int i = 0; i < ROUNDS; i++) {
		left[me][i] = GOT("malloc", malloc(64 + (size_t)i), 64 + (size_t)i);
		void *p = GOT("calloc", calloc(1, 10), 10);
		GONE(p);
		free(p);
	}
}

static NOINLINE void *busy(void *arg)
{
	char name[16];
	int me = (int)(long)arg;
	snprintf(name, sizeof(name), "busy-%d", me);
	prctl(PR_SET_NAME, name);
	pthread_barrier_wait(&barrier);
	busy_work(me);
	usleep(300000);		/* long enough for its name to be seen */
	return NULL;
}

static NOINLINE void at_once(void)
{
	pthread_t threads[BUSY];
	pthread_barrier_init(&barrier, NULL, BUSY);
	for (long i = 0; i < BUSY; i++)
		if (pthread_create(&threads[i], NULL, busy, (void *)i))
			ledger_die("pthread_create");
	for (int i = 0; i < BUSY; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < BUSY; i++)		/* another thread frees the half */
		for (int j = 0; j < ROUNDS; j += 2) {
			GONE(left[i][j]);
			free(left[i][j]);
		}
}

static NOINLINE void *brief(void *arg)
{
	(void)arg;
	void *p = GOT("malloc", malloc(100), 100);
	sink = GOT("malloc", malloc(33), 33);
	GONE(p);
	free(p);
	return NULL;
}

static NOINLINE void one_after_another(void)
{
	for (int i = 0; i < 300; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, brief, NULL))
			ledger_die("pthread_create");
		pthread_join(thread, NULL);
	}
}

static NOINLINE void *crowded(void *arg)
{
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 10; i++)
		sink = GOT("malloc", malloc(77), 77);
	pthread_barrier_wait(&barrier);
	return arg;
}

static NOINLINE void crowd(void)
{
	pthread_t threads[CROWD];
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_barrier_init(&barrier, NULL, CROWD);
	for (int i = 0; i < CROWD; i++)
		if (pthread_create(&threads[i], &attr, crowded, NULL))
			ledger_die("pthread_create");
	for (int i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	ledger_wait("ready");
	at_once();
	one_after_another();
	crowd();
	ledger_print();
	ledger_wait("done");
	return 0;
}
