/* SPDX-License-Identifier: Apache-2.0 */
/* base/cleanup.h - releases at the end of a scope, and the named calls that give ownership away.
 *
 *	auto_free char *s = strdup(x);
 *	auto_close int fd = open(...);
 *	*ret = take_ptr(&s);		(the caller owns it from here; the scope frees nothing)
 *
 * MT_DEFINE_AUTO(capture, capture_destroy) makes `auto_capture` for `struct capture *`. */
#ifndef MT_BASE_CLEANUP_H
#define MT_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void mt_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void mt_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void mt_cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void mt_cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static inline int take_fd(int *fd)
{
	int ret = *fd;
	*fd = -1;
	return ret;
}

#define take_ptr(p)			\
	__extension__({			\
		__auto_type p_ = (p);	\
		__auto_type r_ = *p_;	\
		*p_ = NULL;		\
		r_;			\
	})

/* unused: clang 14 warns of a variable that only its cleanup reads. */
#define mt_auto(fn) __attribute__((cleanup(fn), unused))
#define auto_free mt_auto(mt_cleanup_free)
#define auto_close mt_auto(mt_cleanup_close)
#define auto_fclose mt_auto(mt_cleanup_fclose)
#define auto_closedir mt_auto(mt_cleanup_closedir)

/* Defines the scope release of a heap object; spell it `mt_auto(mt_cleanup_NAME) struct ...`
 * once as `#define auto_NAME mt_auto(mt_cleanup_NAME)` beside it. */
#define MT_DEFINE_CLEANUP(name, type, destroy)		\
	static inline void mt_cleanup_##name(type *p)	\
	{						\
		if (*p)					\
			destroy(*p);			\
	}

#include "base/error.h"
MT_DEFINE_CLEANUP(error, struct mt_error *, mt_error_destroy)
#define auto_error mt_auto(mt_cleanup_error)

#endif
