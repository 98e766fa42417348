/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/native.c - the verified cached unwind of this thread's native stack.
 * Knows: unwind tables made by the controller, this thread's stack memory. Does not know: DWARF.
 * Called by the hooks; calls ring.c.
 *
 * A step of an unwind is a function of (pc, sp, rbp where it matters) and of the few words of
 * stack it reads. The thread keeps its last stack as steps, root first, and all those words as one
 * flat array of (address, expected). A new stack is stepped by table from the leaf only until it
 * meets a kept frame in the same state; older frames are then proved by comparing their words, leaf
 * to root with an early exit: a word may only be read after everything younger was proved, so no
 * stale address is ever followed. Where a word differs, the frame that owns it is stepped anew.
 * This is exact, and costs under half a nanosecond a frame (independent loads). */
#include "inject/tracer/event.h"
#include "inject/tracer/proof.h"

#define PAGE 4096ull
#define GROWTH_MAX (64 * PAGE)
#define FRAME_SPAN_MAX (64ull << 20)	/* a larger frame is damage */
#define MAIN_STACK_SPAN (8ull << 20)

struct walk {
	uint64_t pc, sp, rbp;
	bool rbp_lost;
	uint32_t new_count;	/* frames in scratch, leaf first */
	uint32_t kept;		/* frames kept from the root */
	uint32_t flags;
	bool interrupted;	/* pc is where a signal came, not a call */
	bool two_stacks;	/* a signal handler's own, and the interrupted one */
};

/* ---- readable stack memory ---- */

static bool probe_word(uint64_t address)
{
	uint64_t word;
	return tracer_read(address, &word, sizeof(word)) == (long)sizeof(word);
}

/* The stack pointer left the memory known to be readable. Usually the stack grew a little: the
 * pages between are then part of it. Else it is another stack, and what is kept of the old one
 * may be gone. */
static void good_range_move(struct thread *t, uint64_t sp)
{
	uint64_t main_end = tracer.header->main_stack_end, start = (sp - 8) & ~(PAGE - 1);
	if (sp < main_end && main_end - sp < MAIN_STACK_SPAN) {
		t->plain = t->plain && t->good_end == main_end;
		t->good_end = main_end;		/* one mapping up to its end */
	} else {
		uint64_t page = start;
		if (t->good_start - start > GROWTH_MAX || tracer.header->options & WIRE_OPT_NO_PROBE)
			page = 0;
		while (page && page < t->good_start)
			page = probe_word(page) ? page + PAGE : 0;
		if (!page) {
			t->plain = false;
			t->good_end = start + PAGE;
		}
	}
	t->good_start = start;
}

/* Stacks are mapped in one piece from sp up; how far is found out page by page, once, by asking
 * the kernel. */
static __attribute__((noinline)) bool readable_beyond(struct thread *t, uint64_t address)
{
	if (address & 7 || address < t->good_start || address - t->good_end > FRAME_SPAN_MAX)
		return false;
	if (tracer.header->options & WIRE_OPT_NO_PROBE) {
		uint64_t self;	/* the thread control block lies above a thread's stack */
		__asm__("mov %%fs:0, %0" : "=r"(self));
		if (address < self && self - address < MAIN_STACK_SPAN) {
			t->good_end = self & ~(PAGE - 1);
			return address < t->good_end;
		}
		return false;
	}
	while (t->good_end <= address) {
		if (!probe_word(t->good_end))
			return false;
		t->good_end += PAGE;
	}
	return true;
}

/* May the word be read? */
static inline bool readable(struct thread *t, uint64_t address)
{
	return likely(address - t->good_start < t->good_end - t->good_start - 7 && !(address & 7)) ||
	       readable_beyond(t, address);
}

static inline bool read_word(struct thread *t, uint64_t address, uint64_t *ret)
{
	if (!readable(t, address))
		return false;
	*ret = *(const uint64_t *)address;
	return true;
}

/* ---- rules ---- */

static const struct wire_module *module_find(uint64_t pc)
{
	uint64_t list = __atomic_load_n((uint64_t *)&tracer.header->module_list, __ATOMIC_ACQUIRE);
	const struct wire_module *modules =
		(const void *)(tracer.base + (list >> WIRE_MODULE_COUNT_BITS));
	uint32_t lo = 0, hi = list & ((1u << WIRE_MODULE_COUNT_BITS) - 1);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (pc >= modules[mid].end)
			lo = mid + 1;
		else
			hi = mid;
	}
	uint32_t count = list & ((1u << WIRE_MODULE_COUNT_BITS) - 1);
	return lo < count && pc >= modules[lo].start ? &modules[lo] : NULL;
}

/* Does a call instruction end right before the address? Asked through the kernel: what lies there may
 * be unmapped at any time when the address is a stray word and no return address. */
static bool follows_call(uint64_t address)
{
	static const uint8_t lengths[] = { 2, 3, 4, 6, 7 };	/* of an indirect one */
	uint8_t code[8];
	if (tracer.header->options & WIRE_OPT_NO_PROBE ||
	    tracer_read(address - sizeof(code), code, sizeof(code)) != (long)sizeof(code))
		return false;
	if (code[3] == 0xe8)
		return true;
	for (uint32_t i = 0; i < sizeof(lengths); i++) {
		const uint8_t *p = code + sizeof(code) - lengths[i];
		if (p[0] == 0xff && (p[1] >> 3 & 7) == 2)
			return true;
	}
	return false;
}

static const struct wire_rule *rule_find(uint64_t pc)
{
	static const struct wire_rule none = { .cfa = WIRE_CFA_UNSUPPORTED };
	static const struct wire_rule frame = WIRE_RULE_FRAME;
	const struct wire_module *m = module_find(pc);
	if (!m) {
		__atomic_store_n((uint64_t *)&tracer.header->unknown_pc, pc, __ATOMIC_RELAXED);
		return &none;
	}
	if (unlikely(m->flags & WIRE_MODULE_FRAMES))
		return m->flags & WIRE_MODULE_PUSHES || follows_call(pc + 1) ? &frame : &none;
	/* The borrowed return address of dlopen: on the stack it stands as a function's caller. */
	static const struct wire_rule entry = { .cfa = WIRE_CFA_RSP, .cfa_offset = 8 };
	if (unlikely(pc + 1 == m->ret_gadget))
		return &entry;
	const struct wire_row *rows = (const void *)(tracer.base + m->rows_offset);
	uint32_t lo = 0, hi = m->row_count, want = (uint32_t)(pc - m->bias);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (rows[mid].pc <= want)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &tracer.rules[rows[lo - 1].rule] : &none;
}

/* A step by a constant whose words lie between sp and the CFA: what nearly all rules are. */
static bool rule_is_simple(const struct wire_rule *r)
{
	if (r->cfa != WIRE_CFA_RSP || r->cfa_offset < 8 || r->cfa_offset & 7 ||
	    (uint64_t)r->cfa_offset > FRAME_SPAN_MAX)
		return false;
	return r->rbp == WIRE_RBP_SAME ||
	       (r->rbp == WIRE_RBP_CFA && r->rbp_offset <= -16 && !(r->rbp_offset & 7) &&
		r->rbp_offset >= -r->cfa_offset);
}

static __attribute__((noinline)) void rule_take(struct pc_rule *r, uint64_t pc, uint64_t key)
{
	const struct wire_rule *rule = rule_find(pc);
	*r = (struct pc_rule){ key, rule->cfa_offset, rule->rbp_offset, rule->cfa, rule->rbp,
			       rule_is_simple(rule) };
}

static inline const struct pc_rule *rule_cached(struct thread *t, uint64_t pc)
{
	struct pc_rule *r = &t->pc_cache[(pc ^ pc >> 10) & (PC_CACHE_SIZE - 1)];
	uint64_t key = pc | t->pc_key;
	if (unlikely(r->key != key))
		rule_take(r, pc, key);
	return r;
}

/* ---- one step ---- */

static bool step_signal(struct thread *t, struct walk *w, struct frame *f)
{
	/* x86-64 ucontext at sp: rbp, rsp, rip of the interrupted code in its mcontext. */
	uint64_t rbp, sp, pc;
	f->rbp_slot = w->sp + 120;
	f->aux_slot = w->sp + 160;
	f->ra_slot = w->sp + 168;
	if (!read_word(t, f->rbp_slot, &rbp) || !read_word(t, f->aux_slot, &sp) ||
	    !read_word(t, f->ra_slot, &pc))
		return false;
	w->rbp = rbp;
	w->rbp_lost = false;
	w->sp = sp;
	w->pc = pc;		/* interrupted, not called: exact */
	w->interrupted = true;
	/* The handler may have run on another stack. */
	if (sp - 8 - t->good_start >= t->good_end - t->good_start) {
		good_range_move(t, sp);
		w->two_stacks = true;
	}
	return pc != 0;
}

static bool step_rbp(struct thread *t, const struct pc_rule *r, struct walk *w, struct frame *f,
		     uint64_t cfa, uint64_t ra)
{
	switch (r->rbp) {
	case WIRE_RBP_SAME:
		return true;
	case WIRE_RBP_FRAME:
		/* An interrupted function may have set its frame up, or not yet. */
		if (f->interrupted || !module_find(ra - 1))
			return false;
		f->rbp_slot = cfa + (int64_t)r->rbp_offset;
		break;
	case WIRE_RBP_CFA:
		f->rbp_slot = cfa + (int64_t)r->rbp_offset;
		break;
	case WIRE_RBP_RBP:
		f->rbp_slot = w->rbp + (int64_t)r->rbp_offset;
		f->rule_uses_rbp = true;
		break;
	default:
		f->rbp_slot = RBP_LOST;
		w->rbp_lost = true;
		return true;
	}
	uint64_t value;
	if (!read_word(t, f->rbp_slot, &value)) {
		f->rbp_slot = RBP_LOST;
		w->rbp_lost = true;
		return true;
	}
	w->rbp = value;
	w->rbp_lost = false;
	return true;
}

/* Fills the step of frame f (its pc, sp, rbp are set) and moves w to the caller. False: the stack
 * ends here, truncated or not by w->flags. */
static bool step(struct thread *t, struct walk *w, struct frame *f)
{
	const struct pc_rule *r = rule_cached(t, w->pc);
	uint64_t cfa, ra;
	f->interrupted = w->interrupted;
	w->interrupted = false;
	f->ra_slot = f->rbp_slot = f->aux_slot = 0;
	f->rule_uses_rbp = r->cfa == WIRE_CFA_RBP || r->cfa == WIRE_CFA_RBP_DEREF;
	if (r->cfa == WIRE_CFA_END)
		return false;
	w->flags |= WIRE_STACK_TRUNCATED;	/* until the step is proved good */
	if (f->rule_uses_rbp && w->rbp_lost)
		return false;
	switch (r->cfa) {
	case WIRE_CFA_RSP:
		cfa = w->sp + (int64_t)r->cfa_offset;
		break;
	case WIRE_CFA_RBP:
		cfa = w->rbp + (int64_t)r->cfa_offset;
		break;
	case WIRE_CFA_RBP_DEREF:
	case WIRE_CFA_RSP_DEREF:
		f->aux_slot = (r->cfa == WIRE_CFA_RBP_DEREF ? w->rbp : w->sp) + (int64_t)r->cfa_offset;
		if (!read_word(t, f->aux_slot, &cfa))
			goto bad;
		break;
	case WIRE_CFA_PLT:
		cfa = w->sp + 8 + ((w->pc & 15) >= 11 ? 8 : 0);
		break;
	case WIRE_CFA_SIGNAL:
		if (!step_signal(t, w, f))
			goto bad;
		w->flags &= ~(uint32_t)WIRE_STACK_TRUNCATED;
		return true;
	default:
		return false;
	}
	if (cfa <= w->sp || cfa - w->sp > FRAME_SPAN_MAX || !read_word(t, cfa - 8, &ra))
		goto bad;
	f->ra_slot = cfa - 8;
	if (!step_rbp(t, r, w, f, cfa, ra))
		goto bad;
	w->flags &= ~(uint32_t)WIRE_STACK_TRUNCATED;
	if (!ra)
		return false;		/* the root of a thread without an end mark */
	w->sp = cfa;
	w->pc = ra - 1;
	return true;
bad:
	f->ra_slot = f->rbp_slot = f->aux_slot = 0;
	return false;
}

/* ---- the kept stack ---- */

/* Puts the new frames on top of the kept ones, with the words the rest of the unwind depends on. */
static void push_new(struct thread *t, uint32_t count)
{
	struct frame *kept = &t->frames[t->depth];
	uint32_t pairs = kept[-1].pair_end, twins = kept[-1].twin_end;
	bool older_needs = kept[-1].needs_rbp;
	for (const struct frame *f = &t->scratch[count]; f-- > t->scratch; kept++) {
		*kept = *f;
		uint64_t rbp_slot = f->rbp_slot, ra_slot = f->ra_slot;
		bool proves_rbp = older_needs && rbp_slot > RBP_LOST;
		if (proves_rbp && ra_slot == rbp_slot + 8) {
			t->twins[twins++] = (struct twin){ rbp_slot, { slot_value(rbp_slot), slot_value(ra_slot) } };
		} else {
			if (proves_rbp)
				t->pairs[pairs++] = (struct pair){ rbp_slot, slot_value(rbp_slot) };
			if (likely(ra_slot))
				t->pairs[pairs++] = (struct pair){ ra_slot, slot_value(ra_slot) };
		}
		/* Last, so that it is proved first: where the others lie hangs on it. */
		if (unlikely(f->aux_slot))
			t->pairs[pairs++] = (struct pair){ f->aux_slot, slot_value(f->aux_slot) };
		older_needs = f->rule_uses_rbp || (older_needs && !rbp_slot);
		kept->needs_rbp = older_needs;
		kept->pair_end = pairs;
		kept->twin_end = twins;
	}
	t->depth += count;
}

static bool pair_holds(const struct pair *p)
{
	return slot_value(p->address) == p->expected;
}

/* Frame i steps to the same caller as it did. Its words may be read: all younger frames hold. */
static bool frame_holds(const struct thread *t, uint32_t i)
{
	const struct frame *f = &t->frames[i];
	uint32_t pairs = f[-1].pair_end, twins = f[-1].twin_end;
	for (uint32_t k = f->pair_end; k > pairs; k--)
		if (!pair_holds(&t->pairs[k - 1]))
			return false;
	for (uint32_t k = f->twin_end; k > twins; k--) {
		const struct twin *w = &t->twins[k - 1];
		if (slot_value(w->address + 8) != w->expected[1] ||
		    slot_value(w->address) != w->expected[0])
			return false;
	}
	return true;
}

/* The youngest frame from c on that steps elsewhere now, or -1. */
static int64_t first_changed(const struct thread *t, uint32_t c)
{
	if (likely(t->plain) && likely(pairs_hold(t->pairs, t->frames[c].pair_end)) &&
	    likely(twins_hold(t->twins, t->frames[c].twin_end)))
		return -1;
	int64_t i = c;
	while (i >= 0 && frame_holds(t, (uint32_t)i))
		i--;
	return i;
}

static bool scratch_room(struct thread *t, struct walk *w)
{
	if (likely(w->new_count < t->capacity))
		return true;
	if (thread_grow_native(t))
		return true;
	w->flags |= WIRE_STACK_TRUNCATED;
	return false;
}

/* Frame `c` is in the walk's state. Proves everything older, or takes the frames down to the
 * first that changed over as new and leaves the walk there. True: all proved. */
static bool meet_kept(struct thread *t, struct walk *w, uint32_t c, bool *room)
{
	int64_t j = first_changed(t, c);
	if (likely(j < 0)) {
		w->kept = c + 1;
		return true;
	}
	for (uint32_t i = c;; i--) {
		*room = scratch_room(t, w);
		if (!*room)
			return false;
		struct frame f = t->frames[i];
		f.rbp = w->rbp;
		w->pc = f.pc;
		w->sp = f.sp;
		w->interrupted = f.interrupted;
		if (i == j)
			return false;	/* to be stepped again by the caller, from this state */
		t->scratch[w->new_count++] = f;
		if (f.rbp_slot == RBP_LOST) {
			w->rbp_lost = true;
		} else if (f.rbp_slot) {
			w->rbp = slot_value(f.rbp_slot);
			w->rbp_lost = false;
		}
	}
}

static bool frame_is(const struct frame *f, const struct walk *w)
{
	return f->sp == w->sp && f->pc == w->pc &&
	       (!f->needs_rbp || (f->rbp == w->rbp && !w->rbp_lost));
}

/* Steps as long as the rules are simple ones, in registers: to a kept frame, or to what is not as
 * simple. c: as in walk_stack(). */
static inline int64_t walk_simply(struct thread *t, struct walk *w, int64_t c)
{
	uint64_t pc = w->pc, sp = w->sp, rbp = w->rbp;
	uint64_t start = t->good_start, size = t->good_end - t->good_start;
	const struct frame *kept = &t->frames[c];
	struct frame *f = &t->scratch[w->new_count];
	const struct frame *end = &t->scratch[t->capacity];
	if (unlikely(w->interrupted || w->rbp_lost || sp & 7 || sp - start >= size))
		return c;
	while (f < end) {
		while (kept->sp < sp)		/* what stands before the first one lies above */
			kept--;
		if (kept->sp == sp && kept->pc == pc)
			break;
		const struct pc_rule *r = rule_cached(t, pc);
		uint64_t ra_slot = sp + (uint64_t)(int64_t)r->cfa_offset - 8;
		if (unlikely(!r->simple || ra_slot - start >= size))
			break;
		uint64_t ra = slot_value(ra_slot);
		if (unlikely(!ra))
			break;
		*f = (struct frame){ .pc = pc, .sp = sp, .rbp = rbp, .ra_slot = ra_slot };
		sp = ra_slot + 8;
		pc = ra - 1;
		if (r->rbp == WIRE_RBP_CFA) {
			f->rbp_slot = sp + (uint64_t)(int64_t)r->rbp_offset;
			rbp = slot_value(f->rbp_slot);
		}
		f++;
	}
	w->pc = pc;
	w->sp = sp;
	w->rbp = rbp;
	w->new_count = (uint32_t)(f - t->scratch);
	return kept - t->frames;
}

static void walk_stack(struct thread *t, struct walk *w)
{
	int64_t c = (int64_t)t->depth - 1;	/* the youngest kept frame that may still be met */
	bool room = true;
	for (;;) {
		c = walk_simply(t, w, c);
		while (c >= 0 && t->frames[c].sp < w->sp)
			c--;
		if (c >= 0 && frame_is(&t->frames[c], w)) {
			if (meet_kept(t, w, (uint32_t)c, &room))
				return;
			while (c >= 0 && t->frames[c].sp <= w->sp)
				c--;
			if (!room)
				break;
		}
		if (!scratch_room(t, w))
			break;
		struct frame *f = &t->scratch[w->new_count++];
		f->pc = w->pc;
		f->sp = w->sp;
		f->rbp = w->rbp;
		if (!step(t, w, f))
			break;
	}
	w->kept = 0;
}

/* ---- what goes to the reader ---- */

static bool write_delta(struct thread *t, const struct walk *w)
{
	uint32_t keep = w->kept, left = w->new_count;
	do {
		uint32_t n = left < WIRE_FRAMES_PER_RECORD ? left : WIRE_FRAMES_PER_RECORD;
		uint8_t *p = ring_reserve(t, 1 + (3 + n) * VARINT_MAX + 8);
		if (!p)
			return false;
		*p++ = WIRE_REC_NATIVE;
		p = varint_put_small(p, keep);
		p = varint_put_small(p, w->flags << 1 | (left > n));
		p = varint_put_small(p, n);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t pc = t->scratch[--left].pc;
			p = varint_put(p, varint_zigzag((int64_t)(pc - t->last_pc)));
			t->last_pc = pc;
		}
		ring_commit(t, t->ring, p);
		keep += n;
	} while (left);
	return true;
}

/* Kept and new frames must fit together. Where they cannot, the new ones are what counts. */
static bool make_room(struct thread *t, struct walk *w)
{
	while (t->capacity < w->kept + w->new_count) {
		if (thread_grow_native(t))
			continue;
		w->kept = 0;
		w->flags |= WIRE_STACK_TRUNCATED;
		t->depth = 0;
		return false;
	}
	return true;
}

void native_unmapped(struct thread *t, uint64_t start, uint64_t size)
{
	uint32_t now = __atomic_add_fetch(&tracer.unmaps, 1, __ATOMIC_RELEASE);
	/* Other threads cannot tell what it was; this one mostly has nothing to do. */
	if (t->unmaps == now - 1 && (start >= t->good_end || start + size <= t->good_start))
		t->unmaps = now;
}

/* A stack is unmapped, or a part of it, and a smaller one may be used where it was: what was
 * readable need not be, and what is kept of it must not be followed. */
static __attribute__((noinline)) void forget_memory(struct thread *t, uint32_t unmaps)
{
	t->unmaps = unmaps;
	t->good_start = t->good_end = 0;
	t->plain = false;
	t->native_resync |= t->depth != 0;
	t->depth = 0;
}

void native_forget(struct thread *t)
{
	t->depth = 0;
	t->native_resync = true;
	/* Rules of the old list are other keys now; after 65,535 lists the keys begin anew. */
	t->pc_key += 1ull << PC_BITS;
	if (!(t->pc_key >> PC_BITS)) {
		__builtin_memset(t->pc_cache, 0, sizeof(t->pc_cache));
		t->pc_key = 1ull << PC_BITS;
	}
}

/* The stack is another one, or cannot be proved at once to be the same. */
static __attribute__((noinline)) void native_changed(struct thread *t, const uint64_t *hook_frame)
{
	struct walk w = {
		.pc = hook_frame[1] - 1,
		.sp = (uint64_t)(hook_frame + 2),
		.rbp = hook_frame[0],
	};
	uint32_t unmaps = __atomic_load_n(&tracer.unmaps, __ATOMIC_ACQUIRE);
	if (unlikely(t->unmaps != unmaps))
		forget_memory(t, unmaps);
	if (unlikely(!native_in_stack(t, w.sp - 8)))
		good_range_move(t, w.sp);
	walk_stack(t, &w);
	if (w.kept)
		w.flags = t->native_flags;	/* those of the root */
	bool changed = w.new_count || w.kept != t->depth || w.flags != t->native_flags;
	if (unlikely(!make_room(t, &w)))
		changed = true;
	if (!w.kept)
		t->plain = !w.two_stacks;
	t->depth = w.kept;
	push_new(t, w.new_count);
	t->native_flags = w.flags;
	if (likely(!changed && !t->native_resync))
		return;
	if (unlikely(t->native_resync)) {	/* all of it, from the root */
		w.kept = 0;
		w.new_count = t->depth;
		for (uint32_t i = 0; i < t->depth; i++)
			t->scratch[i] = t->frames[t->depth - 1 - i];
	}
	t->native_resync = !write_delta(t, &w);
}

void native_capture(struct thread *t, const uint64_t *hook_frame)
{
	/* A hook keeps a frame pointer: the caller's rbp and return address lie at it. */
	uint64_t sp = (uint64_t)(hook_frame + 2);
	const struct frame *top = t->frames + t->depth - 1;	/* of none: lies above all stacks */
	if (likely(t->unmaps == __atomic_load_n(&tracer.unmaps, __ATOMIC_ACQUIRE)) &&
	    likely(native_in_stack(t, sp - 8)) && top->sp == sp && top->pc == hook_frame[1] - 1 &&
	    (!top->needs_rbp || top->rbp == hook_frame[0]) && likely(t->plain && !t->native_resync) &&
	    likely(pairs_hold(t->pairs, top->pair_end)) && likely(twins_hold(t->twins, top->twin_end)))
		return;			/* the same stack again */
	native_changed(t, hook_frame);
}
