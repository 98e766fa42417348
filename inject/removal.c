/* SPDX-License-Identifier: Apache-2.0 */
/* inject/removal.c - takes everything of memtrace out of a process.
 * Knows: what is left in the target's memory. Does not know: who put it there, captures.
 * Called by cmds/ and injection.c; calls attach/. */
#include "inject/removal.h"

#include "attach/backtrace.h"
#include "attach/linkmap.h"
#include "inject/injection.h"
#include "inject/slots.h"
#include "inject/thunk.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define CALL_TIMEOUT_MS 30000	/* the thread may be starved, and waiting harms nobody */
#define STOP_TIMEOUT_MS 300
#define SCAN_BYTES (64u << 10)	/* of each stack, for return addresses into the tracer */
#define RETRY_NS 5000000l

/* ---- what is there ---- */

static void note_map(const struct proc_map *m, struct residue *r)
{
	if (strstr(m->path, "/memfd:" WIRE_MEMFD_DATA)) {
		if (!r->data)
			r->data_base = m->start;
		r->data = true;
		r->data_size = m->end - r->data_base;
	} else if (strstr(m->path, WIRE_MEMFD_TRACER)) {
		if (!r->tracer)
			r->tracer_start = m->start;
		r->tracer = true;
		r->tracer_end = m->end;
	}
}

/* A pid alone may have been reused: the start time tells. */
static bool controller_runs(const struct wire_header *h)
{
	struct proc_status status;
	auto_error struct mt_error *err = proc_status_read(h->controller_pid, &status);
	return !err && status.start_time == h->controller_start && status.state != 'Z';
}

static bool is_armed(const struct wire_header *h)
{
	uint32_t mode = atomic_load(&h->mode);
	return mode && !(mode & WIRE_OWNER_DIED);
}

static struct mt_error *read_header(struct tracee *t, uint64_t base, struct wire_header *ret)
{
	struct mt_error *err = tracee_read(t, base, ret, sizeof(*ret));
	/* Mapped but not laid out: its maker was killed in between, and nothing uses it. */
	if (!err && !ret->magic) {
		memset(ret, 0, sizeof(*ret));
		return NULL;
	}
	if (!err && (ret->magic != WIRE_MAGIC || ret->version != WIRE_VERSION))
		err = mt_error_hint(mt_error_create(MT_ERROR_OTHER,
					"another version of memtrace is in process %d", tracee_pid(t)),
				    "use that version's `memtrace detach`");
	return err;
}

struct mt_error *residue_read(struct tracee *t, struct residue *ret)
{
	struct residue r = { 0 };
	struct proc_maps maps = { 0 };
	struct thunks thunks;
	struct mt_error *err = proc_maps_read(tracee_pid(t), &maps);
	if (err)
		return err;
	for (size_t i = 0; i < maps.maps.len; i++)
		note_map(&maps.maps.items[i], &r);
	err = thunks_find(t, &maps, &thunks);
	proc_maps_deinit(&maps);
	if (err)
		return err;
	r.thunk = thunks.page != 0;
	r.thunk_page = thunks.page;
	r.thunk_armed = thunks.page && thunks.content.armed;
	struct wire_header header;
	if (r.data && tracee_read_some(t, r.data_base, &header, sizeof(header)) == sizeof(header) &&
	    header.magic == WIRE_MAGIC) {
		r.controller_pid = header.controller_pid;
		r.controller_runs = controller_runs(&header);
		r.controller_alive = r.controller_runs && is_armed(&header);
		r.slots = atomic_load(&header.patches_applied);
	}
	*ret = r;
	return NULL;
}

/* ---- removal ---- */

struct removal {
	struct tracee *t;
	struct residue there;
	struct wire_header header;	/* a copy; magic 0: no data in this process */
	struct thunks thunks;
	struct images images;
	struct wire_patch *patches;	/* a copy */
	uint32_t patch_count;
	MT_ARRAY(struct wire_patch) found;	/* slots that hold a thunk and are on no list */
	struct backtrace *backtrace;	/* over images; made when first needed */
};

static void removal_deinit(struct removal *r)
{
	free(r->patches);
	mt_array_deinit(&r->found);
	backtrace_destroy(r->backtrace);
	images_deinit(&r->images);
}

static bool is_listed(const struct removal *r, uint64_t slot, uint64_t value)
{
	for (uint32_t i = 0; i < r->patch_count; i++)
		if (r->patches[i].slot == slot && r->patches[i].new_value == value)
			return true;
	return false;
}

/* A child of a fork has no patch list. The thunk page says what each thunk stands for. */
static struct mt_error *note_slot(uint64_t address, enum wire_function function, void *arg)
{
	(void)function;
	struct removal *r = arg;
	uint64_t value;
	if (tracee_read_some(r->t, address, &value, sizeof(value)) != sizeof(value))
		return NULL;
	int thunk = thunks_index(&r->thunks, value);
	if (thunk < 0 || is_listed(r, address, value))
		return NULL;
	struct wire_patch p = { .slot = address, .new_value = value,
				.old_value = r->thunks.content.target[thunk].original };
	return mt_array_push(&r->found, p) ? NULL : &mt_enomem;
}

static struct mt_error *read_patches(struct removal *r)
{
	uint32_t count = atomic_load(&r->header.patches_wanted);
	if (count > r->header.patch_capacity)
		return mt_error_create(MT_ERROR_CORRUPT, "the patch list in the target is damaged");
	r->patches = calloc(count ? count : 1, sizeof(*r->patches));
	if (!r->patches)
		return &mt_enomem;
	r->patch_count = count;
	if (!count)
		return NULL;
	return tracee_read(r->t, r->there.data_base + r->header.patches_offset, r->patches,
			   count * sizeof(*r->patches));
}

static struct mt_error *removal_look(struct tracee *t, struct removal *r)
{
	*r = (struct removal){ .t = t };
	struct proc_maps maps = { 0 };
	struct mt_error *err = residue_read(t, &r->there);
	if (!err && r->there.data)
		err = read_header(t, r->there.data_base, &r->header);
	if (!err)
		err = proc_maps_read(tracee_pid(t), &maps);
	if (!err)
		err = thunks_find(t, &maps, &r->thunks);
	proc_maps_deinit(&maps);
	if (!err)
		err = images_read(t, &r->images);
	if (!err && r->there.data)
		err = read_patches(r);
	if (!err && r->thunks.page)
		err = slots_each(t, &r->images, note_slot, r);
	if (err)
		removal_deinit(r);
	return err;
}

/* Is the data of this very process, not seen through a fork that kept it? */
static struct mt_error *disarm(struct removal *r)
{
	uint32_t zero = 0;
	struct mt_error *err = NULL;
	if (r->there.data)
		err = tracee_write(r->t, r->there.data_base + offsetof(struct wire_header, mode), &zero,
				   sizeof(zero));
	if (!err && r->thunks.page)
		err = thunks_arm(r->t, &r->thunks, false);
	return err;
}

static struct mt_error *restore_slot(struct removal *r, const struct wire_patch *p)
{
	uint64_t value;
	/* A library that is gone took its slots along. */
	if (!images_find(&r->images, p->slot) ||
	    tracee_read_some(r->t, p->slot, &value, sizeof(value)) != sizeof(value) ||
	    value != p->new_value)
		return NULL;
	return tracee_write(r->t, p->slot, &p->old_value, sizeof(p->old_value));
}

static struct mt_error *restore_slots(struct removal *r)
{
	struct mt_error *err = NULL;
	for (uint32_t i = 0; i < r->patch_count && !err; i++)
		err = restore_slot(r, &r->patches[i]);
	for (size_t i = 0; i < r->found.len && !err; i++)
		err = restore_slot(r, &r->found.items[i]);
	return err;
}

/* ---- is anybody inside? ---- */

static bool any_hook_active(const struct removal *r)
{
	struct wire_header h;
	if (tracee_read_some(r->t, r->there.data_base, &h, sizeof(h)) != sizeof(h))
		return true;
	/* Rings never handed out are holes in the file; reading them would fill them. */
	uint32_t used = atomic_load(&h.ring_high);
	if (used > h.ring_count)
		used = h.ring_count;
	for (uint32_t i = 0; i < used; i++) {
		struct wire_ring ring;
		if (tracee_read_some(r->t, r->there.data_base + h.rings_offset + i * sizeof(ring), &ring,
				     sizeof(ring)) != sizeof(ring))
			return true;
		if (atomic_load(&ring.state) == WIRE_RING_OWNED && atomic_load(&ring.in_hook))
			return true;
	}
	return false;
}

static bool in_our_code(const struct removal *r, uint64_t address)
{
	return (address >= r->there.tracer_start && address < r->there.tracer_end) ||
	       (r->thunks.page && address - r->thunks.page < 4096);
}

/* A word that looks like a return address into the tracer is often one of an earlier call, in a part
 * of a live frame that nobody wrote since. A stack that unwinds to its very start tells. */
static bool unwinds_around_us(struct removal *r, const struct user_regs_struct *regs)
{
	static struct backtrace_frame frames[256];
	enum backtrace_end end;
	if (!r->backtrace) {
		auto_error struct mt_error *err = backtrace_create(r->t, &r->images, &r->backtrace);
		if (err)
			return false;
	}
	size_t n = backtrace_walk(r->backtrace, regs, frames, 256, &end);
	for (size_t i = 0; i < n; i++)
		if (in_our_code(r, frames[i].pc))
			return false;
	return end == BACKTRACE_START;
}

static bool thread_inside(struct removal *r, struct tracee_thread *thread)
{
	static uint64_t stack[SCAN_BYTES / 8];
	struct user_regs_struct regs;
	auto_error struct mt_error *err = tracee_regs(r->t, thread, &regs);
	if (err)
		return err->code != MT_ERROR_GONE;
	if (in_our_code(r, regs.rip))
		return true;
	/* On the call stack: on its way out of a call whose controller died. It needs the stack to
	 * get back, so nobody else may use it and it may not be unmapped. */
	if (r->there.data && regs.rsp >= r->there.data_base &&
	    regs.rsp - r->there.data_base <= r->there.data_size)
		return true;
	/* Return addresses lie above the stack pointer; the red zone holds none. */
	size_t n = tracee_read_some(r->t, regs.rsp & ~7ull, stack, sizeof(stack)) / 8;
	for (size_t i = 0; i < n; i++)
		if (stack[i] >= r->there.tracer_start && stack[i] < r->there.tracer_end)
			return !unwinds_around_us(r, &regs);
	return false;
}

static bool anyone_inside(struct removal *r)
{
	if (!r->there.tracer)
		return false;
	if (r->there.data && any_hook_active(r))
		return true;
	size_t count;
	struct tracee_thread **threads = tracee_threads(r->t, &count);
	for (size_t i = 0; i < count; i++)
		if (thread_inside(r, threads[i]))
			return true;
	return false;
}

/* ---- unloading on a borrowed thread ---- */

static struct mt_error *tracer_handle(struct removal *r, uint64_t *ret)
{
	struct linkmap map = { 0 };
	const struct image *img = images_find(&r->images, r->there.tracer_start);
	struct mt_error *err = linkmap_read(r->t, &r->images, &map);
	if (err)
		return err;
	const struct linkmap_entry *entry = img ? linkmap_find(&map, img) : NULL;
	*ret = entry ? entry->address : r->header.tracer_handle;
	linkmap_deinit(&map);
	return NULL;
}

static struct mt_error *unload_tracer(struct removal *r, struct borrow *b)
{
	uint64_t handle = 0, dlclose_address = 0, rc;
	struct image_symbol stop;
	struct image *img = images_find(&r->images, r->there.tracer_start);
	struct mt_error *err = tracer_handle(r, &handle);
	if (!err)
		err = injection_find_dl(r->t, &r->images, "dlclose", &dlclose_address);
	if (err)
		return err;
	if (!img || !handle || !image_find_symbol(r->t, img, WIRE_SYMBOL_STOP, &stop))
		return mt_error_create(MT_ERROR_OTHER, "the tracer in the target cannot be identified");
	err = borrow_call(b, stop.address, NULL, 0, CALL_TIMEOUT_MS, &rc);
	if (!err)
		err = borrow_call(b, dlclose_address, &handle, 1, CALL_TIMEOUT_MS, &rc);
	return err;
}

static struct mt_error *close_left_fds(struct removal *r, struct borrow *b)
{
	char dir[64];
	snprintf(dir, sizeof(dir), "/proc/%d/fd", tracee_pid(r->t));
	auto_closedir DIR *d = opendir(dir);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		char path[400], link[128];
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (strncmp(link, "/memfd:memtrace-", 16))
			continue;
		struct mt_error *err = channel_close_fd(b, atoi(e->d_name));
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *unload(struct removal *r, struct borrow *b)
{
	struct mt_error *err = NULL;
	int64_t rc;
	if (r->header.call_stack_size)	/* room for dlclose; the thread's own stack may be small */
		borrow_set_stack(b, r->there.data_base + r->header.call_stack_offset,
				 r->header.call_stack_size);
	if (r->there.tracer)
		err = unload_tracer(r, b);
	borrow_set_stack(b, 0, 0);
	if (!err)
		err = close_left_fds(r, b);
	if (!err && r->there.data)
		err = borrow_syscall(b, SYS_munmap,
				     (uint64_t[6]){ r->there.data_base, r->there.data_size }, &rc);
	return err;
}

/* One of the stopped threads at a safe point, the others let go; NULL: none is. */
static struct borrow *borrow_one_stopped(struct tracee *t)
{
	size_t count;
	struct tracee_thread **threads = tracee_threads(t, &count);
	for (size_t i = 0; i < count && i < 16; i++) {
		struct borrow *b = NULL;
		auto_error struct mt_error *err = borrow_thread(t, threads[i], false, &b);
		if (!err) {
			tracee_release_others(t, threads[i]);
			return b;
		}
	}
	return NULL;
}

/* One try to get to where nobody is inside, everything restored. True: so it is, and `b_ret` may
 * hold a thread. */
static struct mt_error *try_quiesce(struct removal *r, bool *quiet_ret, struct borrow **b_ret)
{
	struct mt_error *err = tracee_stop_all(r->t, STOP_TIMEOUT_MS);
	if (err)
		return err;
	err = disarm(r);
	if (!err)
		err = restore_slots(r);
	*quiet_ret = !err && !anyone_inside(r);
	*b_ret = *quiet_ret ? borrow_one_stopped(r->t) : NULL;
	if (!*b_ret)
		tracee_release_all(r->t);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

static struct mt_error *quiesce(struct removal *r, int64_t deadline, bool *quiet, struct borrow **b)
{
	for (;;) {
		struct mt_error *err = try_quiesce(r, quiet, b);
		if (err && err->code != MT_ERROR_BUSY)
			return err;
		mt_error_destroy(err);
		if (*quiet || now_ms() >= deadline)
			return NULL;
		nanosleep(&(struct timespec){ 0, RETRY_NS }, NULL);
	}
}

static struct mt_error *verify_gone(struct tracee *t, enum removal_result *ret, char **why_ret)
{
	struct residue left;
	struct mt_error *err = residue_read(t, &left);
	if (err)
		return err;
	*ret = residue_clean(&left) ? REMOVAL_DONE : REMOVAL_DISARMED;
	if (*ret == REMOVAL_DISARMED)
		*why_ret = strdup("the C library kept the tracer loaded");
	return NULL;
}

static struct mt_error *removal_steps(struct removal *r, int deadline_ms, enum removal_result *ret,
				      char **why_ret)
{
	int64_t deadline = now_ms() + deadline_ms;
	bool quiet = false;
	struct borrow *b = NULL;
	struct mt_error *err = quiesce(r, deadline, &quiet, &b);
	if (err)
		return err;
	if (!quiet) {
		*ret = REMOVAL_DISARMED;
		*why_ret = strdup("a thread stays inside an allocation call");
		return NULL;
	}
	if (!b) {
		int64_t left = deadline - now_ms();
		err = borrow_acquire(r->t, left > 500 ? (int)left : 500, &b);
		if (err && err->code == MT_ERROR_BUSY) {
			*ret = REMOVAL_DISARMED;
			*why_ret = strdup(err->message);
			mt_error_destroy(err);
			return NULL;
		}
		if (err)
			return err;
	}
	err = unload(r, b);
	borrow_release(b, false);
	return err ? err : verify_gone(r->t, ret, why_ret);
}

struct mt_error *removal_run(struct tracee *t, int deadline_ms, enum removal_result *ret,
			     char **why_ret)
{
	struct removal r;
	*why_ret = NULL;
	struct mt_error *err = removal_look(t, &r);
	if (err)
		return err;
	if (residue_clean(&r.there) && !r.found.len)
		*ret = REMOVAL_DONE;
	else
		err = removal_steps(&r, deadline_ms, ret, why_ret);
	removal_deinit(&r);
	return err;
}

struct mt_error *removal_undo(struct tracee *t, struct borrow *b)
{
	struct removal r;
	struct mt_error *err = removal_look(t, &r);
	if (err)
		return err;
	err = disarm(&r);
	if (!err)
		err = restore_slots(&r);
	/* Armed for a moment: somebody may be inside. Then it stays disarmed for a later detach. */
	if (!err && !atomic_load(&r.header.patches_applied))
		err = unload(&r, b);
	removal_deinit(&r);
	return err;
}
