/* SPDX-License-Identifier: Apache-2.0 */
/* inject/python_frames.c - reads Python frames of a stopped thread through its memory.
 * Knows: frame chains, lists of thread states. Does not know: offsets (python_layout.c), native frames.
 * Called by cmds/stack.c; calls attach/tracee.h and base/. */
#include "inject/python_frames.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define PAGE_SLOTS 256u		/* direct-mapped */
#define READS_MAX 2048u		/* pages read in one stop: about a millisecond */
#define FRAMES_MAX 4096u
#define STATES_MAX 65536u
#define TEXT_MAX 4096u		/* characters, as the tracer has it */
#define LINE_TABLE_MAX (1u << 20)

struct python_page {
	uint64_t address;
	uint32_t round;
	bool readable;
	uint8_t bytes[PAGE];
};

struct mt_error *python_frames_init(struct python_frames *pf, struct tracee *t, const struct python *py)
{
	*pf = (struct python_frames){ .t = t, .py = py };
	pf->pages = malloc(PAGE_SLOTS * sizeof(*pf->pages));
	if (!pf->pages)
		return &mt_enomem;
	memset(pf->pages, 0, PAGE_SLOTS * sizeof(*pf->pages));
	return NULL;
}

void python_frames_deinit(struct python_frames *pf)
{
	mt_array_deinit(&pf->states);
	free(pf->pages);
}

void python_stack_deinit(struct python_stack *st)
{
	mt_array_deinit(&st->frames);
}

/* ---- memory ---- */

static const struct python_page *page_at(struct python_frames *pf, uint64_t address)
{
	struct python_page *p = &pf->pages[address / PAGE % PAGE_SLOTS];
	if (p->round == pf->round && p->address == address)
		return p;
	if (pf->reads >= READS_MAX)
		return NULL;
	pf->reads++;
	p->address = address;
	p->round = pf->round;
	p->readable = tracee_read_some(pf->t, address, p->bytes, PAGE) == PAGE;
	return p;
}

static bool load(struct python_frames *pf, uint64_t address, void *to, size_t size)
{
	uint8_t *out = to;
	if (address < PAGE)
		return false;
	while (size) {
		uint64_t offset = address % PAGE;
		size_t n = size < PAGE - offset ? size : PAGE - offset;
		const struct python_page *p = page_at(pf, address - offset);
		if (!p || !p->readable)
			return false;
		memcpy(out, p->bytes + offset, n);
		out += n;
		address += n;
		size -= n;
	}
	return true;
}

static bool load64(struct python_frames *pf, uint64_t address, uint64_t *ret)
{
	return load(pf, address, ret, sizeof(*ret));
}

/* What was read before may have changed. */
static void forget(struct python_frames *pf)
{
	pf->round++;
	pf->reads = 0;
}

/* ---- thread states ---- */

static struct mt_error *threads_of(struct python_frames *pf, uint64_t tstate)
{
	const struct python_lists *l = &pf->py->lists;
	for (uint64_t next; tstate && pf->states.len < STATES_MAX; tstate = next) {
		struct python_state st = { .tstate = tstate };
		forget(pf);
		if (!load64(pf, tstate + l->tstate_thread, &st.thread) ||
		    !load64(pf, tstate + l->tstate_next, &next))
			break;
		if (!mt_array_push(&pf->states, st))
			return &mt_enomem;
	}
	return NULL;
}

struct mt_error *python_frames_threads(struct python_frames *pf)
{
	const struct python_lists *l = &pf->py->lists;
	uint64_t interpreter, threads;
	pf->states.len = 0;
	forget(pf);
	if (!pf->py->known || !pf->py->runtime ||
	    !load64(pf, pf->py->runtime + l->runtime_interpreters, &interpreter))
		return NULL;
	for (int i = 0; interpreter && i < 1024; i++) {
		forget(pf);
		if (!load64(pf, interpreter + l->interpreter_threads, &threads) ||
		    !load64(pf, interpreter + l->interpreter_next, &interpreter))
			break;
		struct mt_error *err = threads_of(pf, threads);
		if (err)
			return err;
	}
	return NULL;
}

/* ---- frames ---- */

static bool first_frame(struct python_frames *pf, uint64_t tstate, uint64_t *ret)
{
	const struct wire_python *py = &pf->py->layout;
	if (py->tstate_cframe != WIRE_NO_FIELD && !load64(pf, tstate + py->tstate_cframe, &tstate))
		return false;
	return load64(pf, tstate + py->tstate_frame, ret);
}

/* The state of this thread that has frames: of several (sub-interpreters) the newest interpreter's,
 * which stands first in the list, runs on top of the others. */
static bool find_frame(struct python_frames *pf, uint64_t fs_base, uint64_t *ret)
{
	bool found = false;
	*ret = 0;
	for (size_t i = 0; i < pf->states.len && !*ret; i++) {
		const struct python_state *st = &pf->states.items[i];
		uint64_t thread;
		if (st->thread == fs_base &&
		    load64(pf, st->tstate + pf->py->lists.tstate_thread, &thread) && thread == fs_base)
			found |= first_frame(pf, st->tstate, ret);
	}
	return found;
}

static bool read_key(struct python_frames *pf, uint64_t code, struct python_code_key *ret)
{
	const struct wire_python *py = &pf->py->layout;
	uint64_t type;
	uint16_t name = py->code_qualname != WIRE_NO_FIELD ? py->code_qualname : py->code_name;
	struct python_code_key key = { .address = code };
	if (!load64(pf, code + py->object_type, &type) || type != py->code_type ||
	    !load64(pf, code + py->code_filename, &key.filename) ||
	    !load64(pf, code + name, &key.name) ||
	    !load64(pf, code + py->code_linetable, &key.linetable) ||
	    !load(pf, code + py->code_firstlineno, &key.first_line, sizeof(key.first_line)))
		return false;
	*ret = key;
	return true;
}

/* Where the instructions begin that this frame's thread runs; 0: cannot be told. */
static uint64_t first_instr(struct python_frames *pf, uint64_t frame, uint64_t code)
{
	const struct wire_python *py = &pf->py->layout;
	int32_t copy = 0;
	uint64_t copies, count, start;
	if (py->frame_tlbc != WIRE_NO_FIELD && !load(pf, frame + py->frame_tlbc, &copy, sizeof(copy)))
		return 0;
	if (copy <= 0)
		return code + py->code_first_instr;
	if (!load64(pf, code + py->code_tlbc, &copies) || !load64(pf, copies, &count) ||
	    (uint64_t)copy >= count || !load64(pf, copies + 8 + 8 * (uint64_t)copy, &start))
		return 0;
	return start;
}

static bool read_offset(struct python_frames *pf, uint64_t frame, uint64_t code, uint32_t *ret)
{
	const struct wire_python *py = &pf->py->layout;
	int64_t offset;
	if (py->instr_scale) {
		int32_t index;
		if (!load(pf, frame + py->frame_instr, &index, sizeof(index)))
			return false;
		offset = (int64_t)index * py->instr_scale;
	} else {
		uint64_t instr, first = first_instr(pf, frame, code);
		if (!first || !load64(pf, frame + py->frame_instr, &instr))
			return false;
		offset = (int64_t)(instr - first);
	}
	*ret = offset < 0 || offset >= INT32_MAX ? 0 : (uint32_t)offset + 1;
	return true;
}

/* Shims make the frame that they entered an entry and are none themselves. */
static bool read_frame(struct python_frames *pf, uint64_t frame, struct python_frame *ret,
		       bool *shim_ret)
{
	const struct wire_python *py = &pf->py->layout;
	uint64_t code;
	uint8_t owner = 0, entry = 0;
	struct python_frame f = { .entry = py->flags & WIRE_PYTHON_ALL_ENTRY };
	if (!load64(pf, frame + py->frame_code, &code) ||
	    (py->frame_owner != WIRE_NO_FIELD && !load(pf, frame + py->frame_owner, &owner, 1)) ||
	    (py->frame_is_entry != WIRE_NO_FIELD && !load(pf, frame + py->frame_is_entry, &entry, 1)))
		return false;
	code &= ~(uint64_t)py->frame_tag_mask;
	*shim_ret = !code || (py->owner_shim != WIRE_NO_SHIM && owner >= py->owner_shim);
	f.entry |= entry;
	if (!*shim_ret && read_key(pf, code, &f.code) && !read_offset(pf, frame, code, &f.offset1))
		return false;
	*ret = f;
	return true;
}

struct mt_error *python_frames_read(struct python_frames *pf, uint64_t fs_base,
				    struct python_stack *ret)
{
	uint64_t frame;
	forget(pf);
	if (!fs_base || !find_frame(pf, fs_base, &frame)) {
		ret->none = true;
		return NULL;
	}
	if (!mt_array_reserve(&ret->frames, 256))
		return &mt_enomem;
	while (frame) {
		struct python_frame f;
		bool shim;
		ret->cut = ret->frames.len >= FRAMES_MAX || !read_frame(pf, frame, &f, &shim) ||
			   !load64(pf, frame + pf->py->layout.frame_previous, &frame);
		if (ret->cut)
			break;
		if (!shim && !mt_array_push(&ret->frames, f))
			return &mt_enomem;
		if (shim && ret->frames.len)
			ret->frames.items[ret->frames.len - 1].entry = true;
	}
	return NULL;
}

/* ---- code objects ---- */

static bool read_str(struct python_frames *pf, uint64_t object, struct mt_buf *out)
{
	const struct wire_python *py = &pf->py->layout;
	uint32_t state;
	uint64_t length;
	if (!load(pf, object + py->str_state, &state, sizeof(state)) ||
	    !load64(pf, object + py->str_length, &length))
		return false;
	state >>= py->str_kind_shift;
	unsigned kind = state & 7;
	bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
	if (!compact || (kind != 1 && kind != 2 && kind != 4))
		return false;
	uint8_t bytes[TEXT_MAX * 4];
	size_t size = (length < TEXT_MAX ? length : TEXT_MAX) * kind;
	if (!load(pf, object + (ascii ? py->str_ascii_data : py->str_compact_data), bytes, size))
		return false;
	mt_text_put_unicode(out, bytes, size, ascii ? 0 : kind);
	return true;
}

static bool read_bytes(struct python_frames *pf, uint64_t object, struct mt_buf *out)
{
	const struct wire_python *py = &pf->py->layout;
	uint64_t size;
	if (!load64(pf, object + py->bytes_size, &size) || size > LINE_TABLE_MAX)
		return false;	/* a cut table would give wrong lines */
	auto_free uint8_t *bytes = malloc(size + 1);
	if (!bytes || tracee_read_some(pf->t, object + py->bytes_data, bytes, size) != size)
		return false;
	mt_buf_put(out, bytes, size);
	return true;
}

static bool same_key(const struct python_code_key *a, const struct python_code_key *b)
{
	return a->address == b->address && a->filename == b->filename && a->name == b->name &&
	       a->linetable == b->linetable && a->first_line == b->first_line;
}

void python_code_deinit(struct python_code *code)
{
	mt_buf_deinit(&code->file);
	mt_buf_deinit(&code->name);
	mt_buf_deinit(&code->lines);
}

bool python_frames_code(struct python_frames *pf, const struct python_code_key *key,
			struct python_code *ret)
{
	const struct wire_python *py = &pf->py->layout;
	struct python_code code = { 0 };
	struct python_code_key now;
	uint32_t traceable = 0;
	forget(pf);
	bool ok = read_str(pf, key->filename, &code.file) && read_str(pf, key->name, &code.name);
	if (ok && !read_bytes(pf, key->linetable, &code.lines))
		mt_buf_clear(&code.lines);
	if (ok && py->code_firsttraceable != WIRE_NO_FIELD)
		ok = load(pf, key->address + py->code_firsttraceable, &traceable, sizeof(traceable));
	forget(pf);
	ok = ok && read_key(pf, key->address, &now) && same_key(&now, key) && !code.file.failed &&
	     !code.name.failed && !code.lines.failed;
	if (!ok) {
		python_code_deinit(&code);
		return false;
	}
	code.first_traceable = traceable * 2;
	*ret = code;
	return true;
}
