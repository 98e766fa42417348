/* SPDX-License-Identifier: Apache-2.0 */
/* attach/safepoint_ranges.c - the code in which a thread must not be borrowed, as address ranges.
 * Knows: the names of allocators and of the critical functions of C libraries.
 * Does not know: threads. Called by attach/safepoint; calls attach/image. */
#include "attach/safepoint_private.h"

#include "attach/preflight.h"
#include "base/hash.h"

#include <string.h>

/* All of the malloc family that any libc, jemalloc, tcmalloc or mimalloc exports, and glibc's own
 * static functions for libraries with a symbol table. */
static const char *const allocator_names[] = {
	"malloc", "free", "calloc", "realloc", "memalign", "aligned_alloc", "valloc", "pvalloc",
	"posix_memalign", "cfree", "malloc_trim", "mallinfo", "mallinfo2", "malloc_info",
	"malloc_stats", "mallopt", "malloc_usable_size", "__libc_malloc", "__libc_free",
	"__libc_calloc", "__libc_realloc", "__libc_memalign", "__libc_freeres", "free_sized",
	"free_aligned_sized", "_int_malloc", "_int_free", "_int_realloc", "_int_memalign",
	"sysmalloc", "systrim", "malloc_consolidate", "unlink_chunk", "arena_get2", "new_heap",
	"tcache_init", "ptmalloc_init", "_int_free_merge_chunk", "_int_free_create_chunk",
	"__malloc_arena_thread_freeres", "__libc_malloc_impl", "__malloc_alloc_meta",
	"__malloc_donate", "nallocx", "mallocx", "rallocx", "dallocx", "sdallocx", "xallocx",
};

/* Not among them: `clone`, the first frame of every thread; `system` and `popen`, which are safe
 * while they wait for the child (its start is posix_spawn). */
static const char *const process_names[] = {
	"fork", "_Fork", "__fork", "__libc_fork", "vfork", "__vfork", "posix_spawn", "posix_spawnp",
	"__spawni", "__spawnix", "exit", "_exit", "_Exit", "quick_exit",
	"abort", "__run_exit_handlers", "on_exit", "atexit", "at_quick_exit", "__cxa_atexit",
	"__cxa_at_quick_exit", "__cxa_finalize", "__cxa_thread_atexit_impl", "__call_tls_dtors",
	"__register_atfork", "pthread_atfork", "__unregister_atfork", "pthread_create",
	"__pthread_create", "pthread_exit", "__pthread_exit", "pthread_cancel", "execve",
	"fexecve", "daemon",
	/* These hold the lock of the thread list while they wait for all threads. */
	"setuid", "setgid", "seteuid", "setegid", "setreuid", "setregid", "setresuid", "setresgid",
	"setgroups", "initgroups",
};

/* They take the lock of the stack cache, which dlopen wants for thread-local storage, but not
 * while they wait for the other thread. */
static const char *const thread_names[] = {
	"pthread_join", "pthread_timedjoin_np", "pthread_clockjoin_np", "pthread_tryjoin_np",
	"pthread_detach", "thrd_join", "thrd_detach", "pthread_getattr_np",
};

static const char *const loader_names[] = {
	"dlopen", "dlclose", "dlsym", "dlvsym", "dlmopen", "dladdr", "dladdr1", "dlinfo", "dlerror",
	"dl_iterate_phdr", "__libc_dlopen_mode", "__libc_dlclose", "__libc_dlsym", "_dl_open",
	"_dl_addr", "_dl_find_object", "__dls2", "__dls2b", "__dls3", "__tls_get_addr",
	"__dl_iterate_phdr",
};

/* Not the sanitizers: every blocking call goes through their wrappers. Their malloc is found by its
 * name. */
static const char *const allocator_libraries[] = {
	"jemalloc", "tcmalloc", "mimalloc", "snmalloc", "rpmalloc", "hoard", "scudo", "libumem",
	"ltalloc", "libmemusage", "c_malloc_debug", "ptmalloc",
};

/* All those names by their hash: a C library has thousands of functions to be asked for. */
struct known_names {
	struct mt_map reasons;		/* hash -> index in lists, position in that */
};

static const struct name_list {
	const char *const *names;
	size_t count;
	enum safepoint_reason reason;
} name_lists[] = {
#define LIST(names, reason) { names, sizeof(names) / sizeof(*(names)), reason }
	LIST(allocator_names, SAFEPOINT_ALLOCATOR),
	LIST(process_names, SAFEPOINT_PROCESS),
	LIST(thread_names, SAFEPOINT_THREADS),
	LIST(loader_names, SAFEPOINT_LOADER),
#undef LIST
};

static uint64_t name_hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ull;	/* FNV-1a */
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3ull;
	return h;
}

static bool known_names_init(struct known_names *known)
{
	*known = (struct known_names){ MT_MAP_INIT };
	for (size_t i = 0; i < sizeof(name_lists) / sizeof(*name_lists); i++)
		for (size_t k = 0; k < name_lists[i].count; k++)
			if (!mt_map_put(&known->reasons, name_hash(name_lists[i].names[k]),
					i << 16 | k))
				return false;
	return true;
}

static enum safepoint_reason known_reason(const struct known_names *known, const char *name)
{
	const uint64_t *found = mt_map_get(&known->reasons, name_hash(name));
	const struct name_list *list = found ? &name_lists[*found >> 16] : NULL;
	return list && !strcmp(list->names[*found & 0xffff], name) ? list->reason : SAFEPOINT_OK;
}

bool ranges_add(struct ranges *r, uint64_t start, uint64_t end, enum safepoint_reason reason)
{
	if (start >= end)
		return true;
	return mt_array_push(r, (struct range){ start, end, reason });
}

static bool add_code(struct ranges *r, const struct image *img, enum safepoint_reason reason)
{
	bool ok = true;
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		if (s->flags & PF_X)
			ok = ok && ranges_add(r, s->vaddr + img->bias,
					      s->vaddr + img->bias + s->memsz, reason);
	}
	return ok;
}

/* The functions of one image, to find where the neighbours of a name begin and end. */
struct function {
	uint64_t start, end;
	enum safepoint_reason reason;	/* SAFEPOINT_OK: none of the names */
};

struct functions {
	MT_ARRAY(struct function) list;
	const struct known_names *known;
	bool is_libc, failed;
};

/* Prefixes of allocators linked statically into a program. */
static bool has_allocator_prefix(const char *name)
{
	return !strncmp(name, "je_", 3) || !strncmp(name, "mi_", 3) || !strncmp(name, "_mi_", 4) ||
	       !strncmp(name, "tc_", 3) || !strncmp(name, "_rjem_", 6) ||
	       strstr(name, "8tcmalloc") || strstr(name, "tcmalloc_internal");
}

static bool collect(const char *name, const struct image_symbol *sym, void *arg)
{
	struct functions *f = arg;
	if (sym->type != STT_FUNC && sym->type != STT_GNU_IFUNC)
		return true;
	struct function fn = { sym->address, sym->address + sym->size, SAFEPOINT_OK };
	enum safepoint_reason reason = known_reason(f->known, name);
	if (reason == SAFEPOINT_ALLOCATOR || f->is_libc)
		fn.reason = reason;
	else if (has_allocator_prefix(name))
		fn.reason = SAFEPOINT_ALLOCATOR;
	/* Of other images only the allocator matters: no need to keep a browser's symbols. */
	if (!f->is_libc && fn.reason == SAFEPOINT_OK)
		return true;
	f->failed = !mt_array_push(&f->list, fn);
	return !f->failed;
}

static int by_start(const void *a, const void *b)
{
	const struct function *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

#define NEIGHBOUR_MAX 0x8000u	/* static functions beside an exported one take less than this */
#define GAP_MAX 0x4000u

/* Static functions have no name in a stripped library; they lie beside the exported ones of the
 * same source file. A run of allocator functions is one range, gaps included, and reaches to its
 * neighbours on both sides; those of the loader reach to the next function; those of processes and
 * threads end where they end, for beside them lies the first function of every thread. */
static bool add_functions(struct ranges *r, const struct functions *f)
{
	const struct function *fn = f->list.items;
	size_t n = f->list.len;
	bool ok = true;
	for (size_t i = 0; i < n; i++) {
		if (fn[i].reason == SAFEPOINT_OK)
			continue;
		uint64_t start = fn[i].start, end = fn[i].end;
		if (fn[i].reason == SAFEPOINT_ALLOCATOR) {
			uint64_t before = i ? fn[i - 1].end : start;
			if (before < start && start - before <= NEIGHBOUR_MAX)
				start = before;
			else if (before < start && f->is_libc)
				start -= NEIGHBOUR_MAX;
		}
		uint64_t next = i + 1 < n ? fn[i + 1].start : end;
		bool whole = fn[i].reason == SAFEPOINT_PROCESS && end > start;
		if (!whole && next > end && next - end <= (f->is_libc ? NEIGHBOUR_MAX : GAP_MAX))
			end = next;
		ok = ok && ranges_add(r, start, end, fn[i].reason);
	}
	return ok;
}

static bool is_c_library(const struct image *img)
{
	const char *base = strrchr(img->path, '/');
	base = base ? base + 1 : img->path;
	return img->is_libc || preflight_is_libc_path(img->path) ||
	       !strncmp(base, "libpthread", 10) || !strncmp(base, "libdl.so", 8) ||
	       !strncmp(base, "libdl-2.", 8);
}

static bool is_allocator_library(const struct image *img)
{
	const char *base = strrchr(img->path, '/');
	base = base ? base + 1 : img->path;
	for (size_t i = 0; i < sizeof(allocator_libraries) / sizeof(*allocator_libraries); i++)
		if (strstr(base, allocator_libraries[i]))
			return true;
	return false;
}

static bool add_image(struct ranges *r, struct tracee *t, struct image *img,
		      const struct known_names *known)
{
	struct image_symbol sym;
	if (img->is_tracer)
		return add_code(r, img, SAFEPOINT_TRACER);
	if (img->is_loader && !img->is_libc)
		return add_code(r, img, SAFEPOINT_LOADER);
	if (is_allocator_library(img))
		return add_code(r, img, SAFEPOINT_ALLOCATOR);
	struct functions f = { .known = known, .is_libc = is_c_library(img) };
	if (!f.is_libc && !image_find_symbol(t, img, "malloc", &sym) &&
	    !image_find_symbol(t, img, "free", &sym))
		return true;
	image_each_symbol(t, img, collect, &f);
	if (f.list.len)
		qsort(f.list.items, f.list.len, sizeof(*f.list.items), by_start);
	bool ok = !f.failed && add_functions(r, &f);
	mt_array_deinit(&f.list);
	return ok;
}

static int by_range(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

bool ranges_build(struct ranges *r, struct tracee *t, const struct images *images)
{
	struct known_names known;
	bool ok = known_names_init(&known);
	r->len = 0;
	for (size_t i = 0; i < images->list.len && ok; i++)
		if (!images->list.items[i]->unloaded)
			ok = add_image(r, t, images->list.items[i], &known);
	mt_map_deinit(&known.reasons);
	if (!ok)
		return false;
	if (r->len)
		qsort(r->items, r->len, sizeof(*r->items), by_range);
	return true;
}

/* Ranges may overlap and are few hundred: a plain look at all is fast enough. */
enum safepoint_reason ranges_find(const struct ranges *r, uint64_t address)
{
	for (size_t i = 0; i < r->len && r->items[i].start <= address; i++)
		if (address < r->items[i].end)
			return r->items[i].reason;
	return SAFEPOINT_OK;
}
