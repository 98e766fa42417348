# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/compiled.pyx - functions in Cython between functions in Python.
# Knows: valloc. Does not know: who calls, what is recorded.
# Compiled by tests/acceptance/test_cython.py for tests/targets/acceptance/cythons.py.

cdef extern from "stdlib.h":
    void *valloc(size_t size)


cdef int plain_c(size_t size) except -1:
    return 0 if valloc(size) else -1


def allocate(said, here, size_t size):
    """here() begins at the youngest frame of Python that there is."""
    said.append(here())
    plain_c(size)


cdef object inner(function, arguments):
    return function(*arguments)


def call(function, *arguments):
    return inner(function, arguments)


def generate(function, times):
    for number in range(times):
        yield function(number)


cdef class Caller:
    cdef object function

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments):
        try:
            return self.function(*arguments)
        except ValueError:
            return None
