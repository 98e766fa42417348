/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/head.c - what stands above the list: the process, its memory, what is shown of it.
 * Knows: data and status. Does not know: keys, curses.
 * Called by reporters/tui/draw.c; calls screen.h. */
#include "reporters/tui/tui_private.h"

#include "base/text.h"
#include "reporters/spark.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CURVES_ROWS 16		/* of the screen, from which on there is room for curves */
#define LABEL_WIDTH 8
#define FIGURES_WIDTH 36

static void MT_PRINTF(6, 7) put(struct tui *t, int y, int x, size_t width, unsigned style,
				const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text)
		screen_text(&t->screen, y, x, width, style, text);
}

static void draw_title(struct tui *t, const struct data *d)
{
	struct screen *s = &t->screen;
	size_t width = (size_t)s->columns;
	char right[120], time[MT_TEXT_MAX];
	const struct tui_status *now = &t->status;
	if (t->live)
		snprintf(right, sizeof(right), "%s%s  %s", t->paused ? "PAUSED  " : "",
			 now->end ? now->end : "recording", mt_text_duration(time, now->duration_ns));
	else
		snprintf(right, sizeof(right), "recorded for %s", mt_text_duration(time, d->duration_ns));
	screen_fill(s, 0, 0, width, STYLE_BAR);
	size_t taken = mt_text_width(right) + 2;
	if (d && width > taken + 12)
		put(t, 0, 0, width - taken - 1, STYLE_BAR | STYLE_BOLD, " %s  pid %" PRIu64,
		    *d->command ? d->command : "memtrace", d->pid);
	screen_text_right(s, 0, 0, width - 1, STYLE_BAR, right);
}

static void draw_curve(struct tui *t, int y, const char *label, const char *figures,
		       const uint64_t *values, size_t count)
{
	size_t width = (size_t)t->screen.columns, at = LABEL_WIDTH + FIGURES_WIDTH;
	struct mt_buf spark = MT_BUF_INIT;
	screen_text(&t->screen, y, 1, LABEL_WIDTH, STYLE_BOLD, label);
	screen_text(&t->screen, y, LABEL_WIDTH, width - LABEL_WIDTH, STYLE_PLAIN, figures);
	if (width < at + 8)
		return;
	spark_put(&spark, values, count, width - at - 1, t->screen.ascii);
	mt_buf_put_char(&spark, 0);
	if (!spark.failed)
		screen_text(&t->screen, y, (int)at, width - at - 1, STYLE_MILD,
			    (const char *)spark.data);
	mt_buf_deinit(&spark);
}

static uint64_t rate_now(const struct tui_status *now)
{
	return now->rate_count ? now->rates[now->rate_count - 1] : 0;
}

static int draw_curves(struct tui *t, const struct data *d, int y)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX], text[3 * MT_TEXT_MAX];
	const struct tui_status *now = &t->status;
	snprintf(text, sizeof(text), "%s, at most %s", mt_text_size(a, d->heap_now),
		 mt_text_size(b, d->bytes[VIEW_PEAK]));
	draw_curve(t, y++, "Heap", text, d->heap, d->points);
	snprintf(text, sizeof(text), "%s, at most %s", mt_text_size(a, d->rss_now),
		 mt_text_size(b, d->rss_most));
	draw_curve(t, y++, "RSS", text, d->rss, d->points);
	if (!t->live)
		return y;
	snprintf(text, sizeof(text), "%s/s, %s in all, %s dropped", mt_text_count(a, rate_now(now)),
		 mt_text_count(b, now->events), mt_text_count(c, now->dropped));
	draw_curve(t, y++, "Events", text, now->rates, now->rate_count);
	return y;
}

int head_draw(struct tui *t)
{
	const struct data *d = t->head ? t->head : t->data;
	const struct tui_status *now = &t->status;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX], e[MT_TEXT_MAX];
	draw_title(t, d);
	if (!d)
		return 1;
	if (t->screen.rows >= CURVES_ROWS)
		return draw_curves(t, d, 1);
	if (!t->live)
		return 1;
	put(t, 1, 1, (size_t)t->screen.columns - 1, STYLE_PLAIN, "%s  RSS %s  %s/s  dropped %s",
	    mt_text_size(a, d->heap_now), mt_text_size(b, d->rss_now),
	    mt_text_count(c, rate_now(now)), mt_text_count(e, now->dropped));
	return 2;
}

/* ---- what of it is shown ---- */

static const char *view_text(const struct tui *t)
{
	static const char *const names[VIEW_COUNT] = {
		[VIEW_PEAK] = "At the peak", [VIEW_ALLOCATED] = "All allocations",
		[VIEW_TEMPORARY] = "Temporary allocations",
	};
	if (shown_page(t) == PAGE_LEAKS)
		return "Not freed yet";
	if (t->data->request.view == VIEW_LEAKS)
		return t->live ? "Alive now" : "Alive at the end";
	return names[t->data->request.view];
}

static void put_thread(const struct tui *t, struct mt_buf *out)
{
	const struct data *d = t->data;
	if (d->request.thread == DATA_ALL_THREADS) {
		mt_buf_printf(out, "  %zu thread%s", d->threads.len, d->threads.len == 1 ? "" : "s");
		return;
	}
	for (size_t i = 0; i < d->threads.len; i++)
		if (d->threads.items[i].index == d->request.thread)
			mt_buf_printf(out, "  thread %zu of %zu: %s [%u]", i + 1, d->threads.len,
				      d->threads.items[i].name, d->threads.items[i].tid);
}

void head_draw_view(struct tui *t, int y)
{
	const struct data *d = t->data;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	auto_buf struct mt_buf line = MT_BUF_INIT;
	bool leaks = shown_page(t) == PAGE_LEAKS;
	mt_buf_printf(&line, "%s: %s in %s block%s", view_text(t),
		      mt_text_size(a, leaks ? d->leaks.bytes : d->whole_bytes),
		      mt_text_count(b, leaks ? d->leaks.count : d->whole_count),
		      (leaks ? d->leaks.count : d->whole_count) == 1 ? "" : "s");
	if (!leaks)
		put_thread(t, &line);
	if (d->sample_rate)
		mt_buf_put_str(&line, "  estimates from a sample");
	if (d->request.no_native)
		mt_buf_put_str(&line, "  Python only");
	if (d->request.inverted && shown_page(t) == PAGE_TREE)
		mt_buf_put_str(&line, "  callers below");
	mt_buf_put_char(&line, 0);
	if (!line.failed)
		screen_text(&t->screen, y, 1, (size_t)t->screen.columns - 1, STYLE_BOLD,
			    (const char *)line.data);
}
