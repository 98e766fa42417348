/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_demangle.c - names of C++, Rust and D become readable, and nothing else changes.
 * Knows: symbolize/demangle.h. Does not know: where names come from. */
#include "symbolize/demangle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static const struct {
	const char *name, *result;	/* NULL: stays as it is */
} rows[] = {
	{ "main", NULL },
	{ "", NULL },
	{ "_", NULL },
	{ "_start", NULL },
	{ "__libc_start_main", NULL },
	{ "_Z", NULL },
	{ "_ZN", NULL },
	{ "_R", NULL },
	{ "_D", NULL },
	{ "_Zork", NULL },
	{ "_Dmain", "D main" },
	{ "_DYNAMIC", NULL },
	{ "_GLOBAL_OFFSET_TABLE_", NULL },
	{ "_RNot_rust", NULL },

	{ "_Z3addii", "add(int, int)" },
	{ "_ZN5outer5innerEv", "outer::inner()" },
	{ "_ZNSt6vectorIiSaIiEE9push_backEOi",
	  "std::vector<int, std::allocator<int> >::push_back(int&&)" },
	{ "_ZNKSt8functionIFivEEclEv", "std::function<int ()>::operator()() const" },
	{ "_Znwm", "operator new(unsigned long)" },
	{ "_ZdlPvm", "operator delete(void*, unsigned long)" },
	{ "_ZN1AC2Ev", "A::A()" },
	{ "_ZN1AD0Ev", "A::~A()" },
	{ "_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const" },
	{ "_ZTV1A", "vtable for A" },
	{ "_Z3fooi.cold", "foo(int) [clone .cold]" },
	{ "_Z3fooi.constprop.0", "foo(int) [clone .constprop.0]" },
	{ "_ZN12_GLOBAL__N_16helperEv", "(anonymous namespace)::helper()" },
	{ "_GLOBAL__sub_I_app.cc", NULL },
	{ "_GLOBAL__I__Z4mainv", "global constructors keyed to main()" },

	/* Rust before v0: the hash goes, and so do the escapes. */
	{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad" },
	{ "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar"
	  "17h930b740aa94f1d3aE",
	  "<Test + 'static as foo::Bar<Test>>::bar" },
	/* Rust v0. */
	{ "_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example" },
	{ "_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar" },
	{ "_RINvNtC3std3mem8align_ofjE", "std::mem::align_of::<usize>" },

	{ "_D3foo3barFiZv", "foo.bar(int)" },
	{ "_D4core6memory2GC6mallocFNbmkxC8TypeInfoZPv",
	  "core.memory.GC.malloc(ulong, uint, const(TypeInfo))" },
};

static void test_rows(void **state)
{
	(void)state;
	char buf[DEMANGLE_OUTPUT_MAX + 4];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = demangle(rows[i].name, buf);
		if (!rows[i].result && got == rows[i].name)
			continue;
		if (!rows[i].result || strcmp(got, rows[i].result))
			fail_msg("'%s' gave '%s', not '%s'", rows[i].name, got,
				 rows[i].result ? rows[i].result : "itself");
	}
}

/* Template code has names of thousands of characters. */
static void test_long(void **state)
{
	(void)state;
	char buf[DEMANGLE_OUTPUT_MAX + 4], name[8192] = "_Z1fI";
	for (int i = 0; i < 300; i++)
		strcat(name, "1AIi");
	for (int i = 0; i < 300; i++)
		strcat(name, "E");
	strcat(name, "Evv");
	assert_true(strlen(name) > 1024 && strlen(name) < DEMANGLE_INPUT_MAX);
	const char *got = demangle(name, buf);
	assert_ptr_equal(got, buf);
	assert_true(!strncmp(got, "void f<A<int, A<", 16));
	assert_true(strlen(got) > 1024);
}

/* Each substitution doubles what the one before unfolds to. */
static void test_exploding(void **state)
{
	(void)state;
	char buf[DEMANGLE_OUTPUT_MAX + 4], name[2048] = "_Z1f1AIiiE";
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	for (int i = 0; i < 34; i++) {
		char part[32];
		snprintf(part, sizeof(part), "1BIS%c_S%c_E", digits[i], digits[i]);
		strcat(name, part);
	}
	const char *got = demangle(name, buf);
	if (got == buf) {
		assert_true(strlen(buf) <= DEMANGLE_OUTPUT_MAX + 3);
		if (strlen(buf) > DEMANGLE_OUTPUT_MAX)
			assert_string_equal(buf + DEMANGLE_OUTPUT_MAX, "...");
	}
}

static void test_too_long(void **state)
{
	(void)state;
	char buf[DEMANGLE_OUTPUT_MAX + 4];
	static char name[20000] = "_Z";
	memset(name + 2, 'P', sizeof(name) - 3);
	assert_ptr_equal(demangle(name, buf), name);
	/* As long as is read at all: deep, and still no end of the C stack. */
	static const char openers[] = "PRKFNIS";
	for (size_t i = 0; openers[i]; i++) {
		memset(name, openers[i], DEMANGLE_INPUT_MAX);
		memcpy(name, "_Z1f", 4);
		name[DEMANGLE_INPUT_MAX - 1] = 0;
		demangle(name, buf);
		memcpy(name, "_R", 2);
		demangle(name, buf);
		memcpy(name, "_D", 2);
		demangle(name, buf);
	}
}

static void test_garbage(void **state)
{
	(void)state;
	char buf[DEMANGLE_OUTPUT_MAX + 4];
	static const char alphabet[] =
		"_ZRDNISTEKPFvijcbXLGUltdnsawmO0123456789.$ABCQYV\x01\x80\xff";
	srand(2);
	for (int round = 0; round < 100000; round++) {
		char name[80];
		size_t n = 2 + (size_t)rand() % 70;
		name[0] = '_';
		name[1] = "ZRDG"[rand() & 3];
		for (size_t i = 2; i < n; i++)
			name[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		name[n] = 0;
		memset(buf, 'x', sizeof(buf));
		const char *got = demangle(name, buf);
		assert_true(got == name || got == buf);
		assert_non_null(memchr(got, 0, got == buf ? sizeof(buf) : sizeof(name)));
		assert_true(got == name || *got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows), cmocka_unit_test(test_long),
		cmocka_unit_test(test_exploding), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_garbage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
