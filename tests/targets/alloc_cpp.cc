/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_cpp.cc - C++ allocations: new, delete, containers, exceptions.
 * Knows: what it allocates, and prints it (alloc_ledger.h). Does not know: memtrace.
 * Used by tests/e2e/test_exact_cpp.py. */
/* Container growth is printed as "chain FUNCTION count bytes leaked-count leaked-bytes": what is
 * allocated anywhere below that function. */
#include "alloc_ledger.h"

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

static void *volatile sink;
static volatile size_t huge = ~(size_t)0 / 4;

struct plain {
	char room[300];
};

struct alignas(64) wide {
	char room[640];
};

struct counted {
	counted() { throw std::runtime_error("no"); }
	char room[999];
};

namespace shop {

NOINLINE void use_new()
{
	for (int i = 0; i < 4; i++) {
		plain *p = (plain *)GOT("new", new plain, sizeof(plain));
		if (i % 2) {
			GONE(p);
			delete p;
		}
	}
	char *array = (char *)GOT("new[]", new char[12345], 12345);
	GONE(array);
	delete[] array;
	sink = GOT("new[]", new char[54321], 54321);
	sink = GOT("new", new wide, sizeof(wide));
	wide *w = (wide *)GOT("new", new wide, sizeof(wide));
	GONE(w);
	delete w;
	sink = GOT("new", new (std::nothrow) plain, sizeof(plain));
	sink = new (std::nothrow) char[huge];
	if (sink)
		ledger_die("new of too much");
}

template <class T> class keeper {
public:
	NOINLINE void keep(size_t n)
	{
		sink = GOT("new[]", new T[n], n * sizeof(T));
	}
	NOINLINE int operator()(int n) const
	{
		sink = GOT("new[]", new T[(size_t)n], (size_t)n * sizeof(T));
		return n;
	}
};

}	/* namespace shop */

/* The constructor throws: the block is given back by the compiler's own code. */
NOINLINE static void thrown()
{
	for (int i = 0; i < 10; i++) {
		try {
			sink = new counted;
		} catch (const std::runtime_error &) {
			continue;
		}
		ledger_die("not thrown");
	}
	try {
		sink = new char[huge];
	} catch (const std::bad_alloc &) {
		return;
	}
	ledger_die("no bad_alloc");
}

NOINLINE static void grown()
{
	std::vector<int> *v = new std::vector<int>;
	unsigned long bytes = sizeof(*v), count = 1;
	for (int i = 0; i < 1000; i++)
		v->push_back(i);
	for (size_t n = 1; n <= 1024; n *= 2) {
		bytes += n * sizeof(int);
		count++;
	}
	sink = v;
	sink = new std::string(100, 'x');
	ledger_say("chain grown %lu %lu 4 %lu\n", count + 2, bytes + sizeof(std::string) + 101,
		   sizeof(*v) + 1024 * sizeof(int) + sizeof(std::string) + 101);
}

NOINLINE static void shared()
{
	auto p = std::make_shared<plain>();
	auto q = std::make_unique<plain>();
	ledger_say("chain shared 2 %lu 0 0\n", (16 + sizeof(plain) + 7) / 8 * 8 + sizeof(plain));
}

int main()
{
	shop::keeper<double> k;
	ledger_wait("ready");
	shop::use_new();
	k.keep(100);
	k(50);
	auto lambda = [](size_t n) NOINLINE { sink = GOT("new[]", new char[n], n); };
	lambda(2222);
	thrown();
	grown();
	shared();
	ledger_print();
	ledger_wait("done");
	return 0;
}
