/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/output.c - the file a report goes to.
 * Knows: names, links, half-written files. Does not know: what is written.
 * Called by cmds/; calls base/ and the kernel. */
#include "cmds/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_stdout(const char *path)
{
	return !path || !strcmp(path, "-");
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISFIFO(st->st_mode);
}

/* May what is there be written to? */
static struct mt_error *check_present(const char *path, const struct stat *st, bool overwrite)
{
	if (is_device(st))
		return NULL;
	if (S_ISDIR(st->st_mode))
		return mt_error_hint(mt_error_create(MT_ERROR_EXISTS,
						     "cannot write '%s': it is a directory", path),
				     "-o takes the name of a file");
	if (S_ISLNK(st->st_mode))
		return mt_error_hint(mt_error_create(MT_ERROR_EXISTS,
						     "cannot write '%s': it is a symbolic link",
						     path),
				     "name the file itself; output never goes through a link");
	if (!S_ISREG(st->st_mode))
		return mt_error_create(MT_ERROR_EXISTS, "cannot write '%s': not a regular file",
				       path);
	if (!overwrite)
		return mt_error_hint(mt_error_create(MT_ERROR_EXISTS,
						     "cannot write '%s': it exists", path),
				     "-f overwrites it, -o names another file");
	return NULL;
}

static struct mt_error *folder_of(const char *path, char **ret)
{
	auto_free char *copy = strdup(path);
	char *dir = copy ? strdup(dirname(copy)) : NULL;
	if (!dir)
		return &mt_enomem;
	*ret = dir;
	return NULL;
}

static struct mt_error *check_folder(const char *path)
{
	auto_free char *dir = NULL;
	struct mt_error *err = folder_of(path, &dir);
	if (err)
		return err;
	struct stat st;
	if (stat(dir, &st))
		return mt_error_os(errno, "cannot write '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return mt_error_os(ENOTDIR, "cannot write '%s'", path);
	if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS))
		return mt_error_os(errno, "cannot write '%s'", path);
	return NULL;
}

struct mt_error *output_check(const char *path, bool overwrite)
{
	struct stat st;
	if (is_stdout(path))
		return NULL;
	if (!*path)
		return mt_error_create(MT_ERROR_USAGE, "the name of the output is empty");
	if (!lstat(path, &st)) {
		struct mt_error *err = check_present(path, &st, overwrite);
		if (err || is_device(&st))
			return err;
	} else if (errno != ENOENT) {
		return mt_error_os(errno, "cannot write '%s'", path);
	}
	return check_folder(path);
}

/* A descriptor of 0 to 2 means that the caller closed a standard stream; chatter written to it
 * would then land in the product. */
static int above_standard(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int saved = errno;
	close(fd);
	errno = saved;
	return higher;
}

/* Opens a file beside `path` that will take its name. */
static struct mt_error *open_beside(const char *path, char **name_ret, int *fd_ret)
{
	auto_free char *dir = NULL;
	struct mt_error *err = folder_of(path, &dir);
	if (err)
		return err;
	auto_free char *name = NULL;
	if (asprintf(&name, "%s/.memtrace.XXXXXX", dir) < 0) {
		name = NULL;
		return &mt_enomem;
	}
	int fd = mkostemp(name, O_CLOEXEC);	/* mode 0600 */
	if (fd < 0)
		return mt_error_os(errno, "cannot write '%s'", path);
	*name_ret = take_ptr(&name);
	*fd_ret = fd;
	return NULL;
}

static struct mt_error *open_file(struct output *out, bool overwrite, int *fd_ret)
{
	struct stat st;
	int fd = -1;
	bool present = !lstat(out->path, &st);
	if (present && is_device(&st)) {
		fd = open(out->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	} else if (present && overwrite) {
		struct mt_error *err = open_beside(out->path, &out->temporary, &fd);
		if (err)
			return err;
		out->owned = true;
	} else {
		fd = open(out->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		out->owned = fd >= 0;
	}
	if (fd < 0)
		return mt_error_os(errno, "cannot write '%s'", out->path);
	*fd_ret = fd;
	return NULL;
}

struct mt_error *output_open(const char *path, bool overwrite, struct output *ret)
{
	struct mt_error *err = output_check(path, overwrite);
	if (err)
		return err;
	if (is_stdout(path)) {
		*ret = (struct output){ .file = stdout };
		return NULL;
	}
	auto_output struct output out = { .path = strdup(path) };
	if (!out.path)
		return &mt_enomem;
	int fd = -1;
	err = open_file(&out, overwrite, &fd);
	if (err)
		return err;
	fd = above_standard(fd);
	out.file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out.file) {
		err = mt_error_os(errno, "cannot write '%s'", path);
		if (fd >= 0)
			close(fd);
		return err;
	}
	*ret = out;
	out = (struct output){ 0 };
	return NULL;
}

/* 0: all was written. stdio keeps no cause of a write that failed long ago; one byte more of an output
 * that is spoilt anyway tells it. */
static int write_failure(FILE *file)
{
	errno = 0;
	if (!fflush(file) && !ferror(file))
		return 0;
	if (!errno && write(fileno(file), "\n", 1) > 0)
		errno = EIO;
	return errno;
}

struct mt_error *output_finish(struct output *out)
{
	int saved = write_failure(out->file);
	bool bad = saved != 0;
	if (!out->path) {
		out->file = NULL;
		return bad ? mt_error_os(saved, "cannot write to standard output") : NULL;
	}
	FILE *file = take_ptr(&out->file);
	/* Some file systems (NFS, quotas) say only now that there was no room. */
	if (fclose(file) && !bad) {
		bad = true;
		saved = errno;
	}
	if (!bad && out->temporary && rename(out->temporary, out->path)) {
		bad = true;
		saved = errno;
	}
	struct mt_error *err = bad ? mt_error_os(saved, "cannot write '%s'", out->path) : NULL;
	out->owned = out->owned && bad;
	output_abort(out);
	return err;
}

void output_abort(struct output *out)
{
	if (out->file && out->path)
		fclose(out->file);
	if (out->owned)
		unlink(out->temporary ? out->temporary : out->path);
	free(out->path);
	free(out->temporary);
	*out = (struct output){ 0 };
}

char *output_page_name(const char *kind, const char *capture)
{
	const char *name = strrchr(capture, '/');
	name = name ? name + 1 : capture;
	if (!strncmp(name, "memtrace-", 9) && name[9])
		name += 9;
	size_t len = strlen(name);
	if (len > 4 && !strcmp(name + len - 4, ".bin"))
		len -= 4;
	char *path = NULL;
	return asprintf(&path, "memtrace-%s-%.*s.html", kind, (int)len, name) < 0 ? NULL : path;
}

struct mt_error *output_page_path(const char *output, const char *kind, const char *capture,
				  char **ret)
{
	if (!output && !kind)
		return NULL;
	char *path = output ? strdup(output) : output_page_name(kind, capture);
	if (!path)
		return &mt_enomem;
	*ret = path;
	return NULL;
}

void output_say_page(const char *path)
{
	if (strcmp(path, "-"))
		printf("%s\n", path);
}
