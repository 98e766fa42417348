/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/gen.c - writes flame graph pages from made-up trees, for the browser tests.
 * Knows: how a tree is built by hand. Does not know: captures.
 * Called by tests/browser/run.mjs: gen KIND [NODES] > page.html; what the page must show goes to
 * stderr as JSON. */
#include "reporters/flamegraph.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(uint64_t below)	/* xorshift: the same pages everywhere */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void die(struct mt_error *err)
{
	fprintf(stderr, "gen: %s\n", err->message);
	exit(1);
}

static void check(struct mt_error *err)
{
	if (err)
		die(err);
}

static struct symbol_frame py(const char *function, const char *file, uint32_t line)
{
	return (struct symbol_frame){ function, file, "", line, FRAME_PYTHON, 0 };
}

static struct symbol_frame nat(const char *function, const char *module, const char *file,
			       uint32_t line, uint8_t flags)
{
	return (struct symbol_frame){ function, file, module, line, FRAME_NATIVE, flags };
}

static void put(struct tree *t, const struct symbol_frame *f, size_t n, const uint64_t v[8])
{
	uint32_t node;
	check(tree_add_stack(t, f, n, &node));
	tree_add_value(t, node, v, v + 4);
}

/* A share of what was allocated is live at the peak, less at the end, some is temporary. */
static void random_values(uint64_t v[8], uint64_t scale)
{
	v[4 + VIEW_ALLOCATED] = 1 + rnd(4000);
	v[VIEW_ALLOCATED] = v[4 + VIEW_ALLOCATED] * (16 + rnd(scale));
	uint64_t live = rnd(100) < 60 ? rnd(100) : 0, left = rnd(100) < 30 ? rnd(live + 1) : 0;
	uint64_t temporary = rnd(100) < 20 ? rnd(100) : 0;
	const uint64_t share[] = { live, left, 0, temporary };
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		if (i == VIEW_ALLOCATED)
			continue;
		v[4 + i] = v[4 + VIEW_ALLOCATED] * share[i] / 100;
		v[i] = v[4 + i] ? v[VIEW_ALLOCATED] * share[i] / 100 : 0;
	}
}

/* ---- kinds ---- */

#define LIB "/usr/lib/python3.11/"
#define APP "/srv/shop/"
#define CPY(name) nat(name, "python3.11", "", 0, FRAME_INTERPRETER)

static const struct {
	const char *function, *file;
	uint32_t line;
} handlers[] = {
	{ "ProductList.get", APP "views/products.py", 41 },
	{ "ProductDetail.get", APP "views/products.py", 88 },
	{ "Cart.add", APP "views/cart.py", 27 },
	{ "Checkout.post", APP "views/checkout.py", 63 },
	{ "Search.get", APP "views/search.py", 19 },
	{ "Health.get", APP "views/health.py", 8 },
};

static size_t server_frames(struct symbol_frame *f, unsigned worker)
{
	size_t n = 0;
	f[n++] = nat("_start", "python3.11", "", 0, FRAME_INTERPRETER);
	f[n++] = nat("Py_BytesMain", "python3.11", "", 0, FRAME_INTERPRETER);
	f[n++] = py("Thread._bootstrap", LIB "threading.py", 995);
	f[n++] = py("Thread.run", LIB "threading.py", 975);
	f[n++] = CPY("_PyEval_EvalFrameDefault");
	f[n++] = py("ThreadPool.worker", APP "server/pool.py", 30 + worker);
	f[n++] = py("Handler.handle_one_request", LIB "http/server.py", 421);
	f[n++] = py("Application.__call__", APP "server/app.py", 112);
	f[n++] = CPY("_PyFunction_Vectorcall");
	return n;
}

static void app_stack(struct tree *t, unsigned i)
{
	struct symbol_frame f[64];
	size_t n = server_frames(f, (unsigned)rnd(2)), h = rnd(6);
	f[n++] = py(handlers[h].function, handlers[h].file, handlers[h].line + (uint32_t)rnd(3));
	uint64_t v[8], scale = 400;
	switch (rnd(6)) {
	case 0:
		f[n++] = py("Query.all", APP "db/query.py", 140 + (uint32_t)rnd(4));
		f[n++] = py("Cursor.fetchall", APP "db/cursor.py", 77);
		f[n++] = CPY("cfunction_vectorcall_NOARGS");
		f[n++] = nat("pysqlite_cursor_fetchall", "_sqlite3.cpython-311-x86_64-linux-gnu.so", "", 0, 0);
		f[n++] = nat("sqlite3_step", "libsqlite3.so.0.8.6", "", 0, 0);
		f[n++] = nat(rnd(2) ? "sqlite3VdbeMemGrow" : "pcache1Alloc", "libsqlite3.so.0.8.6", "", 0, 0);
		scale = 9000;
		break;
	case 1:
		f[n++] = py("render", APP "templates/engine.py", 210);
		for (uint64_t k = rnd(5); k-- > 0;)
			f[n++] = py("Block.render", APP "templates/engine.py", 164);
		f[n++] = py("escape", LIB "html/__init__.py", 12 + (uint32_t)rnd(6));
		f[n++] = CPY("PyUnicode_New");
		scale = 300;
		break;
	case 2:
		f[n++] = py("ResultCache.store", APP "cache.py", 58);
		f[n++] = py(rnd(2) ? "dumps" : "copy", LIB "json/__init__.py", 231);
		f[n++] = py("JSONEncoder.encode", LIB "json/encoder.py", 200);
		f[n++] = nat("encoder_listencode_dict", "_json.cpython-311-x86_64-linux-gnu.so", "", 0, 0);
		scale = 16000;
		break;
	case 3:
		f[n++] = py("thumbnail", APP "images.py", 33 + (uint32_t)rnd(3));
		f[n++] = CPY("_PyObject_MakeTpCall");
		f[n++] = nat("_call_function_pointer", "_ctypes.cpython-311-x86_64-linux-gnu.so", "", 0, 0);
		f[n++] = nat("ffi_call_unix64", "libffi.so.8.1.2", "", 0, 0);
		f[n++] = nat("img::Scaler<unsigned char, img::Lanczos3>::scale(img::Plane const&)",
			     "libthumb.so.2", "/build/thumb/src/scale.cc", 141 + (uint32_t)rnd(2), 0);
		f[n++] = nat("std::vector<float, std::allocator<float> >::_M_default_append(unsigned long)",
			     "libthumb.so.2", "/usr/include/c++/12/bits/vector.tcc", 635, FRAME_INLINED);
		f[n++] = nat("operator new(unsigned long)", "libstdc++.so.6.0.30", "", 0, 0);
		scale = 60000;
		break;
	case 4:
		f[n++] = py("<module>", APP "plugins/__init__.py", 3);
		f[n++] = py("_find_and_load", "<frozen importlib._bootstrap>", 1178);
		f[n - 1].flags = FRAME_IMPORT;
		f[n++] = py("SourceLoader.get_code", "<frozen importlib._bootstrap_external>", 1027);
		f[n - 1].flags = FRAME_IMPORT;
		f[n++] = CPY("r_object");
		scale = 700;
		break;
	default:
		f[n++] = py("log_request", APP "server/log.py", 15 + (uint32_t)rnd(20));
		f[n++] = py("Logger.info", LIB "logging/__init__.py", 1489);
		f[n++] = py("Formatter.format", LIB "logging/__init__.py", 686);
		scale = 120;
		break;
	}
	(void)i;
	random_values(v, scale);
	put(t, f, n, v);
}

static void make_app(struct tree *t, uint64_t nodes)
{
	(void)nodes;
	for (unsigned i = 0; i < 900; i++)
		app_stack(t, i);
}

static void name_of(char *buf, size_t size, uint64_t id)
{
	static const char *const words[] = { "parse", "load", "store", "merge", "split", "encode",
					     "lookup", "insert", "resize", "render", "visit", "emit" };
	snprintf(buf, size, "%s_%s_%" PRIu64, words[id % 12], words[id / 12 % 12], id);
}

/* About `nodes` nodes: random walks that share their first part with the one before. */
static void make_big(struct tree *t, uint64_t nodes)
{
	struct symbol_frame f[80];
	static char names[80][48], files[80][48];
	uint32_t count = 0;
	for (size_t depth = 0; count < nodes; tree_nodes(t, &count)) {
		size_t keep = depth ? depth - rnd(depth < 24 ? depth : 24) : 0;
		size_t want = keep + 1 + rnd(24);
		depth = want > 80 ? 80 : want;
		for (size_t i = keep < depth ? keep : depth - 1; i < depth; i++) {
			uint64_t id = i * 40 + rnd(1 + rnd(2000));
			name_of(names[i], sizeof(names[i]), id);
			snprintf(files[i], sizeof(files[i]), "/srv/app/%s.py", names[i]);
			f[i] = id % 3 ? py(names[i], files[i], (uint32_t)(id % 900) + 1) :
				nat(names[i], id % 2 ? "libapp.so" : "libc.so.6", "", 0, 0);
		}
		uint64_t v[8];
		random_values(v, 2000);
		put(t, f, depth, v);
	}
}

static void make_deep(struct tree *t, uint64_t nodes)
{
	size_t depth = nodes ? nodes : 10000;
	struct symbol_frame *f = calloc(depth + 1, sizeof(*f));
	for (size_t i = 0; i < depth; i++)
		f[i] = py("walk", "/srv/tree.py", 10 + (uint32_t)(i & 1));
	f[depth] = nat("leaf", "libtree.so", "tree.c", 7, 0);
	uint64_t v[8] = { 4096, 2048, 8192, 1024, 4, 2, 8, 1 };
	put(t, f, depth + 1, v);
	put(t, f, depth / 2, v);
	free(f);
}

static void make_hostile(struct tree *t, uint64_t nodes)
{
	(void)nodes;
	static char longest[10001];
	memset(longest, 'x', 10000);
	memcpy(longest, "long_", 5);
	const char *const names[] = {
		"</script><script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>",
		"\xe2\x80\xae" "evil_rtl", "ctl\x01\x1b[31mred\x07", "bad\xff\xfeutf8", longest,
		"\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "{{DATA}}{{NOPE}}", "\"'&amp;`${1}", "-->]]><!--",
		"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe9\x96\xa2\xe6\x95\xb0",
		"__proto__", "constructor", "operator<<(std::ostream&, A<B<C>> const&)", "a<b", "((((", " ",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct symbol_frame f[] = { py("main", "/srv/main.py", 1), py(names[i], names[i], 3),
					    nat(names[i], names[i], "", 0, 0) };
		uint64_t v[8] = { 1000 + i, 500, 2000, 100, 3, 2, 4, 1 };
		put(t, f, 3, v);
	}
}

static void make_empty(struct tree *t, uint64_t nodes)
{
	(void)t;
	(void)nodes;
}

/* Few frames with figures that a test can tell by heart. */
static void make_small(struct tree *t, uint64_t nodes)
{
	(void)nodes;
	struct symbol_frame thread = { "thread 7 (w)", "", "", 0, FRAME_MARK, TREE_FRAME_THREAD };
	struct symbol_frame main_ = py("main", "/srv/main.py", 10), eval = CPY("_PyEval_EvalFrameDefault");
	struct symbol_frame a1 = py("a", "/srv/a.py", 1), a2 = py("a", "/srv/a.py", 2);
	struct symbol_frame c = nat("c_leak", "libx.so", "x.c", 5, 0);
	struct symbol_frame imp = py("_load", "<frozen importlib._bootstrap>", 9);
	struct symbol_frame ext = nat("worker", "libw.so", "w.c", 3, 0);
	imp.flags = FRAME_IMPORT;
	const struct symbol_frame s1[] = { thread, main_, eval, a1, c }, s2[] = { thread, main_, eval, a2 };
	const struct symbol_frame s3[] = { thread, main_, imp, a1 }, s4[] = { ext, c }, s5[] = { eval };
	put(t, s1, 5, (const uint64_t[8]){ 600, 500, 900, 0, 6, 5, 9, 0 });
	put(t, s2, 4, (const uint64_t[8]){ 300, 0, 700, 200, 3, 0, 7, 2 });
	put(t, s3, 4, (const uint64_t[8]){ 50, 50, 60, 0, 1, 1, 2, 0 });
	put(t, s4, 2, (const uint64_t[8]){ 40, 0, 80, 40, 10, 0, 20, 10 });
	put(t, s5, 1, (const uint64_t[8]){ 10, 0, 10, 0, 1, 0, 1, 0 });
}

static const struct {
	const char *name, *command;
	void (*make)(struct tree *t, uint64_t nodes);
} kinds[] = {
	{ "app", "python3 -m shop.server --port 8080 --workers 4", make_app },
	{ "big", "python3 big.py", make_big },
	{ "deep", "python3 deep.py", make_deep },
	{ "hostile", "sh -c '</script><script>window.hacked=1</script>' \xe2\x80\xae", make_hostile },
	{ "empty", "sleep 10", make_empty },
	{ "small", "python3 small.py", make_small },
};

static void put_points(struct flamegraph *g)
{
	uint64_t heap = 40u << 20;
	for (uint64_t i = 0; i < 600; i++) {
		heap += rnd(3u << 20) - (1u << 20) + (i % 97 ? 0 : 9u << 20);
		heap -= i % 131 == 130 ? heap / 5 : 0;
		struct flamegraph_point p = { i * 50000000, heap, heap + (60u << 20) };
		if (!mt_array_push(&g->points, p))
			exit(1);
	}
}

static void put_facts(struct flamegraph *g, const char *command, bool hostile)
{
	check(flamegraph_fact(g, "command", "%s", command));
	check(flamegraph_fact(g, "pid", "48213"));
	check(flamegraph_fact(g, "python", "3.11"));
	check(flamegraph_fact(g, "host", "shop-7"));
	check(flamegraph_fact(g, "start_ns", "1795401225123456789"));
	check(flamegraph_fact(g, "duration_ns", "30000000000"));
	check(flamegraph_fact(g, "allocations", "1834911"));
	check(flamegraph_fact(g, "releases", "1702118"));
	check(flamegraph_fact(g, "temporary_threshold", "1"));
	check(flamegraph_fact(g, "peak_ns", "28400000000"));
	check(flamegraph_fact(g, "dropped", hostile ? "12" : "0"));
	if (!hostile)
		return;
	check(flamegraph_note(g, true, "The capture is damaged (cut at offset 4096: <b>no end</b>)."));
	check(flamegraph_note(g, false, "</noscript></section>note"));
}

/* What C holds true, for the page to agree with. */
static void print_expected(const struct tree *t)
{
	auto_free struct tree_value *totals = NULL;
	auto_free struct tree_site *sites = NULL;
	size_t site_count;
	uint32_t nodes, frames;
	check(tree_totals(t, &totals));
	check(tree_sites(t, VIEW_PEAK, &sites, &site_count));
	const struct tree_node *n = tree_nodes(t, &nodes);
	const struct tree_frame *f = tree_frames(t, &frames);
	struct mt_json j = mt_json_make(stderr, false);
	mt_json_open(&j, NULL, '{');
	mt_json_u64(&j, "nodes", nodes);
	mt_json_u64(&j, "sites", site_count);
	for (unsigned v = 0; v < VIEW_COUNT; v++) {
		mt_json_open(&j, view_name(v), '[');
		mt_json_u64(&j, NULL, totals[0].bytes[v]);
		mt_json_u64(&j, NULL, totals[0].count[v]);
		mt_json_close(&j);
	}
	/* A sample of nodes: hash of the path's names and their totals. */
	mt_json_open(&j, "sample", '[');
	for (uint32_t i = 1; i < nodes; i += nodes / 200 + 1) {
		mt_json_open(&j, NULL, '[');
		uint32_t depth = 0;
		for (uint32_t k = i; k; k = n[k].parent)
			depth++;
		mt_json_u64(&j, NULL, depth);
		mt_json_str(&j, NULL, tree_string(t, f[n[i].frame].function));
		for (unsigned v = 0; v < VIEW_COUNT; v++) {
			mt_json_u64(&j, NULL, totals[i].bytes[v]);
			mt_json_u64(&j, NULL, totals[i].count[v]);
		}
		mt_json_close(&j);
	}
	mt_json_close(&j);
	mt_json_close(&j);
}

int main(int argc, char **argv)
{
	uint64_t nodes = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	for (size_t i = 0; argc > 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name))
			continue;
		auto_tree struct tree *t = NULL;
		check(tree_create(&t));
		kinds[i].make(t, nodes);
		bool hostile = kinds[i].make == make_hostile;
		struct flamegraph g = { .tree = t };
		put_facts(&g, kinds[i].command, hostile);
		if (kinds[i].make == make_app)
			put_points(&g);
		check(flamegraph_write(&g, stdout));
		flamegraph_deinit(&g);
		print_expected(t);
		return 0;
	}
	fprintf(stderr, "usage: gen app|big|deep|hostile|empty|small [NODES]\n");
	return 2;
}
