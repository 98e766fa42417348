/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_hash.c - the two open-addressing tables against a plain array.
 * Knows: base/hash.h, analysis/live.h. Does not know: who uses them.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/live.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define KEYS 700u
#define ROUNDS 200000u

struct model {
	uint64_t key[KEYS], value[KEYS];
	bool there[KEYS];
	size_t len;
};

static uint64_t random64(void)
{
	return (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random();
}

/* Keys that meet in one place of the table as well as spread ones. */
static void make_keys(struct model *m, unsigned kind)
{
	memset(m, 0, sizeof(*m));
	for (size_t i = 0; i < KEYS; i++)
		m->key[i] = kind == 0 ? i : kind == 1 ? i << 52 : kind == 2 ? random64() :
			    kind == 3 ? 0x7f0000000010ull + i * 16 : UINT64_MAX - i * 4096;
}

static void check_map(const struct mt_map *map, const struct model *m)
{
	size_t seen = 0, pos = 0;
	for (const struct mt_map_slot *s; (s = mt_map_next(map, &pos)); seen++)
		assert_non_null(mt_map_get(map, s->key));
	assert_int_equal(seen, m->len);
	assert_int_equal(map->len, m->len);
	for (size_t i = 0; i < KEYS; i++) {
		const uint64_t *v = mt_map_get(map, m->key[i]);
		assert_true(!!v == m->there[i]);
		if (v)
			assert_true(*v == m->value[i]);
	}
}

static void map_step(struct mt_map *map, struct model *m, bool growing)
{
	size_t i = (size_t)random() % KEYS;
	if (random() % 8 < (growing ? 5 : 3)) {
		m->len += !m->there[i];
		m->there[i] = true;
		m->value[i] = random64();
		assert_true(mt_map_put(map, m->key[i], m->value[i]));
		return;
	}
	uint64_t old = 1;
	assert_true(mt_map_delete(map, m->key[i], &old) == m->there[i]);
	assert_true(old == (m->there[i] ? m->value[i] : 1));
	m->len -= m->there[i];
	m->there[i] = false;
}

static void test_map(void **state)
{
	struct model m;
	(void)state;
	srandom(2);
	for (unsigned kind = 0; kind < 5; kind++) {
		struct mt_map map = MT_MAP_INIT;
		make_keys(&m, kind);
		for (unsigned i = 0; i < ROUNDS; i++) {
			map_step(&map, &m, i / 4096 % 2 == 0);
			if (i % 5000 == 0)
				check_map(&map, &m);
		}
		check_map(&map, &m);
		mt_map_clear(&map);
		assert_int_equal(map.len, 0);
		for (size_t i = 0; i < KEYS; i++)
			assert_null(mt_map_get(&map, m.key[i]));
		mt_map_deinit(&map);
	}
}

static void test_map_empty(void **state)
{
	struct mt_map map = MT_MAP_INIT;
	size_t pos = 0;
	(void)state;
	assert_null(mt_map_get(&map, 0));
	assert_false(mt_map_delete(&map, 0, NULL));
	assert_null(mt_map_next(&map, &pos));
	mt_map_clear(&map);
	assert_true(mt_map_put(&map, 0, 7));		/* key 0 is a key */
	assert_int_equal(*mt_map_get(&map, 0), 7);
	assert_true(mt_map_delete(&map, 0, NULL));
	assert_null(mt_map_get(&map, 0));
	mt_map_deinit(&map);
}

static void live_step(struct live_blocks *live, struct model *m, bool growing)
{
	size_t i = (size_t)random() % KEYS;
	struct live_block *b = live_find(live, m->key[i], live_hash(m->key[i]));
	assert_true(!!b == m->there[i]);
	if (b) {
		assert_true(b->address == m->key[i] && b->size == m->value[i]);
		if (growing && random() % 2)
			return;
		live_remove(live, b);
		m->len--;
	} else {
		m->value[i] = random64();
		b = live_entry(live, m->key[i], live_hash(m->key[i]));
		assert_non_null(b);
		assert_false(live_is(b));
		*b = (struct live_block){ .address = m->key[i], .size = m->value[i], .row_1 = 1 };
		live_added(live);
		m->len++;
	}
	m->there[i] = !m->there[i];
}

static void test_live(void **state)
{
	struct model m;
	(void)state;
	srandom(3);
	for (unsigned kind = 1; kind < 5; kind++) {
		struct live_blocks live = { 0 };
		make_keys(&m, kind);
		for (size_t i = 0; i < KEYS; i++)
			m.key[i] += !m.key[i];		/* address 0 is nobody's */
		for (unsigned i = 0; i < ROUNDS; i++) {
			live_step(&live, &m, i / 4096 % 2 == 0);
			assert_int_equal(live.len, m.len);
		}
		for (size_t i = 0; i < KEYS; i++)
			assert_true(!!live_find(&live, m.key[i], live_hash(m.key[i])) == m.there[i]);
		live_deinit(&live);
		assert_null(live_find(&live, m.key[0], live_hash(m.key[0])));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_empty),
		cmocka_unit_test(test_live),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
