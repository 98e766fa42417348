/* SPDX-License-Identifier: Apache-2.0 */
/* inject/slots.c - finds the slots of the allocation functions and their originals.
 * Knows: relocations, symbol definitions. Does not know: thunks, how slots are changed.
 * Called by inject/; calls attach/. */
#include "inject/slots.h"

#include "inject/python_alloc.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

static const char *const function_names[WIRE_FN_COUNT] = {
#define X(name, symbol) [WIRE_FN_##name] = symbol,
	WIRE_FUNCTIONS(X)
#undef X
};

#define DEFINERS_MAX 16
#define PENDING_LOOKS 200u	/* seconds: then a slot is what it looks like, or will stay as it is */

struct definers {		/* addresses a name is defined at, in the loader's order */
	bool known;
	unsigned count;
	uint64_t address[DEFINERS_MAX];
};

struct search {
	struct tracee *t;
	const struct images *images;
	struct slots *slots;
	const struct image *img;
	bool first;			/* nothing was looked at before: the process may be old */
	MT_ARRAY(struct image *) order;	/* of symbol lookup */
	struct definers definers[WIRE_FN_COUNT];
};

void slots_deinit(struct slots *slots)
{
	mt_array_deinit(&slots->list);
	mt_array_deinit(&slots->pending);
	mt_array_deinit(&slots->images_done);
}

bool slots_unsettled(const struct slots *slots)
{
	for (size_t i = 0; i < slots->pending.len; i++)
		if (slots->pending.items[i].looks < PENDING_LOOKS)
			return true;
	return false;
}

static int function_of(const char *symbol)
{
	for (int fn = 0; fn < WIRE_FN_COUNT; fn++)
		if (function_names[fn][0] == symbol[0] && !strcmp(function_names[fn], symbol))
			return fn;
	return -1;
}

/* The dynamic loader defines its own minimal malloc until libc is there; nothing binds to it. But
 * musl's loader is its libc. */
static bool takes_part(const struct image *img)
{
	bool bare_loader = img->is_loader && !img->is_libc;
	return !img->unloaded && !bare_loader && !img->is_tracer && !img->is_vdso;
}

static const struct definers *definers_of(struct search *s, enum wire_function fn)
{
	struct definers *d = &s->definers[fn];
	if (d->known)
		return d;
	d->known = true;
	for (size_t i = 0; i < s->order.len && d->count < DEFINERS_MAX; i++) {
		struct image *img = s->order.items[i];
		struct image_symbol sym;
		if (takes_part(img) && image_find_symbol(s->t, img, function_names[fn], &sym) &&
		    (sym.type == STT_FUNC || sym.type == STT_NOTYPE))
			d->address[d->count++] = sym.address;
	}
	return d;
}

/* Is the value the entry of a procedure linkage table: of the slot's own image (not yet bound) or
 * the program's (canonical)? Anything inside such an image that is no definition is taken so: the
 * loader bound it, and it can only mean the name. */
static bool is_plt_value(const struct search *s, uint64_t value)
{
	const struct image *img = images_find(s->images, value);
	return img && (img == s->img || img->is_exe);
}

static uint64_t original_of(struct search *s, enum wire_function fn, uint64_t value)
{
	const struct definers *d = definers_of(s, fn);
	for (unsigned i = 0; i < d->count; i++)
		if (d->address[i] == value)
			return value;
	if (d->count && is_plt_value(s, value))
		return d->address[0];
	return 0;
}

static bool wanted_type(const struct image_relocation *rel)
{
	return rel->type == R_X86_64_JUMP_SLOT || rel->type == R_X86_64_GLOB_DAT ||
	       (rel->type == R_X86_64_64 && !rel->addend);
}

/* Has the loader not come to this slot yet? It then holds what the file has there: nothing, or where the
 * library's own PLT lies before the library is moved to its place. */
static bool holds_nothing_yet(struct search *s, enum wire_function fn, uint64_t value)
{
	if (!definers_of(s, fn)->count)
		return false;		/* weak, and stays undefined */
	return !value || !proc_maps_find(&s->images->maps, value);
}

/* As above, but a relocated slot can look like that, too: where a program that is not moved lies, and in
 * pages that somebody made writable for good. */
static bool may_come_yet(const struct search *s, const struct slot_pending *at, uint64_t value,
			 const struct proc_map *map)
{
	if (at->looks >= PENDING_LOOKS)
		return false;
	const struct image *img = images_find(s->images, value);
	return (s->img->bias && img != s->img && images_find(s->images, value + s->img->bias) == s->img) ||
	       (!s->first && at->in_relro && map->prot & PROT_WRITE);
}

/* Appends the slot when it leads to an original. `pending_ret`: it is to be looked at again. */
static struct mt_error *look_at_slot(struct search *s, const struct slot_pending *at, bool *pending_ret)
{
	uint64_t value;
	struct mt_error *err = tracee_read(s->t, at->address, &value, sizeof(value));
	const struct proc_map *map = proc_maps_find(&s->images->maps, at->address);
	*pending_ret = false;
	if (err || !map) {		/* unloaded in this moment */
		mt_error_destroy(err);
		return NULL;
	}
	*pending_ret = holds_nothing_yet(s, at->function, value) || may_come_yet(s, at, value, map);
	if (*pending_ret || !value)
		return NULL;
	uint64_t original = original_of(s, at->function, value);
	if (!original) {
		s->slots->foreign++;
		return NULL;
	}
	struct slot slot = {
		.address = at->address, .value = value, .original = original,
		.module_start = s->img->start, .image = s->img->id,
		.protection = (uint32_t)map->prot, .function = at->function,
	};
	return mt_array_push(&s->slots->list, slot) ? NULL : &mt_enomem;
}

static struct mt_error *take_slot(const struct image_relocation *rel, void *arg)
{
	struct search *s = arg;
	int fn = wanted_type(rel) && !(rel->slot & 7) ? function_of(rel->symbol) : -1;
	if (fn < 0 || (wire_function_executes((unsigned)fn) && !s->slots->executes))
		return NULL;
	struct slot_pending at = {
		.address = rel->slot, .image = s->img->id, .function = (enum wire_function)fn,
		.in_relro = rel->in_relro,
	};
	bool pending;
	struct mt_error *err = look_at_slot(s, &at, &pending);
	if (!err && pending && !mt_array_push(&s->slots->pending, at))
		err = &mt_enomem;
	return err;
}

static struct mt_error *look_at_pending(struct search *s)
{
	struct slot_pending *pending = s->slots->pending.items;
	size_t kept = 0, count = s->slots->pending.len;
	struct mt_error *err = NULL;
	for (size_t i = 0; i < count; i++) {
		struct slot_pending at = pending[i];
		bool still = err != NULL;
		at.looks += at.looks < PENDING_LOOKS;
		s->img = s->images->list.items[at.image];
		if (!err && !s->img->unloaded)
			err = look_at_slot(s, &at, &still);
		if (still)
			pending[kept++] = at;
	}
	s->slots->pending.len = kept;
	return err;
}

/* Images in the order in which the loader looks symbols up; those it does not list come last. */
static struct mt_error *lookup_order(struct search *s, const struct linkmap *map)
{
	for (size_t i = 0; i < map->entries.len; i++)
		for (size_t k = 0; k < s->images->list.len; k++) {
			struct image *img = s->images->list.items[k];
			if (!img->unloaded && img->dynamic == map->entries.items[i].dynamic &&
			    !mt_array_push(&s->order, img))
				return &mt_enomem;
		}
	for (size_t k = 0; k < s->images->list.len; k++) {
		struct image *img = s->images->list.items[k];
		if (!img->unloaded && !linkmap_find(map, img) && !mt_array_push(&s->order, img))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *find_in_images(struct search *s)
{
	for (size_t i = 0; i < s->images->list.len; i++) {
		struct image *img = s->images->list.items[i];
		if (s->slots->images_done.items[i] || !takes_part(img))
			continue;
		s->slots->images_done.items[i] = true;
		s->img = img;
		struct mt_error *err = image_each_relocation(s->t, img, take_slot, s);
		if (err)
			return err;
	}
	return NULL;
}

struct mt_error *slots_find(struct tracee *t, const struct images *images, const struct linkmap *map,
			    struct slots *slots)
{
	struct search s = { .t = t, .images = images, .slots = slots, .first = !slots->images_done.len };
	while (slots->images_done.len < images->list.len)
		if (!mt_array_push(&slots->images_done, false))
			return &mt_enomem;
	struct mt_error *err = lookup_order(&s, map);
	if (!err)
		err = look_at_pending(&s);
	if (!err)
		err = find_in_images(&s);
	mt_array_deinit(&s.order);
	return err;
}

/* ---- words that are no relocations: Python's ---- */

struct mt_error *slots_add_function(const struct images *images, uint64_t address,
				    uint64_t value, enum wire_function function, struct slots *slots)
{
	const struct proc_map *map = proc_maps_find(&images->maps, address);
	const struct proc_map *code = proc_maps_find(&images->maps, value);
	const struct image *img = images_find(images, address);
	if (map && code && (code->prot & PROT_EXEC) && img && images_find(images, value)) {
		struct slot slot = {
			.address = address, .value = value, .original = value,
			.module_start = img->start, .image = img->id,
			.protection = (uint32_t)map->prot, .function = function,
		};
		return mt_array_push(&slots->list, slot) ? NULL : &mt_enomem;
	}
	slots->foreign++;
	return NULL;
}

/* In a type object, after ob_size: tp_name, tp_basicsize, tp_itemsize, tp_dealloc. */
#define DEALLOC_AFTER_SIZE 32u
/* Where ob_size lies: in usual builds, and in free-threaded ones or those that trace references. */
static const uint32_t size_fields[] = { 16, 32 };

struct mt_error *slots_add_code_dealloc(struct tracee *t, const struct images *images, uint64_t type,
					uint32_t size_field, struct slots *slots)
{
	const uint64_t address = type + size_field + DEALLOC_AFTER_SIZE;
	uint64_t value = 0;
	struct mt_error *err = tracee_read(t, address, &value, sizeof(value));
	return err ? err : slots_add_function(images, address, value, WIRE_FN_CODE_DEALLOC, slots);
}

struct each {
	struct mt_error *(*fn)(uint64_t address, enum wire_function function, void *arg);
	void *arg;
};

static struct mt_error *each_slot(const struct image_relocation *rel, void *arg)
{
	struct each *e = arg;
	int fn = wanted_type(rel) && !(rel->slot & 7) ? function_of(rel->symbol) : -1;
	return fn < 0 ? NULL : e->fn(rel->slot, (enum wire_function)fn, e->arg);
}

/* The type's field, in both places where it can be; the fields of the allocator tables. */
static struct mt_error *each_of_python(struct tracee *t, const struct images *images,
				       struct image *img, const struct each *e)
{
	struct image_symbol sym;
	struct python_allocators tables;
	struct mt_error *err = NULL;
	if (!image_find_symbol(t, img, "PyCode_Type", &sym))
		return NULL;
	for (size_t k = 0; !err && k < sizeof(size_fields) / sizeof(size_fields[0]); k++)
		err = e->fn(sym.address + size_fields[k] + DEALLOC_AFTER_SIZE, WIRE_FN_CODE_DEALLOC, e->arg);
	if (err || !image_find_symbol(t, img, "_PyRuntime", &sym) ||
	    !python_allocators_find(t, images, img, sym.address, &tables))
		return err;
	for (unsigned domain = 0; domain < WIRE_PYTHON_DOMAINS; domain++)
		for (unsigned field = 1; field < PYTHON_FIELDS && !err; field++)
			err = e->fn(tables.table[domain] + field * 8, python_field_function(field), e->arg);
	return err;
}

struct mt_error *slots_each(struct tracee *t, const struct images *images,
			    struct mt_error *(*fn)(uint64_t address, enum wire_function function,
						   void *arg),
			    void *arg)
{
	struct each e = { fn, arg };
	for (size_t i = 0; i < images->list.len; i++) {
		if (!takes_part(images->list.items[i]))
			continue;
		struct mt_error *err = image_each_relocation(t, images->list.items[i], each_slot, &e);
		if (!err)
			err = each_of_python(t, images, images->list.items[i], &e);
		if (err)
			return err;
	}
	return NULL;
}

struct image *slots_allocator(struct tracee *t, const struct images *images,
			      const struct linkmap *map)
{
	struct search s = { .t = t, .images = images };
	struct image *found = NULL;
	auto_error struct mt_error *err = lookup_order(&s, map);
	for (size_t i = 0; i < s.order.len && !found; i++) {
		struct image_symbol sym;
		if (takes_part(s.order.items[i]) && image_find_symbol(t, s.order.items[i], "malloc", &sym))
			found = s.order.items[i];
	}
	mt_array_deinit(&s.order);
	return found;
}
