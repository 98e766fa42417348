/* SPDX-License-Identifier: Apache-2.0 */
/* capture/rewrite.c - blocks that are written as they are, and a file that is written anew.
 * Knows: stored blocks. Does not know: what is in them.
 * Called through capture/writer.h. */
#include "capture/writer_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- raw blocks ---- */

struct mt_error *capture_writer_raw_block(struct capture_writer *w, enum capture_block_type type,
					  const void *raw, size_t size)
{
	struct mt_error *err = writer_put_events(w);
	return err ? err : writer_put_block(w, type, raw, size);
}

struct mt_error *capture_writer_copy_block(struct capture_writer *w, const void *stored,
					   size_t size)
{
	struct capture_block_head head;
	if (size < sizeof(head))
		return mt_error_corrupt(0, "a block of %zu bytes is too short", size);
	memcpy(&head, stored, sizeof(head));
	const uint8_t *payload = (const uint8_t *)stored + sizeof(head);
	if (!block_head_sane(&head) || head.stored_size != size - sizeof(head))
		return mt_error_corrupt(0, "the head of a block is damaged");
	if (head.checksum != block_checksum(&head, payload))
		return mt_error_corrupt(0, "the checksum of a block does not match");
	if (head.type == CAPTURE_BLOCK_INDEX)	/* finish writes one for this file */
		return NULL;
	struct mt_error *err = writer_put_events(w);
	if (err)
		return err;
	head.sequence = w->file.sequence;
	head.checksum = block_checksum(&head, payload);
	struct index_entry entry = { w->file.size, head.raw_size, head.type };
	if (!mt_array_reserve(&w->file.index, w->file.index.len + 1))
		return &mt_enomem;
	err = writer_write_at(w, w->file.size + sizeof(head), payload, head.stored_size);
	if (!err)
		err = writer_write_at(w, w->file.size, &head, sizeof(head));
	if (err)
		return err;
	w->file.size += size;
	w->file.index.items[w->file.index.len++] = entry;
	w->file.sequence++;
	return NULL;
}

/* ---- the file anew ---- */

/* Without a name where the file system can, so that whoever is killed leaves nothing behind. */
static struct mt_error *open_beside(struct capture_writer *w, int *ret)
{
	auto_free char *copy = strdup(w->path);
	if (!copy || asprintf(&w->anew, "%s.%d.tmp", w->path, (int)getpid()) < 0) {
		w->anew = NULL;
		return &mt_enomem;
	}
	int fd = open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	w->anew_named = fd < 0;
	if (fd < 0)
		fd = open(w->anew, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		w->anew_named = false;
		return mt_error_os(errno, "cannot create '%s'", w->anew);
	}
	*ret = fd;
	return NULL;
}

/* Block i of the old file, whole. */
static struct mt_error *read_old(const struct capture_writer *w, size_t i, struct mt_buf *buf)
{
	const struct index_entry *e = &w->old.index.items[i];
	uint64_t end = i + 1 < w->old.index.len ? e[1].offset : w->old.size;
	size_t size = (size_t)(end - e->offset);
	mt_buf_clear(buf);
	if (!mt_buf_reserve(buf, size))
		return &mt_enomem;
	while (buf->len < size) {
		ssize_t n = pread(w->old.fd, buf->data + buf->len, size - buf->len,
				  (off_t)(e->offset + buf->len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return mt_error_os(n < 0 ? errno : EIO, "cannot read '%s'", w->path);
		buf->len += (size_t)n;
	}
	return NULL;
}

static struct mt_error *copy_old(struct capture_writer *w, uint32_t without)
{
	auto_buf struct mt_buf buf = MT_BUF_INIT;
	struct mt_error *err = writer_put_header(w);
	for (size_t i = 0; !err && i < w->old.index.len; i++) {
		if (without >> w->old.index.items[i].type & 1)
			continue;
		err = read_old(w, i, &buf);
		if (!err)
			err = capture_writer_copy_block(w, buf.data, buf.len);
	}
	return err;
}

/* Whose and for whom the old one is may have been changed; best effort, as in memtrace symbolize. */
static void take_owner(const struct capture_writer *w)
{
	struct stat st;
	if (!fstat(w->old.fd, &st) && !fchmod(w->file.fd, st.st_mode & 0777) &&
	    fchown(w->file.fd, st.st_uid, st.st_gid))
		errno = 0;
}

struct mt_error *capture_writer_rewrite_begin(struct capture_writer *w, uint32_t without)
{
	int fd = -1;
	struct mt_error *err = capture_writer_flush(w);
	if (!err)
		err = open_beside(w, &fd);
	if (err)
		return err;
	w->old = w->file;
	w->file = (struct writer_file){ .fd = fd };
	w->rewriting = true;
	take_owner(w);
	return copy_old(w, without);
}

static struct mt_error *give_name(struct capture_writer *w)
{
	struct stat here, there;
	char link[64];
	/* Somebody renamed it in this moment: the next flush finds out. */
	if (fstat(w->old.fd, &here) || stat(w->path, &there) || here.st_dev != there.st_dev ||
	    here.st_ino != there.st_ino)
		return mt_error_create(MT_ERROR_OTHER, "'%s' is another file now", w->path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", w->file.fd);
	if (!w->anew_named && linkat(AT_FDCWD, link, AT_FDCWD, w->anew, AT_SYMLINK_FOLLOW))
		return mt_error_os(errno, "cannot create '%s'", w->anew);
	w->anew_named = true;
	if (rename(w->anew, w->path))
		return mt_error_os(errno, "cannot replace '%s'", w->path);
	w->anew_named = false;
	return NULL;
}

static void forget(struct capture_writer *w, struct writer_file *f)
{
	mt_cleanup_close(&f->fd);
	mt_array_deinit(&f->index);
	free(w->anew);
	w->anew = NULL;
	w->rewriting = false;
}

struct mt_error *capture_writer_rewrite_commit(struct capture_writer *w)
{
	struct mt_error *err = writer_put_events(w);
	if (!err)
		err = give_name(w);
	if (!err)
		forget(w, &w->old);
	return err;
}

void capture_writer_rewrite_abort(struct capture_writer *w)
{
	if (w->anew && w->anew_named)
		unlink(w->anew);
	w->anew_named = false;
	if (!w->rewriting) {
		free(w->anew);
		w->anew = NULL;
		return;
	}
	forget(w, &w->file);
	w->file = w->old;
	w->failed = 0;		/* that was of the other file */
}
