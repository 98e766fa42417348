/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/symbolizer.c - the names of all frames of a capture, and whole merged stacks.
 * Knows: frames, stacks, which source of names holds. Does not know: DWARF, files, output.
 * Native frames are looked up by resolve.c.
 * Called by reporters/ and cmds/; calls the rest of symbolize/ and capture/reader.h. */
#include "symbolize/symbolizer_private.h"

#include "symbolize/merge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- set up ---- */

static struct mt_error *parse_evals(struct symbolizer *s)
{
	const char *text = capture_meta(s->cap, CAPTURE_META_PYTHON_EVAL, NULL);
	while (text && *text) {
		struct eval_range r;
		int used = 0;
		if (sscanf(text, "%" SCNx64 "-%" SCNx64 "%n", &r.start, &r.end, &used) != 2)
			break;
		if (!mt_array_push(&s->evals, r))
			return &mt_enomem;
		text += used + (text[used] == ',');
	}
	return NULL;
}

struct mt_error *symbolizer_read_python(struct symbolizer *s)
{
	const char *version = capture_meta(s->cap, CAPTURE_META_PYTHON, NULL);
	s->has_pyline = version && pyline_format_of(version, &s->pyline);
	s->evals.len = 0;
	return parse_evals(s);
}

static bool in_eval(const struct symbolizer *s, uint64_t pc)
{
	for (size_t i = 0; i < s->evals.len; i++)
		if (pc >= s->evals.items[i].start && pc < s->evals.items[i].end)
			return true;
	return false;
}

const struct capture_module *symbolizer_module(const struct symbolizer *s, const struct capture_frame *f)
{
	size_t count;
	const struct capture_module *modules = capture_modules(s->cap, &count);
	return f->module_plus_1 && f->module_plus_1 <= count ? &modules[f->module_plus_1 - 1] : NULL;
}

static uint8_t native_flags(const struct symbolizer *s, const struct capture_frame *f)
{
	const struct capture_module *m = symbolizer_module(s, f);
	uint8_t flags = 0;
	if (!m)
		return 0;
	if (in_eval(s, f->address + m->bias))
		flags |= MERGE_EVAL;
	for (size_t i = 0; i < s->evals.len; i++)
		if (s->evals.items[i].start >= m->start && s->evals.items[i].start < m->end)
			flags |= MERGE_INTERPRETER;
	if (strstr(m->path, "memtrace-tracer"))
		flags |= MERGE_HIDDEN;
	return flags;
}

static uint8_t python_flags(const struct symbolizer *s, const struct capture_frame *f)
{
	const struct capture_code *code = capture_code_by_id(s->cap, f->module_plus_1);
	uint8_t flags = f->entry ? MERGE_ENTRY : 0;
	if (!f->address || (code && f->address - 1 < code->first_traceable))
		flags |= MERGE_NOT_BEGUN;
	return flags;
}

/* Room for what is known of n frames; what is known of the first `from` stays. */
static bool have_frames(struct symbolizer *s, uint32_t from, uint32_t n)
{
	uint8_t *flags = realloc(s->merge_flags, n + 1);
	if (flags)
		s->merge_flags = flags;
	struct frame_lines *native = realloc(s->native, (n + 1) * sizeof(*native));
	if (native)
		s->native = native;
	struct shown *shown = realloc(s->shown, (n + 1) * sizeof(*shown));
	if (shown)
		s->shown = shown;
	if (!flags || !native || !shown)
		return false;
	memset(flags + from, 0, n - from);
	memset(native + from, 0, (n - from) * sizeof(*native));
	memset(shown + from, 0, (n - from) * sizeof(*shown));
	return true;
}

void symbolizer_flag_frames(struct symbolizer *s, uint32_t from, uint32_t to)
{
	for (uint32_t i = from ? from : 1; i < to; i++) {
		const struct capture_frame *f = &s->tables.frames[i];
		s->merge_flags[i] = f->is_python ? python_flags(s, f) : native_flags(s, f);
	}
}

struct mt_error *symbolizer_set_flags(struct symbolizer *s, uint32_t from)
{
	uint32_t n = s->tables.frame_count;
	if (n < from)
		n = from;
	if (!have_frames(s, from, n))
		return &mt_enomem;
	symbolizer_flag_frames(s, from, n);
	for (uint32_t i = from ? from : 1; i < n; i++)
		s->native_count += !s->tables.frames[i].is_python;
	return NULL;
}

struct mt_error *symbolizer_create(struct capture *cap, const struct symbolize_options *options,
				   struct symbolizer **ret)
{
	auto_symbolizer struct symbolizer *s = calloc(1, sizeof(*s));
	if (!s)
		return &mt_enomem;
	s->cap = cap;
	s->options = *options;
	struct mt_error *err = capture_load_tables(cap, &s->tables);
	if (!err)
		err = symbolizer_read_python(s);
	if (!err)
		err = symbolizer_set_flags(s, 0);
	if (err)
		return err;
	file_search_init(&s->search, options->debug_dirs, options->sysroot, !options->no_debuginfod);
	s->search.machine = capture_header(cap)->machine;
	s->search.open_module = options->open_module;
	s->search.open_arg = options->open_arg;
	*ret = take_ptr(&s);
	return NULL;
}

void symbolizer_destroy(struct symbolizer *s)
{
	if (!s)
		return;
	string_pool_deinit(&s->pool);
	file_search_deinit(&s->search);
	mt_array_deinit(&s->evals);
	mt_array_deinit(&s->lines);
	mt_array_deinit(&s->frames);
	symbol_notes_deinit(&s->notes);
	mt_array_deinit(&s->native_ids);
	mt_array_deinit(&s->python_ids);
	mt_array_deinit(&s->native_flags);
	mt_array_deinit(&s->python_flags);
	mt_array_deinit(&s->items);
	mt_array_deinit(&s->out);
	for (size_t i = 0; i < s->kept.len; i++) {
		if (s->kept.items[i])
			native_module_close(s->kept.items[i]);
		free(s->kept.items[i]);
	}
	mt_array_deinit(&s->kept);
	free(s->native);
	free(s->merge_flags);
	free(s->shown);
	free(s->module_notes);
	free(s);
}

/* ---- frames as they are shown ---- */

static const char *intern(struct symbolizer *s, const char *text, size_t len)
{
	return string_pool_put(&s->pool, text, len);
}

static const char *module_name(struct symbolizer *s, const struct capture_frame *f)
{
	const struct capture_module *m = symbolizer_module(s, f);
	if (!m)
		return "";
	const char *base = strrchr(m->path, '/');
	return base && base[1] ? base + 1 : m->path;
}

static struct mt_error *push_frame(struct symbolizer *s, const struct symbol_frame *f)
{
	return mt_array_push(&s->frames, *f) ? NULL : &mt_enomem;
}

static struct mt_error *show_python(struct symbolizer *s, const struct capture_frame *f)
{
	const struct capture_code *code = capture_code_by_id(s->cap, f->module_plus_1);
	struct symbol_frame out = { .function = "<unknown>", .file = "", .module = "",
				    .kind = FRAME_PYTHON };
	if (!code)
		return push_frame(s, &out);
	out.function = intern(s, code->name, code->name_size);
	out.file = intern(s, code->file, code->file_size);
	if (!out.function || !out.file)
		return &mt_enomem;
	if (s->has_pyline && f->address)
		out.line = pyline_lookup(s->pyline, code->line_table, code->line_table_size,
					 code->first_line, (uint32_t)f->address - 1);
	if (!strncmp(out.file, "<frozen importlib", 17))
		out.flags = FRAME_IMPORT;
	return push_frame(s, &out);
}

static struct mt_error *show_address(struct symbolizer *s, const struct capture_frame *f)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "0x%" PRIx64, f->address);
	struct symbol_frame out = { .function = intern(s, text, (size_t)n), .file = "",
				    .module = module_name(s, f), .kind = FRAME_NATIVE };
	return out.function ? push_frame(s, &out) : &mt_enomem;
}

/* Lines come innermost first; stacks go from root to leaf. */
static struct mt_error *show_native(struct symbolizer *s, uint32_t id)
{
	const struct capture_frame *f = &s->tables.frames[id];
	const struct capture_location *stored = NULL;
	bool own = s->resolved;
	size_t n = own ? s->native[id].count : capture_symbols(s->cap, id, &stored);
	if (!n)
		return show_address(s, f);
	for (size_t i = n; i > 0; i--) {
		struct source_line l;
		if (own)
			l = s->lines.items[s->native[id].first + i - 1];
		else
			l = (struct source_line){ stored[i - 1].function, stored[i - 1].file,
						  stored[i - 1].line };
		struct symbol_frame out = { .function = l.function ? l.function : "<unknown>",
					    .file = l.file ? l.file : "",
					    .module = f->module_plus_1 ? module_name(s, f) : "JIT",
					    .line = l.line, .kind = FRAME_NATIVE,
					    .flags = i < n ? FRAME_INLINED : 0 };
		struct mt_error *err = push_frame(s, &out);
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *show(struct symbolizer *s, uint32_t id, struct shown *ret)
{
	struct shown *shown = &s->shown[id];
	if (!shown->count) {
		uint32_t first = (uint32_t)s->frames.len;
		const struct capture_frame *f = &s->tables.frames[id];
		struct mt_error *err = f->is_python ? show_python(s, f) : show_native(s, id);
		if (err)
			return err;
		*shown = (struct shown){ first, (uint32_t)s->frames.len - first };
	}
	*ret = *shown;
	return NULL;
}

struct mt_error *symbolizer_python_line(struct symbolizer *s, uint32_t frame, uint32_t *ret)
{
	struct shown shown;
	struct mt_error *err = show(s, frame, &shown);
	if (!err)
		*ret = s->frames.items[shown.first].line;
	return err;
}

/* ---- stacks ---- */

/* Frame ids of a chain of nodes into ids[], root first. */
static bool collect(struct symbolizer *s, uint32_t node, uint32_t **items, size_t *len, size_t *cap,
		    uint8_t **flags, size_t *flags_cap)
{
	size_t depth = 0;
	for (uint32_t n = node; n && n < s->tables.node_count; n = s->tables.nodes[n].parent)
		depth++;
	if (!mt_array_grow_((void **)items, cap, depth + 1, sizeof(**items)) ||
	    !mt_array_grow_((void **)flags, flags_cap, depth + 1, 1))
		return false;
	*len = depth;
	for (uint32_t n = node; depth > 0; n = s->tables.nodes[n].parent) {
		uint32_t frame = s->tables.nodes[n].frame;
		(*items)[--depth] = frame;
		(*flags)[depth] = frame < s->tables.frame_count ? s->merge_flags[frame] : 0;
	}
	return true;
}

/* dlopen is entered from the tracer with a borrowed `ret` byte of the caller's module as its return
 * address: the frame on the leaf side of the tracer's is that byte, and its name means nothing. */
static void hide_borrowed_return(struct symbolizer *s)
{
	uint8_t *flags = s->native_flags.items;
	for (size_t i = 0; i + 1 < s->native_ids.len; i++)
		if (flags[i] & MERGE_HIDDEN && !(flags[i + 1] & MERGE_HIDDEN)) {
			flags[i + 1] = MERGE_HIDDEN;
			i++;
		}
}

static struct mt_error *put_shown(struct symbolizer *s, uint32_t frame, const struct merge_item *item)
{
	struct shown shown;
	struct mt_error *err = show(s, frame, &shown);
	if (err)
		return err;
	if (!mt_array_reserve(&s->out, s->out.len + shown.count))
		return &mt_enomem;
	for (uint32_t i = 0; i < shown.count; i++) {
		struct symbol_frame f = s->frames.items[shown.first + i];
		if (item->interpreter)
			f.flags |= FRAME_INTERPRETER;
		s->out.items[s->out.len++] = f;
	}
	return NULL;
}

static struct mt_error *put_items(struct symbolizer *s, size_t count)
{
	static const struct symbol_frame truncated = { .function = "<truncated>", .file = "",
						       .module = "", .kind = FRAME_MARK };
	for (size_t i = 0; i < count; i++) {
		const struct merge_item *item = &s->items.items[i];
		struct mt_error *err = NULL;
		if (item->kind == MERGE_ITEM_TRUNCATED)
			err = mt_array_push(&s->out, truncated) ? NULL : &mt_enomem;
		else
			err = put_shown(s, item->kind == MERGE_ITEM_PYTHON ?
						   s->python_ids.items[item->index] :
						   s->native_ids.items[item->index], item);
		if (err)
			return err;
	}
	return NULL;
}

struct mt_error *symbolizer_stack(struct symbolizer *s, uint32_t stack,
				  const struct symbol_frame **ret, size_t *count_ret)
{
	return symbolizer_stack_part(s, stack, STACK_MERGED, ret, count_ret);
}

struct mt_error *symbolizer_stack_part(struct symbolizer *s, uint32_t stack, enum stack_part part,
				       const struct symbol_frame **ret, size_t *count_ret)
{
	struct capture_stack st = { 0 };
	if (stack < s->tables.stack_count)
		st = s->tables.stacks[stack];
	if (!collect(s, st.native_node, &s->native_ids.items, &s->native_ids.len, &s->native_ids.cap,
		     &s->native_flags.items, &s->native_flags.cap) ||
	    !collect(s, st.python_node, &s->python_ids.items, &s->python_ids.len, &s->python_ids.cap,
		     &s->python_flags.items, &s->python_flags.cap))
		return &mt_enomem;
	hide_borrowed_return(s);
	struct merge_input in = {
		.native = s->native_flags.items, .python = s->python_flags.items,
		.native_count = s->native_ids.len, .python_count = s->python_ids.len,
		.truncated = st.flags != 0, .no_native = s->options.no_native,
	};
	if (part == STACK_PYTHON)
		in.native_count = 0;
	else if (part == STACK_NATIVE)
		in.python_count = 0;
	if (!mt_array_reserve(&s->items, 1 + in.native_count + in.python_count))
		return &mt_enomem;
	s->out.len = 0;
	struct mt_error *err = put_items(s, merge_stacks(&in, s->items.items));
	if (err)
		return err;
	*ret = s->out.items;
	*count_ret = s->out.len;
	return NULL;
}

void symbolizer_set_no_native(struct symbolizer *s, bool no_native)
{
	s->options.no_native = no_native;
}
