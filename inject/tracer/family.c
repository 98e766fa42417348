/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/family.c - asks the controller: for a channel of its own for a forked child, at its first
 * event; to watch a thread that is about to execute a program.
 * Knows: the page shared with all descendants. Does not know: what is recorded.
 * Called by thread.c and exec.c; calls the kernel.
 *
 * All that the tracer keeps is wiped in a child, and the parent's rings are not mapped there. What
 * stays is private memory as it was (struct tracer) and the family's page. */
#include "inject/tracer/tracer.h"

#define SLICE_NS 10000000ll
#define PATIENCE_SLICES 100	/* without a sign of life */
#define LIMIT_SLICES 500	/* with */

struct joining {
	enum wire_ask what;
	uint32_t pid;
	uint32_t entry;
	int fd;
	struct wire_header *header;
};

static uint32_t word_of(const struct joining *j, enum wire_join state)
{
	return j->pid << WIRE_JOIN_BITS | state;
}

static bool entry_step(const struct joining *j, uint32_t from, uint32_t to)
{
	uint32_t *word = (uint32_t *)&tracer.family->entry[j->entry].word;
	return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static bool entry_claim(struct joining *j)
{
	for (uint32_t i = 0; i < WIRE_JOIN_ENTRIES; i++) {
		j->entry = (j->pid + i) % WIRE_JOIN_ENTRIES;
		if (entry_step(j, WIRE_JOIN_FREE, word_of(j, WIRE_JOIN_CLAIMED)))
			return true;
	}
	return false;
}

/* The program's limit of file sizes counts here, and who exceeds it is killed: it is lifted as far as
 * the program itself may, for this moment. */
static bool size_channel(int fd)
{
	struct sys_rlimit before, lifted;
	if (sys_call6(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&before, 0, 0) < 0 ||
	    before.max < tracer.channel_size)
		return false;
	bool lift = before.now < tracer.channel_size;
	lifted = (struct sys_rlimit){ before.max, before.max };
	if (lift && sys_call6(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&lifted, 0, 0, 0) < 0)
		return false;
	bool sized = sys_call(SYS_ftruncate, fd, tracer.channel_size, 0, 0) >= 0;
	if (lift)
		sys_call6(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&before, 0, 0, 0);
	return sized;
}

static bool channel_make(struct joining *j)
{
	j->fd = (int)sys_call(SYS_memfd_create, WIRE_MEMFD_DATA, MFD_CLOEXEC, 0, 0);
	if (j->fd < 0 || !size_channel(j->fd))
		return false;
	long at = sys_call6(SYS_mmap, 0, (long)tracer.channel_size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE, j->fd, 0);
	if (at < 0 && at > -4096)
		return false;
	j->header = (struct wire_header *)at;
	return sys_call(SYS_madvise, at, tracer.channel_size, MADV_DONTFORK, 0) >= 0;
}

/* What is neither ready nor taken any more was answered. */
static bool answered(uint32_t word)
{
	return WIRE_JOIN_STATE(word) != WIRE_JOIN_READY && WIRE_JOIN_STATE(word) != WIRE_JOIN_TAKEN;
}

static uint32_t entry_wait(const struct joining *j)
{
	struct wire_family *f = tracer.family;
	uint32_t *word = (uint32_t *)&f->entry[j->entry].word, now;
	uint32_t beat = __atomic_load_n((uint32_t *)&f->beat, __ATOMIC_RELAXED);
	for (int silent = 0, all = 0; ; silent++, all++) {
		now = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		if (answered(now))
			return now;
		uint32_t later = __atomic_load_n((uint32_t *)&f->beat, __ATOMIC_RELAXED);
		if (later != beat)
			silent = 0;
		beat = later;
		if (silent >= PATIENCE_SLICES) {	/* others need not wait as long */
			__atomic_store_n((uint32_t *)&f->closed, 1, __ATOMIC_RELAXED);
			return now;
		}
		if (all >= LIMIT_SLICES || __atomic_load_n((uint32_t *)&f->closed, __ATOMIC_RELAXED))
			return now;
		struct sys_timespec ts = { 0, SLICE_NS };
		sys_call(SYS_futex, word, FUTEX_WAIT, now, &ts);
	}
}

static bool ask(struct joining *j)
{
	struct wire_family *f = tracer.family;
	f->entry[j->entry].what = j->what;
	f->entry[j->entry].tid = (uint32_t)sys_call(SYS_gettid, 0, 0, 0, 0);
	f->entry[j->entry].fd = j->fd;
	f->entry[j->entry].base = (uint64_t)j->header;
	uint32_t now = word_of(j, WIRE_JOIN_READY);
	if (!entry_step(j, word_of(j, WIRE_JOIN_CLAIMED), now))
		return false;
	__atomic_fetch_add((uint32_t *)&f->wake, 1, __ATOMIC_SEQ_CST);
	sys_call(SYS_futex, &f->wake, FUTEX_WAKE, 1, 0);
	/* Who gives up says so; when the answer comes in that moment it counts. */
	do
		now = entry_wait(j);
	while (!answered(now) && !entry_step(j, now, WIRE_JOIN_FREE));
	if (!answered(now)) {
		__atomic_fetch_add((uint32_t *)&f->missed, 1, __ATOMIC_RELAXED);
		return false;
	}
	entry_step(j, now, WIRE_JOIN_FREE);
	return now == word_of(j, WIRE_JOIN_ACCEPTED);
}

static bool begin_to_ask(struct joining *j)
{
	struct wire_family *f = tracer.family;
	j->pid = (uint32_t)sys_call(SYS_getpid, 0, 0, 0, 0);
	if (!__atomic_load_n((uint32_t *)&f->closed, __ATOMIC_RELAXED) && entry_claim(j))
		return true;
	__atomic_fetch_add((uint32_t *)&f->missed, 1, __ATOMIC_RELAXED);
	return false;
}

/* Also for a child of vfork: nothing but its stack and the family's page is written. */
void tracer_ask_family(enum wire_ask what)
{
	struct joining j = { .what = what, .fd = -1 };
	if (tracer.family && begin_to_ask(&j))
		ask(&j);
}

static bool join(void)
{
	struct wire_family *f = tracer.family;
	struct joining j = { .what = WIRE_ASK_CHANNEL, .fd = -1 };
	if (!begin_to_ask(&j))
		return false;
	bool joined = false;
	if (channel_make(&j)) {
		joined = ask(&j);
	} else {
		__atomic_fetch_add((uint32_t *)&f->missed, 1, __ATOMIC_RELAXED);
		entry_step(&j, word_of(&j, WIRE_JOIN_CLAIMED), WIRE_JOIN_FREE);
	}
	if (j.fd >= 0)
		sys_call(SYS_close, j.fd, 0, 0, 0);
	if (joined)
		tracer_take_header(j.header);
	else if (j.header)
		sys_call(SYS_munmap, j.header, tracer.channel_size, 0, 0);
	return joined;
}

/* Another thread of the child waits along; not the one that is interrupted in the middle of it. */
static bool wait_for_joiner(struct local *local)
{
	if (local->joiner == (uint32_t)sys_call(SYS_gettid, 0, 0, 0, 0))
		return false;
	for (int i = 0; i < LIMIT_SLICES; i++) {
		if (__atomic_load_n(&local->joined, __ATOMIC_ACQUIRE) != JOIN_WAITING)
			break;
		struct sys_timespec ts = { 0, SLICE_NS };
		sys_call(SYS_futex, &local->joined, FUTEX_WAIT, JOIN_WAITING, &ts);
	}
	return __atomic_load_n(&local->joined, __ATOMIC_ACQUIRE) == JOIN_DONE;
}

bool tracer_join_family(void)
{
	struct local *local = tracer.local;
	uint32_t state = JOIN_UNDECIDED;
	if (!tracer.family)
		return false;
	if (!__atomic_compare_exchange_n(&local->joined, &state, JOIN_WAITING, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return state == JOIN_DONE || (state == JOIN_WAITING && wait_for_joiner(local));
	local->joiner = (uint32_t)sys_call(SYS_gettid, 0, 0, 0, 0);
	bool joined = join();
	if (joined)
		__atomic_store_n(&local->alive, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&local->joined, joined ? JOIN_DONE : JOIN_OUT, __ATOMIC_RELEASE);
	sys_call(SYS_futex, &local->joined, FUTEX_WAKE, 0x7fffffff, 0);
	return joined;
}
