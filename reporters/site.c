/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/site.c - which frame of a stack a person can act on.
 * Knows: names of runtimes and of Python's folders. Does not know: captures, numbers.
 * Called by reporters/; calls nothing. */
#include "reporters/site.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Beginnings of base names; a letter after one means another library ("libdlna", "libcurl"). */
static const char *const runtime_modules[] = {
	"libc.so", "libc-2.", "ld-linux", "ld-musl", "ld-2.", "ld.so", "libpthread", "libdl",
	"libstdc++", "libc++", "libgcc_s", "libjemalloc", "libtcmalloc", "libmimalloc", "libasan",
	"linux-vdso", "[vdso]",
};

/* Asked for every frame of every stack: most names are told apart by their first letter. */
bool site_is_runtime_module(const char *module)
{
	if (*module != 'l' && *module != '[')
		return false;
	for (size_t i = 0; i < sizeof(runtime_modules) / sizeof(runtime_modules[0]); i++) {
		size_t n = strlen(runtime_modules[i]);
		if (!strncmp(module, runtime_modules[i], n) && !isalpha((unsigned char)module[n]))
			return true;
	}
	return !strncmp(module, "libc++abi", 9);
}

/* The qualified name within "void std::vector<int>::push_back(int)": after the last space that is
 * in no bracket and before the parameters. */
static const char *qualified_name(const char *function)
{
	const char *name = function;
	int depth = 0;
	for (const char *p = function; *p; p++) {
		if (*p == '<')
			depth++;
		else if (*p == '>' && p > function && p[-1] != '-')
			depth -= depth > 0;
		else if (*p == '(' && !depth)
			break;
		else if (*p == ' ' && !depth)
			name = p + 1;
		else if (*p == 'o' && !strncmp(p, "operator", 8))
			break;	/* "operator new", "operator<<": no brackets from here on */
	}
	return name;
}

bool site_is_runtime_function(const char *function)
{
	static const char *const prefixes[] = {
		"std::", "__gnu_cxx::", "operator new", "operator delete", "__cxa_",
		"PyMem_", "_PyMem_", "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc",
		"_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc",
	};
	const char *name = qualified_name(function);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (*name == *prefixes[i] && !strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return !strcmp(name, "_start");
}

bool site_is_interpreter_module(const char *module)
{
	if (!strncmp(module, "lib", 3))
		module += 3;
	/* "python3.11", "python3", "python3.13t"; not "pythonscript" or "python-magic.so" */
	return !strncmp(module, "python", 6) && isdigit((unsigned char)module[6]);
}

bool site_is_runtime_frame(const struct symbol_frame *f)
{
	/* Names from DWARF may lack their namespace; the header they are from tells. */
	return site_is_runtime_module(f->module) || site_is_runtime_function(f->function) ||
	       strstr(f->file, "/include/c++/");
}

const struct symbol_frame *site_find(const struct symbol_frame *frames, size_t count)
{
	const struct symbol_frame *native = NULL, *machinery = NULL, *any = NULL;
	for (size_t i = count; i-- > 0;) {
		const struct symbol_frame *f = &frames[i];
		if (f->kind == FRAME_PYTHON)
			return f;
		if (f->kind != FRAME_NATIVE)
			continue;
		if (!any)
			any = f;
		if (site_is_runtime_frame(f))
			continue;
		if (!native && !(f->flags & FRAME_INTERPRETER))
			native = f;
		if (!machinery)
			machinery = f;
	}
	return native ? native : machinery ? machinery : any;
}

/* ---- packages ------------------------------------------------------------------------------ */

/* What follows the last "/site-packages/" or "/dist-packages/", or NULL. */
static const char *after_packages(const char *file)
{
	static const char *const folders[] = { "/site-packages/", "/dist-packages/" };
	const char *last = NULL;
	for (size_t i = 0; i < 2; i++)
		for (const char *p = file; (p = strstr(p, folders[i])); p += strlen(folders[i]))
			if (!last || p + strlen(folders[i]) > last)
				last = p + strlen(folders[i]);
	return last;
}

/* ".../lib/python3.11/..." outside of the package folders, and frozen or made-up files. */
static bool is_standard_library(const char *file)
{
	if (*file == '<' || !*file)
		return true;
	if (after_packages(file))
		return false;
	for (const char *p = file; (p = strstr(p, "/python")); p++)
		if (p[7] >= '2' && p[7] <= '9')
			return strchr(p + 1, '/') != NULL;
	return false;
}

static const char *package_of_file(const char *file, char *buf, size_t size)
{
	const char *begin = after_packages(file);
	const char *end = begin ? strchr(begin, '/') : NULL;
	if (!begin) {
		begin = strrchr(file, '/');
		begin = begin ? begin + 1 : file;
	}
	if (!end)
		end = begin + strlen(begin);
	if (end - begin > 3 && !strncmp(end - 3, ".py", 3))
		end -= 3;
	snprintf(buf, size, "%.*s", (int)(end - begin), begin);
	return buf;
}

const char *site_package(const struct symbol_frame *frames, size_t count, char *buf, size_t size)
{
	for (size_t i = count; i-- > 0;)
		if (frames[i].kind == FRAME_PYTHON && !is_standard_library(frames[i].file))
			return package_of_file(frames[i].file, buf, size);
	const struct symbol_frame *site = site_find(frames, count);
	const char *name = !site ? "<unknown>" :
			   site->kind == FRAME_PYTHON ? "<standard library>" :
			   *site->module ? site->module : "<unknown>";
	snprintf(buf, size, "%s", name);
	return buf;
}
