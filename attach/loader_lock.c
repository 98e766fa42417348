/* SPDX-License-Identifier: Apache-2.0 */
/* attach/loader_lock.c - finds and reads glibc's dl_load_lock in a target.
 * Knows: what pthread_mutex_t looks like in memory. Does not know: what the lock is waited for.
 * Called by inject/; reads memory through attach/tracee.h. */
#include "attach/loader_lock.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GLOBAL_MAX 65536u
#define NAMESPACES_MAX 16u
#define KIND_RECURSIVE 1
#define STEP_US 1000

struct remote_mutex {		/* pthread_mutex_t of x86-64 */
	uint32_t lock, count;
	int32_t owner;
	uint32_t users;
	int32_t kind;
	int16_t spins, elision;
	uint64_t previous, next;
};

static bool is_recursive(const struct remote_mutex *m)
{
	return m->kind == KIND_RECURSIVE && !m->elision && !m->previous && !m->next;
}

/* After the namespaces come their number, dl_load_lock and dl_load_write_lock. 0: not there. */
static size_t find_lock(const uint8_t *global, size_t size)
{
	struct remote_mutex two[2];
	uint64_t namespaces;
	for (size_t at = 0; at + sizeof(namespaces) + sizeof(two) <= size; at += sizeof(namespaces)) {
		memcpy(&namespaces, global + at, sizeof(namespaces));
		memcpy(two, global + at + sizeof(namespaces), sizeof(two));
		if (namespaces && namespaces <= NAMESPACES_MAX && is_recursive(&two[0]) && is_recursive(&two[1]))
			return at + sizeof(namespaces);
	}
	return 0;
}

static uint64_t lock_address(struct tracee *t, const struct images *images)
{
	for (size_t i = 0; i < images->list.len; i++) {
		struct image *img = images->list.items[i];
		struct image_symbol sym;
		if (!img->is_loader || img->unloaded || !image_find_symbol(t, img, "_rtld_global", &sym) ||
		    sym.size > GLOBAL_MAX)
			continue;
		auto_free uint8_t *global = malloc(sym.size + 1);
		size_t at = global && tracee_read_some(t, sym.address, global, sym.size) == sym.size ?
				    find_lock(global, sym.size) : 0;
		if (at)
			return sym.address + at;
	}
	return 0;
}

bool loader_lock_wait(struct tracee *t, const struct images *images, int ms)
{
	uint64_t address = lock_address(t, images), begin = mt_now_ms();
	struct remote_mutex m;
	while (address && tracee_read_some(t, address, &m, sizeof(m)) == sizeof(m) && m.owner) {
		if (mt_now_ms() - begin >= (uint64_t)ms)
			return false;
		usleep(STEP_US);
	}
	return true;
}
