/* SPDX-License-Identifier: Apache-2.0 */
/* inject/injection.c - puts the tracer into a tracee, starts it, keeps it up to date.
 * Knows: the order of the steps. Does not know: ptrace, ELF, what is recorded.
 * Called by cmds/; calls the rest of inject/ and attach/. */
#include "inject/injection.h"

#include "attach/cgroup.h"
#include "attach/loader_lock.h"
#include "attach/seccomp.h"
#include "inject/injection_python.h"
#include "inject/injection_slots.h"
#include "inject/loader.h"
#include "inject/removal.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- before anything is stopped ---- */

/* Who has the loader's lock for longer may have it for minutes: the tracer is mapped then. */
#define LOADER_LOCK_MS 300

/* What inject/tracer/ asks of the kernel on the target's own threads, with WIRE_OPT_NO_PROBE. And
 * the call by which a borrowed thread restores itself if this process dies. */
#define SOMEWHERE 0x7f1200000000ull
static const struct seccomp_call tracer_calls[] = {
	{ "gettid", SYS_gettid, true, { 0 } },
	{ "mmap", SYS_mmap, true, { 0, 65536, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull } },
	{ "madvise", SYS_madvise, true, { SOMEWHERE, 65536, MADV_WIPEONFORK } },
	{ "munmap", SYS_munmap, false, { SOMEWHERE, 65536 } },
	{ "mprotect", SYS_mprotect, true, { SOMEWHERE, 4096, PROT_READ | PROT_WRITE } },
	{ "mprotect", SYS_mprotect, true, { SOMEWHERE, 4096, PROT_READ } },
	{ "futex", SYS_futex, true, { SOMEWHERE, FUTEX_WAKE, 1 } },
	{ "futex", SYS_futex, true, { SOMEWHERE, FUTEX_WAIT, 0, SOMEWHERE } },
	{ "sched_yield", SYS_sched_yield, false, { 0 } },
	{ "brk", SYS_brk, false, { 0 } },
	{ "rt_sigreturn", SYS_rt_sigreturn, true, { 0 } },
};

static struct mt_error *check_filters(struct injection *in)
{
	struct seccomp_way ways[LOADER_WAYS];
	memcpy(ways, loader_ways, sizeof(ways));
	struct mt_error *err = seccomp_check(in->t, tracer_calls,
					     sizeof(tracer_calls) / sizeof(tracer_calls[0]), ways,
					     LOADER_WAYS, &in->filtered);
	/* To map it asks for less, also where not even that is allowed while nothing is suspended. */
	in->by_dlopen = !err && ways[LOADER_DLOPEN].harmless;
	return err;
}

/* What a capture can take in the target's memory group: the rings and caches of a thread as they
 * fill up; the tracer, its tables of code objects and the stack of our calls. The unwind tables are
 * written here and count here. */
#define ROOM_THREAD (384ull << 10)
#define ROOM_ONCE (3ull << 20)
/* Where memtrace is in the target's group itself: its own memory and those tables. */
#define ROOM_CONTROLLER (48ull << 20)

/* The kernel would not refuse memory beyond a group's limit, it would kill: the target, most likely,
 * as the largest. */
static struct mt_error *check_room(struct tracee *t)
{
	struct proc_status status;
	struct mt_error *err = proc_status_read(tracee_pid(t), &status);
	if (err)
		return err;
	uint64_t room = cgroup_room(tracee_pid(t));
	uint64_t need = ROOM_ONCE + (uint64_t)status.threads * ROOM_THREAD;
	if (cgroup_same(tracee_pid(t), getpid()))
		need += ROOM_CONTROLLER;
	if (room >= need)
		return NULL;
	return mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
		"the memory limit of process %d's control group leaves %llu KiB, and tracing its %d "
		"threads can take %llu KiB", (int)tracee_pid(t), (unsigned long long)(room >> 10),
		status.threads, (unsigned long long)(need >> 10)),
		"raise the limit by %llu KiB; beyond it the kernel would kill the process",
		(unsigned long long)((need - room + 1023) >> 10));
}

static unsigned long count_descriptors(pid_t pid)
{
	char path[32];
	unsigned long count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)proc_living(pid));
	auto_closedir DIR *d = opendir(path);
	while (d && readdir(d))
		count++;
	return count;
}

static struct mt_error *read_facts(struct injection *in, const struct proc_maps *maps)
{
	struct proc_status self, status;
	struct mt_error *err = proc_status_read(getpid(), &self);
	if (!err)
		err = proc_status_read(tracee_pid(in->t), &status);
	if (err)
		return err;
	in->facts.controller_start = self.start_time;
	in->facts.target_pid = status.ns_tgid;
	in->facts.descriptors = count_descriptors(tracee_pid(in->t));
	for (size_t i = 0; i < maps->maps.len; i++)
		if (!strcmp(maps->maps.items[i].path, "[stack]"))
			in->facts.main_stack_end = maps->maps.items[i].end;
	return thunks_find(in->t, maps, &in->thunks);
}

static struct mt_error *prepare_parts(struct injection *in)
{
	struct mt_error *err = check_room(in->t);
	if (!err)
		err = check_filters(in);
	if (!err)
		err = images_read(in->t, &in->images);
	if (!err && in->by_dlopen)
		in->by_dlopen = loader_lock_wait(in->t, &in->images, LOADER_LOCK_MS);
	if (!err)
		err = linkmap_read(in->t, &in->images, &in->linkmap);
	if (!err)
		err = python_probe(in->t, &in->images, in->options.python_allocators, &in->python);
	if (!err)
		err = tables_compile(in->t, &in->images, &in->tables);
	if (!err)
		err = slots_find(in->t, &in->images, &in->linkmap, &in->slots);
	if (!err && !in->slots.list.len)
		err = mt_error_hint(mt_error_create(MT_ERROR_REFUSED,
					"nothing to trace: no loaded object calls malloc through the loader"),
				    "a program with its allocator linked into it cannot be traced yet");
	if (!err && in->python.known)
		err = slots_add_code_dealloc(in->t, &in->images, in->python.layout.code_type,
					     in->python.layout.bytes_size, &in->slots);
	in->seeks_python = !in->python.present;
	return err ? err : read_facts(in, &in->images.maps);
}

struct mt_error *injection_prepare(struct tracee *t, const struct inject_options *options,
				   struct injection **ret)
{
	auto_injection struct injection *in = calloc(1, sizeof(*in));
	if (!in)
		return &mt_enomem;
	in->t = t;
	in->options = *options;
	tables_init(&in->tables);
	in->slots.executes = options->follow_fork;
	struct mt_error *err = prepare_parts(in);
	if (err)
		return err;
	*ret = take_ptr(&in);
	return NULL;
}

void injection_destroy(struct injection *in)
{
	if (!in)
		return;
	channel_destroy(&in->channel);
	if (in->family)
		munmap(in->family, WIRE_FAMILY_SIZE);
	python_deinit(&in->python);
	slots_deinit(&in->slots);
	tables_deinit(&in->tables);
	linkmap_deinit(&in->linkmap);
	images_deinit(&in->images);
	free(in);
}

/* ---- loading ---- */

static struct mt_error *load_tracer(struct injection *in, struct borrow *b)
{
	struct wire_header *h = in->channel.header;
	struct mt_error *err = loader_load(in->t, b, &in->images, in->by_dlopen, &in->tracer);
	if (err)
		return err;
	h->tracer_handle = in->tracer.handle;
	h->tracer_base = in->tracer.base;
	h->tracer_end = in->tracer.end;
	return NULL;
}

static struct mt_error *call_tracer(struct injection *in, struct borrow *b, const char *symbol,
				    uint64_t argument)
{
	uint64_t address, rc;
	struct mt_error *err = loader_symbol(&in->tracer, symbol, &address);
	if (!err)
		err = borrow_call(b, address, &argument, 1, LOADER_CALL_TIMEOUT_MS, &rc);
	if (!err && (int64_t)rc < 0)
		err = mt_error_os((int)-(int64_t)rc, "the tracer cannot start in the target");
	return err;
}

/* Through dl_iterate_phdr where there is one: libraries that were loaded before the hooks can be closed at
 * any moment, and its lock keeps them mapped. */
static struct mt_error *apply_patches(struct injection *in, struct borrow *b)
{
	uint64_t apply, iterate = 0, rc;
	struct mt_error *err = loader_symbol(&in->tracer, WIRE_SYMBOL_APPLY, &apply);
	if (err)
		return err;
	mt_error_destroy(loader_find_dl(in->t, &in->images, "dl_iterate_phdr", &iterate));
	return borrow_call(b, iterate ? iterate : apply, (uint64_t[]){ apply, 0 }, 2, LOADER_CALL_TIMEOUT_MS,
			   &rc);
}

/* ---- loading and arming ---- */

/* The kernel marks the word when this thread dies, however it dies. glibc's own robust list, for
 * mutexes that this program does not use, is replaced. */
static struct mt_error *arm_mode(struct wire_header *h)
{
	static struct {
		struct robust_list_head head;
		struct robust_list entry;
	} list;
	list.entry.next = &list.head.list;
	list.head.list.next = &list.entry;
	list.head.futex_offset = (char *)&h->mode - (char *)&list.entry;
	list.head.list_op_pending = NULL;
	if (syscall(SYS_set_robust_list, &list.head, sizeof(list.head)))
		return mt_error_os(errno, "cannot register the robust futex");
	atomic_store(&h->mode, (uint32_t)syscall(SYS_gettid));
	return NULL;
}

/* The variable of the C library, which a program that is no PIE may have taken into itself. */
static uint64_t find_environment(const struct injection *in)
{
	static const char *const names[] = { "environ", "__environ" };
	struct image_symbol sym;
	for (int exe = 1; exe >= 0; exe--)
		for (size_t i = 0; i < in->images.list.len; i++) {
			struct image *img = in->images.list.items[i];
			if (img->unloaded || (exe ? !img->is_exe : !img->is_libc))
				continue;
			for (size_t k = 0; k < 2; k++)
				if (image_find_symbol(in->t, img, names[k], &sym))
					return sym.address;
		}
	return 0;
}

static void fill_header(struct injection *in)
{
	struct wire_header *h = in->channel.header;
	h->controller_pid = getpid();
	h->controller_start = in->facts.controller_start;
	h->target_pid = in->facts.target_pid;
	h->main_stack_end = in->facts.main_stack_end;
	h->sample_rate = in->options.sample_rate;
	h->options = WIRE_OPT_PYTHON | (in->options.no_native ? 0 : WIRE_OPT_NATIVE) |
		     (in->options.drop ? WIRE_OPT_DROP : 0) | (in->filtered ? WIRE_OPT_NO_PROBE : 0);
	injection_publish_python(in);
}

/* A process that leaks descriptors is one that people attach to: for the few that loading takes,
 * its limit is raised where that is allowed, and put back. */
#define SPARE_DESCRIPTORS 8

static bool raise_descriptor_limit(pid_t pid, unsigned long open_count, struct rlimit *saved)
{
	if (!open_count || prlimit(pid, RLIMIT_NOFILE, NULL, saved) ||
	    open_count + SPARE_DESCRIPTORS < saved->rlim_cur)
		return false;
	struct rlimit more = { saved->rlim_cur + 2 * SPARE_DESCRIPTORS, saved->rlim_max };
	if (more.rlim_max < more.rlim_cur)
		more.rlim_max = more.rlim_cur;
	return !prlimit(pid, RLIMIT_NOFILE, &more, NULL);
}

/* The thunk page first: with the code in it each further call takes one stop. */
static struct mt_error *map_memory(struct injection *in, struct borrow *b)
{
	struct mt_error *err = in->thunks.page ? NULL : thunks_create(in->t, b, &in->thunks);
	if (err)
		return err;
	borrow_set_end(b, in->thunks.page + WIRE_THUNK_END);
	err = channel_create(in->t, b, &in->channel);
	if (err)
		return err;
	struct wire_header *h = in->channel.header;
	fill_header(in);
	h->thunk_page = in->thunks.page;
	h->tid_offset = loader_tid_offset(in->t, b);
	if (!in->options.follow_fork)
		return NULL;
	h->environment = find_environment(in);
	return channel_family_create(in->t, b, &h->family, &in->family);
}

static struct mt_error *start_tracer(struct injection *in, struct borrow *b)
{
	struct wire_header *h = in->channel.header;
	struct mt_error *err = injection_take_tables(in);
	if (!err)
		err = injection_publish_patches(in);
	if (!err)
		err = call_tracer(in, b, WIRE_SYMBOL_START, h->base);
	if (!err)
		err = apply_patches(in, b);
	if (!err)
		err = injection_publish_patches(in);
	/* Again: what another thread bound meanwhile was missed the first time. */
	if (!err && atomic_load(&h->patches_wanted) != atomic_load(&h->patches_applied))
		err = apply_patches(in, b);
	return err ? err : injection_publish_patches(in);
}

/* What was set for the thread of an earlier step does not hold for this one's. */
static struct mt_error *run_step(struct injection *in, enum injection_step step, struct borrow *b)
{
	const struct wire_header *h = in->channel.header;
	if (step == INJECTION_MAP)
		return map_memory(in, b);
	struct mt_error *err = channel_check(in->t, h->base, h);	/* nobody was held meanwhile */
	if (err)
		return err;
	borrow_set_end(b, in->thunks.page + WIRE_THUNK_END);
	borrow_set_stack(b, h->base + h->call_stack_offset, h->call_stack_size);
	return step == INJECTION_LOAD ? load_tracer(in, b) : start_tracer(in, b);
}

void injection_undo(struct injection *in, struct borrow *b)
{
	if (in->channel.header)
		atomic_store(&in->channel.header->mode, 0);
	in->armed = false;
	auto_error struct mt_error *unused = removal_undo(in->t, b);
}

struct mt_error *injection_step(struct injection *in, enum injection_step step, struct borrow *b)
{
	struct rlimit saved;
	bool raised = raise_descriptor_limit(tracee_pid(in->t), in->facts.descriptors, &saved);
	struct mt_error *err = run_step(in, step, b);
	if (raised)
		prlimit(tracee_pid(in->t), RLIMIT_NOFILE, &saved, NULL);
	/* The thread is still ours and at its safe point; nothing was left half way inside it. */
	if (err && err->code != MT_ERROR_GONE)
		injection_undo(in, b);
	return err;
}

struct mt_error *injection_arm(struct injection *in)
{
	/* Of the tracer itself, and of libraries that came since the first look. */
	bool changed;
	struct mt_error *err = images_refresh(in->t, &in->images, &changed);
	if (!err)
		err = tables_compile(in->t, &in->images, &in->tables);
	if (!err)
		err = tables_publish(&in->channel, &in->images, &in->tables);
	if (!err)
		err = arm_mode(in->channel.header);
	if (err)
		return err;
	in->armed = true;
	return thunks_arm(in->t, &in->thunks, true);
}

/* ---- children ---- */

struct mt_error *injection_adopt(struct injection *in, struct tracee *child, int fd, uint64_t base)
{
	struct channel channel;
	struct mt_error *err = check_room(child);
	if (!err)
		err = channel_adopt(child, fd, base, &in->channel, &channel);
	if (err)
		return err;
	/* What the parent's controller has goes on being its own: only our copy is dropped. */
	channel_destroy(&in->channel);
	in->channel = channel;
	in->t = child;
	in->armed = false;
	tables_detach(&in->tables);
	injection_forget_slots(in);
	struct proc_maps maps = { 0 };
	err = proc_maps_read(tracee_pid(child), &maps);
	if (!err)
		err = read_facts(in, &maps);
	proc_maps_deinit(&maps);
	if (!err && !in->thunks.page)
		err = mt_error_create(MT_ERROR_GONE, "process %d has no thunks", tracee_pid(in->t));
	if (err)
		return err;
	injection_publish_originals(in);
	fill_header(in);
	err = arm_mode(in->channel.header);
	in->armed = !err;
	return err;
}

/* ---- libraries come and go ---- */

static struct mt_error *take_changes(struct injection *in, bool *changed)
{
	struct linkmap map = { 0 };
	struct mt_error *err = images_refresh(in->t, &in->images, changed);
	if (!err)
		err = linkmap_read(in->t, &in->images, &map);
	if (err)
		return err;
	linkmap_deinit(&in->linkmap);
	in->linkmap = map;
	err = tables_compile(in->t, &in->images, &in->tables);
	if (!err)
		err = tables_publish(&in->channel, &in->images, &in->tables);
	/* Also while another thread is in the middle of a dlopen: who waits for an answer has its library. */
	if (!err)
		err = slots_find(in->t, &in->images, &in->linkmap, &in->slots);
	in->seeks_python |= *changed && !in->python.present;
	if (!err && map.consistent && in->seeks_python)
		err = injection_take_python(in);
	if (!err)
		err = injection_publish_patches(in);
	return err;
}

static void answer_loads(struct wire_header *h, uint32_t requested)
{
	if (atomic_load(&h->loads_done) == requested)
		return;
	atomic_store(&h->loads_done, requested);
	syscall(SYS_futex, &h->loads_done, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

struct mt_error *injection_refresh(struct injection *in, bool force, bool *changed_ret)
{
	struct wire_header *h = in->channel.header;
	bool changed = false;
	uint32_t requested = atomic_load(&h->loads_requested);
	bool waiting = requested != atomic_load(&h->loads_done);
	struct mt_error *err = NULL;
	if (force || waiting || slots_unsettled(&in->slots) || linkmap_changed(in->t, &in->linkmap))
		err = take_changes(in, &changed);
	if (err && err->code == MT_ERROR_BUSY) {	/* in the middle of a dlopen: the next look */
		mt_error_destroy(err);
		err = NULL;
	}
	size_t slots = in->slots.list.len;
	if (!err)
		err = injection_take_tables(in);
	if (!err && in->slots.list.len != slots)
		err = injection_publish_patches(in);
	answer_loads(h, requested);
	if (changed_ret)
		*changed_ret = changed;
	return err;
}
