/* SPDX-License-Identifier: Apache-2.0 */
/* base/clock.h - time that goes on evenly, whatever is done to the date: deadlines, durations. */
#ifndef MT_BASE_CLOCK_H
#define MT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t mt_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t mt_now_us(void)
{
	return mt_now_ns() / 1000;
}

static inline uint64_t mt_now_ms(void)
{
	return mt_now_ns() / 1000000;
}

#endif
