/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_header.c - gives a capture another version, with a right checksum.
 * Knows: the 64 bytes of the file header. Does not know: the blocks.
 * Usage: alloc_header FILE VERSION MIN_READER FEATURES; used by tests/e2e/test_bad_files.py. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	unsigned char head[64];
	FILE *f = argc == 5 ? fopen(argv[1], "r+b") : NULL;
	if (!f || fread(head, 1, sizeof(head), f) != sizeof(head))
		return 1;
	unsigned short version = (unsigned short)atoi(argv[2]), reader = (unsigned short)atoi(argv[3]);
	unsigned features = (unsigned)strtoul(argv[4], NULL, 0);
	memcpy(head + 8, &version, 2);
	memcpy(head + 10, &reader, 2);
	if (features)
		memcpy(head + 12, &features, 4);
	unsigned long long sum = XXH3_64bits(head, 56);
	memcpy(head + 56, &sum, 8);
	rewind(f);
	return fwrite(head, 1, sizeof(head), f) != sizeof(head) || fclose(f);
}
