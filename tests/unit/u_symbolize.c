/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_symbolize.c - names and lines of a real program, from all the places they can be in.
 * Knows: the compiler, binutils, symbolize/symbolize.h. Does not know: recording. */
#include "symbolize/symbolize.h"

#include "base/buf.h"
#include "capture/writer.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#define BUILD_ID "00112233445566778899aabbccddeeff01234567"
#define OTHER_ID "99112233445566778899aabbccddeeff01234567"

static const char source[] =
	"#include <map>\n#include <string>\n#include <vector>\n#include <algorithm>\n"
	"namespace shop {\n"
	"template <typename T> struct Box {\n"
	"	T value;\n"
	"	inline T doubled() const { return value + value; }\n"
	"	inline T deep() const\n	{\n		T a = doubled();\n		return a + doubled();\n	}\n"
	"};\n"
	"static inline std::string join(const std::vector<std::string> &v)\n{\n"
	"	std::string out;\n"
	"	for (const auto &s : v)\n		out += s + \",\";\n"
	"	return out;\n}\n"
	"static __attribute__((noinline)) int count(std::map<std::string, int> &m, const std::string &k)\n"
	"{\n	return m[k] += Box<int>{ (int)k.size() }.deep();\n}\n"
	"__attribute__((noinline)) std::string order(int n)\n{\n"
	"	std::vector<std::string> v;\n"
	"	for (int i = 0; i < n; i++)\n		v.push_back(Box<std::string>{ std::to_string(i) }.deep());\n"
	"	std::sort(v.begin(), v.end(), [](const std::string &a, const std::string &b) {\n"
	"		return a.size() < b.size();\n	});\n"
	"	return join(v);\n}\n"
	"}\n"
	"extern \"C\" int plain(int n)\n{\n	return n < 0 ? -plain(-n) : (int)shop::order(n).size();\n}\n"
	"int main(int argc, char **)\n{\n"
	"	std::map<std::string, int> m;\n"
	"	return (shop::count(m, shop::order(argc)) + plain(argc)) & 1;\n}\n";

static char dir[64], program[96];
static uint64_t *addresses;
static uint32_t address_count;

#define sh(...)									\
	do {									\
		char command_[1024];						\
		snprintf(command_, sizeof(command_), __VA_ARGS__);		\
		if (system(command_))						\
			fail_msg("failed: %s", command_);			\
	} while (0)

#define ok(call)								\
	do {									\
		struct mt_error *err_ = (call);					\
		if (err_)							\
			fail_msg("%s: %s", #call, err_->message);		\
	} while (0)

/* ---- the program and addresses in it ---- */

static void read_addresses(void)
{
	char command[256], line[4096];
	unsigned long long start, size;
	snprintf(command, sizeof(command), "nm -S --defined-only %s | grep -E ' [tTwW] '", program);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	addresses = calloc(100000, sizeof(*addresses));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx %llx", &start, &size) != 2)
			continue;
		for (uint64_t a = start; a < start + size && address_count < 100000; a += 7)
			addresses[address_count++] = a;
	}
	pclose(f);
	assert_true(address_count > 300);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/memtrace-symbolize.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/build/prog", dir);
	sh("mkdir %s/build", dir);
	char path[128];
	snprintf(path, sizeof(path), "%s/build/prog.cc", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(source, f);
	fclose(f);
	sh("cd %s/build && g++ -w -O2 -g -Wl,--build-id=0x" BUILD_ID " -o prog prog.cc && "
	   "g++ -w -O2 -g -Wl,--build-id=none -o anonymous prog.cc", dir);
	read_addresses();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sh("rm -rf %s", dir);
	free(addresses);
	return 0;
}

/* ---- captures over it ---- */

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	for (; *hex; hex += 2)
		out[n++] = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
	return n;
}

/* The load segments of a program, as `readelf` shows them. */
static size_t read_segments(const char *of, struct capture_segment *ret)
{
	char command[400];
	unsigned long long offset, vaddr, size;
	char flags[8];
	size_t n = 0;
	snprintf(command, sizeof(command),
		 "readelf -lW %s | sed -n 's/^ *LOAD *\\(0x[^ ]*\\) \\(0x[^ ]*\\) 0x[^ ]* 0x[^ ]* "
		 "\\(0x[^ ]*\\) \\([RWE]\\) *\\([WE ]\\).*/\\1 \\2 \\3 \\4\\5/p'", of);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	while (n < 8 && fscanf(f, "%llx %llx %llx %7s", &offset, &vaddr, &size, flags) == 4)
		ret[n++] = (struct capture_segment){ vaddr, size, offset,
						     (strchr(flags, 'R') ? PF_R : 0u) |
						     (strchr(flags, 'W') ? PF_W : 0u) |
						     (strchr(flags, 'E') ? PF_X : 0u) };
	pclose(f);
	assert_in_range(n, 2, 7);
	return n;
}

/* Stack i + 1 is the one frame addresses[i]. */
static void write_capture(const char *path, const char *module, const char *build_id)
{
	struct capture_writer *w;
	uint8_t id[32];
	struct capture_segment segments[8];
	char anonymous[160];
	snprintf(anonymous, sizeof(anonymous), "%s/build/anonymous", dir);
	struct capture_module m = {
		.id = 0, .start = 0x555500000000, .end = 0x555500100000, .bias = 0x555500000000,
		.path = module, .build_id = id, .build_id_size = unhex(build_id, id),
		.segments = segments, .segment_count = read_segments(anonymous, segments),
	};
	ok(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE, &w));
	ok(capture_writer_module(w, &m));
	for (uint32_t i = 0; i < address_count; i++) {
		uint32_t frame, node, stack;
		ok(capture_writer_frame_native(w, 1, addresses[i], &frame));
		ok(capture_writer_node(w, 0, frame, &node));
		ok(capture_writer_stack(w, node, 0, 0, &stack));
		assert_int_equal(stack, i + 1);
	}
	struct capture_event e = { 1, 0x1000, 16, 1, 0, WIRE_REC_MALLOC };
	ok(capture_writer_event(w, &e));
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
}

struct session {
	char path[96];
	struct capture *cap;
	struct symbolizer *sym;
};

static void open_session(struct session *s, const struct symbolize_options *options)
{
	ok(capture_open(s->path, &s->cap));
	ok(symbolizer_create(s->cap, options, &s->sym));
	ok(symbolizer_resolve(s->sym, NULL, NULL));
	ok(symbolizer_resolve(s->sym, NULL, NULL));	/* again changes nothing */
}

static void close_session(struct session *s)
{
	symbolizer_destroy(s->sym);
	capture_close(s->cap);
}

/* "function at file:line" of all frames, leaf first. */
static char *account(struct session *s, uint32_t i, bool bases)
{
	const struct symbol_frame *frames;
	size_t count;
	struct mt_buf out = MT_BUF_INIT;
	ok(symbolizer_stack(s->sym, i + 1, &frames, &count));
	while (count-- > 0) {
		const char *file = frames[count].file, *base = strrchr(file, '/');
		mt_buf_printf(&out, "%s at %s:%u\n", frames[count].function,
			      bases && base ? base + 1 : file, frames[count].line);
	}
	return mt_buf_take_str(&out);
}

/* ---- against addr2line ---- */

/* addr2line -f -i -C says a function and a place per line: the same text as account() makes. */
static char **ask_addr2line(void)
{
	char path[128], line[16384];
	snprintf(path, sizeof(path), "%s/addresses", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	for (uint32_t i = 0; i < address_count; i++)
		fprintf(f, "0x%llx\n", (unsigned long long)addresses[i]);
	fclose(f);
	snprintf(line, sizeof(line), "addr2line -a -f -i -C -e %s < %s", program, path);
	f = popen(line, "r");
	assert_non_null(f);
	char **ret = calloc(address_count, sizeof(*ret));
	struct mt_buf out = MT_BUF_INIT;
	uint32_t n = 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "0x", 2)) {
			if (n)
				ret[n - 1] = mt_buf_take_str(&out);
			n++;
			continue;
		}
		mt_buf_printf(&out, "%.*s at ", (int)strcspn(line, "\n"), line);
		assert_non_null(fgets(line, sizeof(line), f));
		line[strcspn(line, "\n")] = 0;
		char *mark = strstr(line, " (discriminator");
		if (mark)
			*mark = 0;
		char *base = strrchr(line, '/'), *colon = strrchr(line, ':');
		assert_non_null(colon);
		bool known = line[0] != '?';
		mt_buf_printf(&out, "%.*s:%ld\n", known ? (int)(colon - (base ? base + 1 : line)) : 0,
			      base ? base + 1 : line, strtol(colon + 1, NULL, 10));
	}
	ret[n - 1] = mt_buf_take_str(&out);
	pclose(f);
	assert_int_equal(n, address_count);
	return ret;
}

/* The name without scope, template arguments and parameters: of functions without a linkage name
 * only one of the two tools knows the rest. */
static size_t bare(const char *name, size_t len, char *out)
{
	size_t n = 0;
	int depth = 0;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '(' && !depth && n)
			break;
		depth += name[i] == '<' || name[i] == '[';
		if (!depth)
			out[n++] = name[i];
		depth -= name[i] == '>' || name[i] == ']';
		if (!depth && (name[i] == ':' || name[i] == ' '))
			n = 0;
	}
	out[n] = 0;
	return n;
}

/* Same number of lines, same places, same bare names. addr2line gives the innermost inlined call
 * the name of the whole function's symbol when it has no linkage name; `outer` is that. */
static bool same(const char *got, const char *want, const char *outer)
{
	char a[16384], b[16384], c[16384];
	const char *name = strstr(outer, " at ");
	bare(outer, name ? (size_t)(name - outer) : 0, c);
	for (; *got && *want; got = strchr(got, '\n') + 1, want = strchr(want, '\n') + 1) {
		const char *p = strstr(got, " at "), *q = strstr(want, " at ");
		if (strcspn(p, "\n") != strcspn(q, "\n") || memcmp(p, q, strcspn(p, "\n")))
			return false;
		bare(got, (size_t)(p - got), a);
		bare(want, (size_t)(q - want), b);
		if (strcmp(a, b) && strcmp(b, c))
			return false;
	}
	return *got == *want;
}

static const char *last_line(const char *text)
{
	for (const char *next; (next = strchr(text, '\n')) && next[1];)
		text = next + 1;
	return text;
}

/* addr2line can take the line of a header for one of the program (in .cold parts). */
static bool beyond_source(const char *want)
{
	unsigned lines = 1;
	for (const char *p = source; (p = strchr(p, '\n')); p++)
		lines++;
	const char *place = strstr(want, " at prog.cc:");
	return place && strtoul(place + 12, NULL, 10) > lines;
}

static void test_addr2line(void **state)
{
	(void)state;
	struct session s = { 0 };
	struct symbolize_options options = { .no_debuginfod = true };
	snprintf(s.path, sizeof(s.path), "%s/a.bin", dir);
	write_capture(s.path, program, BUILD_ID);
	open_session(&s, &options);
	char **want = ask_addr2line();
	uint32_t wrong = 0, inlined = 0, named = 0;
	for (uint32_t i = 0; i < address_count; i++) {
		char *got = account(&s, i, true);
		if (strstr(want[i], "?? at") || beyond_source(want[i])) {
			free(got);	/* the first: start-up code without debug information */
			free(want[i]);
			continue;
		}
		named++;
		inlined += strchr(want[i], '\n')[1] != 0;
		if (!same(got, want[i], last_line(got)) && wrong++ < 8)
			print_error("0x%llx:\n%sinstead of\n%s", (unsigned long long)addresses[i], got,
				    want[i]);
		free(got);
		free(want[i]);
	}
	free(want);
	print_message("%u addresses, %u named, %u with inlined calls, %u differ\n", address_count,
		      named, inlined, wrong);
	assert_true(named > 300 && inlined > 100);
	assert_int_equal(wrong, 0);
	close_session(&s);
}

/* ---- places ---- */

enum knows { NOTHING, NAMES, LINES };

struct place {
	const char *what, *commands;	/* $D: a fresh folder, $P: the program, $A: without build-id */
	const char *module;		/* path in the capture, under $D unless absolute */
	const char *build_id;
	const char *debug_dir, *sysroot; /* under $D */
	enum knows knows;
	const char *note;		/* NULL: none */
};

#define SPLIT "objcopy --only-keep-debug $P $D/x.debug; strip -s -o $D/prog $P; "
#define NO_SYMBOLS "prog: no file with symbols found; %u frames are shown as addresses"
#define MISMATCH "prog: the file on disk is of another build: not used; %u frames are shown as addresses"
#define DAMAGED "prog: part of its symbols or debug information cannot be read; %u frames may lack names or lines"
#define ID_PATH "00/112233445566778899aabbccddeeff01234567"

static const struct place places[] = {
	{ "as built", "cp $P $D/prog", "prog", BUILD_ID, NULL, NULL, LINES, NULL },
	{ "replaced while running", "cp $P $D/prog", "prog (deleted)", BUILD_ID, NULL, NULL, LINES,
	  NULL },
	{ "symbols only", "strip -S -o $D/prog $P", "prog", BUILD_ID, NULL, NULL, NAMES, NULL },
	{ "stripped", "strip -s -o $D/prog $P", "prog", BUILD_ID, NULL, NULL, NOTHING, NO_SYMBOLS },
	{ "missing", "true", "prog", BUILD_ID, NULL, NULL, NOTHING, NO_SYMBOLS },
	{ "not ELF", "cp $P.cc $D/prog", "prog", BUILD_ID, NULL, NULL, NOTHING, NO_SYMBOLS },
	{ "a folder", "mkdir $D/prog", "prog", BUILD_ID, NULL, NULL, NOTHING, NO_SYMBOLS },
	{ "a FIFO", "mkfifo $D/prog", "prog", BUILD_ID, NULL, NULL, NOTHING, NO_SYMBOLS },
	{ "cut", "head -c 3000 $P > $D/prog", "prog", BUILD_ID, NULL, NULL, NOTHING, DAMAGED },
	{ "another build-id", "cp $P $D/prog", "prog", OTHER_ID, NULL, NULL, NOTHING, MISMATCH },
	{ "no build-id where one is wanted", "cp $A $D/prog", "prog", BUILD_ID, NULL, NULL, NOTHING,
	  MISMATCH },
	{ "no build-id, built anew from other source",
	  "sed 's/plain/plain_of_another_name/' $P.cc > $D/o.cc; echo 'int more[99] = {1};' >> $D/o.cc; "
	  "g++ -w -O2 -g -Wl,--build-id=none -o $D/prog $D/o.cc", "prog", "", NULL, NULL, NOTHING,
	  MISMATCH },
	{ "no build-id at all", "cp $A $D/prog", "prog", "", NULL, NULL, LINES, NULL },
	{ "debuglink beside",
	  SPLIT "cd $D; objcopy --add-gnu-debuglink=x.debug prog", "prog", BUILD_ID, NULL, NULL,
	  LINES, NULL },
	{ "debuglink in .debug",
	  SPLIT "cd $D; objcopy --add-gnu-debuglink=x.debug prog; mkdir .debug; mv x.debug .debug",
	  "prog", BUILD_ID, NULL, NULL, LINES, NULL },
	{ "debuglink of a file without build-id, by its CRC",
	  "cd $D; objcopy --only-keep-debug $A x.debug; strip -s -o prog $A; "
	  "objcopy --add-gnu-debuglink=x.debug prog", "prog", "", NULL, NULL, LINES, NULL },
	{ "debuglink with another CRC",
	  "cd $D; objcopy --only-keep-debug $A x.debug; strip -s -o prog $A; "
	  "objcopy --add-gnu-debuglink=x.debug prog; echo >> x.debug", "prog", "", NULL, NULL,
	  NOTHING, NO_SYMBOLS },
	{ "debug file of another build-id",
	  SPLIT "cd $D; objcopy --add-gnu-debuglink=x.debug prog; "
	  "objcopy --only-keep-debug $A x.debug", "prog", BUILD_ID, NULL, NULL, NOTHING, NO_SYMBOLS },
	{ "debug directory by build-id",
	  SPLIT "mkdir -p $D/dbg/.build-id/00; mv $D/x.debug $D/dbg/.build-id/" ID_PATH ".debug",
	  "prog", BUILD_ID, "dbg", NULL, LINES, NULL },
	{ "debug directory by build-id, program gone",
	  SPLIT "mkdir -p $D/dbg/.build-id/00; mv $D/x.debug $D/dbg/.build-id/" ID_PATH ".debug; "
	  "rm $D/prog", "prog", BUILD_ID, "dbg", NULL, LINES, NULL },
	{ "debug directory by build-id, another program there",
	  SPLIT "mkdir -p $D/dbg/.build-id/00; mv $D/x.debug $D/dbg/.build-id/" ID_PATH ".debug; "
	  "cp $A $D/prog", "prog", BUILD_ID, "dbg", NULL, LINES, NULL },
	{ "debug directory by name", "mkdir $D/dbg; cp $P $D/dbg/prog", "/gone/prog", BUILD_ID, "dbg",
	  NULL, LINES, NULL },
	{ "debug directory by path", "mkdir -p $D/dbg/gone; cp $P $D/dbg/gone/prog", "/gone/prog",
	  BUILD_ID, "dbg", NULL, LINES, NULL },
	{ "debug directory that is not there", "true", "/gone/prog", BUILD_ID, "dbg", NULL, NOTHING,
	  NO_SYMBOLS },
	{ "system root", "mkdir -p $D/root/opt; cp $P $D/root/opt/prog", "/opt/prog", BUILD_ID, NULL,
	  "root", LINES, NULL },
	{ "system root, debug directory in it",
	  SPLIT "mkdir -p $D/root/opt $D/root/usr/lib/debug/.build-id/00; mv $D/prog $D/root/opt; "
	  "mv $D/x.debug $D/root/usr/lib/debug/.build-id/" ID_PATH ".debug", "/opt/prog", BUILD_ID,
	  NULL, "root", LINES, NULL },
	{ "system root with another program", "mkdir -p $D/root/opt; cp $A $D/root/opt/prog",
	  "/opt/prog", BUILD_ID, NULL, "root", NOTHING, MISMATCH },
	{ "compressed sections", "objcopy --compress-debug-sections=zlib $P $D/prog", "prog", BUILD_ID,
	  NULL, NULL, LINES, NULL },
	{ "the small symbol table of stripped files, .gnu_debugdata",
	  SPLIT "cd $D; objcopy -S --keep-symbol=main --keep-symbol=plain x.debug mini; xz mini; "
	  "objcopy --add-section .gnu_debugdata=mini.xz prog; rm x.debug mini.xz", "prog", BUILD_ID,
	  NULL, NULL, NAMES, NULL },
	{ "what several debug files share moved into one by dwz, named absolutely",
	  SPLIT "cd $D; mkdir debug; cp x.debug twin.debug; objcopy --add-gnu-debuglink=x.debug prog; "
	  "dwz -m $D/debug/common x.debug twin.debug; readelf -n debug/common | grep -q Build", "prog",
	  BUILD_ID, NULL, NULL, LINES, NULL },
	{ "what several debug files share moved into one by dwz, named relatively",
	  SPLIT "cd $D; mkdir debug; cp x.debug twin.debug; objcopy --add-gnu-debuglink=x.debug prog; "
	  "dwz -r -m debug/common x.debug twin.debug; readelf -n debug/common | grep -q Build", "prog",
	  BUILD_ID, NULL, NULL, LINES, NULL },
	{ "split debug information, .dwo beside",
	  "cd $D; g++ -w -O2 -g -gsplit-dwarf -Wl,--build-id=0x" BUILD_ID " -o prog $P.cc; "
	  "ls *.dwo > /dev/null", "prog", BUILD_ID, NULL, NULL, LINES, NULL },
	{ "DWARF 2 to 4", "cd $D; g++ -w -O2 -gdwarf-4 -Wl,--build-id=0x" BUILD_ID " -o prog $P.cc",
	  "prog", BUILD_ID, NULL, NULL, LINES, NULL },
	{ "compressed sections, the old way",
	  "objcopy --compress-debug-sections=zlib-gnu $P $D/prog", "prog", BUILD_ID, NULL, NULL,
	  LINES, NULL },
};

static uint32_t find_address(const char *function)
{
	char command[256];
	unsigned long long a = 0;
	snprintf(command, sizeof(command), "nm -C %s | grep ' %s$'", program, function);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llx", &a), 1);
	pclose(f);
	for (uint32_t i = 0; i < address_count; i++)
		if (addresses[i] == a)
			return i;
	fail_msg("no address of %s", function);
	return 0;
}

/* What is known of plain(), of all names, and the notes, as one text. */
static char *knowledge(struct session *s, enum knows *ret)
{
	uint32_t frames, named, lined;
	size_t notes;
	const char *const *note = symbolizer_notes(s->sym, &notes);
	symbolizer_counts(s->sym, &frames, &named, &lined);
	assert_int_equal(frames, address_count);
	char *text = account(s, find_address("plain"), true);
	*ret = !strncmp(text, "plain at prog.cc:3", 18) ? LINES :
	       !strcmp(text, "plain at :0\n") ? NAMES : NOTHING;
	struct mt_buf out = MT_BUF_INIT;
	mt_buf_printf(&out, "%s%u %u %u\n", text, frames, named, lined);
	for (size_t i = 0; i < notes; i++)
		mt_buf_printf(&out, "%s\n", note[i]);
	free(text);
	return mt_buf_take_str(&out);
}

/* Copies the capture with symbols, and reads it again without any files around. */
static void check_carried(struct session *s, const char *where, const char *want)
{
	void *payload;
	size_t size;
	struct session again = { 0 };
	struct capture_writer *w;
	struct symbolize_options options = { .no_debuginfod = true };
	enum knows knows;
	ok(symbolizer_encode(s->sym, &payload, &size));
	snprintf(again.path, sizeof(again.path), "%s/again.bin", dir);
	ok(capture_writer_create(again.path, true, capture_header(s->cap)->features, &w));
	for (size_t i = 0; i < capture_block_count(s->cap); i++) {
		const void *bytes;
		size_t n;
		capture_block(s->cap, i, &bytes, &n);
		ok(capture_writer_copy_block(w, bytes, n));
	}
	ok(capture_writer_raw_block(w, CAPTURE_BLOCK_SYMBOLS, payload, size));
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	free(payload);
	sh("rm -rf %s", where);
	open_session(&again, &options);
	assert_true(capture_has_symbols(again.cap));
	char *got = knowledge(&again, &knows);
	assert_string_equal(got, want);
	free(got);
	for (uint32_t i = 0; i < address_count; i++) {
		char *a = account(s, i, false), *b = account(&again, i, false);
		assert_string_equal(b, a);
		free(a);
		free(b);
	}
	close_session(&again);
}

static void check_place(const struct place *p)
{
	char where[80], module[160], debug_dir[160], sysroot[160], note[256];
	enum knows knows;
	snprintf(where, sizeof(where), "%s/place", dir);
	snprintf(module, sizeof(module), "%s%s%s", p->module[0] == '/' ? "" : where,
		 p->module[0] == '/' ? "" : "/", p->module);
	snprintf(debug_dir, sizeof(debug_dir), "%s/%s", where, p->debug_dir ? p->debug_dir : "");
	snprintf(sysroot, sizeof(sysroot), "%s/%s", where, p->sysroot ? p->sysroot : "");
	sh("set -e; D=%s P=%s A=%s/build/anonymous; rm -rf $D; mkdir $D; %s", where, program, dir,
	   p->commands);
	struct session s = { 0 };
	const char *const dirs[] = { debug_dir, NULL };
	struct symbolize_options options = { .debug_dirs = p->debug_dir ? dirs : NULL,
					     .sysroot = p->sysroot ? sysroot : NULL,
					     .no_debuginfod = true };
	snprintf(s.path, sizeof(s.path), "%s/p.bin", dir);
	write_capture(s.path, module, p->build_id);
	open_session(&s, &options);
	char *text = knowledge(&s, &knows);
	size_t notes;
	const char *const *got = symbolizer_notes(s.sym, &notes);
	snprintf(note, sizeof(note), p->note ? p->note : "%u", address_count);
	if (knows != p->knows || notes != !!p->note || (notes && strcmp(got[0], note)))
		fail_msg("%s: knows %d, not %d: %s", p->what, knows, p->knows, text);
	check_carried(&s, where, text);
	free(text);
	close_session(&s);
}

static void test_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		check_place(&places[i]);
}

/* The frames of a module that has none of the captured addresses, and of no module. */
static void test_strangers(void **state)
{
	(void)state;
	uint64_t *saved = addresses, odd[] = { 0, 1, UINT64_MAX, 0xfffff, 0x7fffffffffffffff };
	uint32_t count = address_count;
	struct session s = { 0 };
	struct symbolize_options options = { .no_debuginfod = true };
	addresses = odd;
	address_count = 5;
	snprintf(s.path, sizeof(s.path), "%s/odd.bin", dir);
	write_capture(s.path, program, BUILD_ID);
	addresses = saved;
	address_count = count;
	open_session(&s, &options);
	for (uint32_t i = 0; i < 5; i++) {
		char want[64], *got = account(&s, i, true);
		snprintf(want, sizeof(want), "0x%llx at :0\n", (unsigned long long)odd[i]);
		assert_string_equal(got, want);
		free(got);
	}
	close_session(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr2line),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_strangers),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
