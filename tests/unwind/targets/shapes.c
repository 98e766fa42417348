/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unwind/targets/shapes.c - frames of every shape; compiled in many ways, never run. */
#include <alloca.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef double vec __attribute__((vector_size(32)));

vec vector(vec *a, int n)
{
	vec sum = { 0 }, tmp[8] = { { 0 } };
	for (int i = 0; i < n; i++) {
		tmp[i & 7] = a[i];
		sum += tmp[(i * 7) & 7];
	}
	return sum;
}

int variable(int n)
{
	char *p = alloca(n);
	memset(p, 1, n);
	return p[n / 2] + (malloc(n) != NULL);
}

int many(int n, ...)
{
	va_list ap;
	int sum = 0;
	va_start(ap, n);
	while (n--)
		sum += va_arg(ap, int);
	va_end(ap);
	return sum;
}

double aligned(int n)
{
	_Alignas(64) double values[16];
	memset(values, n, sizeof(values));
	variable(n);
	return values[n & 15];
}

double aligned_variable(int n)
{
	_Alignas(128) double values[16];
	char *p = alloca(n);
	memset(values, n, sizeof(values));
	memset(p, n, n);
	variable(n);
	return values[n & 15] + p[n / 2];
}

int recursive(int n)
{
	return n ? recursive(n - 1) + recursive(n > 1 ? n - 2 : 0) * n : malloc(8) != NULL;
}

__attribute__((noreturn, noinline, cold)) void leave(int n)
{
	exit(n);
}

int main(int argc, char **argv)
{
	vec a[4] = { { 1 } };
	if (argc > 100)
		leave(argc);
	return (int)vector(a, argc & 3)[0] + variable(argc + 9) + many(2, 1, 2) + argv[0][0] +
	       (int)aligned(argc) + (int)aligned_variable(argc) + recursive(argc);
}
