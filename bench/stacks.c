/* SPDX-License-Identifier: Apache-2.0 */
/* bench/stacks.c - allocates along 2^BITS different stacks, at random, with BLOCKS blocks live.
 * Knows: how to be at many places. Does not know: that somebody records.
 * stacks BITS BLOCKS SECONDS: says "ready", and in the end how often it allocated. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void **blocks;
static uint32_t state = 1;
static volatile uint32_t sink;

static uint32_t next(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	return state ^= state << 5;
}

static __attribute__((noinline)) void leaf(uint32_t slot)
{
	free(blocks[slot]);
	blocks[slot] = malloc(16 + slot % 1000);
}

/* Two calls of itself: which one was taken at each level makes the stack. */
static __attribute__((noinline)) void walk(unsigned bits, uint32_t path, uint32_t slot)
{
	if (!bits)
		leaf(slot);
	else if (path & 1)
		walk(bits - 1, path >> 1, slot);
	else
		walk(bits - 1, path >> 1, slot);
	sink += path;		/* no tail call */
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	unsigned bits = (unsigned)atoi(argv[1]);
	uint32_t count = (uint32_t)atoi(argv[2]);
	time_t end = time(NULL) + atoi(argv[3]);
	unsigned long allocations = 0;
	puts("ready");
	fflush(stdout);
	blocks = calloc(count, sizeof(*blocks));
	while (blocks && time(NULL) < end) {
		for (unsigned i = 0; i < 20000; i++)
			walk(bits, next(), next() % count);
		allocations += 20000;
		usleep(50000);		/* a service, not a storm */
	}
	printf("%lu\n", allocations);
	return 0;
}
