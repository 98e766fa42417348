/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_image.c - a process whose loaded images have any content.
 * Knows: attach/image.h. Does not know: real processes: memory and maps are the input.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/image/.
 *
 * Input: the number of maps, three bytes a map (pages, file offset in pages, PROT_*), and then the
 * memory of the maps, which lie one after the other and are all of one file. */
#include "attach/image.h"

#include <string.h>
#include <sys/mman.h>

#define BASE 0x400000u
#define PAGE 4096u
#define MAPS_MAX 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const uint8_t *maps, *memory;
	unsigned map_count;
	size_t size;
} process;

/* ---- what attach/ would ask of a real process ------------------------------------------- */

pid_t tracee_pid(const struct tracee *t)
{
	(void)t;
	return 0;
}

size_t tracee_read_some(const struct tracee *t, uint64_t address, void *buf, size_t size)
{
	(void)t;
	if (address < BASE || address - BASE >= process.size)
		return 0;
	size_t left = process.size - (address - BASE);
	if (size > left)
		size = left;
	memcpy(buf, process.memory + (address - BASE), size);
	return size;
}

struct mt_error *tracee_read(const struct tracee *t, uint64_t address, void *buf, size_t size)
{
	if (tracee_read_some(t, address, buf, size) == size)
		return NULL;
	return mt_error_create(MT_ERROR_OTHER, "unreadable");
}

struct mt_error *proc_maps_read(pid_t pid, struct proc_maps *ret)
{
	uint64_t address = BASE;
	(void)pid;
	for (unsigned i = 0; i < process.map_count; i++) {
		const uint8_t *m = process.maps + i * 3;
		struct proc_map map = {
			.start = address, .end = address + (m[0] + 1ull) * PAGE,
			.offset = (uint64_t)m[1] * PAGE, .prot = m[2] & 7, .inode = 1,
			.path = strdup("/no/such/library"),
		};
		if (!map.path || !mt_array_push(&ret->maps, map)) {
			free(map.path);
			proc_maps_deinit(ret);
			return &mt_enomem;
		}
		address = map.end;
	}
	return NULL;
}

void proc_maps_deinit(struct proc_maps *maps)
{
	for (size_t i = 0; i < maps->maps.len; i++)
		free(maps->maps.items[i].path);
	mt_array_deinit(&maps->maps);
}

const struct proc_map *proc_maps_find(const struct proc_maps *maps, uint64_t address)
{
	for (size_t i = 0; i < maps->maps.len; i++)
		if (address >= maps->maps.items[i].start && address < maps->maps.items[i].end)
			return &maps->maps.items[i];
	return NULL;
}

pid_t proc_living(pid_t pid)
{
	return pid;
}

struct mt_error *proc_auxv(pid_t pid, uint64_t type, uint64_t *ret)
{
	(void)pid;
	*ret = BASE + type;
	return NULL;
}

/* ---- what the tool does with images ------------------------------------------------------ */

static struct mt_error *use_relocation(const struct image_relocation *rel, void *arg)
{
	*(size_t *)arg += strlen(rel->symbol);
	return NULL;
}

static bool use_symbol(const char *name, const struct image_symbol *sym, void *arg)
{
	*(size_t *)arg += strlen(name) + sym->size;
	return true;
}

static void use_image(struct image *img)
{
	static const char *const names[] = { "malloc", "first", "", "__libc_start_main" };
	size_t sum = 0;
	struct image_symbol sym;
	struct image_bytes bytes = { 0 };
	mt_error_destroy(image_each_relocation(NULL, img, use_relocation, &sum));
	image_each_symbol(NULL, img, use_symbol, &sum);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (image_find_any_symbol(NULL, img, names[i], &sym))
			image_function_at(NULL, img, sym.address, &sym);
	image_function_at(NULL, img, img->start + PAGE, &sym);
	if (img->eh_frame_hdr) {
		auto_close int fd = image_open_file(NULL, img);
		mt_error_destroy(image_read_range(NULL, img, fd, img->eh_frame_hdr,
						  img->eh_frame_hdr_size, &bytes));
		image_bytes_deinit(&bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct images images;
	bool changed;
	if (!size || !data[0] || data[0] > MAPS_MAX || size < 1 + data[0] * 3u)
		return 0;
	process.map_count = data[0];
	process.maps = data + 1;
	process.memory = data + 1 + data[0] * 3;
	process.size = size - 1 - data[0] * 3u;
	struct mt_error *err = images_read(NULL, &images);
	if (err) {
		mt_error_destroy(err);
		return 0;
	}
	for (size_t i = 0; i < images.list.len; i++)
		use_image(images.list.items[i]);
	mt_error_destroy(images_refresh(NULL, &images, &changed));
	images_deinit(&images);
	return 0;
}
