/* SPDX-License-Identifier: Apache-2.0 */
/* inject/removal.c - takes everything of memtrace out of a process.
 * Knows: what is left in the target's memory. Does not know: who put it there, captures.
 * Called by cmds/ and injection.c; calls attach/. */
#include "inject/removal.h"

#include "attach/linkmap.h"
#include "attach/loader_lock.h"
#include "base/clock.h"
#include "inject/channel.h"
#include "inject/loader.h"
#include "inject/outside.h"
#include "inject/slots.h"
#include "inject/thunk.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#define STOP_TIMEOUT_MS 300
/* Slots put back by one call: as many as there is room for on the stack that it runs on. */
#define RESTORE_MAX 4096u
#define RESTORE_MIN 8u

/* ---- what is there ---- */

static void note_map(const struct proc_map *m, struct residue *r)
{
	if (strstr(m->path, "/memfd:" WIRE_MEMFD_DATA)) {
		if (!r->data)
			r->data_base = m->start;
		r->data = true;
		r->data_size = m->end - r->data_base;
	} else if (strstr(m->path, "/memfd:" WIRE_MEMFD_FAMILY)) {
		r->family = true;
		r->family_base = m->start;
	} else if (strstr(m->path, WIRE_MEMFD_TRACER)) {
		if (!r->tracer)
			r->tracer_start = m->start;
		r->tracer = true;
		r->tracer_end = m->end;
	}
}

/* The target's descriptors, or NULL. */
static DIR *open_fds(const struct tracee *t)
{
	char dir[64];
	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)proc_living(tracee_pid(t)));
	return opendir(dir);
}

/* The next memory file of ours that is open in the target, -1: no more. */
static int next_left_fd(DIR *d)
{
	for (struct dirent *e; (e = readdir(d));) {
		char link[128];
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (!strncmp(link, "/memfd:memtrace-", 16))
			return atoi(e->d_name);
	}
	return -1;
}

static unsigned count_left_fds(const struct tracee *t)
{
	auto_closedir DIR *d = open_fds(t);
	unsigned count = 0;
	while (d && next_left_fd(d) >= 0)
		count++;
	return count;
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

static struct mt_error *residue_in_maps(struct tracee *t, const struct proc_maps *maps,
					struct thunks *thunks_ret, struct residue *ret)
{
	struct residue r = { 0 };
	for (size_t i = 0; i < maps->maps.len; i++)
		note_map(&maps->maps.items[i], &r);
	struct mt_error *err = thunks_find(t, maps, thunks_ret);
	if (err)
		return err;
	r.fds = count_left_fds(t);
	r.thunk = thunks_ret->page != 0;
	r.thunk_page = thunks_ret->page;
	r.thunk_armed = thunks_ret->page && thunks_ret->content.armed;
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

struct mt_error *residue_read(struct tracee *t, struct residue *ret)
{
	struct proc_maps maps = { 0 };
	struct thunks thunks;
	struct mt_error *err = proc_maps_read(tracee_pid(t), &maps);
	if (!err)
		err = residue_in_maps(t, &maps, &thunks, ret);
	proc_maps_deinit(&maps);
	return err;
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
	MT_ARRAY(struct wire_restore_slot) slots;	/* to be put back */
};

static void removal_deinit(struct removal *r)
{
	free(r->patches);
	mt_array_deinit(&r->slots);
	images_deinit(&r->images);
}

static bool is_listed(const struct removal *r, uint64_t slot, uint64_t value)
{
	for (size_t i = 0; i < r->slots.len; i++)
		if (r->slots.items[i].slot == slot && r->slots.items[i].from == value)
			return true;
	return false;
}

/* A library that is gone took its slots along; what holds something else by now stays. */
static struct mt_error *note_patch(struct removal *r, const struct wire_patch *p)
{
	uint64_t value;
	if (!images_find(&r->images, p->slot) ||
	    tracee_read_some(r->t, p->slot, &value, sizeof(value)) != sizeof(value) ||
	    value != p->new_value || is_listed(r, p->slot, value))
		return NULL;
	struct wire_restore_slot slot = { .slot = p->slot, .from = p->new_value, .to = p->old_value,
					  .protection = p->protection };
	return mt_array_push(&r->slots, slot) ? NULL : &mt_enomem;
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
	const struct proc_map *map = thunk < 0 ? NULL : proc_maps_find(&r->images.maps, address);
	if (!map || is_listed(r, address, value))
		return NULL;
	struct wire_restore_slot slot = { .slot = address, .from = value,
					  .to = r->thunks.content.target[thunk].original,
					  .protection = (uint32_t)map->prot };
	return mt_array_push(&r->slots, slot) ? NULL : &mt_enomem;
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

/* Which slots hold a thunk now? After the hooks were switched off: a thread that was applying
 * patches in that moment must be done with it. */
static struct mt_error *find_slots(struct removal *r)
{
	struct mt_error *err = r->there.data ? read_patches(r) : NULL;
	for (uint32_t i = 0; i < r->patch_count && !err; i++)
		err = note_patch(r, &r->patches[i]);
	if (!err && r->thunks.page)
		err = slots_each(r->t, &r->images, note_slot, r);
	return err;
}

static struct mt_error *removal_look(struct tracee *t, struct removal *r)
{
	*r = (struct removal){ .t = t };
	struct mt_error *err = images_read(t, &r->images);
	if (!err)
		err = residue_in_maps(t, &r->images.maps, &r->thunks, &r->there);
	if (!err && r->there.data)
		err = read_header(t, r->there.data_base, &r->header);
	if (err)
		removal_deinit(r);
	return err;
}

/* Two words, written while everybody runs: the mode, at which hooks pass through, and the switch of
 * the thunks, past which nobody comes into the tracer any more. */
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

/* ---- on a borrowed thread ---- */

static struct mt_error *tracer_symbol(struct removal *r, const char *name, uint64_t *address_ret)
{
	struct image *img = images_find(&r->images, r->there.tracer_start);
	struct image_symbol sym;
	if (!img || !image_find_symbol(r->t, img, name, &sym))
		return mt_error_create(MT_ERROR_OTHER, "the tracer in the target cannot be identified");
	*address_ret = sym.address;
	return NULL;
}

/* Room for dlclose and for lists; the thread's own stack may be small. And one stop a call. */
static void set_up(struct removal *r, struct borrow *b)
{
	if (r->thunks.page)
		borrow_set_end(b, r->thunks.page + WIRE_THUNK_END);
	if (r->header.call_stack_size)
		borrow_set_stack(b, r->there.data_base + r->header.call_stack_offset,
				 r->header.call_stack_size);
}

/* The list goes onto the stack in use; *count is halved until it fits. */
static struct mt_error *put_list(struct borrow *b, const struct wire_restore_slot *slots,
				 size_t *count, uint64_t *address_ret)
{
	for (;; *count /= 2) {
		size_t size = sizeof(struct wire_restore) + *count * sizeof(*slots);
		auto_free struct wire_restore *list = calloc(1, size);
		if (!list)
			return &mt_enomem;
		list->count = *count;
		memcpy(list->slots, slots, *count * sizeof(*slots));
		struct mt_error *err = borrow_scratch(b, list, size, address_ret);
		if (!err || err->code == MT_ERROR_GONE || *count <= RESTORE_MIN)
			return err;
		mt_error_destroy(err);
	}
}

/* The tracer does it, compare and swap, while everybody runs. It is called through dl_iterate_phdr
 * where there is one: the loader's lock keeps any library, with its slots, from being unmapped in
 * between and something else from taking its place. */
static struct mt_error *restore_slots(struct removal *r, struct borrow *b)
{
	uint64_t restore, iterate = 0, rc;
	if (!r->slots.len)
		return NULL;
	struct mt_error *err = tracer_symbol(r, WIRE_SYMBOL_RESTORE, &restore);
	if (err)
		return err;
	mt_error_destroy(loader_find_dl(r->t, &r->images, "dl_iterate_phdr", &iterate));
	for (size_t at = 0, count; at < r->slots.len && !err; at += count) {
		uint64_t list;
		count = r->slots.len - at < RESTORE_MAX ? r->slots.len - at : RESTORE_MAX;
		err = put_list(b, r->slots.items + at, &count, &list);
		if (err)
			break;
		uint64_t args[3] = { restore, list };
		if (!iterate)
			args[0] = 0, args[1] = 0, args[2] = list;
		err = borrow_call(b, iterate ? iterate : restore, args, 3, LOADER_CALL_TIMEOUT_MS, &rc);
	}
	return err;
}

/* Without a tracer there is nobody inside and nobody to ask: the slots of an earlier capture that
 * were not put back then. All threads stand still, for a write is no compare and swap. */
static struct mt_error *restore_without_tracer(struct removal *r)
{
	if (!r->slots.len)
		return NULL;
	struct mt_error *err = tracee_stop_all(r->t, STOP_TIMEOUT_MS);
	if (err)
		return err;
	for (size_t i = 0; i < r->slots.len && !err; i++) {
		const struct wire_restore_slot *s = &r->slots.items[i];
		uint64_t value;
		if (tracee_read_some(r->t, s->slot, &value, sizeof(value)) == sizeof(value) &&
		    value == s->from)
			err = tracee_write(r->t, s->slot, &s->to, sizeof(s->to));
	}
	tracee_release_all(r->t);
	return err;
}

/* 0: the loader does not know it, it was mapped. */
static struct mt_error *tracer_handle(struct removal *r, const struct image *img, uint64_t *ret)
{
	struct linkmap map = { 0 };
	struct mt_error *err = linkmap_read(r->t, &r->images, &map);
	if (err)
		return err;
	const struct linkmap_entry *entry = img ? linkmap_find(&map, img) : NULL;
	*ret = entry ? entry->address : r->header.tracer_handle;
	linkmap_deinit(&map);
	return NULL;
}

/* One that is no image was being mapped when its maker died: no code of it ever ran. */
static struct mt_error *unmap_tracer(struct removal *r, struct borrow *b, const struct image *img)
{
	uint64_t start = img ? img->start : r->there.tracer_start;
	uint64_t end = img ? img->end : r->there.tracer_end;
	int64_t rc;
	return borrow_syscall(b, SYS_munmap, (uint64_t[6]){ start, end - start }, &rc);
}

static struct mt_error *close_tracer(struct removal *r, struct borrow *b, uint64_t handle)
{
	uint64_t dlclose_address, rc;
	struct mt_error *err = loader_find_dl(r->t, &r->images, "dlclose", &dlclose_address);
	return err ? err : borrow_call(b, dlclose_address, &handle, 1, LOADER_CALL_TIMEOUT_MS, &rc);
}

/* Its maker died before it was whole: no code of it ever ran, and none may run now, for segments may
 * still be missing. In a forked child, which has no data, it may have. */
static bool never_started(const struct removal *r)
{
	return r->header.magic && !r->header.tracer_base;
}

static struct mt_error *unload_tracer(struct removal *r, struct borrow *b)
{
	uint64_t handle = 0, stop = 0, rc;
	const struct image *img = images_find(&r->images, r->there.tracer_start);
	bool runs = img && !never_started(r);
	struct mt_error *err = tracer_handle(r, img, &handle);
	if (!err && runs)
		err = tracer_symbol(r, WIRE_SYMBOL_STOP, &stop);
	if (!err && runs)
		err = borrow_call(b, stop, NULL, 0, LOADER_CALL_TIMEOUT_MS, &rc);
	if (err)
		return err;
	return handle ? close_tracer(r, b, handle) : unmap_tracer(r, b, img);
}

static struct mt_error *close_left_fds(struct removal *r, struct borrow *b)
{
	auto_closedir DIR *d = open_fds(r->t);
	for (int fd; d && (fd = next_left_fd(d)) >= 0;) {
		struct mt_error *err = channel_close_fd(b, fd);
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *unload(struct removal *r, struct borrow *b)
{
	struct mt_error *err = NULL;
	int64_t rc;
	if (r->there.tracer)
		err = unload_tracer(r, b);
	borrow_set_stack(b, 0, 0);
	if (!err)
		err = close_left_fds(r, b);
	if (!err && r->there.family)
		err = borrow_syscall(b, SYS_munmap,
				     (uint64_t[6]){ r->there.family_base, WIRE_FAMILY_SIZE }, &rc);
	if (!err && r->there.data)
		err = borrow_syscall(b, SYS_munmap,
				     (uint64_t[6]){ r->there.data_base, r->there.data_size }, &rc);
	return err;
}

/* ---- the steps ---- */

/* dlclose would wait for another thread that loads or unloads something, and the thread that was borrowed
 * with it. */
static bool loader_is_free(struct removal *r, uint64_t deadline)
{
	uint64_t handle = 0, now = mt_now_ms();
	const struct image *img = images_find(&r->images, r->there.tracer_start);
	if (!r->there.tracer)
		return true;
	auto_error struct mt_error *unknown = tracer_handle(r, img, &handle);
	return unknown || !handle || loader_lock_wait(r->t, &r->images, deadline > now ? (int)(deadline - now) : 0);
}

/* Also where there is no tracer, not yet or no more: a thread that was lost in a call of ours, by a
 * memtrace that was killed or that did not wait for its end, is on the stack in our data until it has
 * restored itself. */
static struct mt_error *wait_outside(struct removal *r, uint64_t deadline, bool *outside_ret)
{
	const struct residue *there = &r->there;
	struct outside where = { there->tracer_start, there->tracer_end, there->thunk_page,
				 there->data_base, there->data_size };
	*outside_ret = true;
	return there->tracer || there->data ?
	       outside_wait(r->t, &r->images, &where, deadline, outside_ret) : NULL;
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

/* What is not done now is done by a later detach. */
static struct mt_error *disarmed(enum removal_result *ret, char **why_ret, const char *why)
{
	*ret = REMOVAL_DISARMED;
	free(*why_ret);
	*why_ret = strdup(why);
	return *why_ret ? NULL : &mt_enomem;
}

/* A thread is held for one step only, so that none misses more than it must. */
static struct mt_error *on_borrowed(struct removal *r, uint64_t deadline,
				    struct mt_error *(*step)(struct removal *, struct borrow *))
{
	uint64_t now = mt_now_ms();
	struct borrow *b = NULL;
	struct mt_error *err = borrow_acquire(r->t, deadline > now + 500 ? (int)(deadline - now) : 500, &b);
	if (!err && r->there.data)	/* since we looked nobody was held */
		err = channel_check(r->t, r->there.data_base, &r->header);
	if (!err) {
		set_up(r, b);
		err = step(r, b);
	}
	borrow_release(b, false);
	return err;
}

static struct mt_error *removal_steps(struct removal *r, int deadline_ms, enum removal_result *ret,
				      char **why_ret)
{
	uint64_t deadline = mt_now_ms() + (uint64_t)deadline_ms;
	bool outside = false;
	struct mt_error *err = wait_outside(r, deadline, &outside);
	if (!err)
		err = find_slots(r);
	if (!err && !r->there.tracer)
		err = restore_without_tracer(r);
	if (err || residue_clean(&r->there)) {
		*ret = REMOVAL_DONE;
		return err;
	}
	if (r->slots.len)
		err = on_borrowed(r, deadline, restore_slots);
	if (!err && outside && !loader_is_free(r, deadline))
		return disarmed(ret, why_ret, "another thread is loading or unloading a library");
	if (!err && outside)
		err = on_borrowed(r, deadline, unload);
	if (err && err->code == MT_ERROR_BUSY) {
		auto_error struct mt_error *busy = err;
		return disarmed(ret, why_ret, busy->message);
	}
	if (err)
		return err;
	if (!outside)
		return disarmed(ret, why_ret, tracee_cooperates(r->t) ?
				"a thread that never sleeps could not be looked at" :
				"a thread stays inside an allocation call or a dlopen");
	return verify_gone(r->t, ret, why_ret);
}

/* A process that cooperates may be busy with its own work first; nothing is recorded meanwhile. */
static struct mt_error *wait_for_helper(struct tracee *t)
{
	pid_t helper;
	struct mt_error *err = tracee_quiet_begin(t, &helper);
	tracee_quiet_end(t);
	return err;
}

struct mt_error *removal_run(struct tracee *t, int deadline_ms, enum removal_result *ret,
			     char **why_ret)
{
	struct removal r;
	*why_ret = NULL;
	struct mt_error *err = removal_look(t, &r);
	if (err)
		return err;
	err = disarm(&r);
	if (!err)
		err = wait_for_helper(t);
	if (!err)
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
		err = find_slots(&r);
	if (!err && r.there.tracer) {
		set_up(&r, b);
		err = restore_slots(&r, b);
	}
	/* Armed for a moment: somebody may be inside. Then it stays disarmed for a later detach. */
	if (!err && !atomic_load(&r.header.patches_applied))
		err = unload(&r, b);
	removal_deinit(&r);
	return err;
}
