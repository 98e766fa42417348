/* SPDX-License-Identifier: Apache-2.0 */
/* bench/symbols.c - how long N distinct addresses of real files take to get their names.
 * Knows: capture/writer.h, symbolize/symbolize.h. Does not know: recording.
 *
 *	symbols N FILE...	N addresses, evenly spread over the code of all files
 *
 * The capture is made in $TMPDIR; the time is that of symbolizer_resolve() alone, the files being
 * in the page cache or not as they happen to be: run it twice. */
#include "base/error.h"
#include "symbolize/elffile.h"
#include "symbolize/symbolize.h"

#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
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
	double begin = now(), cpu = (double)clock() / CLOCKS_PER_SEC;
	check(symbolizer_resolve(sym, NULL, NULL));
	double end = now(), cpu_end = (double)clock() / CLOCKS_PER_SEC;
	uint32_t frames, named, lined;
	symbolizer_counts(sym, &frames, &named, &lined);
	printf("%u addresses in %d files: %.2f s (%.2f s of processor), %u named, %u with lines\n",
	       frames, argc - 2, end - begin, cpu_end - cpu, named, lined);
	symbolizer_destroy(sym);
	capture_close(cap);
	unlink(path);
	return 0;
}
