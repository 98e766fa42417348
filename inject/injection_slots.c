/* SPDX-License-Identifier: Apache-2.0 */
/* inject/injection_slots.c - turns the slots that were found into patches for the tracer to apply.
 * Knows: the patch list, thunks. Does not know: how slots are found, when the list is applied.
 * Called by inject/injection.c; calls attach/. */
#include "inject/injection_slots.h"

#include <stdatomic.h>
#include <string.h>

/* `now`: what the slot holds, 0 where that could not be read. */
static struct mt_error *add_patch(struct injection *in, const struct slot *slot, uint64_t now,
				  uint32_t *count)
{
	struct wire_header *h = in->channel.header;
	uint64_t thunk;
	if (*count == h->patch_capacity)
		return mt_error_create(MT_ERROR_OTHER, "too many slots");
	struct mt_error *err = thunks_get(in->t, &in->thunks, slot->function, slot->original, &thunk);
	if (err)
		return err;
	if (slot->value == thunk)	/* a pointer of an earlier capture, copied by the program */
		return NULL;
	/* Loading the tracer may have bound it: ld.so itself calls malloc through the program's
	 * procedure linkage table where that is the canonical address. */
	uint64_t expected = now == slot->original ? now : slot->value;
	struct wire_patch *patches = channel_at(&in->channel, h->patches_offset);
	patches[(*count)++] = (struct wire_patch){
		.slot = slot->address, .old_value = slot->value, .new_value = thunk, .expected = expected,
		.module_start = slot->module_start, .protection = slot->protection,
		.state = WIRE_PATCH_WANTED,
	};
	return NULL;
}

static struct mt_error *hook_addresses(struct injection *in,
				       uint64_t hooks[WIRE_FN_COUNT][WIRE_VARIANTS])
{
	uint64_t address;
	struct mt_error *err = loader_symbol(&in->tracer, WIRE_SYMBOL_HOOKS, &address);
	return err ? err : tracee_read(in->t, address, hooks,
				       sizeof(uint64_t) * WIRE_FN_COUNT * WIRE_VARIANTS);
}

/* A slot that must be changed again: it was bound by the loader between our look and the change,
 * or its library was closed and loaded anew at the same place. */
static bool slot_lost(struct injection *in, const struct wire_patch *p, uint64_t now)
{
	int thunk = thunks_index(&in->thunks, p->new_value);
	if ((p->state != WIRE_PATCH_MISSED && p->state != WIRE_PATCH_DONE) || thunk < 0 || !now ||
	    wire_function_is_python(in->thunks.content.function[thunk]))
		return false;
	if (now == in->thunks.content.target[thunk].original)
		return true;
	/* Not bound yet: it leads into the library's own procedure linkage table. */
	const struct image *img = images_find(&in->images, now);
	return p->state == WIRE_PATCH_DONE && img && img->start == p->module_start;
}

/* What the slots hold now, of all patches that were applied and of all new ones. */
static struct mt_error *read_slots(struct injection *in, uint32_t applied, uint64_t **ret)
{
	const struct wire_patch *patches = channel_at(&in->channel, in->channel.header->patches_offset);
	size_t fresh = in->slots.list.len - in->slots_patched, count = applied + fresh;
	auto_free uint64_t *addresses = calloc(count + 1, sizeof(*addresses));
	auto_free uint64_t *values = calloc(count + 1, sizeof(*values));
	if (!addresses || !values)
		return &mt_enomem;
	for (uint32_t i = 0; i < applied; i++)
		addresses[i] = patches[i].slot;
	for (size_t i = 0; i < fresh; i++)
		addresses[applied + i] = in->slots.list.items[in->slots_patched + i].address;
	tracee_read_words(in->t, addresses, count, values);
	*ret = take_ptr(&values);
	return NULL;
}

static void patch_lost_slots(struct injection *in, uint32_t applied, const uint64_t *values,
			     uint32_t *count)
{
	struct wire_header *h = in->channel.header;
	struct wire_patch *patches = channel_at(&in->channel, h->patches_offset);
	for (uint32_t i = 0; i < applied && *count < h->patch_capacity; i++) {
		if (!slot_lost(in, &patches[i], values[i]))
			continue;
		patches[*count] = patches[i];
		patches[*count].old_value = patches[*count].expected = values[i];
		patches[(*count)++].state = WIRE_PATCH_WANTED;
		patches[i].state = WIRE_PATCH_RETRIED;
	}
}

void injection_publish_originals(struct injection *in)
{
	const struct wire_thunk_page *page = &in->thunks.content;
	for (uint32_t i = 0; i < page->count; i++)
		in->channel.header->original[page->function[i]][page->variant[i]] =
			page->target[i].original;
}

static struct mt_error *add_new_slots(struct injection *in, const uint64_t *values, uint32_t *count)
{
	for (; in->slots_patched < in->slots.list.len; in->slots_patched++) {
		struct mt_error *err = add_patch(in, &in->slots.list.items[in->slots_patched],
						 *values++, count);
		if (err && err->code != MT_ERROR_OTHER)
			return err;
		in->slots_refused += err != NULL;
		mt_error_destroy(err);
	}
	return NULL;
}

struct mt_error *injection_publish_patches(struct injection *in)
{
	struct wire_header *h = in->channel.header;
	uint32_t count = atomic_load(&h->patches_wanted), applied = atomic_load(&h->patches_applied);
	auto_free uint64_t *values = NULL;
	struct mt_error *err = read_slots(in, applied, &values);
	if (err)
		return err;
	patch_lost_slots(in, applied, values, &count);
	err = add_new_slots(in, values + applied, &count);
	if (err)
		return err;
	injection_publish_originals(in);
	uint64_t hooks[WIRE_FN_COUNT][WIRE_VARIANTS];
	err = hook_addresses(in, hooks);
	if (!err)
		err = thunks_set_hooks(in->t, &in->thunks, hooks);
	if (err || count == atomic_load(&h->patches_wanted))
		return err;
	atomic_store_explicit(&h->patches_wanted, count, memory_order_release);
	/* Tells the hooks; the first to notice applies the list. */
	atomic_fetch_add_explicit(&h->module_generation, 1, memory_order_release);
	return NULL;
}

void injection_forget_slots(struct injection *in)
{
	slots_deinit(&in->slots);
	in->slots = (struct slots){ .executes = in->options.follow_fork };
	in->slots_patched = 0;
	memset(in->table_value, 0, sizeof(in->table_value));
	in->slots_refused = 0;
	struct wire_header *h = in->channel.header;
	atomic_store(&h->patches_wanted, 0);
	atomic_store(&h->patches_applied, 0);
}
