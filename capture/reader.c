/* SPDX-License-Identifier: Apache-2.0 */
/* capture/reader.c - opens a capture and answers questions about it.
 * Knows: the file header, what was loaded. Does not know: block payloads (tables.c, events.c).
 * Called by symbolize/, analysis/, reporters/ and cmds/; calls the rest of capture/. */
#include "capture/reader.h"

#include "capture/reader_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- damage ---- */

void capture_note_damage(struct capture *cap, uint64_t offset, const char *what)
{
	if (!cap->damage_count++) {
		cap->damage_offset = offset;
		cap->damage_what = what;
	}
}

void capture_note_cut(struct capture *cap, uint64_t offset, const char *what)
{
	cap->cut_offset = offset;
	cap->cut_what = what;
}

const char *capture_damage(const struct capture *cap)
{
	/* The text is made when asked for: passes over the events may find more. */
	char *text = (char *)cap->damage;
	size_t size = sizeof(cap->damage), n = 0;
	if (!cap->cut_what && !cap->damage_count)
		return NULL;
	text[0] = 0;
	if (cap->cut_what)
		n = (size_t)snprintf(text, size, "cut at offset %llu: %s",
				     (unsigned long long)cap->cut_offset, cap->cut_what);
	if (cap->damage_count && n < size)
		n += (size_t)snprintf(text + n, size - n, "%sdamaged at offset %llu: %s", n ? "; " : "",
				      (unsigned long long)cap->damage_offset, cap->damage_what);
	if (cap->damage_count > 1 && n < size)
		snprintf(text + n, size - n, " (and %llu more)",
			 (unsigned long long)cap->damage_count - 1);
	return text;
}

bool capture_read_at(const struct capture *cap, uint64_t offset, void *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(cap->fd, (char *)buf + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* ---- opening ---- */

static struct mt_error *check_version(const struct capture *cap)
{
	const struct capture_file_header *h = &cap->header;
	uint32_t known = CAPTURE_FEATURE_NATIVE | CAPTURE_FEATURE_PYTHON | CAPTURE_FEATURE_SYMBOLS |
			 CAPTURE_FEATURE_SAMPLED | CAPTURE_FEATURE_PYMALLOC |
			 CAPTURE_FEATURE_AGGREGATED;
	if (h->min_reader > CAPTURE_VERSION || (h->features & 0xffff & ~known))
		return mt_error_hint(mt_error_create(MT_ERROR_OTHER,
				"'%s' was made by a newer memtrace (format %u, this one reads up to %u)",
				cap->path, h->version, CAPTURE_VERSION),
			"use that version to read it");
	if (h->byte_order != 1)
		return mt_error_create(MT_ERROR_OTHER, "'%s' comes from a big-endian machine: not supported",
				       cap->path);
	return NULL;
}

static struct mt_error *read_header(struct capture *cap)
{
	struct capture_file_header *h = &cap->header;
	if (cap->size < sizeof(h->magic) || !capture_read_at(cap, 0, h->magic, sizeof(h->magic)) ||
	    memcmp(h->magic, CAPTURE_MAGIC, sizeof(h->magic)))
		return mt_error_hint(mt_error_create(MT_ERROR_CORRUPT, "'%s' is not a capture", cap->path),
				     "captures are made by `memtrace attach` and `memtrace run`");
	if (!capture_read_at(cap, 0, h, sizeof(*h)))
		return mt_error_corrupt(cap->size, "'%s' is cut inside its header", cap->path);
	/* First: what a damaged header says of itself is no reason to look for another memtrace. */
	if (h->checksum != block_hash(h, offsetof(struct capture_file_header, checksum)))
		return mt_error_corrupt(0, "the header of '%s' is damaged", cap->path);
	return check_version(cap);
}

static struct mt_error *open_file(struct capture *cap, const char *path, const char *name)
{
	struct stat st;
	cap->path = strdup(name);
	if (!cap->path)
		return &mt_enomem;
	cap->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (cap->fd < 0)
		return mt_error_os(errno, "cannot open '%s'", name);
	if (fstat(cap->fd, &st))
		return mt_error_os(errno, "cannot read '%s'", name);
	if (!S_ISREG(st.st_mode))
		return mt_error_create(MT_ERROR_OTHER, "'%s' is %s, not a capture", name,
				       S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
	cap->size = (uint64_t)st.st_size;
	return NULL;
}

/* Of everything else there is one truth, which is loaded. */
bool capture_block_is_side(uint8_t type)
{
	return type != CAPTURE_BLOCK_EVENTS && type != CAPTURE_BLOCK_COLUMNS &&
	       type != CAPTURE_BLOCK_INDEX && type != CAPTURE_BLOCK_ROWS &&
	       type != CAPTURE_BLOCK_LIVES && type != CAPTURE_BLOCK_TOTALS;
}

/* Everything but events, which are read pass by pass, and their sums. */
static struct mt_error *load_sides(struct capture *cap)
{
	struct block_reader reader = { 0 };
	struct mt_error *err = NULL;
	for (size_t i = 0; i < cap->blocks.len && !err; i++) {
		struct block_ref *ref = &cap->blocks.items[i];
		const uint8_t *raw;
		size_t size;
		if (!capture_block_is_side(ref->type))
			continue;
		err = block_reader_unpack(&reader, cap, ref, &raw, &size);
		if (!err && raw)
			err = capture_load_block(cap, ref, raw, size);
	}
	block_reader_deinit(&reader);
	return err;
}

struct mt_error *capture_open_header(const char *path, const char *name, struct capture **ret)
{
	auto_capture struct capture *cap = calloc(1, sizeof(*cap));
	if (!cap)
		return &mt_enomem;
	cap->fd = -1;
	struct mt_error *err = open_file(cap, path, name);
	if (!err)
		err = read_header(cap);
	if (!err)
		*ret = take_ptr(&cap);
	return err;
}

void capture_take_meta(struct capture *cap)
{
	cap->start_ticks = capture_meta_u64(cap, CAPTURE_META_START_TICKS, 0);
	cap->ticks_per_second = capture_meta_u64(cap, CAPTURE_META_TSC_HZ, 0);
}

struct mt_error *capture_open(const char *path, struct capture **ret)
{
	return capture_open_called(path, path, ret);
}

struct mt_error *capture_open_called(const char *path, const char *name, struct capture **ret)
{
	auto_capture struct capture *cap = NULL;
	struct mt_error *err = capture_open_header(path, name, &cap);
	if (!err)
		err = capture_find_blocks(cap);
	if (!err)
		err = load_sides(cap);
	if (err)
		return err;
	capture_take_meta(cap);
	*ret = take_ptr(&cap);
	return NULL;
}

void capture_close(struct capture *cap)
{
	if (!cap)
		return;
	mt_cleanup_close(&cap->fd);
	mt_array_deinit(&cap->blocks);
	mt_array_deinit(&cap->meta);
	mt_array_deinit(&cap->modules);
	mt_array_deinit(&cap->code);
	mt_map_deinit(&cap->code_by_id);
	mt_array_deinit(&cap->threads);
	mt_map_deinit(&cap->thread_by_index);
	mt_array_deinit(&cap->samples);
	mt_array_deinit(&cap->counters);
	mt_array_deinit(&cap->module_symbols);
	mt_array_deinit(&cap->locations);
	mt_map_deinit(&cap->locations_by_frame);
	mt_map_deinit(&cap->jit_by_address);
	mt_array_deinit(&cap->jit);
	mt_array_deinit(&cap->frames);
	mt_array_deinit(&cap->nodes);
	mt_array_deinit(&cap->stacks);
	arena_deinit(&cap->arena);
	block_reader_deinit(&cap->raw);
	free(cap->path);
	free(cap);
}

/* ---- what is in it ---- */

const struct capture_file_header *capture_header(const struct capture *cap)
{
	return &cap->header;
}

const char *capture_path(const struct capture *cap)
{
	return cap->path;
}

uint64_t capture_size(const struct capture *cap)
{
	return cap->size;
}

const char *capture_meta(const struct capture *cap, const char *key, size_t *size_ret)
{
	for (size_t i = cap->meta.len; i > 0; i--) {	/* the last one holds */
		const struct meta_entry *e = &cap->meta.items[i - 1];
		if (strcmp(e->key, key))
			continue;
		if (size_ret)
			*size_ret = e->size;
		return e->value;
	}
	return NULL;
}

uint64_t capture_meta_u64(const struct capture *cap, const char *key, uint64_t missing)
{
	const char *text = capture_meta(cap, key, NULL);
	char *end;
	if (!text || *text < '0' || *text > '9')
		return missing;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	return errno || *end ? missing : v;
}

const struct capture_module *capture_modules(const struct capture *cap, size_t *count_ret)
{
	*count_ret = cap->modules.len;
	return cap->modules.items;
}

const struct capture_code *capture_code_by_id(const struct capture *cap, uint32_t id)
{
	const uint64_t *i = mt_map_get(&cap->code_by_id, id);
	return i ? &cap->code.items[*i] : NULL;
}

const struct capture_thread *capture_threads(const struct capture *cap, size_t *count_ret)
{
	*count_ret = cap->threads.len;
	return cap->threads.items;
}

const char *capture_thread_name(const struct capture *cap, uint32_t index, uint32_t *tid_ret)
{
	const uint64_t *i = mt_map_get(&cap->thread_by_index, index);
	if (tid_ret)
		*tid_ret = i ? cap->threads.items[*i].tid : 0;
	return i ? cap->threads.items[*i].name : "";
}

const struct capture_sample *capture_samples(const struct capture *cap, size_t *count_ret)
{
	*count_ret = cap->samples.len;
	return cap->samples.items;
}

bool capture_counter(const struct capture *cap, const char *name, uint64_t *ret)
{
	for (size_t i = cap->counters.len; i > 0; i--)
		if (!strcmp(cap->counters.items[i - 1].name, name)) {
			*ret = cap->counters.items[i - 1].value;
			return true;
		}
	return false;
}

bool capture_has_symbols(const struct capture *cap)
{
	return cap->has_symbols;
}

const struct capture_jit *capture_jit_at(const struct capture *cap, uint64_t address)
{
	const uint64_t *i = mt_map_get(&cap->jit_by_address, address);
	return i ? &cap->jit.items[*i] : NULL;
}

size_t capture_symbols(const struct capture *cap, uint32_t frame, const struct capture_location **ret)
{
	const uint64_t *range = mt_map_get(&cap->locations_by_frame, frame);
	if (!range || !(uint32_t)*range)
		return 0;
	*ret = &cap->locations.items[*range >> 32];
	return (uint32_t)*range;
}

const struct capture_module_symbols *capture_module_symbols(const struct capture *cap,
							    size_t *count_ret)
{
	*count_ret = cap->module_symbols.len;
	return cap->module_symbols.items;
}

size_t capture_block_count(const struct capture *cap)
{
	return cap->blocks.len;
}

enum capture_block_type capture_block(const struct capture *cap, size_t i, const void **bytes_ret,
				      size_t *size_ret)
{
	/* The buffer is the capture's: one block at a time is borrowed. */
	struct capture *mine = (struct capture *)cap;
	const struct block_ref *ref = &cap->blocks.items[i];
	const char *what = NULL;
	*bytes_ret = NULL;
	*size_ret = 0;
	if (ref->bad)
		return (enum capture_block_type)ref->type;
	auto_error struct mt_error *err = block_reader_load(&mine->raw, cap, ref, &what);
	if (!err && !what) {
		*bytes_ret = mine->raw.stored;
		*size_ret = mine->raw.stored_size;
	}
	return (enum capture_block_type)ref->type;
}

enum capture_block_type capture_block_type_of(const struct capture *cap, size_t i)
{
	return (enum capture_block_type)cap->blocks.items[i].type;
}

struct mt_error *capture_block_payload(struct capture *cap, size_t i, const uint8_t **ret,
				       size_t *size_ret)
{
	return block_reader_unpack(&cap->raw, cap, &cap->blocks.items[i], ret, size_ret);
}

void capture_block_damaged(struct capture *cap, size_t i)
{
	struct block_ref *ref = &cap->blocks.items[i];
	if (!ref->bad)
		capture_note_damage(cap, ref->offset, "the content of a block is damaged");
	ref->bad = true;
}

bool capture_aggregated(const struct capture *cap)
{
	return cap->header.features & CAPTURE_FEATURE_AGGREGATED;
}

uint64_t capture_ticks_to_ns(const struct capture *cap, uint64_t ticks)
{
	if (!cap->ticks_per_second || ticks < cap->start_ticks)
		return 0;
	double ns = (double)(ticks - cap->start_ticks) * 1e9 / (double)cap->ticks_per_second;
	return ns < (double)INT64_MAX ? (uint64_t)ns : INT64_MAX;
}

double capture_progress(const struct capture *cap)
{
	return cap->progress_total ? (double)cap->progress_done / (double)cap->progress_total : 1;
}
