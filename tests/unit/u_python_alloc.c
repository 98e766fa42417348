/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_python_alloc.c - what the code of PyMem_RawMalloc() and its siblings refers to.
 * Bytes as compilers made them of CPython. */
#include "inject/python_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define CODE(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static const struct {
	const char *name;
	uint64_t address;
	const uint8_t *bytes;
	size_t size;
	uint64_t runtime, table;
	unsigned field;
} rows[] = {
	{ "static tables, relative to the instruction", 0x113608,
	  CODE(0x48, 0x8b, 0x3d, 0xf1, 0x8a, 0x27, 0x00,	/* mov 0x278af1(%rip),%rdi */
	       0xff, 0x25, 0xf3, 0x8a, 0x27, 0x00),		/* jmp *0x278af3(%rip) */
	  0, 0x38c100, 1 },
	{ "tables in _PyRuntime, near its start", 0x1cec78,
	  CODE(0x48, 0x8b, 0x05, 0x81, 0x50, 0x37, 0x00,	/* mov 0x375081(%rip),%rax */
	       0x48, 0x8b, 0x78, 0x60,				/* mov 0x60(%rax),%rdi */
	       0xff, 0x60, 0x68),				/* jmp *0x68(%rax) */
	  0x700000, 0x700060, 1 },
	{ "tables in _PyRuntime, further on", 0x169cf8,
	  CODE(0x48, 0x8b, 0x05, 0xb1, 0x0f, 0x38, 0x00,	/* mov 0x380fb1(%rip),%rax */
	       0x48, 0x8b, 0xb8, 0xc0, 0x02, 0x00, 0x00,	/* mov 0x2c0(%rax),%rdi */
	       0xff, 0xa0, 0xc8, 0x02, 0x00, 0x00),		/* jmp *0x2c8(%rax) */
	  0x700000, 0x7002c0, 1 },
	{ "a program at fixed addresses", 0x4f7249,
	  CODE(0x48, 0x8b, 0x3c, 0x25, 0x60, 0xa0, 0x95, 0x00,	/* mov 0x95a060,%rdi */
	       0xff, 0x24, 0x25, 0x68, 0xa0, 0x95, 0x00),	/* jmp *0x95a068 */
	  0, 0x95a060, 1 },
};

static void test_refers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct machine_code code = { rows[i].address, rows[i].bytes, rows[i].size };
		print_message("%s\n", rows[i].name);
		assert_true(python_code_refers(&code, rows[i].runtime, rows[i].table));
		assert_true(python_code_refers(&code, rows[i].runtime, rows[i].table + rows[i].field * 8));
		assert_false(python_code_refers(&code, rows[i].runtime, rows[i].table + 16));
		assert_false(python_code_refers(&code, rows[i].runtime, rows[i].table - 8));
	}
}

static void test_cut_code(void **state)
{
	(void)state;
	struct machine_code code = { rows[0].address, rows[0].bytes, 6 };
	assert_false(python_code_refers(&code, 0, rows[0].table));
	code.size = 0;
	assert_false(python_code_refers(&code, 0, rows[0].table));
}

static void test_fields(void **state)
{
	(void)state;
	assert_int_equal(python_field_function(0), WIRE_FN_COUNT);
	assert_int_equal(python_field_function(PYTHON_FIELD_FREE), WIRE_FN_PY_FREE);
	assert_int_equal(python_field_function(PYTHON_FIELDS), WIRE_FN_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refers), cmocka_unit_test(test_cut_code), cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
