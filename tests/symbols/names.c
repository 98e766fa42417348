/* SPDX-License-Identifier: Apache-2.0 */
/* tests/symbols/names.c - what memtrace knows of addresses of an ELF file, as addr2line prints it.
 * Knows: capture/writer.h, symbolize/symbolize.h. Does not know: what is right.
 *
 *	names [-d DEBUG-DIR] [-s SYSROOT] [-p PATH] FILE < addresses
 *
 * The capture that is made for it has one module, FILE with its build-id, at PATH. Output as of
 * `addr2line -a -f -i`: the address, then for each inlined call, the innermost first, a line with the
 * function and one with file:line; "??" is unknown. Notes and the time go to standard error. */
#include "base/cleanup.h"
#include "base/text.h"
#include "capture/writer.h"
#include "symbolize/elffile.h"
#include "symbolize/symbolize.h"

#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEGMENTS_MAX 64

static void check(struct mt_error *err)
{
	if (!err)
		return;
	fprintf(stderr, "names: %s\n", err->message);
	exit(1);
}

struct input {
	const char *file, *path;
	struct symbolize_options options;
	struct address {
		uint64_t address;
		uint32_t stack;
	} *addresses;
	size_t count;
};

/* The module as a tracer would have seen it. */
static void put_module(struct capture_writer *w, const struct input *in)
{
	struct elf_file f = ELF_FILE_INIT;
	struct capture_segment segments[SEGMENTS_MAX];
	struct capture_module m = {
		.start = 0x500000000000, .end = 0x580000000000, .bias = 0x500000000000, .path = in->path,
		.segments = segments,
	};
	size_t count = 0;
	if (!elf_file_open(&f, strdup(in->file), -1)) {
		fprintf(stderr, "names: not an ELF file: %s\n", in->file);
		exit(1);
	}
	elf_getphdrnum(f.elf, &count);
	for (size_t i = 0; i < count && m.segment_count < SEGMENTS_MAX; i++) {
		GElf_Phdr p;
		if (gelf_getphdr(f.elf, (int)i, &p) && p.p_type == PT_LOAD)
			segments[m.segment_count++] = (struct capture_segment){
				p.p_vaddr, p.p_memsz, p.p_offset, p.p_flags };
	}
	m.build_id_size = elf_file_build_id(&f, &m.build_id);
	check(capture_writer_module(w, &m));
	elf_file_close(&f);
}

static void write_capture(const char *path, struct input *in)
{
	struct capture_writer *w;
	check(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE, &w));
	put_module(w, in);
	for (size_t i = 0; i < in->count; i++) {
		uint32_t frame, node;
		check(capture_writer_frame_native(w, 1, in->addresses[i].address, &frame));
		check(capture_writer_node(w, 0, frame, &node));
		check(capture_writer_stack(w, node, 0, 0, &in->addresses[i].stack));
	}
	struct capture_event e = { 1, 0x1000, 16, 1, 0, WIRE_REC_MALLOC };
	check(capture_writer_event(w, &e));
	check(capture_writer_finish(w));
	capture_writer_destroy(w);
}

static void print_stack(struct symbolizer *s, uint32_t stack, uint64_t address)
{
	const struct symbol_frame *frames;
	size_t n;
	check(symbolizer_stack(s, stack, &frames, &n));
	printf("0x%" PRIx64 "\n", address);
	while (n-- > 0) {
		const struct symbol_frame *f = &frames[n];
		bool unknown = !strncmp(f->function, "0x", 2) || !strcmp(f->function, "<unknown>");
		auto_free char *function = mt_text_clean(f->function), *file = mt_text_clean(f->file);
		printf("%s\n%s:%u\n", unknown ? "??" : function, *file ? file : "??", f->line);
	}
}

static void print_names(const char *path, const struct input *in)
{
	auto_capture struct capture *cap = NULL;
	auto_symbolizer struct symbolizer *s = NULL;
	size_t notes;
	check(capture_open(path, &cap));
	check(symbolizer_create(cap, &in->options, &s));
	clock_t begin = clock();
	check(symbolizer_resolve(s, NULL, NULL));
	fprintf(stderr, "%.3f s\n", (double)(clock() - begin) / CLOCKS_PER_SEC);
	const char *const *note = symbolizer_notes(s, &notes);
	for (size_t i = 0; i < notes; i++)
		fprintf(stderr, "%s\n", note[i]);
	for (size_t i = 0; i < in->count; i++)
		print_stack(s, in->addresses[i].stack, in->addresses[i].address);
}

static void read_addresses(struct input *in)
{
	size_t cap = 0;
	uint64_t address;
	while (scanf("%" SCNx64, &address) == 1) {
		if (in->count == cap) {
			cap = cap ? cap * 2 : 1024;
			in->addresses = realloc(in->addresses, cap * sizeof(*in->addresses));
		}
		if (!in->addresses)
			check(&mt_enomem);
		in->addresses[in->count++].address = address;
	}
}

int main(int argc, char **argv)
{
	const char *dirs[16] = { NULL };
	size_t dir_count = 0;
	struct input in = { .options = { .no_debuginfod = true, .debug_dirs = dirs } };
	for (int c; (c = getopt(argc, argv, "d:s:p:")) != -1;)
		if (c == 'd' && dir_count < 15)
			dirs[dir_count++] = optarg;
		else if (c == 's')
			in.options.sysroot = optarg;
		else if (c == 'p')
			in.path = optarg;
		else
			return 2;
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: names [-d DEBUG-DIR] [-s SYSROOT] [-p PATH] FILE < addresses\n");
		return 2;
	}
	char path[512];
	in.file = argv[optind];
	in.path = in.path ? in.path : in.file;
	snprintf(path, sizeof(path), "%s/memtrace-names.%d.bin", getenv("TMPDIR") ?: "/tmp", (int)getpid());
	read_addresses(&in);
	write_capture(path, &in);
	print_names(path, &in);
	unlink(path);
	free(in.addresses);
	return 0;
}
