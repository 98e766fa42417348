/* SPDX-License-Identifier: Apache-2.0 */
/* inject/outside.c - sees each thread once outside the tracer.
 * Knows: program counters, stacks, rings. Does not know: how hooks are switched off or removed.
 * Called by inject/removal.c; calls attach/. The proof is in outside.h. */
#include "inject/outside.h"

#include "attach/snapshot.h"
#include "base/clock.h"
#include "base/hash.h"
#include "capture/wire.h"
#include "inject/channel.h"
#include "inject/thunk.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MIN_NS 200000l	/* between two rounds over the threads that were inside */
#define PAUSE_MAX_NS 10000000l
#define PATIENCE_MAX 20		/* times the time that was given, as long as more are proven outside */
#define OWN_MAX (64ull << 20)	/* of a thread's own stack */
#define ASLEEP_MAX (1u << 20)	/* of a stack whose owner is not known */
#define FRAMES_MAX 1024
#define SAVED_MAX 4		/* stacks below signal handlers that are followed */

struct seat {
	uint32_t tid;			/* in its own namespace */
	uint32_t ring;
};

struct watch {
	struct tracee *t;
	const struct images *images;
	const struct outside *where;
	bool same_namespace;		/* its thread ids are ours */
	bool has_rings;			/* the tracer says in rings of this process who is inside */
	struct wire_header header;	/* when has_rings */
	struct wire_ring *rings;	/* copy of those used so far, header.ring_count have room */
	struct seat *seats;		/* of those, by thread; as much room */
	size_t seat_count;
	bool seats_known;		/* they hold as long as header.ring_owners is `owners` */
	uint32_t owners;
	struct proc_maps maps;
	struct mt_map proven;		/* tid -> seen outside */
	struct backtrace *backtrace;	/* made when first needed */
	uint64_t *words;		/* copy of a stack */
	size_t cap;			/* in words */
	struct backtrace_frame frames[FRAMES_MAX];
};

/* ---- judging ---- */

static bool is_inside(const struct outside *o, uint64_t pc)
{
	return (pc >= o->tracer_start && pc < o->tracer_end) ||
	       thunks_is_past_switch(o->thunk_page, pc);
}

/* On its way out of a call whose controller died; it needs that stack to get back. */
static bool on_our_stack(const struct outside *o, uint64_t sp)
{
	return o->data_base && sp >= o->data_base && sp - o->data_base <= o->data_size;
}

static bool any_inside(const struct outside *o, const uint64_t *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_inside(o, words[i]))
			return true;
	return false;
}

static size_t copy_stack(struct watch *w, uint64_t from, uint64_t to)
{
	size_t count = to > from ? (size_t)(to - from) / 8 : 0;
	if (count > w->cap) {
		uint64_t *bigger = realloc(w->words, count * 8);
		if (!bigger)
			return 0;
		w->words = bigger;
		w->cap = count;
	}
	return tracee_read_some(w->t, from, w->words, count * 8) / 8;
}

/* ---- what a stack tells ---- */

/* The segment registers of a signal frame, always these in 64-bit code, lie behind rsp, rip and the
 * flags of whoever was interrupted. */
#define SAVED_SEGMENTS 0x002b000000000033ull

static bool interrupted_inside(const struct outside *o, const uint64_t *words, size_t count)
{
	for (size_t i = 2; i < count; i++)
		if (words[i] == SAVED_SEGMENTS && is_inside(o, words[i - 2]))
			return true;
	return false;
}

/* Can a hook be among the frames of this stack? A hook in the middle of its own code was interrupted
 * by a signal, and the handler's frame tells where; one that called somebody has a return address
 * there, but its thread's ring says so too, where there are rings. */
static bool hook_below(const struct watch *w, const uint64_t *words, size_t count)
{
	return w->has_rings ? interrupted_inside(w->where, words, count)
			    : any_inside(w->where, words, count);
}

/* An interrupted thread's stack, if it is another one, is searched too. */
static bool hook_below_handlers(struct watch *w, uint64_t base, size_t count)
{
	uint64_t saved[SAVED_MAX];
	size_t n = 0;
	for (size_t i = 3; i < count && n < SAVED_MAX; i++) {
		uint64_t sp = w->words[i - 3] & ~7ull;
		if (w->words[i] == SAVED_SEGMENTS && sp && (sp < base || sp >= base + count * 8))
			saved[n++] = sp;
	}
	for (size_t i = 0; i < n; i++) {
		size_t got = copy_stack(w, saved[i], saved[i] + STACK_FOREIGN_MAX);
		if (hook_below(w, w->words, got))
			return true;
	}
	return false;
}

static bool unwinds_outside(struct watch *w, const struct user_regs_struct *regs, uint64_t base,
			    size_t count)
{
	struct backtrace_copy copy = { *regs, base, w->words, count * 8 };
	enum backtrace_end end;
	if (!w->backtrace) {
		auto_error struct mt_error *err = backtrace_create(w->t, w->images, &w->backtrace);
		if (err)
			return false;
	}
	size_t n = backtrace_walk_copy(w->backtrace, &copy, w->frames, FRAMES_MAX, &end);
	for (size_t i = 0; i < n; i++)
		if (is_inside(w->where, w->frames[i].pc))
			return false;
	return end == BACKTRACE_START;
}

/* ---- what the rings tell ---- */

static bool ring_active(const struct wire_ring *ring)
{
	return atomic_load(&ring->state) == WIRE_RING_OWNED &&
	       (atomic_load(&ring->in_hook) || atomic_load(&ring->loading));
}

static bool read_counter(const struct watch *w, size_t offset, uint32_t *ret)
{
	return tracee_read_some(w->t, w->where->data_base + offset, ret, sizeof(*ret)) == sizeof(*ret);
}

/* Those used so far. Rings never handed out are holes in the file; reading them would fill them. */
static bool read_rings(struct watch *w, uint32_t *count_ret)
{
	const struct wire_header *h = &w->header;
	uint32_t used;
	if (!read_counter(w, offsetof(struct wire_header, ring_high), &used))
		return false;
	if (used > h->ring_count)
		used = h->ring_count;
	size_t size = used * sizeof(*w->rings);
	*count_ret = used;
	return tracee_read_some(w->t, w->where->data_base + h->rings_offset, w->rings, size) == size;
}

static int by_tid(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* Whose ring is which? To be read anew only when one was taken since, and after the hooks were switched
 * off hardly any is: it is the few threads that were on their way in. */
static bool find_seats(struct watch *w)
{
	uint32_t owners, count;
	if (!read_counter(w, offsetof(struct wire_header, ring_owners), &owners))
		return false;
	if (w->seats_known && owners == w->owners)
		return true;
	w->seats_known = read_rings(w, &count);
	w->owners = owners;
	w->seat_count = 0;
	for (uint32_t i = 0; w->seats_known && i < count; i++)
		if (atomic_load(&w->rings[i].state) == WIRE_RING_OWNED)
			w->seats[w->seat_count++] = (struct seat){ w->rings[i].tid, i };
	if (w->seat_count)
		qsort(w->seats, w->seat_count, sizeof(*w->seats), by_tid);
	return w->seats_known;
}

static bool says_inside(const struct watch *w, const struct seat *seat)
{
	struct wire_ring ring;
	uint64_t at = w->where->data_base + w->header.rings_offset + seat->ring * sizeof(ring);
	return tracee_read_some(w->t, at, &ring, sizeof(ring)) != sizeof(ring) || ring_active(&ring);
}

/* Does its ring say at this moment, when the thread does not run, that a hook has called somebody? One
 * without a ring calls nobody from inside. A dead thread of the same id may have left one, too. */
static bool ring_says_inside(struct watch *w, pid_t tid)
{
	if (!w->has_rings)
		return false;
	if (!find_seats(w))
		return true;
	uint32_t inner = (uint32_t)(w->same_namespace ? tid :
				    proc_thread_inner_tid(tracee_pid(w->t), tid));
	size_t low = 0, high = w->seat_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (w->seats[middle].tid < inner)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < w->seat_count && w->seats[low].tid == inner; low++)
		if (says_inside(w, &w->seats[low]))
			return true;
	return false;
}

static bool any_hook_active(struct watch *w)
{
	uint32_t count;
	if (!w->has_rings)
		return false;
	if (!read_rings(w, &count))
		return true;
	for (uint32_t i = 0; i < count; i++)
		if (ring_active(&w->rings[i]))
			return true;
	return false;
}

/* A forked child has its parent's rings mapped; they say nothing of its own thread. */
static struct mt_error *find_rings(struct watch *w)
{
	struct proc_status status;
	struct wire_header *h = &w->header;
	struct mt_error *err = proc_status_read(tracee_pid(w->t), &status);
	if (err || !w->where->data_base)
		return err;
	w->same_namespace = status.ns_tgid == tracee_pid(w->t);
	if (tracee_read_some(w->t, w->where->data_base, h, sizeof(*h)) != sizeof(*h) ||
	    h->magic != WIRE_MAGIC || h->version != WIRE_VERSION || h->target_pid != status.ns_tgid ||
	    h->rings_offset > w->where->data_size ||
	    h->ring_count > (w->where->data_size - h->rings_offset) / sizeof(*w->rings))
		return NULL;
	w->rings = calloc(h->ring_count, sizeof(*w->rings));
	w->seats = calloc(h->ring_count, sizeof(*w->seats));
	w->has_rings = w->rings && w->seats;
	return w->has_rings ? NULL : &mt_enomem;
}

/* ---- one thread ---- */

/* Proven without a stop? */
static bool asleep_outside(struct watch *w, pid_t tid)
{
	pid_t pid = tracee_pid(w->t);
	uint64_t seen, now;
	char state;
	struct proc_thread th;
	auto_error struct mt_error *gone = proc_thread_switches(pid, tid, &state, &seen);
	if (gone || (state != 'S' && state != 'D'))
		return false;
	auto_error struct mt_error *err = tracee_look_thread(w->t, tid, &th);
	if (err || !th.pc || is_inside(w->where, th.pc) || on_our_stack(w->where, th.sp))
		return false;
	if (ring_says_inside(w, tid))
		return false;
	uint64_t from = th.sp & ~7ull;
	const struct proc_map *m = proc_maps_find(&w->maps, from);
	if (!m || m->end - from > (strcmp(m->path, "[stack]") ? ASLEEP_MAX : OWN_MAX))
		return false;
	size_t want = (size_t)(m->end - from) / 8;
	if (copy_stack(w, from, m->end) != want || hook_below(w, w->words, want) ||
	    hook_below_handlers(w, from, want))
		return false;
	/* Asleep now, and never switched away from since: it did not run while we looked. */
	gone = proc_thread_switches(pid, tid, &state, &now);
	return !gone && now == seen && (state == 'S' || state == 'D');
}

static bool stopped_outside(struct watch *w, struct tracee_thread *thread)
{
	struct user_regs_struct regs;
	auto_error struct mt_error *err = tracee_regs(w->t, thread, &regs);
	uint64_t base = (regs.rsp - STACK_RED_ZONE) & ~7ull;
	size_t count = err ? 0 : copy_stack(w, base, stack_end(&w->maps, &regs, OWN_MAX));
	bool inside = ring_says_inside(w, thread->tid);
	tracee_release_thread(w->t, thread);
	if (err)
		return err->code == MT_ERROR_GONE;
	if (inside || is_inside(w->where, regs.rip) || on_our_stack(w->where, regs.rsp) ||
	    count <= STACK_RED_ZONE / 8)
		return false;
	/* Return addresses lie above the stack pointer; the red zone holds none. */
	size_t red = STACK_RED_ZONE / 8;
	if (hook_below(w, w->words + red, count - red) &&
	    !unwinds_outside(w, &regs, base, count))
		return false;
	return !hook_below_handlers(w, base, count);
}

static struct mt_error *look_at(struct watch *w, pid_t tid, bool *outside_ret)
{
	struct proc_thread th;
	struct tracee_thread *thread;
	*outside_ret = true;
	struct mt_error *err = proc_thread_read(tracee_pid(w->t), tid, &th);
	/* A dead leader and a worker of the kernel run no code of the program. */
	if (!err && (th.kernel_worker || th.state == 'Z' || th.state == 'X'))
		return NULL;
	if (!err && asleep_outside(w, tid))
		return NULL;
	if (!err)
		err = tracee_stop_thread(w->t, tid, &thread);
	if (!err) {
		*outside_ret = stopped_outside(w, thread);
		return NULL;
	}
	/* A thread that is gone is outside. */
	*outside_ret = err->code == MT_ERROR_GONE;
	if (err->code != MT_ERROR_BUSY && (err->code != MT_ERROR_GONE || !tracee_alive(w->t)))
		return err;
	mt_error_destroy(err);
	return NULL;
}

/* ---- all of them ---- */

/* *left_ret: threads of which nothing is known yet; *found_ret: any that were not known before. */
static struct mt_error *look_at_all(struct watch *w, size_t *left_ret, bool *found_ret)
{
	struct proc_tids tids = { 0 };
	pid_t helper;
	struct mt_error *err = tracee_quiet_begin(w->t, &helper);
	if (!err)
		err = proc_tids_read(tracee_pid(w->t), &tids);
	*left_ret = 0;
	*found_ret = false;
	if (!err && helper && !mt_map_put(&w->proven, (uint64_t)helper, 1))
		err = &mt_enomem;
	for (size_t i = 0; !err && i < tids.tids.len; i++) {
		pid_t tid = tids.tids.items[i];
		bool outside;
		if (mt_map_get(&w->proven, (uint64_t)tid))
			continue;
		*found_ret = true;
		err = look_at(w, tid, &outside);
		if (err)
			break;
		*left_ret += !outside;
		if (outside && !mt_map_put(&w->proven, (uint64_t)tid, 1))
			err = &mt_enomem;
	}
	tracee_quiet_end(w->t);
	proc_tids_deinit(&tids);
	return err;
}

static struct mt_error *wait_rounds(struct watch *w, uint64_t deadline_ms, bool *outside_ret)
{
	uint64_t begun = mt_now_ms(), patience = deadline_ms > begun ? deadline_ms - begun : 0;
	for (long pause = PAUSE_MIN_NS;; pause = pause * 3 / 2) {
		size_t left, known = w->proven.len;
		bool found;
		/* Of another program nothing can be proven: its threads have no rings that could be read. */
		struct mt_error *err = w->has_rings ?
			channel_check(w->t, w->where->data_base, &w->header) : NULL;
		if (!err)
			err = look_at_all(w, &left, &found);
		if (err)
			return err;
		/* It is the thread that stays inside which is not waited for longer: thousands of others,
		 * on a machine that they keep busy, take their time. */
		uint64_t now = mt_now_ms();
		if (w->proven.len > known && now < begun + PATIENCE_MAX * patience)
			deadline_ms = now + patience;
		/* The kernel's list is no snapshot: a round that finds nobody new ends it. */
		*outside_ret = !found && !any_hook_active(w);
		if (*outside_ret || mt_now_ms() >= deadline_ms)
			return NULL;
		if (found && !left)
			continue;
		if (pause > PAUSE_MAX_NS)
			pause = PAUSE_MAX_NS;
		nanosleep(&(struct timespec){ 0, pause }, NULL);
	}
}

struct mt_error *outside_wait(struct tracee *t, const struct images *images,
			      const struct outside *where, uint64_t deadline_ms, bool *outside_ret)
{
	struct watch *w = calloc(1, sizeof(*w));
	if (!w)
		return &mt_enomem;
	w->t = t;
	w->images = images;
	w->where = where;
	struct mt_error *err = proc_maps_read(tracee_pid(t), &w->maps);
	if (!err)
		err = find_rings(w);
	if (!err)
		err = wait_rounds(w, deadline_ms, outside_ret);
	proc_maps_deinit(&w->maps);
	mt_map_deinit(&w->proven);
	backtrace_destroy(w->backtrace);
	free(w->words);
	free(w->rings);
	free(w->seats);
	free(w);
	return err;
}
