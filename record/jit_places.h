/* SPDX-License-Identifier: Apache-2.0 */
/* record/jit_places.h - which function of a runtime's compiler lies at each of some addresses.
 *
 *	jit_places_init(&p, addresses, count)	sorted, without doubles
 *	perf_map_read(file, size, mark, &p)		/tmp/perf-PID.map, or
 *	jitdump_read(file, size, since, &p)		jit-PID.dump
 *	jit_places_deinit(&p)
 *
 * Later entries of a file replace earlier ones, as the code did. An address whose function became
 * another one after the mark (the start of the capture) is `changed`: which of the two was meant
 * cannot be told. The files are foreign, and can be long, growing, and hostile: only what lies at an
 * address asked for is kept, names are cut at JIT_NAME_MAX bytes, and work and memory are bounded. */
#ifndef MT_RECORD_JIT_PLACES_H
#define MT_RECORD_JIT_PLACES_H

#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>

#define JIT_NAME_MAX 1024u

struct jit_place {
	uint64_t address;
	uint32_t name;		/* offset in `names`, of a NUL-terminated text; 0: none */
	bool changed;
};

struct jit_places {
	struct jit_place *items;	/* ascending */
	size_t count;
	struct mt_buf names;
	uint64_t work;			/* entries put to an address so far */
	bool full;			/* more would be too much; what comes later is not read */
};

struct mt_error *jit_places_init(struct jit_places *p, const uint64_t *addresses, size_t count)
	MT_MUST_CHECK;
void jit_places_deinit(struct jit_places *p);
/* Does it hold an address that is asked for? */
bool jit_places_want(const struct jit_places *p, uint64_t start, uint64_t size);
/* `late`: it came after the mark. */
void jit_places_put(struct jit_places *p, uint64_t start, uint64_t size, const char *name, size_t len,
		    bool late);

/* Lines "START SIZE NAME", hexadecimal; other lines are left out. size: bytes to read at most, for the
 * file may grow meanwhile; mark: those that were there when the capture began. */
void perf_map_read(FILE *f, uint64_t size, uint64_t mark, struct jit_places *p);
/* The format of perf's jitdump-specification, of this byte order. since: the start of the capture in ns
 * of CLOCK_MONOTONIC, and in ticks. False when it is no such file. */
bool jitdump_read(FILE *f, uint64_t size, uint64_t since_ns, uint64_t since_ticks, struct jit_places *p);

#endif
