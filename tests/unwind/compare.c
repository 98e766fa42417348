/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unwind/compare.c - unwinds a live process at random stops by our tables and by libunwind.
 * Knows: inject/unwind_image.h, attach/, libunwind-ptrace. Does not know: the tracer.
 * Called by tests/unwind/test_live.py and many_stops.py: compare PID STOPS [SEED]; prints a summary,
 * exits 1 when a frame differs. compare -r PID RIP RSP RBP: prints our stack of a thread that somebody
 * else holds, "END PC...".
 *
 * Ours is the walk of the tracer: a rule for the pc (pc - 1 of a caller), nothing else. Where we
 * have no rule the stack is truncated and what libunwind guesses from there on is not compared. */
#include "attach/image.h"
#include "inject/unwind_image.h"

#include <libunwind-ptrace.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 512u
#define BUSY_MAX 30u

enum end { END_ROOT, END_NO_RULE, END_BROKEN, END_DEPTH };

struct stack {
	uint64_t pc[DEPTH_MAX], sp[DEPTH_MAX];
	size_t depth;
	enum end end;
	unsigned signal_frames;
};

struct comparison {
	struct tracee *t;
	struct images images;
	struct unwind_rules rules;
	MT_ARRAY(struct unwind_table) tables;	/* by image id */
	unw_addr_space_t space;
	unsigned long stacks, frames, complete, truncated, broken, different, signal_frames;
	unsigned long disputed;		/* steps out of the vdso that are taken differently */
	unsigned long leaf_rules[8];
};

/* ---- ours ------------------------------------------------------------------------------- */

struct walk {
	uint64_t pc, sp, rbp;
	bool is_return, rbp_lost;
};

static bool read_word(const struct comparison *c, uint64_t address, uint64_t *ret)
{
	return tracee_read_some(c->t, address, ret, sizeof(*ret)) == sizeof(*ret);
}

static const struct wire_rule *find_rule(const struct comparison *c, uint64_t pc)
{
	const struct image *img = images_find(&c->images, pc);
	if (!img || img->id >= c->tables.len)
		return NULL;
	return unwind_lookup(&c->tables.items[img->id], &c->rules, pc - img->bias);
}

/* rsp points to a ucontext: flags, link, stack (24 bytes), then r8 to r15, rdi, rsi, rbp, rbx, rdx,
 * rax, rcx, rsp, rip. */
static bool step_signal(const struct comparison *c, struct walk *w)
{
	uint64_t base = w->sp + 40;
	w->is_return = w->rbp_lost = false;
	return read_word(c, base + 8 * 10, &w->rbp) && read_word(c, base + 8 * 16, &w->pc) &&
	       read_word(c, base + 8 * 15, &w->sp);
}

static bool find_cfa(const struct comparison *c, const struct wire_rule *r, const struct walk *w,
		     uint64_t pc, uint64_t *ret)
{
	switch (r->cfa) {
	case WIRE_CFA_RSP: *ret = w->sp + (int64_t)r->cfa_offset; return true;
	case WIRE_CFA_RBP: *ret = w->rbp + (int64_t)r->cfa_offset; return !w->rbp_lost;
	case WIRE_CFA_RBP_DEREF:
		return !w->rbp_lost && read_word(c, w->rbp + (int64_t)r->cfa_offset, ret);
	case WIRE_CFA_RSP_DEREF: return read_word(c, w->sp + (int64_t)r->cfa_offset, ret);
	case WIRE_CFA_PLT: *ret = w->sp + 8 + ((pc & 15) >= 11 ? 8 : 0); return true;
	default: return false;
	}
}

static bool step_rbp(const struct comparison *c, const struct wire_rule *r, struct walk *w,
		     uint64_t cfa)
{
	switch (r->rbp) {
	case WIRE_RBP_CFA: return read_word(c, cfa + (int64_t)r->rbp_offset, &w->rbp);
	case WIRE_RBP_RBP: return read_word(c, w->rbp + (int64_t)r->rbp_offset, &w->rbp);
	case WIRE_RBP_UNKNOWN: w->rbp_lost = true; return true;
	default: return true;
	}
}

/* One frame up; false at the end, with *end_ret. */
static bool step(const struct comparison *c, struct walk *w, enum end *end_ret)
{
	uint64_t pc = w->pc - w->is_return, cfa, ra;
	const struct wire_rule *r = find_rule(c, pc);
	*end_ret = END_NO_RULE;
	if (!r || r->cfa == WIRE_CFA_UNSUPPORTED)
		return false;
	*end_ret = END_ROOT;
	if (r->cfa == WIRE_CFA_END)
		return false;
	*end_ret = END_BROKEN;
	if (r->cfa == WIRE_CFA_SIGNAL)
		return step_signal(c, w);
	if (!find_cfa(c, r, w, pc, &cfa) || cfa <= w->sp || !read_word(c, cfa - 8, &ra) ||
	    !step_rbp(c, r, w, cfa))
		return false;
	*end_ret = END_ROOT;
	w->sp = cfa;
	w->pc = ra;
	w->is_return = true;
	return ra != 0;
}

static void walk_ours(const struct comparison *c, const struct user_regs_struct *regs,
		      struct stack *ret)
{
	struct walk w = { .pc = regs->rip, .sp = regs->rsp, .rbp = regs->rbp };
	ret->depth = ret->signal_frames = 0;
	ret->end = END_DEPTH;
	while (ret->depth < DEPTH_MAX) {
		ret->pc[ret->depth] = w.pc;
		ret->sp[ret->depth++] = w.sp;
		ret->signal_frames += ret->depth > 1 && !w.is_return;
		if (!step(c, &w, &ret->end))
			return;
		ret->end = END_DEPTH;
	}
}

/* ---- libunwind -------------------------------------------------------------------------- */

static void walk_libunwind(struct comparison *c, pid_t tid, struct stack *ret)
{
	unw_cursor_t cursor;
	unw_word_t word;
	int more = 1;
	void *upt = _UPT_create(tid);
	ret->depth = 0;
	ret->end = END_BROKEN;
	if (upt && !unw_init_remote(&cursor, c->space, upt)) {
		while (ret->depth < DEPTH_MAX && more > 0) {
			if (unw_get_reg(&cursor, UNW_REG_IP, &word))
				break;
			ret->pc[ret->depth] = word;
			if (!word || unw_get_reg(&cursor, UNW_REG_SP, &word))
				break;
			ret->sp[ret->depth++] = word;
			more = unw_step(&cursor);
		}
		ret->end = more > 0 && ret->depth == DEPTH_MAX ? END_DEPTH :
			   more < 0 ? END_BROKEN : END_ROOT;
	}
	if (upt)
		_UPT_destroy(upt);
}

/* ---- comparison ------------------------------------------------------------------------- */

static void print_frame(struct comparison *c, const char *who, const struct stack *s, size_t i)
{
	struct image_symbol sym;
	if (i >= s->depth) {
		printf("  %s #%zu: none\n", who, i);
		return;
	}
	struct image *img = images_find(&c->images, s->pc[i]);
	const char *name = img ? image_function_at(c->t, img, s->pc[i], &sym) : NULL;
	printf("  %s #%zu: pc 0x%llx sp 0x%llx %s %s\n", who, i, (unsigned long long)s->pc[i],
	       (unsigned long long)s->sp[i], name ? name : "?", img ? img->path : "");
}

static void report(struct comparison *c, const struct stack *ours, const struct stack *theirs,
		   size_t at)
{
	/* Out of the vdso's clock_gettime libunwind has been seen to step to an address that is no
	 * return address, where ours went on to the program. Rare, and not to become common. */
	const struct image *img = at ? images_find(&c->images, ours->pc[at - 1]) : NULL;
	if (img && img->is_vdso && c->disputed < 1 + c->stacks / 100) {
		c->disputed++;
		return;
	}
	if (c->different++ >= 5)
		return;
	printf("difference at frame %zu, depth %zu (end %d) and %zu (end %d):\n", at, ours->depth,
	       ours->end, theirs->depth, theirs->end);
	for (size_t i = at > 2 ? at - 2 : 0; i <= at + 1; i++) {
		print_frame(c, "ours", ours, i);
		print_frame(c, "libunwind", theirs, i);
	}
}

static void compare_stacks(struct comparison *c, const struct stack *ours,
			   const struct stack *theirs)
{
	size_t n = ours->depth < theirs->depth ? ours->depth : theirs->depth, same = 0;
	while (same < n && ours->pc[same] == theirs->pc[same] && ours->sp[same] == theirs->sp[same])
		same++;
	c->stacks++;
	c->frames += same;
	c->signal_frames += ours->signal_frames;
	c->complete += ours->end == END_ROOT;
	c->truncated += ours->end == END_NO_RULE;
	c->broken += ours->end == END_BROKEN;
	if (same < n)
		report(c, ours, theirs, same);
	else if (ours->end == END_ROOT && theirs->depth != ours->depth)
		report(c, ours, theirs, same);
	else if (ours->end == END_BROKEN && theirs->depth > ours->depth)
		report(c, ours, theirs, same);
	else if (ours->end == END_NO_RULE && theirs->depth < ours->depth)
		report(c, ours, theirs, same);
}

static struct mt_error *refresh(struct comparison *c)
{
	bool changed;
	struct mt_error *err = images_refresh(c->t, &c->images, &changed);
	while (!err && c->tables.len < c->images.list.len) {
		struct unwind_table table = { 0 };
		struct image *img = c->images.list.items[c->tables.len];
		err = unwind_compile_image(c->t, img, &c->rules, &table);
		if (!err && !mt_array_push(&c->tables, table))
			err = &mt_enomem;
	}
	return err;
}

static struct mt_error *compare_threads(struct comparison *c)
{
	static struct stack ours, theirs;
	size_t count;
	struct tracee_thread **threads = tracee_threads(c->t, &count);
	for (size_t i = 0; i < count; i++) {
		struct user_regs_struct regs;
		struct mt_error *err = tracee_regs(c->t, threads[i], &regs);
		if (err)
			return err;
		const struct wire_rule *leaf = find_rule(c, regs.rip);
		c->leaf_rules[leaf ? leaf->cfa & 7 : 0]++;
		walk_ours(c, &regs, &ours);
		walk_libunwind(c, threads[i]->tid, &theirs);
		compare_stacks(c, &ours, &theirs);
	}
	return NULL;
}

static struct mt_error *print_held(struct comparison *c, char **argv)
{
	static const char *const ends[] = { "root", "no-rule", "broken", "depth" };
	static struct stack ours;
	struct user_regs_struct regs = {
		.rip = strtoull(argv[1], NULL, 0), .rsp = strtoull(argv[2], NULL, 0),
		.rbp = strtoull(argv[3], NULL, 0),
	};
	struct mt_error *err = tracee_open_to_read(atoi(argv[0]), &c->t);
	if (!err)
		err = refresh(c);
	if (err)
		return err;
	walk_ours(c, &regs, &ours);
	printf("%s", ends[ours.end]);
	for (size_t k = 0; k < ours.depth; k++)
		printf(" %#llx", (unsigned long long)ours.pc[k]);
	printf("\n");
	return NULL;
}

static struct mt_error *one_stop(struct comparison *c, unsigned *seed)
{
	struct timespec pause = { .tv_nsec = 200000 + rand_r(seed) % 3000000 };
	nanosleep(&pause, NULL);
	struct mt_error *err = tracee_stop_all(c->t, 2000);
	if (err)
		return err;
	err = refresh(c);
	if (!err)
		err = compare_threads(c);
	tracee_release_all(c->t);
	return err;
}

static struct mt_error *compare(struct comparison *c, pid_t pid, unsigned stops, unsigned seed)
{
	unsigned busy = 0;
	struct mt_error *err = tracee_open(pid, &c->t);
	for (unsigned i = 0; !err && i < stops; i++) {
		err = one_stop(c, &seed);
		/* A machine under load may not let the thread run to its stop in time. */
		if (err && err->code == MT_ERROR_BUSY && busy++ < BUSY_MAX) {
			mt_error_destroy(err);
			err = NULL;
			i--;
		}
	}
	return err;
}

static void print_summary(const struct comparison *c)
{
	printf("%lu stacks, %lu equal frames, %lu complete, %lu truncated, %lu broken, "
	       "%lu signal frames, %lu different, %lu disputed\n", c->stacks, c->frames, c->complete,
	       c->truncated, c->broken, c->signal_frames, c->different, c->disputed);
}

int main(int argc, char **argv)
{
	struct comparison c = { 0 };
	bool print = argc == 6 && !strcmp(argv[1], "-r");
	struct mt_error *err;
	if (argc < 3) {
		fprintf(stderr, "usage: compare PID STOPS [SEED] | compare -r PID RIP RSP RBP\n");
		return 2;
	}
	unwind_rules_init(&c.rules);
	c.space = unw_create_addr_space(&_UPT_accessors, 0);
	unw_set_caching_policy(c.space, UNW_CACHE_NONE);
	if (print) {
		err = print_held(&c, argv + 2);
	} else {
		err = compare(&c, atoi(argv[1]), (unsigned)atoi(argv[2]),
			      argc > 3 ? (unsigned)atoi(argv[3]) : 1);
		print_summary(&c);
	}
	if (err)
		printf("%s\n", err->message);
	bool failed = err || c.different || (!print && !c.stacks);
	mt_error_destroy(err);
	for (size_t i = 0; i < c.tables.len; i++)
		unwind_table_deinit(&c.tables.items[i]);
	mt_array_deinit(&c.tables);
	unwind_rules_deinit(&c.rules);
	images_deinit(&c.images);
	unw_destroy_addr_space(c.space);
	tracee_close(c.t);
	return failed;
}
