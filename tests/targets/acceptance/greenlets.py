# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/greenlets.py - the rows about greenlets (GR).
# Knows: its own stack at each allocation, which greenlet runs when. Does not know: what is recorded.
# Run by runner.py for tests/acceptance/test_greenlets.py. Returns stacks as stacks.py does.
"""Greenlets share one piece of memory as their stack: what is older there than a greenlet's own first function
belongs to another one. Functions that run in a greenlet are named ..._in_..., those that C calls ..._in_callback."""
import ctypes
import threading

import helpers
from stacks import here

K = 1024


def take(said, size):
    said.append([here(), helpers.C.a_valloc(size)][0])


def make(function, *arguments):
    """greenlet is imported where it is first needed: for one row during the capture."""
    from greenlet import greenlet
    return greenlet(lambda: function(*arguments))


def current():
    from greenlet import getcurrent
    return getcurrent()


def down(depth, function, *arguments):
    """The same from further down on the stack."""
    if depth:
        return down(depth - 1, function, *arguments)
    return function(*arguments)


def through_native(depth, function, *arguments):
    """The same with frames of C between."""
    @ctypes.CFUNCTYPE(None)
    def call_in_callback():
        function(*arguments)
    helpers.C.native_between(depth, call_in_callback)


def switching():
    """Two greenlets in turn, 10 to 70 KiB, one of them deep down."""
    said, main = [], current()

    def switching_in_first():
        for kib in (10, 30, 50, 70):
            take(said, kib * K)
            second.switch()

    def switching_in_second():
        for kib in (20, 40, 60):
            down(kib // 2, take, said, kib * K)
            first.switch()

    def switching_in_main():
        first.switch()
        take(said, 80 * K)
    # The first ends at last, and its parent goes on.
    first, second = make(switching_in_first), make(switching_in_second)
    first.parent = second.parent = main
    switching_in_main()
    while not first.dead:
        first.switch()
    return said


def started_inside():
    """One that another one started, far down; then main runs C where that one's stack was, and wakes it."""
    said, main = [], current()

    def started_inside_in_inner():
        for _ in range(3):
            take(said, K)
            main.switch()

    def started_inside_in_outer():
        take(said, K)
        inner.switch()
        take(said, K)
    inner, outer = make(started_inside_in_inner), make(started_inside_in_outer)
    through_native(20, down, 30, outer.switch)
    through_native(5, inner.switch)
    through_native(50, down, 5, inner.switch)
    through_native(7, take, said, K)
    down(3, outer.switch)
    take(said, K)
    inner.throw()
    return said


def suspended_in_native():
    """It switches away below frames of C, and goes on there."""
    said, main = [], current()

    def suspended_in_native_in_greenlet():
        def work():
            take(said, K)
            main.switch()
            take(said, 2 * K)
        through_native(9, work)
        take(said, 3 * K)
    one = make(suspended_in_native_in_greenlet)
    one.switch()
    down(40, take, said, 4 * K)
    one.switch()
    return said


def many():
    """Each ends, and the next one gets its memory and its part of the stack."""
    said = []

    def many_in_greenlet(number):
        down(number % 7, take, said, K + number)
    for number in range(100):
        down(number % 3, make(many_in_greenlet, number).switch)
    return said


def thrown():
    """Unwound by an exception, from outside and from inside."""
    said, main = [], current()

    def thrown_in_greenlet():
        try:
            take(said, K)
            main.switch()
        finally:
            take(said, 2 * K)
    for _ in range(2):
        one = make(thrown_in_greenlet)
        one.switch()
        try:
            down(5, one.throw, ValueError)
        except ValueError:
            down(9, take, said, 3 * K)
    return said


def generator():
    """A generator that is asked by one greenlet, then by another."""
    said, main = [], current()

    def numbers_in_generator():
        for number in range(4):
            take(said, K * (number + 1))
            yield number

    def generator_in_greenlet(depth):
        for _ in range(2):
            down(depth, next, source)
            main.switch()
    source = numbers_in_generator()
    greenlets = [make(generator_in_greenlet, depth) for depth in (2, 11)]
    for _ in range(2):
        for one in greenlets:
            one.switch()
    for one in greenlets:
        one.throw()
    return said


def threads():
    """Greenlets of two threads, each with a main one of its own."""
    said = [], []
    turn = threading.Barrier(2)

    def threads_in_thread(number):
        main = current()

        def threads_in_greenlet():
            for kib in range(3):
                down(number * 10, take, said[number], K * (kib + 1))
                main.switch()
        one = make(threads_in_greenlet)
        for _ in range(3):
            turn.wait()
            one.switch()
            down(2, take, said[number], 5 * K)
        one.throw()
    workers = [threading.Thread(target=threads_in_thread, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return said


kept, kept_said = [], []


def suspend():
    """Two that wait; main goes on below neither."""
    def resume_in_greenlet(depth):
        def work():
            for _ in range(2):
                current().parent.switch()
                take(kept_said, K)
        through_native(depth, work)
    del kept[:], kept_said[:]
    for depth in (3, 30):
        kept.append(make(resume_in_greenlet, depth))
        down(depth, kept[-1].switch)


def resume():
    """They have waited since before the capture."""
    for one in kept * 2:
        one.switch()
    return kept_said


def objects():
    """Requests to Python's own allocator."""
    said, main = [], current()
    allocate = ctypes.pythonapi.PyObject_Malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]

    def objects_in_greenlet(depth):
        for _ in range(3):
            said.append(down(depth, lambda: [here(), allocate(499)][0]))
            main.switch()
    greenlets = [make(objects_in_greenlet, depth) for depth in (1, 8)]
    for one in greenlets * 3:
        one.switch()
    for one in greenlets:
        one.throw()
    return said
