/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/source.c - source lines of frames, read from the files at hand.
 * Knows: files, lines, whom a file may be shown to. Does not know: pages.
 * Called by cmds/flamegraph.c; calls base/. */
#include "reporters/source.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (16u << 20)
#define LINE_MAX_BYTES 200u

struct wanted {
	uint32_t file, line, frame;
};

void sources_deinit(struct sources *s)
{
	for (uint32_t i = 0; i < s->frames; i++)
		free(s->text[i]);
	free(s->text);
	*s = (struct sources){ 0 };
}

static int by_place(const void *pa, const void *pb)
{
	const struct wanted *a = pa, *b = pb;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return (a->line > b->line) - (a->line < b->line);
}

static bool is_python(const char *path)
{
	size_t len = strlen(path);
	return len > 3 && !strcmp(path + len - 3, ".py");
}

static bool may_show(const struct source_options *o, const char *path, const struct stat *st)
{
	return o->confidential == CONFIDENTIAL_NONE || st->st_mode & S_IROTH || is_python(path);
}

static bool is_newer(const struct source_options *o, const struct stat *st)
{
	uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
	return o->start_ns && ns > o->start_ns;
}

/* The file's text; empty when it cannot be had or must not be shown. */
static struct mt_error *read_file(const struct source_options *o, const char *path,
				  struct mt_buf *out, bool *newer_ret)
{
	auto_free char *name = NULL;
	struct stat st;
	*newer_ret = false;
	if (path[0] != '/')	/* "<string>", "x.c" of nobody knows where */
		return NULL;
	if (asprintf(&name, "%s%s", o->sysroot ? o->sysroot : "", path) < 0)
		return &mt_enomem;
	/* A pipe or a device would block or do things when it is opened for reading. */
	auto_close int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX ||
	    !may_show(o, path, &st))
		return NULL;
	*newer_ret = is_newer(o, &st);
	if (*newer_ret)
		return NULL;
	if (!mt_buf_reserve(out, (size_t)st.st_size + 1))
		return &mt_enomem;
	ssize_t n;
	while (out->len < (size_t)st.st_size &&
	       (n = read(fd, out->data + out->len, (size_t)st.st_size - out->len)) > 0)
		out->len += (size_t)n;
	return NULL;
}

/* A line without its indentation, made clean and short. */
static char *clean_line(const char *line, size_t len)
{
	auto_buf struct mt_buf buf = MT_BUF_INIT;
	while (len && strchr(" \t\f", *line)) {
		line++;
		len--;
	}
	while (len && strchr(" \t\r\f", line[len - 1]))
		len--;
	mt_text_put_clean(&buf, line, len < LINE_MAX_BYTES ? len : LINE_MAX_BYTES, 0);
	return mt_buf_take_str(&buf);
}

/* One file's frames, lines ascending. */
static struct mt_error *take_lines(const struct mt_buf *text, const struct wanted *w, size_t count,
				   struct sources *s)
{
	const char *p = (const char *)text->data, *end = p + text->len;
	uint32_t line = 1;
	for (size_t i = 0; i < count && p < end;) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		stop = stop ? stop : end;
		for (; i < count && w[i].line == line; i++) {
			s->text[w[i].frame] = clean_line(p, (size_t)(stop - p));
			if (!s->text[w[i].frame])
				return &mt_enomem;
		}
		p = stop < end ? stop + 1 : end;
		line++;
	}
	return NULL;
}

static struct mt_error *read_all(const struct tree *t, const struct source_options *options,
				 const struct wanted *w, size_t count, struct sources *s)
{
	struct mt_error *err = NULL;
	for (size_t i = 0, end; !err && i < count; i = end) {
		auto_buf struct mt_buf text = MT_BUF_INIT;
		bool newer;
		for (end = i; end < count && w[end].file == w[i].file;)
			end++;
		err = read_file(options, tree_string(t, w[i].file), &text, &newer);
		s->changed += newer;
		if (!err && text.len)
			err = take_lines(&text, w + i, end - i, s);
	}
	return err;
}

struct mt_error *sources_read(const struct tree *t, const struct source_options *options,
			      struct sources *ret)
{
	struct sources s = { 0 };
	const struct tree_frame *frames = tree_frames(t, &s.frames);
	auto_free struct wanted *w = malloc(s.frames * sizeof(*w) + 1);
	size_t count = 0;
	s.text = calloc(s.frames + 1, sizeof(*s.text));
	if (!w || !s.text) {
		sources_deinit(&s);
		return &mt_enomem;
	}
	for (uint32_t i = 0; i < s.frames && options->confidential != CONFIDENTIAL_ALL; i++)
		if (frames[i].file && frames[i].line)
			w[count++] = (struct wanted){ frames[i].file, frames[i].line, i };
	if (count)
		qsort(w, count, sizeof(*w), by_place);
	struct mt_error *err = read_all(t, options, w, count, &s);
	if (err) {
		sources_deinit(&s);
		return err;
	}
	*ret = s;
	return NULL;
}
