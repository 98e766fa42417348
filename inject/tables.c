/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tables.c - compiles and publishes the unwind tables of a target's images.
 * Knows: images, the unwind area of the shared memory. Does not know: DWARF opcodes.
 * Called by inject/injection.c; calls unwind_compile.c and attach/image.c. */
#include "inject/tables.h"

#include "inject/greenlet_rows.h"
#include "inject/memory_file.h"
#include "inject/runtime.h"
#include "inject/unwind_private.h"

#include <elf.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RET_SEARCH (4u << 20)
#define FRAMES_GAP_MIN (256u << 10)

void tables_init(struct tables *tables)
{
	memset(tables, 0, sizeof(*tables));
	unwind_rules_init(&tables->rules);
	tables->waiting = -1;
}

void tables_deinit(struct tables *tables)
{
	mt_array_deinit(&tables->entries);
	unwind_table_deinit(&tables->buffer);
	if (tables->waiting >= 0)
		close(tables->waiting);
	tables->waiting = -1;
	unwind_rules_deinit(&tables->rules);
}

void tables_detach(struct tables *tables)
{
	if (tables->waiting >= 0)
		close(tables->waiting);
	tables->waiting = -1;
	tables->waiting_size = 0;
	/* What was compiled and not published is compiled again. */
	for (size_t i = 0; i < tables->entries.len; i++)
		if (!tables->entries.items[i].published)
			tables->entries.items[i] = (struct table_entry){ 0 };
}

/* All executable segments, and whatever lies between them. */
static void exec_range(const struct image *img, struct table_entry *e)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct image_segment *s = &img->segments[i];
		if (!(s->flags & PF_X))
			continue;
		uint64_t start = img->bias + s->vaddr, end = start + s->memsz;
		if (!e->exec_end || start < e->exec_start)
			e->exec_start = start;
		if (end > e->exec_end)
			e->exec_end = end;
	}
}

/* Could a call instruction end right before p? Then the address may be a real return address. */
static bool after_call(const uint8_t *p, const uint8_t *start)
{
	static const uint8_t lengths[] = { 2, 3, 4, 6, 7 };	/* of an indirect call */
	if (p - start < 8 || p[-5] == 0xe8)
		return true;
	for (size_t i = 0; i < sizeof(lengths); i++)
		if (p[-lengths[i]] == 0xff)
			return true;
	return false;
}

/* Any 0xc3 byte in executable memory is a `ret` when jumped to. dlopen is entered with one as its
 * return address, so unwinders will look at the byte before it: best is one where the rule is
 * that of a function's entry, which is how the stack looks then. Without such a one any will do
 * that is no real return address: our own unwinder knows it. */
static uint64_t find_ret(struct tracee *t, const struct image *img, const struct tables *tables,
			 const struct table_entry *e)
{
	uint8_t buf[16384];
	uint64_t second_best = 0;
	for (uint64_t at = e->exec_start; at < e->exec_end && at < e->exec_start + RET_SEARCH;
	     at += sizeof(buf)) {
		size_t size = e->exec_end - at < sizeof(buf) ? e->exec_end - at : sizeof(buf);
		size_t n = tracee_read_some(t, at, buf, size);
		for (const uint8_t *p = buf; (p = memchr(p, 0xc3, (size_t)(buf + n - p))); p++) {
			uint64_t address = at + (uint64_t)(p - buf);
			const struct wire_rule *r =
				unwind_lookup(&tables->buffer, &tables->rules,
					      address - 1 - img->bias - e->base);
			if (after_call(p, buf))
				continue;
			if (r && r->cfa == WIRE_CFA_RSP && r->cfa_offset == 8 && r->rbp == WIRE_RBP_SAME)
				return address;
			if (!second_best)
				second_best = address;
		}
	}
	return second_best;
}

static struct mt_error *put_aside(struct tables *tables, struct table_entry *e)
{
	size_t bytes = tables->buffer.rows.len * sizeof(struct wire_row);
	if (tables->waiting < 0)
		tables->waiting = (int)syscall(SYS_memfd_create, "memtrace-unwind", MFD_CLOEXEC);
	if (tables->waiting < 0)
		return mt_error_os(errno, "cannot create a memory file for unwind tables");
	struct mt_error *err = memory_file_write(tables->waiting, tables->buffer.rows.items, bytes,
						 tables->waiting_size);
	if (err)
		return err;
	e->waiting_offset = tables->waiting_size;
	e->row_count = (uint32_t)tables->buffer.rows.len;
	tables->waiting_size += bytes;
	return NULL;
}

/* Where code of a runtime that keeps frame pointers is linked in as bytes, without call frame
 * information: one long gap. Hand-written functions leave short ones. */
static struct mt_error *fill_gaps(struct tables *tables)
{
	static const struct wire_rule frame = WIRE_RULE_FRAME;
	struct wire_row *rows = tables->buffer.rows.items;
	uint32_t rule = unwind_rules_intern(&tables->rules, &frame);
	if (rule == UINT32_MAX)
		return &mt_enomem;
	for (size_t i = 0; i + 1 < tables->buffer.rows.len; i++)
		if (tables->rules.list.items[rows[i].rule].cfa == WIRE_CFA_UNSUPPORTED &&
		    rows[i + 1].pc - rows[i].pc >= FRAMES_GAP_MIN)
			rows[i].rule = rule;
	return NULL;
}

static struct mt_error *compile_image(struct tracee *t, struct image *img,
				      struct tables *tables, struct table_entry *e)
{
	struct unwind_table *buffer = &tables->buffer;
	exec_range(img, e);
	if (!e->exec_end)
		return NULL;
	buffer->rows.len = 0;
	buffer->base = buffer->damaged_at = buffer->fde_count = buffer->unsupported_count = 0;
	struct mt_error *err = unwind_compile_image(t, img, &tables->rules, buffer);
	if (err && err->code == MT_ERROR_NOMEM)
		return err;
	e->base = buffer->base;
	if (err) {		/* no table: truncated there, with the flag */
		mt_error_destroy(err);
		return NULL;
	}
	err = greenlet_mark_rows(t, img, &tables->rules, buffer);
	if (err)
		return err;
	e->ret_gadget = find_ret(t, img, tables, e);
	enum runtime_frames kept = runtime_frames_of(t, img);
	static const uint32_t made[] = {
		[RUNTIME_NO_FRAMES] = 0, [RUNTIME_FRAMES_PUSHED] = WIRE_MODULE_FRAMES | WIRE_MODULE_PUSHES,
		[RUNTIME_FRAMES_IN_IMAGE] = WIRE_MODULE_FRAMES,
	};
	e->made = made[kept];
	err = kept == RUNTIME_FRAMES_IN_IMAGE ? fill_gaps(tables) : NULL;
	if (err)
		return err;
	return buffer->rows.len ? put_aside(tables, e) : NULL;
}

struct mt_error *tables_compile(struct tracee *t, const struct images *images, struct tables *tables)
{
	for (size_t i = 0; i < images->list.len; i++) {
		if (i >= tables->entries.len &&
		    !mt_array_push(&tables->entries, (struct table_entry){ 0 }))
			return &mt_enomem;
		struct table_entry *e = &tables->entries.items[i];
		struct image *img = images->list.items[i];
		if (e->compiled || img->unloaded)
			continue;
		e->compiled = true;
		struct mt_error *err = compile_image(t, img, tables, e);
		if (err)
			return err;
	}
	unwind_table_deinit(&tables->buffer);
	return NULL;
}

static uint64_t align64(uint64_t v)
{
	return (v + 63) & ~63ull;
}

/* Rows of one image into the unwind area; without room the image stays without a table. */
static struct mt_error *publish_rows(struct channel *ch, const struct tables *tables,
				     struct table_entry *e)
{
	uint64_t bytes = (uint64_t)e->row_count * sizeof(struct wire_row);
	uint64_t to = ch->header->unwind_offset + ch->unwind_used;
	e->published = true;
	if (ch->unwind_used + bytes > ch->header->unwind_size)
		bytes = e->row_count = 0;
	struct mt_error *err =
		memory_file_copy(tables->waiting, e->waiting_offset, ch->fd, to, bytes);
	if (err)
		return err;
	e->rows_offset = to;
	ch->unwind_used = align64(ch->unwind_used + bytes);
	return NULL;
}

static struct mt_error *publish_new_rows(struct channel *ch, struct tables *tables)
{
	struct mt_error *err = NULL;
	for (size_t i = 0; i < tables->entries.len && !err; i++) {
		struct table_entry *e = &tables->entries.items[i];
		if (e->compiled && !e->published)
			err = publish_rows(ch, tables, e);
	}
	if (!err && tables->waiting_size && ftruncate(tables->waiting, 0) == 0)
		tables->waiting_size = 0;
	return err;
}

static void publish_rules(struct channel *ch, struct tables *tables)
{
	uint32_t count = (uint32_t)tables->rules.list.len;
	if (count > CHANNEL_RULES_MAX)
		count = CHANNEL_RULES_MAX;
	struct wire_rule *rules = channel_at(ch, ch->header->rules_offset);
	for (uint32_t i = ch->rule_count; i < count; i++)
		rules[i] = tables->rules.list.items[i];
	ch->rule_count = count;
}

/* Nothing new: the tracer may keep what it cached about the list that holds. */
static bool is_current(const struct channel *ch, const struct wire_module *list, uint32_t count)
{
	uint64_t current = atomic_load_explicit(&ch->header->module_list, memory_order_relaxed);
	return current && (current & ((1u << WIRE_MODULE_COUNT_BITS) - 1)) == count &&
	       !memcmp(channel_at(ch, current >> WIRE_MODULE_COUNT_BITS), list, count * sizeof(*list));
}

static int by_start(const void *a, const void *b)
{
	const struct wire_module *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* *made: flags of what the runtimes among them make. */
static uint32_t list_images(const struct images *images, const struct tables *tables,
			    struct wire_module *list, uint32_t *made)
{
	uint32_t count = 0;
	*made = 0;
	for (size_t i = 0; i < images->list.len && i < tables->entries.len; i++) {
		const struct table_entry *e = &tables->entries.items[i];
		const struct image *img = images->list.items[i];
		if (img->unloaded || !e->exec_end)
			continue;
		*made |= e->made;
		list[count++] = (struct wire_module){
			.start = e->exec_start, .end = e->exec_end,
			.bias = img->bias + e->base,
			.rows_offset = e->rows_offset, .row_count = e->row_count,
			.ret_gadget = e->ret_gadget,
		};
	}
	return count;
}

/* Code outside of the images: of an image by its rows, what is made at run time by frame pointers. */
static uint32_t list_code(const struct images *images, const struct tables *tables,
			  struct wire_module *list, uint32_t count, uint32_t made)
{
	for (size_t i = 0; i < images->code.len; i++) {
		const struct image_code *c = &images->code.items[i];
		struct wire_module m = { .start = c->start, .end = c->end };
		if (c->image && c->image->id < tables->entries.len) {
			const struct table_entry *e = &tables->entries.items[c->image->id];
			m.bias = c->bias + e->base;
			m.rows_offset = e->rows_offset;
			m.row_count = e->row_count;
			list[count++] = m;
		} else if (!c->image && made) {
			m.flags = made;
			list[count++] = m;
		}
	}
	return count;
}

struct mt_error *tables_publish(struct channel *ch, const struct images *images,
				struct tables *tables)
{
	struct wire_header *h = ch->header;
	publish_rules(ch, tables);
	struct mt_error *err = publish_new_rows(ch, tables);
	if (err)
		return err;
	uint64_t need = align64((images->list.len + images->code.len) * sizeof(struct wire_module));
	if (need > CHANNEL_LISTS_SIZE)
		return mt_error_create(MT_ERROR_OTHER, "too many loaded libraries and pieces of code: %zu",
				       images->list.len + images->code.len);
	if (ch->list_next + need > CHANNEL_LISTS_SIZE)
		ch->list_next = 0;
	uint64_t offset = h->unwind_offset + ch->list_next;
	struct wire_module *list = channel_at(ch, offset);
	uint32_t made;
	uint32_t count = list_images(images, tables, list, &made);
	count = list_code(images, tables, list, count, made);
	qsort(list, count, sizeof(*list), by_start);
	if (is_current(ch, list, count))
		return NULL;
	ch->list_next += need;
	atomic_store_explicit(&h->module_list, offset << WIRE_MODULE_COUNT_BITS | count,
			      memory_order_release);
	atomic_fetch_add_explicit(&h->module_generation, 1, memory_order_release);
	return NULL;
}
