/* SPDX-License-Identifier: Apache-2.0 */
/* attach/proc_maps.c - reads and parses /proc/PID/maps.
 * Knows: the line format of proc(5). Does not know: what is mapped.
 * Called by attach/ and inject/; calls base/ and the kernel. */
#include "attach/proc.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

struct line {
	const char *p, *end;
	bool failed;
};

static uint64_t number(struct line *l, unsigned base)
{
	uint64_t v = 0;
	const char *start = l->p;
	for (; l->p < l->end; l->p++) {
		char c = *l->p;
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') :
				 c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
		if (digit >= base)
			break;
		if (v > (UINT64_MAX - digit) / base)
			l->failed = true;
		v = v * base + digit;
	}
	if (l->p == start)
		l->failed = true;
	return v;
}

static void expect(struct line *l, char c)
{
	if (l->p < l->end && *l->p == c)
		l->p++;
	else
		l->failed = true;
}

static int protection(struct line *l, bool *shared_ret)
{
	static const struct {
		char letter;
		int prot;
	} letters[] = { { 'r', PROT_READ }, { 'w', PROT_WRITE }, { 'x', PROT_EXEC } };
	int prot = 0;
	for (size_t i = 0; i < 3; i++) {
		if (l->p < l->end && *l->p == letters[i].letter)
			prot |= letters[i].prot;
		else if (l->p >= l->end || *l->p != '-')
			l->failed = true;
		if (!l->failed)
			l->p++;
	}
	if (!l->failed && l->p < l->end && (*l->p == 'p' || *l->p == 's'))
		*shared_ret = *l->p++ == 's';
	else
		l->failed = true;
	return prot;
}

static bool parse_line(struct line *l, struct proc_map *m)
{
	m->start = number(l, 16);
	expect(l, '-');
	m->end = number(l, 16);
	expect(l, ' ');
	m->prot = protection(l, &m->shared);
	expect(l, ' ');
	m->offset = number(l, 16);
	expect(l, ' ');
	m->dev_major = (uint32_t)number(l, 16);
	expect(l, ':');
	m->dev_minor = (uint32_t)number(l, 16);
	expect(l, ' ');
	m->inode = number(l, 10);
	while (!l->failed && l->p < l->end && *l->p == ' ')
		l->p++;
	return !l->failed && m->start < m->end;
}

struct mt_error *proc_maps_parse(const char *text, size_t size, struct proc_maps *ret)
{
	struct proc_maps maps = { 0 };
	const char *at = text, *end = text + size;
	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		struct line l = { at, nl ? nl : end, false };
		struct proc_map m = { 0 };
		bool ordered = !maps.maps.len;
		if (parse_line(&l, &m))
			ordered = ordered || m.start >= maps.maps.items[maps.maps.len - 1].end;
		else
			ordered = false;
		if (!ordered) {
			proc_maps_deinit(&maps);
			return mt_error_corrupt((uint64_t)(at - text), "cannot understand the maps");
		}
		m.path = strndup(l.p, (size_t)(l.end - l.p));
		if (!m.path || !mt_array_push(&maps.maps, m)) {
			free(m.path);
			proc_maps_deinit(&maps);
			return &mt_enomem;
		}
		at = nl ? nl + 1 : end;
	}
	*ret = maps;
	return NULL;
}

/* The kernel writes whole lines per read() and each read sees the maps of its own moment, so a map
 * that grows between two reads can appear twice; the second, overlapping line is then dropped by
 * reading again. */
static struct mt_error *read_text(pid_t pid, struct mt_buf *buf)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)proc_living(pid));
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0) {
		if (!mt_buf_reserve(buf, 65536))
			return &mt_enomem;
		n = read(fd, buf->data + buf->len, buf->cap - buf->len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			buf->len += (size_t)n;
	}
	if (n == 0)
		return NULL;
	if (errno == ENOENT || errno == ESRCH)
		return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)pid);
	return mt_error_os(errno, "cannot read '%s'", path);
}

struct mt_error *proc_maps_read(pid_t pid, struct proc_maps *ret)
{
	struct mt_error *err = NULL;
	for (int attempt = 0; attempt < 8; attempt++) {
		auto_buf struct mt_buf text = MT_BUF_INIT;
		mt_error_destroy(err);
		err = read_text(pid, &text);
		if (err)
			return err;
		if (!text.len)		/* exiting: the address space is gone already */
			return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)pid);
		err = proc_maps_parse((const char *)text.data, text.len, ret);
		if (!err)
			return NULL;
	}
	return err;
}

void proc_maps_deinit(struct proc_maps *maps)
{
	for (size_t i = 0; i < maps->maps.len; i++)
		free(maps->maps.items[i].path);
	mt_array_deinit(&maps->maps);
}

const struct proc_map *proc_maps_find(const struct proc_maps *maps, uint64_t address)
{
	size_t lo = 0, hi = maps->maps.len;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct proc_map *m = &maps->maps.items[mid];
		if (address < m->start)
			hi = mid;
		else if (address >= m->end)
			lo = mid + 1;
		else
			return m;
	}
	return NULL;
}
