/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/diff.c - two captures' functions side by side.
 * Knows: names, numbers, layout. Does not know: options.
 * Called by cmds/diff.c; calls reporters/aggregate.h and base/. */
#include "reporters/diff.h"
#include "base/text.h"
#include "reporters/aggregate.h"
#include "reporters/facts.h"
#include "symbolize/strings.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define COLUMNS 5
#define LOCATION_MIN 20u

void diff_deinit(struct diff *d)
{
	if (d->names)
		string_pool_deinit(d->names);
	free(d->names);
	mt_array_deinit(&d->rows);
	*d = (struct diff){ 0 };
}

/* ---- names that match ---------------------------------------------------------------------- */

static bool is_suffix(const char *s, size_t len)
{
	static const char *const words[] = { "cold", "part", "isra", "constprop", "lto_priv",
					     "llvm", "localalias" };
	size_t i = 0;
	if (len && isdigit((unsigned char)s[0])) {
		while (i < len && isdigit((unsigned char)s[i]))
			i++;
		return i == len;
	}
	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
		if (strlen(words[w]) == len && !memcmp(words[w], s, len))
			return true;
	return false;
}

/* The length of a function's name without ".isra.0", " [clone .cold]". */
static size_t bare_length(const char *name, size_t len)
{
	const char *clone = memmem(name, len, " [clone ", 8);
	if (clone)
		len = (size_t)(clone - name);
	for (;;) {
		const char *dot = memrchr(name, '.', len);
		if (!dot || dot == name || !is_suffix(dot + 1, len - (size_t)(dot + 1 - name)))
			return len;
		len = (size_t)(dot - name);
	}
}

static bool is_address(const char *name, size_t len)
{
	return len > 2 && name[0] == '0' && name[1] == 'x' &&
	       strspn(name + 2, "0123456789abcdef") >= len - 2;
}

static void put_function(const char *name, size_t len, struct mt_buf *out)
{
	if (is_address(name, len))
		mt_buf_put_str(out, "(no name)");
	else
		mt_buf_put(out, name, bare_length(name, len));
}

void diff_function(const char *name, struct mt_buf *out)
{
	put_function(name, strlen(name), out);
}

void diff_place(const char *path, struct mt_buf *out)
{
	const char *slash = strrchr(path, '/'), *place = slash ? slash + 1 : path;
	const char *so = strstr(place, ".so");
	size_t n = so && (!so[3] || so[3] == '.') ? (size_t)(so + 3 - place) : strlen(place);
	mt_buf_put(out, place, n);
}

void diff_key(const char *label, struct mt_buf *out)
{
	const char *at = NULL;
	for (const char *p = label; (p = strstr(p, " at ")); p++)
		at = p;
	put_function(label, at ? (size_t)(at - label) : strlen(label), out);
	if (!at)
		return;
	mt_buf_put_str(out, " at ");
	diff_place(at + 4, out);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static struct mt_error *add_side(struct diff *d, unsigned side)
{
	auto_aggregate struct aggregate a = { 0 };
	auto_buf struct mt_buf key = MT_BUF_INIT;
	struct mt_error *err = aggregate_compute(d->r[side], AGGREGATE_FUNCTIONS, &a);
	for (size_t i = 0; !err && i < a.count; i++) {
		uint32_t id;
		if (!a.rows[i].own_bytes && !a.rows[i].own_count)
			continue;
		mt_buf_clear(&key);
		diff_key(a.rows[i].name, &key);
		mt_buf_put_char(&key, '\0');
		const char *name = key.failed ? NULL :
				   string_pool_number(d->names, (const char *)key.data, &id);
		if (!name)
			return &mt_enomem;
		if (id == d->rows.len && !mt_array_push(&d->rows, (struct diff_row){ .name = name }))
			return &mt_enomem;
		d->rows.items[id].bytes[side] += a.rows[i].own_bytes;
		d->rows.items[id].count[side] += a.rows[i].own_count;
	}
	return err;
}

static uint64_t change(const uint64_t v[2])
{
	return v[1] > v[0] ? v[1] - v[0] : v[0] - v[1];
}

static int larger_first(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int by_change(const void *pa, const void *pb, void *by_count)
{
	const struct diff_row *a = pa, *b = pb;
	int bytes = larger_first(change(a->bytes), change(b->bytes));
	int count = larger_first(change(a->count), change(b->count));
	int c = *(bool *)by_count ? (count ? count : bytes) : (bytes ? bytes : count);
	return c ? c : strcmp(a->name, b->name);
}

struct mt_error *diff_compute(const struct report *base, const struct report *new,
			      struct diff *ret)
{
	struct diff d = { .r = { base, new }, .names = calloc(1, sizeof(struct string_pool)) };
	bool by_count = base->metric == METRIC_COUNT;
	struct mt_error *err = d.names ? add_side(&d, 0) : &mt_enomem;
	if (!err)
		err = add_side(&d, 1);
	if (err) {
		diff_deinit(&d);
		return err;
	}
	if (d.rows.len)
		qsort_r(d.rows.items, d.rows.len, sizeof(*d.rows.items), by_change, &by_count);
	*ret = d;
	return NULL;
}

/* ---- text ---------------------------------------------------------------------------------- */

struct cells {
	char text[COLUMNS][MT_TEXT_MAX + 1];
};

/* A sign always: colours alone do not tell everybody. */
static void signed_text(char *buf, const uint64_t v[2], char *(*text)(char *, uint64_t))
{
	char plain[MT_TEXT_MAX];
	text(plain, change(v));
	snprintf(buf, MT_TEXT_MAX + 1, "%s%s", v[1] > v[0] ? "+" : v[1] < v[0] ? "-" : "", plain);
}

static void share_text(char *buf, const uint64_t v[2])
{
	if (v[0] == v[1])
		strcpy(buf, "=");
	else if (!v[0] || !v[1])
		strcpy(buf, v[0] ? "gone" : "new");
	else if (v[1] / v[0] >= 100)
		snprintf(buf, MT_TEXT_MAX, "x%" PRIu64, v[1] / v[0]);
	else
		snprintf(buf, MT_TEXT_MAX, "%+.1f%%", ((double)v[1] / (double)v[0] - 1) * 100);
}

static void fill(const uint64_t bytes[2], const uint64_t count[2], struct cells *c)
{
	mt_text_size(c->text[0], bytes[0]);
	mt_text_size(c->text[1], bytes[1]);
	signed_text(c->text[2], bytes, mt_text_size);
	share_text(c->text[3], bytes);
	signed_text(c->text[4], count, mt_text_count);
}

struct layout {
	size_t width[COLUMNS], room;	/* room: of the location */
};

static struct mt_error *print_row(const char *name, const struct layout *l,
				  const struct cells *c, const char *color, FILE *out)
{
	auto_buf struct mt_buf line = MT_BUF_INIT;
	auto_free char *clean = mt_text_clean(name);
	if (!clean)
		return &mt_enomem;
	mt_text_put_fitted(&line, clean, l->room, true);
	for (unsigned i = 0; i < COLUMNS; i++)
		mt_buf_printf(&line, "  %s%*s%s", i >= 2 ? color : "", (int)l->width[i], c->text[i],
			      i >= 2 && *color ? "\033[0m" : "");
	mt_buf_put_char(&line, '\n');
	if (line.failed)
		return &mt_enomem;
	fwrite(line.data, 1, line.len, out);
	return NULL;
}

/* Blue and orange are told apart by all kinds of colour blindness. */
static const char *color_of(const struct diff_options *o, const uint64_t v[2])
{
	return !o->color || v[0] == v[1] ? "" : v[1] > v[0] ? "\033[38;5;208m" : "\033[38;5;33m";
}

static struct mt_error *print_heads(const struct diff *d, FILE *out)
{
	static const char *const names[2] = { "Base", "New" };
	for (unsigned side = 0; side < 2; side++) {
		auto_facts struct facts f = { 0 };
		const struct views *v = d->r[side]->views;
		char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX];
		struct mt_error *err = facts_init(d->r[side]->cap, v->last_ticks, &f);
		if (err)
			return err;
		fprintf(out, "%-5s %s\n      %s in %s blocks (%s), recorded for %s\n", names[side],
			*f.command ? f.command : "unknown",
			mt_text_size(a, v->total_bytes[d->r[side]->view]),
			mt_text_count(b, v->total_count[d->r[side]->view]),
			view_name(d->r[side]->view), mt_text_duration(c, f.duration_ns));
	}
	return NULL;
}

size_t diff_changed(const struct diff *d)
{
	size_t n = 0;
	while (n < d->rows.len &&
	       (change(d->rows.items[n].bytes) || change(d->rows.items[n].count)))
		n++;
	return n;
}

static size_t rows_shown(const struct diff *d, const struct diff_options *o)
{
	size_t n = diff_changed(d);
	return o->max_rows && n > o->max_rows ? o->max_rows : n;
}

static void widen(struct layout *l, const struct cells *c)
{
	for (unsigned k = 0; k < COLUMNS; k++)
		if (strlen(c->text[k]) > l->width[k])
			l->width[k] = strlen(c->text[k]);
}

/* Numbers take what they need; the location has the rest of the line. */
static struct mt_error *measure(const struct diff *d, size_t rows, size_t columns,
				struct layout *l)
{
	size_t longest = strlen("Location"), numbers = 0;
	for (size_t i = 0; i < rows; i++) {
		struct cells c;
		auto_free char *clean = mt_text_clean(d->rows.items[i].name);
		if (!clean)
			return &mt_enomem;
		if (mt_text_width(clean) > longest)
			longest = mt_text_width(clean);
		fill(d->rows.items[i].bytes, d->rows.items[i].count, &c);
		widen(l, &c);
	}
	for (unsigned k = 0; k < COLUMNS; k++)
		numbers += l->width[k] + 2;
	l->room = columns > numbers + LOCATION_MIN ? columns - numbers : LOCATION_MIN;
	if (longest < l->room)
		l->room = longest;
	return NULL;
}

struct mt_error *diff_write_text(const struct diff *d, const struct diff_options *options,
				 FILE *out)
{
	static const struct cells head = { { "Base", "New", "Change", "Change %", "Blocks" } };
	struct cells c;
	struct layout l = { .room = 0 };
	size_t n = rows_shown(d, options);
	enum view_kind view = d->r[0]->view;
	const struct views *v[2] = { d->r[0]->views, d->r[1]->views };
	const uint64_t bytes[2] = { v[0]->total_bytes[view], v[1]->total_bytes[view] };
	const uint64_t count[2] = { v[0]->total_count[view], v[1]->total_count[view] };
	struct mt_error *err = print_heads(d, out);
	fill(bytes, count, &c);
	widen(&l, &head);
	widen(&l, &c);
	if (!err)
		err = measure(d, n, options->width, &l);
	fputc('\n', out);
	if (!err)
		err = print_row("Location", &l, &head, "", out);
	if (!err)
		err = print_row("(all)", &l, &c, color_of(options, bytes), out);
	for (size_t i = 0; !err && i < n; i++) {
		const struct diff_row *row = &d->rows.items[i];
		fill(row->bytes, row->count, &c);
		err = print_row(row->name, &l, &c, color_of(options, row->bytes), out);
	}
	if (!err && n < d->rows.len)
		fprintf(out, "%zu more function%s: %s\n", d->rows.len - n,
			d->rows.len - n == 1 ? "" : "s",
			n == options->max_rows ? "-r shows more rows" : "no change");
	return err;
}

struct mt_error *diff_write_json(const struct diff *d, FILE *out)
{
	struct mt_json j = mt_json_make(out, true);
	enum view_kind view = d->r[0]->view;
	static const char *const sides[2] = { "base", "new" };
	mt_json_open(&j, NULL, '{');
	mt_json_str(&j, "view", view_name(view));
	for (unsigned side = 0; side < 2; side++) {
		mt_json_open(&j, sides[side], '{');
		mt_json_u64(&j, "bytes", d->r[side]->views->total_bytes[view]);
		mt_json_u64(&j, "count", d->r[side]->views->total_count[view]);
		mt_json_close(&j);
	}
	mt_json_open(&j, "functions", '[');
	for (size_t i = 0; i < d->rows.len; i++) {
		const struct diff_row *row = &d->rows.items[i];
		mt_json_open(&j, NULL, '{');
		mt_json_str(&j, "location", row->name);
		mt_json_u64(&j, "base_bytes", row->bytes[0]);
		mt_json_u64(&j, "new_bytes", row->bytes[1]);
		mt_json_u64(&j, "base_count", row->count[0]);
		mt_json_u64(&j, "new_count", row->count[1]);
		mt_json_close(&j);
	}
	mt_json_close(&j);
	mt_json_close(&j);
	return NULL;
}
