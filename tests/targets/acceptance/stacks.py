# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/stacks.py - the rows about Python and native stacks.
# Knows: its own stack at each allocation, by sys._getframe. Does not know: what is recorded.
# Run by runner.py for tests/acceptance/test_stacks.py.
"""A row returns the stack of each of its blocks in order, leaf first: [[function, file, line], ...]. The stack
is asked for in the line that allocates."""
import ctypes
import mmap
import os
import sys
import threading

import helpers

K = 1024


def here():
    frame, found = sys._getframe(1), []
    while frame is not None:
        found.append([frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return found


def valloc():
    return [here(), helpers.C.a_valloc(K)][0]


# ---- PS ----

def chain_2():
    return valloc()


def chain_1():
    return chain_2()


def chain():
    return [chain_1()]


def two_lines():
    first = chain_1()
    second = chain_1()
    return [first, second]


def one_line():
    return [chain_1() for _ in range(3)]


def recurse(depth):
    if depth:
        return recurse(depth - 1)
    return valloc()


def deep_and_shallow():
    return [recurse(20), valloc()]


def two_maps():
    first = [here(), mmap.mmap(-1, 4096)]
    second = [here(), mmap.mmap(-1, 4096)]
    second[1].close()
    first[1].close()
    return [first[0], second[0]]


class Thread:
    """It waits in C, without the GIL, until it is asked to go on; then it allocates there, and in Python."""

    def __init__(self):
        self.ask, self.answer, self.said = os.pipe(), os.pipe(), []
        self.thread = threading.Thread(target=self.waiting_in_thread, daemon=True)
        self.thread.start()

    def waiting_in_thread(self):
        while True:
            self.turn()
            os.write(self.answer[1], b"1")

    def turn(self):
        first = [here(), helpers.C.wait_and_valloc(self.ask[0], K)][0]
        self.said = [first, valloc()]

    def go(self):
        os.write(self.ask[1], b"1")
        os.read(self.answer[0], 1)
        return self.said


threads = []


def start_thread():
    if not threads:
        threads.append(Thread())


def waiting():
    return threads[0].go()


def profile_removed():
    sys.setprofile(lambda *unused: None)
    sys.setprofile(None)
    return [chain_1()]


def watch(*unused):
    pass


def set_profile():
    sys.setprofile(watch)


def profiled():
    found = [chain_1()]
    if sys.getprofile() is not watch:
        found = "another profile function"
    sys.setprofile(None)
    return found


def small_object():
    allocate = ctypes.pythonapi.PyObject_Malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    return [[here(), allocate(499)][0]]


# ---- EX ----

def foreign_thread():
    found = []

    @ctypes.CFUNCTYPE(None)
    def foreign_thread_in_callback():
        found.append([here(), helpers.C.a_valloc(K)][0])
    helpers.C.call_in_raw_thread(foreign_thread_in_callback)
    return found


def second_state():
    state = ctypes.pythonapi.PyGILState_Ensure()
    found = [chain_1()]
    ctypes.pythonapi.PyGILState_Release(state)
    return found + [chain_1()]


def late_library():
    """A library that is loaded without the GIL; its first block."""
    return [[here(), helpers.C.use_library(os.environ["LATE_LIBRARY"].encode(), K)][0]]


def at_thread_exit():
    helpers.C.valloc_at_thread_exit(4444)


# ---- NS ----

def native_chain():
    return [[here(), helpers.C.native_foo(K)][0]]


def native_recursion():
    return [[here(), helpers.C.native_recursion(2048)][0]]


def hundred_threads():
    helpers.C.hundred_threads()
