// SPDX-License-Identifier: Apache-2.0
// tests/unwind/targets/busy.cc - code whose frames are hard to unwind, for ever.
// Exceptions, signal handlers (also on an alternate stack and nested), threads, alloca, realigned
// stacks, deep recursion, lazy binding, qsort callbacks.
#include <algorithm>
#include <alloca.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/time.h>
#include <thread>
#include <vector>

static volatile int sink;
using vec = double __attribute__((vector_size(32)));

struct Guard {
	std::string text{"a string that is long enough to be allocated"};
	~Guard() { sink = sink + static_cast<int>(text.size()); }
};

[[gnu::noinline]] static int thrower(int n)
{
	Guard guard;
	if (!n)
		throw std::runtime_error("thrown at the bottom");
	return thrower(n - 1) + 1;
}

[[gnu::noinline]] static int catcher(int depth)
{
	try {
		return thrower(depth);
	} catch (const std::exception &e) {
		return static_cast<int>(strlen(e.what()));
	}
}

[[gnu::noinline]] static int with_alloca(int n)
{
	char *p = static_cast<char *>(alloca(static_cast<size_t>(n) * 16 + 16));
	memset(p, n, static_cast<size_t>(n) * 16 + 16);
	return n ? with_alloca(n - 1) + p[n] : p[0];
}

[[gnu::noinline]] static double realigned(int n)
{
	alignas(128) double values[32];
	vec sum = {0, 0, 0, 0};
	for (int i = 0; i < 32; i++)
		values[i] = n * i;
	for (int i = 0; i < 32; i += 4)
		sum += *reinterpret_cast<vec *>(&values[i]);
	char *p = static_cast<char *>(alloca(static_cast<size_t>(n) + 1));
	p[n] = 1;
	return sum[0] + p[n] + (n ? realigned(n - 1) : 0);
}

static int descending(const void *a, const void *b)
{
	return *static_cast<const int *>(b) - *static_cast<const int *>(a);
}

static void work()
{
	int numbers[200];
	for (int i = 0; i < 200; i++)
		numbers[i] = (i * 7919) % 200;
	qsort(numbers, 200, sizeof(numbers[0]), descending);
	std::map<std::string, std::vector<int>> map;
	for (int i = 0; i < 50; i++)
		map[std::to_string(i)].assign(static_cast<size_t>(i), i);
	sink = sink + catcher(20) + with_alloca(30) + static_cast<int>(realigned(10)) + numbers[3];
}

/* Handlers must not allocate; they are busy all the same. */
static void handler(int number)
{
	int numbers[100];
	for (int i = 0; i < 100; i++)
		numbers[i] = (i * 31) % 100;
	std::sort(numbers, numbers + 100);
	if (number == SIGALRM)
		raise(SIGUSR1);
	with_alloca(20);
	for (int i = 0; i < 300000; i++)
		sink = sink + numbers[i % 100];
}

static void threads()
{
	for (;;)
		work();
}

int main()
{
	static char stack[65536];
	stack_t alternate = {};
	alternate.ss_sp = stack;
	alternate.ss_size = sizeof(stack);
	sigaltstack(&alternate, nullptr);
	struct sigaction action = {};
	action.sa_handler = handler;
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, nullptr);
	action.sa_flags = SA_RESTART | SA_ONSTACK;
	sigaction(SIGUSR1, &action, nullptr);
	itimerval timer = {{0, 1000}, {0, 1000}};
	setitimer(ITIMER_REAL, &timer, nullptr);
	std::thread(threads).detach();
	threads();
}
