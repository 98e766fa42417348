/* SPDX-License-Identifier: Apache-2.0 */
/* serve/mhd.h - libmicrohttpd, loaded when `memtrace serve` runs and by nobody else.
 *
 * Linked, it would make every memtrace need it and GnuTLS, also on the hosts that the one file is
 * copied to for `attach`, and load both at every start. */
#ifndef MT_SERVE_MHD_H
#define MT_SERVE_MHD_H

#include "base/error.h"

#include <microhttpd.h>

#define MHD_FUNCTIONS(F)			\
	F(start_daemon)				\
	F(stop_daemon)				\
	F(run)					\
	F(get_timeout)				\
	F(get_daemon_info)			\
	F(get_connection_info)			\
	F(get_connection_values)		\
	F(lookup_connection_value)		\
	F(suspend_connection)			\
	F(resume_connection)			\
	F(create_response_from_buffer)		\
	F(create_response_from_callback)	\
	F(create_response_from_fd64)		\
	F(add_response_header)			\
	F(queue_response)			\
	F(destroy_response)			\
	F(is_feature_supported)

struct mhd {
#define F(name) __typeof__(&MHD_##name) name;
	MHD_FUNCTIONS(F)
#undef F
};

/* The same table at every call, for the life of the process. */
struct mt_error *mhd_load(const struct mhd **ret) MT_MUST_CHECK;

#endif
