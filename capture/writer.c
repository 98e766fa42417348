/* SPDX-License-Identifier: Apache-2.0 */
/* capture/writer.c - writes a capture file as it goes.
 * Knows: the file, which block comes before which. Does not know: where events come from.
 * Called by record/, symbolize/ and cmds/; calls capture/block and the kernel. */
#include "capture/writer_private.h"

#include "base/cleanup.h"
#include "base/varint.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_SIZE (1u << 20)

#if defined(__x86_64__)
#define THIS_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define THIS_MACHINE EM_AARCH64
#else
#define THIS_MACHINE EM_NONE
#endif

/* ---- the file ---- */

struct mt_error *writer_failed(const struct capture_writer *w)
{
	if (w->failed == ENOENT)	/* of no write: find_file() */
		return mt_error_hint(mt_error_create(MT_ERROR_OTHER,
						     "'%s' was deleted while it was written", w->path),
				     "what was recorded is lost: record again");
	struct mt_error *err = mt_error_os(w->failed, "cannot write '%s'", w->path);
	if (w->failed == ENOSPC || w->failed == EDQUOT || w->failed == EFBIG)
		return mt_error_hint(err, "free some space or choose another place with -o; what "
					  "was recorded until then is in the file");
	return err;
}

struct mt_error *writer_write_at(struct capture_writer *w, uint64_t offset, const void *data,
				 size_t size)
{
	const uint8_t *p = data;
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(w->file.fd, p + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			w->failed = n < 0 ? errno : ENOSPC;
			return writer_failed(w);
		}
		done += (size_t)n;
	}
	return NULL;
}

/* Appends; what was written of it before an error is cut off again, so that the file ends whole. */
static struct mt_error *writer_append(struct capture_writer *w, const void *data, size_t size)
{
	struct mt_error *err = writer_write_at(w, w->file.size, data, size);
	if (!err)
		w->file.size += size;
	else if (ftruncate(w->file.fd, (off_t)w->file.size) < 0)
		return err;	/* the reader finds the torn block by itself */
	return err;
}

struct mt_error *writer_put_block(struct capture_writer *w, enum capture_block_type type,
				  const void *raw, size_t size)
{
	if (w->failed)
		return writer_failed(w);
	size_t stored;
	struct mt_error *err = block_pack(&w->packer, type, w->file.sequence, raw, size, &stored);
	if (err)
		return err;
	struct index_entry entry = { w->file.size, (uint32_t)size, (uint8_t)type };
	if (!mt_array_reserve(&w->file.index, w->file.index.len + 1))
		return &mt_enomem;
	err = writer_append(w, w->packer.out, stored);
	if (err)
		return err;
	w->file.index.items[w->file.index.len++] = entry;
	w->file.sequence++;
	return NULL;
}

static struct mt_error *create_error(const char *path, int errnum)
{
	struct stat st;
	if (errnum == EEXIST) {
		if (!lstat(path, &st) && !S_ISREG(st.st_mode))
			return mt_error_hint(mt_error_create(MT_ERROR_EXISTS,
							     "'%s' exists and is %s", path,
							     S_ISDIR(st.st_mode) ? "a directory" :
							     S_ISLNK(st.st_mode) ? "a symbolic link" :
							     "not a regular file"),
					     "choose another file with -o");
		return mt_error_hint(mt_error_create(MT_ERROR_EXISTS, "'%s' exists", path),
				     "use -f to overwrite it");
	}
	return mt_error_hint(mt_error_os(errnum, "cannot create '%s'", path),
			     errnum == ENOENT || errnum == ENOTDIR ?
				     "create the directory or choose another file with -o" :
				     "choose another file with -o");
}

/* Opens a new file. An old one is unlinked, never opened: whoever reads it keeps it, and a
 * symbolic link is never followed. */
static struct mt_error *create_file(const char *path, bool overwrite, int *ret)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(path, flags, 0600);
	struct stat st;
	if (fd < 0 && errno == EEXIST && overwrite && !lstat(path, &st) && S_ISREG(st.st_mode)) {
		if (unlink(path) < 0 && errno != ENOENT)
			return mt_error_hint(mt_error_os(errno, "cannot replace '%s'", path),
					     "choose another file with -o");
		fd = open(path, flags, 0600);
	} else if (fd < 0) {
		return create_error(path, errno);
	}
	if (fd < 0)
		return create_error(path, errno);
	*ret = fd;
	return NULL;
}

struct mt_error *writer_put_header(struct capture_writer *w)
{
	struct capture_file_header *h = &w->header;
	h->checksum = block_hash(h, offsetof(struct capture_file_header, checksum));
	struct mt_error *err = writer_write_at(w, 0, h, sizeof(*h));
	if (!err && !w->file.size)
		w->file.size = sizeof(*h);
	return err;
}

/* Takes fd. */
static struct mt_error *writer_begin(int fd, const char *path, uint32_t features,
				     struct capture_writer **ret)
{
	struct mt_error *err = &mt_enomem;
	struct capture_writer *w = calloc(1, sizeof(*w));
	if (!w) {
		close(fd);
		return &mt_enomem;
	}
	w->file.fd = fd;
	w->path = strdup(path);
	if (!w->path || !column_writer_init(&w->columns))
		goto fail;
	w->first = w->next = (struct table_ids){ 1, 1, 1 };
	w->header = (struct capture_file_header){
		.magic = CAPTURE_MAGIC,
		.version = CAPTURE_VERSION,
		.min_reader = CAPTURE_MIN_READER,
		.features = features,
		.byte_order = 1,
		.pointer_size = sizeof(void *),
		.machine = THIS_MACHINE,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
	};
	err = writer_put_header(w);
	if (err)
		goto fail;
	*ret = w;
	return NULL;
fail:
	capture_writer_destroy(w);
	return err;
}

struct mt_error *capture_writer_create(const char *path, bool overwrite, uint32_t features,
				       struct capture_writer **ret)
{
	int fd = -1;
	struct mt_error *err = create_file(path, overwrite, &fd);
	if (err)
		return err;
	err = writer_begin(fd, path, features, ret);
	if (err)
		unlink(path);	/* a file without a header helps nobody */
	return err;
}

struct mt_error *capture_writer_create_in_memory(uint32_t features, int *fd_ret,
						 struct capture_writer **ret)
{
	auto_close int fd = memfd_create("memtrace-capture", MFD_CLOEXEC);
	int own = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return mt_error_os(errno, "cannot make a file in memory");
	char path[64];		/* the only name it has, for find_file() */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
	struct mt_error *err = writer_begin(own, path, features, ret);
	if (!err)
		*fd_ret = take_fd(&fd);
	return err;
}

void capture_writer_destroy(struct capture_writer *w)
{
	if (!w)
		return;
	capture_writer_rewrite_abort(w);
	mt_cleanup_close(&w->file.fd);
	for (size_t i = 0; i < BLOCK_TYPES; i++)
		mt_buf_deinit(&w->pending[i].buf);
	mt_buf_deinit(&w->scratch);
	block_packer_deinit(&w->packer);
	mt_array_deinit(&w->file.index);
	column_writer_deinit(&w->columns);
	mt_buf_deinit(&w->tables);
	free(w->path);
	free(w);
}

void capture_writer_time_unit(struct capture_writer *w, unsigned shift)
{
	assert(!w->event_count);
	w->columns.shift = shift;
}

struct mt_error *capture_writer_set_header(struct capture_writer *w,
					   const struct capture_file_header *from)
{
	w->header.pointer_size = from->pointer_size;
	w->header.machine = from->machine;
	w->header.page_size = from->page_size;
	if (w->failed)
		return writer_failed(w);
	return writer_put_header(w);
}

struct mt_error *capture_writer_add_features(struct capture_writer *w, uint32_t features)
{
	if (w->failed)
		return writer_failed(w);
	if ((w->header.features & features) == features)
		return NULL;
	w->header.features |= features;
	return writer_put_header(w);
}

/* ---- blocks gathered beside the events ---- */

static struct mt_error *pending_write(struct capture_writer *w, enum capture_block_type type)
{
	struct pending *p = &w->pending[type];
	if (!p->count)
		return NULL;
	if (p->buf.failed || w->scratch.failed)
		return &mt_enomem;
	mt_buf_clear(&w->scratch);
	mt_buf_put_varint(&w->scratch, p->count);
	mt_buf_put(&w->scratch, p->buf.data, p->buf.len);
	if (w->scratch.failed)
		return &mt_enomem;
	struct mt_error *err = writer_put_block(w, type, w->scratch.data, w->scratch.len);
	if (err)
		return err;
	mt_buf_clear(&p->buf);
	p->count = 0;
	return NULL;
}

/* Events name modules, code and threads: those are in the file first. */
static struct mt_error *pending_write_all(struct capture_writer *w)
{
	for (unsigned type = 1; type < CAPTURE_BLOCK_COUNTERS; type++) {
		struct mt_error *err = pending_write(w, type);
		if (err)
			return err;
	}
	return pending_write(w, CAPTURE_BLOCK_JIT);
}

/* One more record was put into w->pending[type]. */
static struct mt_error *pending_done(struct capture_writer *w, enum capture_block_type type)
{
	struct pending *p = &w->pending[type];
	if (w->failed)
		return writer_failed(w);
	if (p->buf.failed)
		return &mt_enomem;
	p->count++;
	return p->buf.len >= BLOCK_SIZE ? pending_write(w, type) : NULL;
}

struct mt_error *capture_writer_meta(struct capture_writer *w, const char *key, const void *value,
				     size_t size)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_META].buf;
	mt_buf_put_lstr(b, key, strlen(key));
	mt_buf_put_lstr(b, value, size);
	return pending_done(w, CAPTURE_BLOCK_META);
}

struct mt_error *capture_writer_module(struct capture_writer *w, const struct capture_module *m)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_MODULES].buf;
	mt_buf_put_varint(b, m->id);
	mt_buf_put_varint(b, m->load_ticks);
	mt_buf_put_varint(b, m->unload_ticks);
	mt_buf_put_varint(b, m->start);
	mt_buf_put_varint(b, m->end);
	mt_buf_put_varint(b, m->bias);
	mt_buf_put_lstr(b, m->path, strlen(m->path));
	mt_buf_put_lstr(b, m->build_id, m->build_id_size);
	mt_buf_put_varint(b, m->segment_count);
	for (size_t i = 0; i < m->segment_count; i++) {
		const struct capture_segment *s = &m->segments[i];
		mt_buf_put_varint(b, s->vaddr);
		mt_buf_put_varint(b, s->size);
		mt_buf_put_varint(b, s->file_offset);
		mt_buf_put_varint(b, s->flags);
	}
	return pending_done(w, CAPTURE_BLOCK_MODULES);
}

struct mt_error *capture_writer_code(struct capture_writer *w, const struct capture_code *c)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_CODE].buf;
	mt_buf_put_varint(b, c->id);
	mt_buf_put_varint(b, c->first_line);
	mt_buf_put_varint(b, c->first_traceable);
	mt_buf_put_lstr(b, c->file, c->file_size);
	mt_buf_put_lstr(b, c->name, c->name_size);
	mt_buf_put_lstr(b, c->line_table, c->line_table_size);
	return pending_done(w, CAPTURE_BLOCK_CODE);
}

struct mt_error *capture_writer_thread(struct capture_writer *w, uint32_t index, uint32_t tid,
				       uint64_t ticks, const char *name)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_THREADS].buf;
	mt_buf_put_varint(b, index);
	mt_buf_put_varint(b, tid);
	mt_buf_put_varint(b, ticks);
	mt_buf_put_lstr(b, name, strlen(name));
	return pending_done(w, CAPTURE_BLOCK_THREADS);
}

struct mt_error *capture_writer_sample(struct capture_writer *w, const struct capture_sample *s)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_SAMPLES].buf;
	const uint64_t fields[] = { s->ticks, s->monotonic_ns, s->realtime_ns, s->rss,
				    s->rss_anon, s->rss_file, s->rss_shmem, s->swap };
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		mt_buf_put_varint(b, fields[i]);
	return pending_done(w, CAPTURE_BLOCK_SAMPLES);
}

struct mt_error *capture_writer_jit(struct capture_writer *w, uint64_t address, const char *name,
				    bool changed)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_JIT].buf;
	mt_buf_put_varint(b, address);
	mt_buf_put_varint(b, changed ? CAPTURE_JIT_CHANGED : 0);
	mt_buf_put_lstr(b, name, strlen(name));
	return pending_done(w, CAPTURE_BLOCK_JIT);
}

struct mt_error *capture_writer_counter(struct capture_writer *w, const char *name, uint64_t value)
{
	struct mt_buf *b = &w->pending[CAPTURE_BLOCK_COUNTERS].buf;
	mt_buf_put_lstr(b, name, strlen(name));
	mt_buf_put_varint(b, value);
	return pending_done(w, CAPTURE_BLOCK_COUNTERS);
}

/* ---- events ---- */

struct mt_error *writer_put_events(struct capture_writer *w)
{
	if (w->failed)
		return writer_failed(w);
	struct mt_error *err = pending_write_all(w);
	if (err || (!w->columns.count && !w->tables.len))
		return err;
	mt_buf_clear(&w->scratch);
	mt_buf_put_varint(&w->scratch, w->first.frame);
	mt_buf_put_varint(&w->scratch, w->first.node);
	mt_buf_put_varint(&w->scratch, w->first.stack);
	column_writer_take(&w->columns, &w->tables, &w->scratch);
	if (w->scratch.failed || w->tables.failed)
		return &mt_enomem;
	err = writer_put_block(w, CAPTURE_BLOCK_COLUMNS, w->scratch.data, w->scratch.len);
	if (err)
		return err;
	column_writer_begin(&w->columns);
	mt_buf_clear(&w->tables);
	w->first = w->next;
	return NULL;
}

static struct mt_error *put_record(struct capture_writer *w, enum capture_record tag, uint32_t *id,
				   const uint64_t *fields, size_t count, uint32_t *id_ret)
{
	if (w->tables.len >= BLOCK_SIZE || w->failed) {
		struct mt_error *err = writer_put_events(w);
		if (err)
			return err;
	}
	if (*id == UINT32_MAX)
		return mt_error_create(MT_ERROR_OTHER, "the capture has too many different stacks");
	mt_buf_put_u8(&w->tables, (uint8_t)tag);
	for (size_t i = 0; i < count; i++)
		mt_buf_put_varint(&w->tables, fields[i]);
	if (w->tables.failed)
		return &mt_enomem;
	*id_ret = (*id)++;
	return NULL;
}

struct mt_error *capture_writer_frame_native(struct capture_writer *w, uint32_t module_plus_1,
					     uint64_t address, uint32_t *id_ret)
{
	return put_record(w, CAPTURE_REC_FRAME_NATIVE, &w->next.frame,
			  (uint64_t[]){ module_plus_1, address }, 2, id_ret);
}

struct mt_error *capture_writer_frame_python(struct capture_writer *w, uint32_t code, bool entry,
					     uint32_t instr_plus_1, uint32_t *id_ret)
{
	return put_record(w, CAPTURE_REC_FRAME_PYTHON, &w->next.frame,
			  (uint64_t[]){ (uint64_t)code << 1 | entry, instr_plus_1 }, 2, id_ret);
}

struct mt_error *capture_writer_node(struct capture_writer *w, uint32_t parent, uint32_t frame,
				     uint32_t *id_ret)
{
	return put_record(w, CAPTURE_REC_NODE, &w->next.node, (uint64_t[]){ parent, frame }, 2,
			  id_ret);
}

struct mt_error *capture_writer_stack(struct capture_writer *w, uint32_t native_node,
				      uint32_t python_node, uint32_t flags, uint32_t *id_ret)
{
	return put_record(w, CAPTURE_REC_STACK, &w->next.stack,
			  (uint64_t[]){ native_node, python_node, flags }, 3, id_ret);
}

struct mt_error *capture_writer_put_events(struct capture_writer *w, const struct capture_event *events,
					   size_t count)
{
	while (count) {
		if (column_writer_full(&w->columns) || w->failed) {
			struct mt_error *err = writer_put_events(w);
			if (err)
				return err;
		}
		size_t n = column_writer_put(&w->columns, events, count);
		if (n < count && !column_writer_full(&w->columns))
			return &mt_enomem;
		w->event_count += n;
		events += n;
		count -= n;
	}
	return NULL;
}

struct mt_error *capture_writer_event(struct capture_writer *w, const struct capture_event *ev)
{
	return capture_writer_put_events(w, ev, 1);
}

/* ---- flush and finish ---- */

/* Is the file still where it was? One that is renamed, or whose directory is, has its new name from
 * here on; one that nobody can open any more is an error, so that no capture goes on for nothing. */
static struct mt_error *find_file(struct capture_writer *w)
{
	struct stat here, there;
	char link[64], name[4096];
	if (w->failed || fstat(w->file.fd, &here) < 0 ||
	    (!stat(w->path, &there) && there.st_dev == here.st_dev && there.st_ino == here.st_ino))
		return NULL;
	if (!here.st_nlink) {
		w->failed = ENOENT;
		return writer_failed(w);
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", w->file.fd);
	ssize_t n = readlink(link, name, sizeof(name));
	if (n <= 0 || n == (ssize_t)sizeof(name))
		return NULL;
	name[n] = 0;
	if (stat(name, &there) < 0 || there.st_dev != here.st_dev || there.st_ino != here.st_ino)
		return NULL;
	char *path = strdup(name);
	if (!path)
		return &mt_enomem;
	free(w->path);
	w->path = path;
	return NULL;
}

struct mt_error *capture_writer_flush(struct capture_writer *w)
{
	struct mt_error *err = find_file(w);
	return err ? err : writer_put_events(w);
}

static struct mt_error *writer_put_end(struct capture_writer *w)
{
	mt_buf_clear(&w->scratch);
	mt_buf_put_varint(&w->scratch, w->file.index.len);
	uint64_t last = 0;
	for (size_t i = 0; i < w->file.index.len; i++) {
		mt_buf_put_varint(&w->scratch, w->file.index.items[i].type);
		mt_buf_put_varint(&w->scratch, w->file.index.items[i].offset - last);
		mt_buf_put_varint(&w->scratch, w->file.index.items[i].raw_size);
		last = w->file.index.items[i].offset;
	}
	if (w->scratch.failed)
		return &mt_enomem;
	struct capture_end end = { .magic = "mtindex", .index_offset = w->file.size };
	end.magic[7] = '1';
	end.checksum = block_hash(&end, offsetof(struct capture_end, checksum));
	struct mt_error *err = writer_put_block(w, CAPTURE_BLOCK_INDEX, w->scratch.data,
						w->scratch.len);
	if (err)
		return err;
	return writer_append(w, &end, sizeof(end));
}

struct mt_error *capture_writer_finish(struct capture_writer *w)
{
	struct mt_error *err = find_file(w);
	if (!err)
		err = writer_put_events(w);
	if (!err)
		err = pending_write(w, CAPTURE_BLOCK_COUNTERS);
	if (!err)
		err = writer_put_end(w);
	if (err)
		return err;
	/* Some file systems tell only now that the disk was full. */
	if (close(take_fd(&w->file.fd)) < 0) {
		w->failed = errno;
		return writer_failed(w);
	}
	w->failed = EBADF;
	return NULL;
}

uint64_t capture_writer_bytes(const struct capture_writer *w)
{
	return w->file.size;
}

const char *capture_writer_path(const struct capture_writer *w)
{
	return w->path;
}

uint64_t capture_writer_events(const struct capture_writer *w)
{
	return w->event_count;
}
