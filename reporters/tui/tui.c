/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/tui.c - what keys do, and the loop of keys and pictures.
 * Knows: keys, when data is fetched anew. Does not know: drawing, curses, where data comes from.
 * Called by cmds/; calls reporters/tui/. */
#include "reporters/tui/tui_private.h"

#include <stdio.h>
#include <string.h>

#define LIVE_MS 250		/* a picture at least this often, for the clock and the rates */

/* ---- data ---- */

/* The list is the new data's; what was in sight stays where it can. */
static struct mt_error *take_data(struct tui *t, struct data *d)
{
	bool restart = !t->data || !data_request_same(&t->data->request, &d->request);
	data_destroy(t->data);
	t->data = d;
	return restart ? rows_restart(&t->rows, d) : rows_fill(&t->rows, d);
}

static struct mt_error *fetch(struct tui *t)
{
	struct data *d = NULL;
	struct mt_error *err = t->source->get(t->source->arg, &t->request, &d);
	if (err || !d)
		return err;
	bool wanted = !t->data || !data_request_same(&t->data->request, &t->request);
	if (t->paused && !wanted) {
		data_destroy(t->head);
		t->head = d;
		return NULL;
	}
	if (!data_request_same(&d->request, &t->request)) {
		data_destroy(d);	/* of before the last key */
		return NULL;
	}
	return take_data(t, d);
}

/* ---- keys ---- */

static size_t thread_position(const struct tui *t)
{
	for (size_t i = 0; i < t->data->threads.len; i++)
		if (t->data->threads.items[i].index == t->request.thread)
			return i;
	return 0;
}

static void change_thread(struct tui *t, bool next)
{
	size_t n = t->data->threads.len;
	if (!n)
		return;
	if (t->request.thread == DATA_ALL_THREADS)
		t->request.thread = t->data->threads.items[next ? 0 : n - 1].index;
	else
		t->request.thread =
			t->data->threads.items[(thread_position(t) + (next ? 1 : n - 1)) % n].index;
}

static void merge_threads(struct tui *t)
{
	if (t->request.thread == DATA_ALL_THREADS)
		change_thread(t, true);
	else
		t->request.thread = DATA_ALL_THREADS;
}

static void change_view(struct tui *t)
{
	t->request.view = (t->request.view + 1) % VIEW_COUNT;
	if (t->request.view == VIEW_TEMPORARY && t->data->sample_rate)
		t->request.view = VIEW_PEAK;	/* a sample does not tell */
	if (t->request.page == PAGE_LEAKS)
		t->request.page = PAGE_TABLE;
}

static void change_page(struct tui *t, bool next)
{
	unsigned pages = t->live ? 3 : 2;
	t->request.page = (t->request.page + (next ? 1 : pages - 1)) % pages;
}

static struct mt_error *search(struct tui *t, bool forward)
{
	bool found;
	if (!t->search[0])
		return NULL;
	struct mt_error *err = rows_search(&t->rows, t->data, t->search, forward, &found);
	if (!err && !found)
		snprintf(t->message, sizeof(t->message), "not found: %s", t->search);
	return err;
}

static struct mt_error *type_key(struct tui *t, int key)
{
	switch (key) {
	case SCREEN_ENTER:
		t->typing = false;
		return search(t, true);
	case SCREEN_ESCAPE:
	case 3:
		t->typing = false;
		t->search_len = 0;
		break;
	case SCREEN_BACKSPACE:
		while (t->search_len && (t->search[--t->search_len] & 0xc0) == 0x80)
			;
		break;
	default:
		if (key >= ' ' && key < 0x100 && t->search_len + 1 < sizeof(t->search))
			t->search[t->search_len++] = (char)key;
	}
	t->search[t->search_len] = 0;
	return NULL;
}

static struct mt_error *tree_key(struct tui *t, int key)
{
	const struct row *row = rows_at_cursor(&t->rows);
	if (!row)
		return NULL;
	switch (key) {
	case SCREEN_ENTER:
		return rows_open(&t->rows, t->data, !row->open);
	case SCREEN_RIGHT:
		if (!row->open && !row->leaf)
			return rows_open(&t->rows, t->data, true);
		rows_move(&t->rows, !row->leaf);
		return NULL;
	case SCREEN_LEFT:
		if (row->open)
			return rows_open(&t->rows, t->data, false);
		rows_to_parent(&t->rows, t->data);
		return NULL;
	case 'e':
		return rows_open_chain(&t->rows, t->data);
	case 'u':
		t->request.hide ^= FRAME_INTERPRETER;
		return NULL;
	case 'i':
		t->request.hide ^= FRAME_IMPORT;
		return NULL;
	case 'r':
		t->request.inverted = !t->request.inverted;
		return NULL;
	}
	return NULL;
}

static struct mt_error *set_order(struct tui *t, enum rows_order order)
{
	t->rows.order = order;
	struct mt_error *err = rows_fill(&t->rows, t->data);
	if (!err && shown_page(t) == PAGE_TABLE)
		rows_move_to(&t->rows, 0);
	return err;
}

static void move_key(struct tui *t, int key)
{
	long page = t->list_height > 1 ? (long)t->list_height - 1 : 1;
	switch (key) {
	case SCREEN_UP: case 'k': rows_move(&t->rows, -1); break;
	case SCREEN_DOWN: case 'j': rows_move(&t->rows, 1); break;
	case SCREEN_PAGE_UP: rows_move(&t->rows, -page); break;
	case SCREEN_PAGE_DOWN: rows_move(&t->rows, page); break;
	case SCREEN_HOME: case 'g': rows_move_to(&t->rows, 0); break;
	case SCREEN_END: case 'G': rows_move_to(&t->rows, SIZE_MAX); break;
	}
}

static struct mt_error *data_key(struct tui *t, int key)
{
	bool tree = shown_page(t) == PAGE_TREE;
	switch (key) {
	case 't': return set_order(t, ORDER_TOTAL);
	case 'o': return set_order(t, ORDER_OWN);
	case 'a': return set_order(t, ORDER_COUNT);
	case 'm': merge_threads(t); return NULL;
	case 'v': change_view(t); return NULL;
	case 'x': t->request.no_native = !t->request.no_native; return NULL;
	case '<': change_thread(t, false); return NULL;
	case '>': change_thread(t, true); return NULL;
	case 'n': return search(t, true);
	case 'N': return search(t, false);
	case SCREEN_TAB: change_page(t, true); return NULL;
	case SCREEN_BACKTAB: change_page(t, false); return NULL;
	case SCREEN_LEFT: case SCREEN_RIGHT:
		if (!tree) {
			change_thread(t, key == SCREEN_RIGHT);
			return NULL;
		}
	}
	move_key(t, key);
	return tree ? tree_key(t, key) : NULL;
}

/* Space: the list stays as it is; when it goes on, the newest is shown at once. */
static struct mt_error *pause_list(struct tui *t)
{
	t->paused = !t->paused;
	struct data *newest = take_ptr(&t->head);
	if (!t->paused && newest && data_request_same(&newest->request, &t->request))
		return take_data(t, newest);
	data_destroy(newest);
	return NULL;
}

static struct mt_error *press(struct tui *t, int key)
{
	t->message[0] = 0;
	if (t->help) {
		t->help = false;
		return NULL;
	}
	if (t->typing)
		return type_key(t, key);
	switch (key) {
	case 'q':
	case 3:
		t->quit = true;
		return NULL;
	case SCREEN_ESCAPE:
		t->quit = t->live && !t->search_len;
		t->search_len = 0;
		t->search[0] = 0;
		return NULL;
	case '?':
	case 'h':
		t->help = true;
		return NULL;
	case '/':
		t->typing = true;
		t->search_len = 0;
		t->search[0] = 0;
		return NULL;
	case ' ':
		if (t->live)
			return pause_list(t);
		return t->data && shown_page(t) == PAGE_TREE ? tree_key(t, SCREEN_ENTER) : NULL;
	}
	return t->data ? data_key(t, key) : NULL;
}

/* ---- the loop ---- */

static bool is_over(const struct tui *t)
{
	return t->quit || (t->source->over && t->source->over(t->source->arg));
}

static struct mt_error *turn(struct tui *t)
{
	struct mt_error *err = fetch(t);
	if (err)
		return err;
	if (t->live)
		t->source->status(t->source->arg, &t->status);
	tui_draw(t);
	int key = screen_key(&t->screen, t->live ? LIVE_MS : -1, t->source->wake_fd);
	/* All keys that are there already before the next picture; but those behind one that asks for
	 * another page are meant for that page. */
	while (!err && key >= 0 && !t->quit) {
		err = key == SCREEN_RESIZE ? NULL : press(t, key);
		if (t->data && !data_request_same(&t->data->request, &t->request))
			return err;
		key = screen_key(&t->screen, 0, -1);
	}
	if (key == SCREEN_GONE)
		t->quit = true;
	return err;
}

struct mt_error *tui_run(const struct tui_source *source, const struct tui_options *options)
{
	struct tui t = { .source = source, .request = options->request,
			 .live = source->status != NULL };
	struct mt_error *err = screen_open(&t.screen, &(struct screen_options){
							     .color = options->color,
							     .no_suspend = t.live,
						     });
	if (options->request.metric == METRIC_COUNT)
		t.rows.order = ORDER_COUNT;
	while (!err && !is_over(&t))
		err = turn(&t);
	screen_close(&t.screen);
	data_destroy(t.data);
	data_destroy(t.head);
	rows_deinit(&t.rows);
	return err;
}
