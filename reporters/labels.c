/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/labels.c - one text for a frame, composed once and numbered.
 * Knows: how frames are spelt. Does not know: numbers, files.
 * Called by reporters/; calls symbolize/ and base/. */
#include "reporters/labels.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/text.h"
#include "symbolize/strings.h"

#include <stdlib.h>
#include <string.h>

/* Composing and hashing a text for every frame of every stack would be most of a report's time;
 * a frame seen before is found by where its strings are.
 * A slot holds the last one that fell on it. */
#define CACHE_SLOTS 32768u

struct cache_slot {
	const char *function, *file, *module;
	uint32_t line, thread, id;
	uint8_t kind;
};

struct labels {
	const struct capture *cap;
	enum label_style style;
	struct string_pool pool;
	MT_ARRAY(const char *) texts;
	struct cache_slot *cache;
	struct mt_buf buf;
};

struct mt_error *labels_create(const struct capture *cap, enum label_style style,
			       struct labels **ret)
{
	struct labels *l = calloc(1, sizeof(*l));
	if (!l)
		return &mt_enomem;
	l->cap = cap;
	l->style = style;
	l->cache = calloc(CACHE_SLOTS, sizeof(*l->cache));
	if (!l->cache) {
		free(l);
		return &mt_enomem;
	}
	*ret = l;
	return NULL;
}

void labels_destroy(struct labels *l)
{
	if (!l)
		return;
	string_pool_deinit(&l->pool);
	mt_array_deinit(&l->texts);
	mt_buf_deinit(&l->buf);
	free(l->cache);
	free(l);
}

struct mt_error *labels_of_text(struct labels *l, const char *text, uint32_t *id_ret)
{
	uint32_t id;
	const char *kept = string_pool_number(&l->pool, text, &id);
	if (!kept)
		return &mt_enomem;
	/* The pool numbers in order, so a new text is the next of the array. */
	if (id == l->texts.len && !mt_array_push(&l->texts, kept))
		return &mt_enomem;
	*id_ret = id;
	return NULL;
}

const char *labels_text(const struct labels *l, uint32_t id)
{
	return id < l->texts.len ? l->texts.items[id] : "";
}

size_t labels_count(const struct labels *l)
{
	return l->texts.len;
}

static void put_text(struct labels *l, const char *s)
{
	if (l->style == LABEL_FOLDED)
		mt_text_put_clean(&l->buf, s, strlen(s), MT_TEXT_FOLDED);
	else
		mt_buf_put_str(&l->buf, s);
}

static void put_thread(struct labels *l, uint32_t thread)
{
	uint32_t tid = 0;
	const char *name = capture_thread_name(l->cap, thread, &tid);
	put_text(l, *name ? name : "thread");
	mt_buf_printf(&l->buf, " [%u]", tid);
}

/* "function" and where it is: the source file, else the module. */
static void put_frame(struct labels *l, const struct symbol_frame *f)
{
	static const struct {
		const char *before, *after;
	} spelling[] = {
		[LABEL_SITE] = { ":", "" },
		[LABEL_FUNCTION] = { " at ", "" },
		[LABEL_FOLDED] = { " (", ")" },
	};
	const char *where = *f->file ? f->file : f->module;
	put_text(l, f->function);
	if (f->kind == FRAME_MARK || !*where)
		return;
	mt_buf_put_str(&l->buf, spelling[l->style].before);
	put_text(l, where);
	if (l->style != LABEL_FUNCTION && *f->file && (f->line || f->kind == FRAME_PYTHON))
		mt_buf_printf(&l->buf, ":%u", f->line);
	mt_buf_put_str(&l->buf, spelling[l->style].after);
}

static struct mt_error *finish(struct labels *l, uint32_t *id_ret)
{
	mt_buf_put_char(&l->buf, '\0');
	struct mt_error *err = mt_buf_error(&l->buf);
	if (!err)
		err = labels_of_text(l, (const char *)l->buf.data, id_ret);
	mt_buf_clear(&l->buf);
	return err;
}

static struct cache_slot *cache_slot(struct labels *l, const struct cache_slot *want)
{
	uint64_t h = mt_hash_pair((uintptr_t)want->function ^ (uint64_t)want->line << 48,
				  (uintptr_t)want->file ^ (uintptr_t)want->module << 1 ^
					  (uint64_t)want->thread << 40);
	return &l->cache[h % CACHE_SLOTS];
}

static bool same_frame(const struct cache_slot *a, const struct cache_slot *b)
{
	return a->function == b->function && a->file == b->file && a->module == b->module &&
	       a->line == b->line && a->thread == b->thread && a->kind == b->kind;
}

struct mt_error *labels_of_frame(struct labels *l, const struct symbol_frame *frame,
				 uint32_t thread, uint32_t *id_ret)
{
	static const struct symbol_frame unknown = { LABEL_UNKNOWN, "", "", 0, FRAME_MARK, 0 };
	if (!frame)
		frame = &unknown;
	struct cache_slot want = { frame->function, frame->file, frame->module, frame->line,
				   thread, 0, frame->kind };
	/* Functions differ from line to line only where lines are spelt. */
	if (l->style == LABEL_FUNCTION)
		want.line = 0;
	struct cache_slot *slot = cache_slot(l, &want);
	if (!same_frame(slot, &want)) {
		if (thread != LABEL_NO_THREAD) {
			put_thread(l, thread);
			mt_buf_put_str(&l->buf, ": ");
		}
		put_frame(l, frame);
		struct mt_error *err = finish(l, &want.id);
		if (err)
			return err;
		*slot = want;
	}
	*id_ret = slot->id;
	return NULL;
}

struct mt_error *labels_of_thread(struct labels *l, uint32_t thread, uint32_t *id_ret)
{
	put_thread(l, thread);
	return finish(l, id_ret);
}
