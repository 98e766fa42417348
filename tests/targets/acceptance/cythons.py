# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/cythons.py - the rows about Cython (PS-12).
# Knows: its own stack at each allocation. Does not know: what is recorded.
# Run by runner.py for tests/acceptance/test_cython.py. Returns stacks as stacks.py does.
import compiled

import helpers
import stacks
from stacks import here

K = 1024


def take(said, size):
    said.append([here(), helpers.C.a_valloc(size)][0])


def around():
    """Python, Cython, Python, Cython, which allocates."""
    said = []

    def below():
        compiled.allocate(said, here, K)
        compiled.call(take, said, 2 * K)
    compiled.call(below)
    compiled.allocate(said, here, 3 * K)
    return said


def recursion():
    said = []

    def recurse(depth):
        compiled.allocate(said, here, K)
        if depth:
            compiled.call(recurse, depth - 1)
    recurse(10)
    return said


def generator():
    """A generator of Cython's that asks Python."""
    said = []

    def number_of(number):
        take(said, K * (number + 1))
        return number
    list(compiled.generate(number_of, 3))
    return said


def exceptions():
    """Cython makes frames for the traceback of an exception, which were never run."""
    said = []

    def fail(turn):
        take(said, K)
        raise ValueError(turn)

    def propagate(turn):
        compiled.call(fail, turn)
    for turn in range(20):
        compiled.Caller(propagate)(turn)
        take(said, 2 * K)
    return said


class Thread(stacks.Thread):
    """It waits below Cython."""

    def waiting_in_thread(self):
        compiled.call(super().waiting_in_thread)

    def turn(self):
        compiled.call(super().turn)


threads = []


def start_thread():
    if not threads:
        threads.append(Thread())


def waiting():
    return threads[0].go()
