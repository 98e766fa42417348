/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export_pprof.c - profile.proto, as `go tool pprof` and its many readers take it.
 * Knows: the protobuf wire format, field numbers. Does not know: where values come from.
 * Called by cmds/transform.c; calls reporters/html (LEB128, gzip) and base/.
 *
 * Messages are a handful of integers and strings, so they are written by hand, each into a buffer of
 * its own and from there, with tag and length, into the whole. Locations have no address:
 * a frame is a function and a line here, inlined or Python as it may be. */
#include "reporters/export.h"
#include "reporters/facts.h"
#include "reporters/html.h"
#include "base/hash.h"
#include "base/text.h"
#include "symbolize/strings.h"

#include <string.h>

enum { PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE, PROFILE_MAPPING, PROFILE_LOCATION,
       PROFILE_FUNCTION, PROFILE_STRING_TABLE, PROFILE_TIME_NANOS = 9, PROFILE_DURATION_NANOS,
       PROFILE_PERIOD_TYPE, PROFILE_PERIOD, PROFILE_COMMENT, PROFILE_DEFAULT_SAMPLE_TYPE };

struct pprof {
	struct export *x;
	struct string_pool strings;
	MT_ARRAY(const char *) texts;		/* by number, "" first */
	struct mt_map functions;		/* function string << 32 | file string -> id */
	struct mt_map mappings;			/* module string of the tree -> id */
	struct mt_buf out, message, inner;
	bool failed;
};

static void pprof_deinit(struct pprof *p)
{
	string_pool_deinit(&p->strings);
	mt_array_deinit(&p->texts);
	mt_map_deinit(&p->functions);
	mt_map_deinit(&p->mappings);
	mt_buf_deinit(&p->out);
	mt_buf_deinit(&p->message);
	mt_buf_deinit(&p->inner);
}

/* ---- the wire ---- */

static void put_int(struct mt_buf *b, unsigned field, uint64_t v)
{
	if (!v)		/* the default is left out */
		return;
	html_put_leb(b, field << 3);
	html_put_leb(b, v);
}

static void put_bytes(struct mt_buf *b, unsigned field, const void *data, size_t len)
{
	html_put_leb(b, field << 3 | 2);
	html_put_leb(b, len);
	mt_buf_put(b, data, len);
}

/* Ends a message: it becomes a field of `to`. */
static void put_message(struct mt_buf *to, unsigned field, struct mt_buf *message)
{
	put_bytes(to, field, message->data, message->len);
	to->failed |= message->failed;
	mt_buf_clear(message);
}

/* proto3 strings are UTF-8, and a decoder may refuse a whole profile for one byte that is not. */
static uint64_t string_of(struct pprof *p, const char *s)
{
	uint32_t id = 0;
	auto_free char *clean = mt_text_clean(s);
	const char *kept = clean ? string_pool_number(&p->strings, clean, &id) : NULL;
	if (!kept || (id == p->texts.len && !mt_array_push(&p->texts, kept)))
		p->failed = true;
	return id;
}

static void put_value_type(struct pprof *p, unsigned field, const char *type, const char *unit)
{
	put_int(&p->message, 1, string_of(p, type));
	put_int(&p->message, 2, string_of(p, unit));
	put_message(&p->out, field, &p->message);
}

/* ---- mappings, functions, locations ---- */

static const struct capture_module *find_module(const struct export *x, const char *name)
{
	size_t count;
	const struct capture_module *m = capture_modules(x->r->cap, &count);
	for (size_t i = 0; i < count; i++) {
		const char *base = m[i].path ? strrchr(m[i].path, '/') : NULL;
		if (m[i].path && !strcmp(base ? base + 1 : m[i].path, name))
			return &m[i];
	}
	return NULL;
}

static uint64_t mapping_of(struct pprof *p, uint32_t module)
{
	const char *name = tree_string(p->x->tree, module);
	const struct capture_module *m = *name ? find_module(p->x, name) : NULL;
	const uint64_t *known = mt_map_get(&p->mappings, module);
	char id[2 * 64 + 1] = "";
	if (!m || known)
		return known ? *known : 0;
	for (size_t i = 0; i < m->build_id_size && i < 64; i++)
		sprintf(id + 2 * i, "%02x", m->build_id[i]);
	uint64_t number = p->mappings.len + 1;
	p->failed |= !mt_map_put(&p->mappings, module, number);
	put_int(&p->message, 1, number);
	put_int(&p->message, 2, m->start);
	put_int(&p->message, 3, m->end);
	put_int(&p->message, 5, string_of(p, m->path));
	put_int(&p->message, 6, string_of(p, id));
	for (unsigned has = 7; has <= 10; has++)	/* functions ... inlines: nothing to look up */
		put_int(&p->message, has, 1);
	put_message(&p->out, PROFILE_MAPPING, &p->message);
	return number;
}

static uint64_t function_of(struct pprof *p, uint32_t frame)
{
	uint64_t name = string_of(p, export_function(p->x, frame));
	uint64_t file = string_of(p, tree_string(p->x->tree, export_frame(p->x, frame)->file));
	const uint64_t *known = mt_map_get(&p->functions, name << 32 | file);
	if (known)
		return *known;
	uint64_t id = p->functions.len + 1;
	p->failed |= !mt_map_put(&p->functions, name << 32 | file, id);
	put_int(&p->message, 1, id);
	/* No system name: pprof would demangle it again, and make "" of "<module>". */
	put_int(&p->message, 2, name);
	put_int(&p->message, 4, file);
	put_message(&p->out, PROFILE_FUNCTION, &p->message);
	return id;
}

/* A location's id is the number of its frame in the tree; frame 0 is nobody's. */
static void put_locations(struct pprof *p)
{
	uint32_t count;
	const struct tree_frame *f = tree_frames(p->x->tree, &count);
	for (uint32_t i = 1; i < count; i++) {
		uint64_t mapping = mapping_of(p, f[i].module), function = function_of(p, i);
		put_int(&p->message, 1, i);
		put_int(&p->message, 2, mapping);
		put_int(&p->inner, 1, function);
		put_int(&p->inner, 2, f[i].line);
		put_message(&p->message, 4, &p->inner);
		put_message(&p->out, PROFILE_LOCATION, &p->message);
	}
}

/* ---- samples ---- */

static void put_label(struct pprof *p, const char *key, const char *value)
{
	put_int(&p->inner, 1, string_of(p, key));
	put_int(&p->inner, 2, string_of(p, value));
	put_message(&p->message, 3, &p->inner);
}

static struct mt_error *put_sample(struct pprof *p, size_t i, enum view_kind in_use)
{
	const struct view_row *row = &p->x->r->views->rows[i];
	const uint64_t values[4] = { row->count[VIEW_ALLOCATED], row->bytes[VIEW_ALLOCATED],
				     row->count[in_use], row->bytes[in_use] };
	struct mt_error *err = export_path(p->x, p->x->leaf[i]);
	if (err)
		return err;
	for (size_t k = 0; k < p->x->path.len; k++)
		html_put_leb(&p->inner, p->x->path.items[k]);
	put_message(&p->message, 1, &p->inner);		/* packed */
	for (unsigned k = 0; k < 4; k++)
		html_put_leb(&p->inner, values[k]);
	put_message(&p->message, 2, &p->inner);
	put_label(p, "allocator", wire_record_name(row->kind));
	if (p->x->r->split_threads) {
		uint32_t tid = 0;
		auto_buf struct mt_buf name = MT_BUF_INIT;
		const char *thread = capture_thread_name(p->x->r->cap, row->thread, &tid);
		mt_buf_printf(&name, "%s [%u]", *thread ? thread : "thread", tid);
		mt_buf_put_char(&name, '\0');
		if (name.failed)
			return &mt_enomem;
		put_label(p, "thread", (const char *)name.data);
	}
	put_message(&p->out, PROFILE_SAMPLE, &p->message);
	return NULL;
}

static struct mt_error *put_samples(struct pprof *p, enum view_kind in_use, size_t *items)
{
	const struct views *v = p->x->r->views;
	struct mt_error *err = NULL;
	for (size_t i = 0; !err && i < v->row_count; i++) {
		if (!v->rows[i].count[VIEW_ALLOCATED] && !v->rows[i].count[in_use])
			continue;
		err = put_sample(p, i, in_use);
		++*items;
	}
	return err;
}

static struct mt_error *put_header(struct pprof *p)
{
	auto_facts struct facts f = { 0 };
	struct mt_error *err = facts_init(p->x->r->cap, p->x->r->views->last_ticks, &f);
	if (err)
		return err;
	string_of(p, "");		/* number 0 */
	put_value_type(p, PROFILE_SAMPLE_TYPE, "alloc_objects", "count");
	put_value_type(p, PROFILE_SAMPLE_TYPE, "alloc_space", "bytes");
	put_value_type(p, PROFILE_SAMPLE_TYPE, "inuse_objects", "count");
	put_value_type(p, PROFILE_SAMPLE_TYPE, "inuse_space", "bytes");
	put_value_type(p, PROFILE_PERIOD_TYPE, "space", "bytes");
	put_int(&p->out, PROFILE_PERIOD, 1);
	put_int(&p->out, PROFILE_TIME_NANOS, f.start_ns);
	put_int(&p->out, PROFILE_DURATION_NANOS, f.duration_ns);
	put_int(&p->out, PROFILE_COMMENT, string_of(p, f.command));
	put_int(&p->out, PROFILE_DEFAULT_SAMPLE_TYPE, string_of(p, "inuse_space"));
	return NULL;
}

struct mt_error *export_pprof(struct export *x, FILE *out, size_t *items_ret)
{
	mt_auto(pprof_deinit) struct pprof p = { .x = x };
	auto_buf struct mt_buf packed = MT_BUF_INIT;
	enum view_kind in_use = x->r->view == VIEW_LEAKS ? VIEW_LEAKS : VIEW_PEAK;
	*items_ret = 0;
	if (x->r->view != VIEW_PEAK && x->r->view != VIEW_LEAKS)
		return mt_error_hint(mt_error_create(MT_ERROR_USAGE, "pprof has no place for the view"
						     " '%s'", view_name(x->r->view)),
				     "alloc_space and alloc_objects are all allocations; in-use is"
				     " the peak or, with --leaks, the end");
	struct mt_error *err = put_header(&p);
	if (!err) {
		put_locations(&p);
		err = put_samples(&p, in_use, items_ret);
	}
	if (err)
		return err;
	for (size_t i = 0; i < p.texts.len; i++)
		put_bytes(&p.out, PROFILE_STRING_TABLE, p.texts.items[i],
			  strlen(p.texts.items[i]));
	if (p.failed || p.out.failed)
		return &mt_enomem;
	err = html_gzip(p.out.data, p.out.len, &packed);
	if (!err)
		fwrite(packed.data, 1, packed.len, out);
	return err;
}
