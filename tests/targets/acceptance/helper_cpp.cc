// SPDX-License-Identifier: Apache-2.0
// tests/targets/acceptance/helper_cpp.cc - what a C++ library allocates.
// Knows: std::vector. Does not know: Python, memtrace.
// Loaded by ctypes in tests/targets/acceptance/memory.py.
#include <cstddef>
#include <vector>

extern "C" void vector_of(std::size_t size)
{
	std::vector<char> made(size);
	volatile char *bytes = made.data();	// or the optimizer leaves it out
	bytes[0] = 1;
}

extern "C" void growing_vector(int count)
{
	std::vector<int> made;
	for (int i = 0; i < count; i++)
		made.push_back(i);
}
