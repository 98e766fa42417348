/* SPDX-License-Identifier: Apache-2.0 */
/* serve/mhd.h - libmicrohttpd, loaded when it is needed: memtrace is copied to hosts that have none.
 *
 *	mhd_load(&mhd)		then mhd.start_daemon(...) is MHD_start_daemon(...)
 */
#ifndef MT_SERVE_MHD_H
#define MT_SERVE_MHD_H

#include "base/error.h"

#include <microhttpd.h>

#define MHD_FUNCTIONS(X)						\
	X(start_daemon)							\
	X(stop_daemon)							\
	X(create_response_from_buffer)					\
	X(create_response_from_fd)					\
	X(add_response_header)						\
	X(queue_response)						\
	X(destroy_response)						\
	X(lookup_connection_value)					\
	X(set_connection_option)

struct mhd {
#define X(name) __typeof__(&MHD_##name) name;
	MHD_FUNCTIONS(X)
#undef X
};

struct mt_error *mhd_load(struct mhd *ret) MT_MUST_CHECK;

#endif
