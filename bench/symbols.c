/* SPDX-License-Identifier: Apache-2.0 */
/* bench/symbols.c - how long N distinct addresses of real files take to get their names.
 * Knows: capture/writer.h, symbolize/symbolize.h. Does not know: recording.
 *
 *	symbols N FILE...	N addresses, evenly spread over the code of all files
 *
 * The capture is made in $TMPDIR. The first time is that of symbolizer_resolve() alone, the files being
 * in the page cache or not as they happen to be: run it twice. The second one is that of opening the
 * same capture when it carries its symbols, and of all its stacks in names. bench/symbols.py makes
 * many files to ask about. */
#include "base/error.h"
#include "symbolize/elffile.h"
#include "symbolize/symbolize.h"

#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/resource.h>
#include <unistd.h>

struct file {
	const char *path;
	uint8_t build_id[64];
	size_t build_id_size;
	uint64_t text, size;
};

static void check(struct mt_error *err)
{
	if (!err)
		return;
	fprintf(stderr, "symbols: %s\n", err->message);
	exit(1);
}

static void read_file(const char *path, struct file *ret)
{
	struct elf_file f = ELF_FILE_INIT;
	const uint8_t *id;
	size_t strings;
	if (!elf_file_open(&f, strdup(path), -1) || elf_getshdrstrndx(f.elf, &strings)) {
		fprintf(stderr, "symbols: not an ELF file: %s\n", path);
		exit(1);
	}
	ret->path = path;
	ret->build_id_size = elf_file_build_id(&f, &id);
	if (ret->build_id_size > sizeof(ret->build_id))
		ret->build_id_size = 0;
	memcpy(ret->build_id, id, ret->build_id_size);
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(f.elf, scn));) {
		GElf_Shdr shdr;
		const char *name = gelf_getshdr(scn, &shdr) ?
				   elf_strptr(f.elf, strings, shdr.sh_name) : NULL;
		if (name && !strcmp(name, ".text")) {
			ret->text = shdr.sh_addr;
			ret->size = shdr.sh_size;
		}
	}
	elf_file_close(&f);
}

static void put_file(struct capture_writer *w, uint32_t id, const struct file *f, uint64_t each,
		     uint64_t step)
{
	uint64_t bias = 0x100000000000ull * (id + 1);
	struct capture_segment segment = { f->text, f->size, 0, 5 };
	struct capture_module m = {
		.id = id, .start = bias + f->text, .end = bias + f->text + f->size, .bias = bias,
		.path = f->path, .build_id = f->build_id, .build_id_size = f->build_id_size,
		.segments = &segment, .segment_count = 1,
	};
	check(capture_writer_module(w, &m));
	for (uint64_t i = 0; i < each; i++) {
		uint32_t frame, node, stack;
		check(capture_writer_frame_native(w, id + 1, f->text + i * step, &frame));
		check(capture_writer_node(w, 0, frame, &node));
		check(capture_writer_stack(w, node, 0, 0, &stack));
	}
}

static void make_capture(const char *path, uint64_t count, char **paths, uint32_t files)
{
	struct capture_writer *w;
	uint64_t total = 0;
	struct file *list = calloc(files, sizeof(*list));
	if (!list)
		check(&mt_enomem);
	for (uint32_t i = 0; i < files; i++) {
		read_file(paths[i], &list[i]);
		total += list[i].size;
	}
	check(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE, &w));
	uint64_t step = total / count ? total / count : 1;
	for (uint32_t i = 0; i < files; i++)
		put_file(w, i, &list[i], list[i].size / step, step);
	struct capture_event e = { 1, 0x1000, 16, 1, 0, WIRE_REC_MALLOC };
	check(capture_writer_event(w, &e));
	check(capture_writer_finish(w));
	capture_writer_destroy(w);
	free(list);
}

/* As `memtrace symbolize` does. */
static void store_symbols(struct capture *cap, struct symbolizer *sym, const char *path)
{
	struct capture_writer *w;
	void *symbols;
	size_t size;
	check(symbolizer_encode(sym, &symbols, &size));
	check(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE | CAPTURE_FEATURE_SYMBOLS, &w));
	for (size_t i = 0; i < capture_block_count(cap); i++) {
		const void *bytes;
		size_t n;
		capture_block(cap, i, &bytes, &n);
		check(capture_writer_copy_block(w, bytes, n));
	}
	check(capture_writer_raw_block(w, CAPTURE_BLOCK_SYMBOLS, symbols, size));
	check(capture_writer_finish(w));
	capture_writer_destroy(w);
	free(symbols);
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double processor(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static long peak_mib(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss / 1024;
}

static void time_stored(const char *path, uint32_t stacks)
{
	struct capture *cap;
	struct symbolizer *sym;
	struct symbolize_options options = { .no_debuginfod = true };
	double begin = now(), cpu = processor();
	size_t frames = 0, count;
	check(capture_open(path, &cap));
	check(symbolizer_create(cap, &options, &sym));
	check(symbolizer_resolve(sym, NULL, NULL));
	for (uint32_t i = 1; i <= stacks; i++) {
		const struct symbol_frame *list;
		check(symbolizer_stack(sym, i, &list, &count));
		frames += count;
	}
	printf("carried in the capture: %.2f s (%.2f s of processor), %zu frames with inlined ones\n",
	       now() - begin, processor() - cpu, frames);
	symbolizer_destroy(sym);
	capture_close(cap);
}

int main(int argc, char **argv)
{
	if (argc < 3 || strtoull(argv[1], NULL, 10) == 0) {
		fprintf(stderr, "usage: symbols N FILE...\n");
		return 2;
	}
	const char *tmp = getenv("TMPDIR");
	char path[512];
	snprintf(path, sizeof(path), "%s/memtrace-symbols.%d.bin", tmp ? tmp : "/tmp", (int)getpid());
	make_capture(path, strtoull(argv[1], NULL, 10), argv + 2, (uint32_t)argc - 2);
	struct capture *cap;
	struct symbolizer *sym;
	struct symbolize_options options = { .no_debuginfod = true };
	check(capture_open(path, &cap));
	check(symbolizer_create(cap, &options, &sym));
	double begin = now(), cpu = processor();
	check(symbolizer_resolve(sym, NULL, NULL));
	double end = now(), cpu_end = processor();
	uint32_t frames, named, lined;
	symbolizer_counts(sym, &frames, &named, &lined);
	printf("%u addresses in %d files: %.2f s (%.2f s of processor), at most %ld MiB, %u named, "
	       "%u with lines\n", frames, argc - 2, end - begin, cpu_end - cpu, peak_mib(), named, lined);
	char stored[sizeof(path) + 8];
	snprintf(stored, sizeof(stored), "%s.named", path);
	store_symbols(cap, sym, stored);
	symbolizer_destroy(sym);
	capture_close(cap);
	time_stored(stored, frames);
	unlink(stored);
	unlink(path);
	return 0;
}
