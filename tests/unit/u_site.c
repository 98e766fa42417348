/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_site.c - the frame a person can act on, and the package it counts for.
 * Knows: reporters/site.h. Does not know: captures.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reporters/site.h"

#include <string.h>

#define ROWS(a) (sizeof(a) / sizeof((a)[0]))

static void test_modules(void **state)
{
	static const struct {
		const char *module;
		bool runtime;
	} rows[] = {
		{ "libc.so.6", true }, { "libc-2.31.so", true }, { "ld-linux-x86-64.so.2", true },
		{ "ld-musl-x86_64.so.1", true }, { "libpthread.so.0", true },
		{ "libstdc++.so.6.0.30", true }, { "libc++.so.1", true },
		{ "libc++abi.so.1", true },
		{ "libjemalloc.so.2", true }, { "libtcmalloc_minimal.so.4", true },
		{ "libgcc_s.so.1", true }, { "[vdso]", true },
		{ "", false }, { "python3.11", false }, { "libcurl.so.4", false },
		{ "libc-client.so.2007e", false }, { "libdlna.so", false }, { "ld-tool", false },
		{ "libcrypto.so.3", false }, { "app", false },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (site_is_runtime_module(rows[i].module) != rows[i].runtime)
			fail_msg("'%s'", rows[i].module);
}

static void test_interpreter(void **state)
{
	static const struct {
		const char *module;
		bool interpreter;
	} rows[] = {
		{ "python3.11", true }, { "python3", true }, { "libpython3.13t.so.1.0", true },
		{ "libpythonscript.so", false }, { "python-magic.so", false }, { "lib", false },
		{ "", false }, { "_json.cpython-311-x86_64-linux-gnu.so", false },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (site_is_interpreter_module(rows[i].module) != rows[i].interpreter)
			fail_msg("'%s'", rows[i].module);
}

static void test_functions(void **state)
{
	static const struct {
		const char *function;
		bool runtime;
	} rows[] = {
		{ "operator new(unsigned long)", true },
		{ "operator new[](unsigned long)", true },
		{ "std::vector<int, std::allocator<int> >::push_back(int const&)", true },
		{ "void std::vector<Row>::_M_realloc_insert<Row const&>(Row*, Row const&)", true },
		{ "std::pair<int, int> std::make_pair<int, int>(int&&, int&&)", true },
		{ "__gnu_cxx::new_allocator<char>::allocate(unsigned long)", true },
		{ "std::ostream& operator<< <char>(std::ostream&, char)", false },
		{ "std::vector<int> make_rows(int)", false },
		{ "Table<std::string>::insert(std::string)", false },
		{ "app::operator new_row(int)", false },
		{ "stdio_open", false }, { "main", false }, { "_start", true },
		{ "_startup", false }, { "PyMem_RawMalloc", true },
		{ "my_operator_newline", false },
		{ "bool (*std_callback)(int)", false }, { "", false }, { "a->b::c", false },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (site_is_runtime_function(rows[i].function) != rows[i].runtime)
			fail_msg("'%s'", rows[i].function);
}

#define N(function, module) { function, "", module, 0, FRAME_NATIVE, 0 }
#define F(function, file, line) { function, file, "app", line, FRAME_NATIVE, 0 }
#define P(function, file) { function, file, "", 7, FRAME_PYTHON, 0 }
#define I(function) { function, "", "python3.11", 0, FRAME_NATIVE, FRAME_INTERPRETER }
#define M(text) { text, "", "", 0, FRAME_MARK, 0 }
#define END { NULL, NULL, NULL, 0, 0, 0 }

static void test_find(void **state)
{
	static const struct {
		struct symbol_frame frames[8];
		const char *site, *package;
	} rows[] = {
		{ { END }, NULL, "<unknown>" },
		{ { M("<truncated>"), END }, NULL, "<unknown>" },
		{ { N("_start", "app"), N("main", "app"), N("f", "app"), END }, "f", "app" },
		{ { N("main", "app"), N("operator new(unsigned long)", "libstdc++.so.6"), END },
		  "main", "app" },
		{ { N("main", "app"), N("getline", "libc.so.6"), END }, "main", "app" },
		{ { N("main", "app"), N("parse", "libfoo.so.1"), N("fopen", "libc.so.6"), END },
		  "parse", "libfoo.so.1" },
		{ { N("main", "app"), F("push_back", "/usr/include/c++/12/bits/stl_vector.h", 9),
		    END }, "main", "app" },
		/* nothing but runtime: the innermost */
		{ { N("start_thread", "libc.so.6"), N("init_tls", "ld-linux-x86-64.so.2"), END },
		  "init_tls", "ld-linux-x86-64.so.2" },
		/* Python wins over the C it called */
		{ { I("Py_BytesMain"), P("run", "/srv/app/app.py"), N("xmlNew", "libxml2.so.2"),
		    END }, "run", "app" },
		{ { P("view", "/srv/app/views.py"),
		    P("loads", "/usr/lib/python3.11/json/__init__.py"), END }, "loads", "views" },
		{ { P("a", "/usr/lib/python3/dist-packages/django/db/models/query.py"), END },
		  "a", "django" },
		{ { P("a", "/opt/venv/lib/python3.11/site-packages/six.py"), END }, "a", "six" },
		{ { P("a", "<frozen importlib._bootstrap>"), END }, "a", "<standard library>" },
		{ { P("a", "/usr/lib/python3.11/json/decoder.py"), END }, "a",
		  "<standard library>" },
		/* only machinery: better than the C library */
		{ { I("pymain_init"), N("setlocale", "libc.so.6"), END }, "pymain_init",
		  "python3.11" },
	};
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		size_t n = 0;
		char package[64];
		while (rows[i].frames[n].function)
			n++;
		const struct symbol_frame *site = site_find(rows[i].frames, n);
		if (!rows[i].site)
			assert_null(site);
		else
			assert_string_equal(site->function, rows[i].site);
		assert_string_equal(site_package(rows[i].frames, n, package, sizeof(package)),
				    rows[i].package);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modules), cmocka_unit_test(test_interpreter),
		cmocka_unit_test(test_functions), cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
