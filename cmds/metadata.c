/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/metadata.c - what a capture says about its process and how it was made.
 * Knows: where each fact is found. Does not know: when a capture begins.
 * Called by cmds/session.c; calls attach/, inject/, record/. */
#include "cmds/metadata.h"

#include "attach/proc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static struct mt_error *put_text(const struct session *s, const char *key, const char *value)
{
	return value && *value ? recorder_meta(s->recorder, key, value) : NULL;
}

static struct mt_error *put_process(const struct session *s)
{
	auto_free char *cmdline = NULL;
	auto_free char *exe = NULL;
	size_t size = 0;
	char pid[16];
	snprintf(pid, sizeof(pid), "%d", s->pid);
	struct mt_error *err = put_text(s, CAPTURE_META_PID, pid);
	if (!err)
		err = put_text(s, CAPTURE_META_MAIN_TID, pid);
	if (!err)
		err = proc_cmdline(s->pid, &cmdline, &size);
	if (!err)
		err = recorder_meta_bytes(s->recorder, CAPTURE_META_COMMAND, cmdline, size);
	if (!err)
		err = proc_exe(s->pid, &exe);
	if (!err)
		err = put_text(s, CAPTURE_META_EXE, exe);
	return err;
}

static struct mt_error *put_system(const struct session *s)
{
	struct utsname u;
	char kernel[sizeof(u.sysname) + sizeof(u.release) + sizeof(u.machine) + 3];
	if (uname(&u))
		return mt_error_os(errno, "cannot read the name of the system");
	snprintf(kernel, sizeof(kernel), "%s %s %s", u.sysname, u.release, u.machine);
	struct mt_error *err = put_text(s, CAPTURE_META_HOST, u.nodename);
	if (!err)
		err = put_text(s, CAPTURE_META_KERNEL, kernel);
	if (!err)
		err = put_text(s, CAPTURE_META_TOOL, MT_VERSION);
	if (!err)
		err = put_text(s, CAPTURE_META_MODE, s->options->mode);
	return err;
}

/* The newest version of its interface that a C library defines is its own: "GLIBC_2.36". */
static unsigned glibc_minor(struct tracee *t, const struct image *img)
{
	unsigned best = 0;
	auto_free char *names = malloc(img->strsz + 1);
	size_t size = names ? tracee_read_some(t, img->strtab, names, img->strsz) : 0;
	static const char prefix[] = "GLIBC_2.";
	for (size_t i = 0; i + sizeof(prefix) < size; i++) {
		if (memcmp(names + i, prefix, sizeof(prefix) - 1))
			continue;
		names[size] = 0;
		unsigned minor = (unsigned)strtoul(names + i + sizeof(prefix) - 1, NULL, 10);
		if (minor > best)
			best = minor;
	}
	return best;
}

static struct mt_error *put_libc(const struct session *s)
{
	for (size_t i = 0; i < s->injection->images.list.len; i++) {
		struct image *img = s->injection->images.list.items[i];
		if (!img->is_libc || img->unloaded)
			continue;
		char text[32];
		unsigned minor = glibc_minor(s->t, img);
		snprintf(text, sizeof(text), "glibc 2.%u", minor);
		return minor ? put_text(s, CAPTURE_META_LIBC, text) : NULL;
	}
	return NULL;
}

/* PYTHONMALLOC of the target's environment; the interpreter's default without it. */
static const char *python_allocator(const struct session *s, char *buf, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)proc_living(s->pid));
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *line = NULL;
	size_t cap = 0;
	while (f && getdelim(&line, &cap, 0, f) > 0)
		if (!strncmp(line, "PYTHONMALLOC=", 13) && line[13]) {
			snprintf(buf, size, "%s", line + 13);
			return buf;
		}
	return "pymalloc";
}

static struct mt_error *put_python(const struct session *s)
{
	const struct python *py = &s->injection->python;
	char text[64];
	if (!py->present)
		return NULL;
	snprintf(text, sizeof(text), "%u.%u", py->version >> 8, py->version & 0xff);
	struct mt_error *err = py->version ? put_text(s, CAPTURE_META_PYTHON, text) : NULL;
	if (!err && py->eval_ranges.len)
		err = recorder_meta_bytes(s->recorder, CAPTURE_META_PYTHON_EVAL, py->eval_ranges.data,
					  py->eval_ranges.len);
	if (!err)
		err = put_text(s, CAPTURE_META_PYTHON_ALLOCATOR, python_allocator(s, text, sizeof(text)));
	return err;
}

struct mt_error *metadata_put_python(const struct session *s)
{
	const struct python *py = &s->injection->python;
	char options[80];
	snprintf(options, sizeof(options), "%s%s%s%s%s", s->options->no_native ? "no-native" : "native",
		 py->known ? ",python" : "", s->options->drop ? ",drop" : "",
		 py->allocators.table[0] ? ",python-allocators" : "",
		 s->options->aggregate ? ",aggregate" : "");
	struct mt_error *err = put_python(s);
	return err ? err : put_text(s, CAPTURE_META_OPTIONS, options);
}

struct mt_error *metadata_put(const struct session *s)
{
	const struct injection *in = s->injection;
	const struct image *allocator = slots_allocator(s->t, &in->images, &in->linkmap);
	char rate[32];
	struct mt_error *err = put_process(s);
	if (!err)
		err = put_system(s);
	if (!err)
		err = put_libc(s);
	if (!err && allocator)
		err = put_text(s, CAPTURE_META_ALLOCATOR, allocator->path);
	if (!err)
		err = metadata_put_python(s);
	snprintf(rate, sizeof(rate), "%llu", (unsigned long long)s->options->sample_rate);
	if (!err && s->options->sample_rate)
		err = put_text(s, CAPTURE_META_SAMPLE, rate);
	return err;
}
