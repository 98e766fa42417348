/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/family_limit.c - what all processes of memtrace that record one family share.
 * Knows: counting. Does not know: what is counted.
 * Called by cmds/family.c and cmds/program.c. */
#include "cmds/family_limit.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

#define PROGRAM_NS (1000000000ull / PROGRAMS_A_SECOND)

struct family_limit *family_limit_create(void)
{
	void *p = mmap(NULL, sizeof(struct family_limit), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int take_free(struct family_limit *l)
{
	for (int i = 0; i < FAMILY_MAX; i++) {
		pid_t free = 0;
		if (!atomic_compare_exchange_strong(&l->slot[i], &free, -1))
			continue;
		atomic_store(&l->answered[i], 0);
		return i;
	}
	return -1;
}

/* Of processes whose parent was killed before it could free them. */
static void free_dead(struct family_limit *l)
{
	for (int i = 0; i < FAMILY_MAX; i++) {
		pid_t pid = atomic_load(&l->slot[i]);
		if (pid > 0 && kill(pid, 0) && errno == ESRCH)
			atomic_compare_exchange_strong(&l->slot[i], &pid, 0);
	}
}

int family_slot_take(struct family_limit *l)
{
	int slot = take_free(l);
	if (slot >= 0)
		return slot;
	free_dead(l);
	return take_free(l);
}

void family_slot_set(struct family_limit *l, int slot, pid_t pid)
{
	atomic_store(&l->slot[slot], pid);
}

void family_slot_free(struct family_limit *l, int slot)
{
	atomic_store(&l->slot[slot], 0);
}

bool family_program_allowed(struct family_limit *l, uint64_t now_ns)
{
	uint64_t full = atomic_load(&l->programs_ns), next;
	do {
		next = (full > now_ns ? full : now_ns) + PROGRAM_NS;
		if (next - now_ns > PROGRAM_BURST * PROGRAM_NS)
			return false;
	} while (!atomic_compare_exchange_weak(&l->programs_ns, &full, next));
	return true;
}

void family_note_unfit(struct family_limit *l, const char *reason)
{
	atomic_fetch_add(&l->unfit, 1);
	if (!atomic_exchange(&l->has_reason, 1))
		snprintf(l->reason, sizeof(l->reason), "%s", reason);
}
