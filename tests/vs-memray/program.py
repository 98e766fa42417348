# SPDX-License-Identifier: Apache-2.0
# tests/vs-memray/program.py - does the same again and again: what two profilers must say the same of.
# Knows: ctypes, tests/targets/acceptance/helpers.py. Does not know: what is recorded.
# Started by tests/vs-memray/test_vs_memray.py in a root that has Memray.
"""usage: program.py FILE TRACE HELPER...

FILE "-": waits for a line of input before main(), and for another at its end; "- profiled": with a profile function
that does nothing. Else main() is done under Memray's Tracker, which writes to FILE; TRACE is 1 for
trace_python_allocators, without threads: of each Memray makes objects of its own. main() was done twice before, so
that caches are warm."""
import gc
import json
import re
import sys
import threading
import zlib

import memray		# always: an interpreter's objects depend on what it did before

import helpers

K = 1024
FUNCTIONS = "malloc calloc realloc posix_memalign aligned_alloc memalign valloc pvalloc".split()
functions, leaked = [], []


def blocks():
    """One of each function; every second one is given back."""
    for number, function in enumerate(functions):
        address = function(3000 + 8 * number)
        if number % 2:
            helpers.C.a_free(address)


def mappings():
    first = helpers.C.a_mmap(64 * K)
    second = helpers.C.a_mmap(128 * K)
    helpers.C.a_munmap(first, 64 * K)
    helpers.C.a_munmap(second, 32 * K)		# a part of it


def growth():
    """Blocks that move while they grow."""
    numbers, table, text = [], {}, bytearray()
    for number in range(20000):
        numbers.append(None)
    for number in range(4000):
        table[number] = None
    for _ in range(200):
        text.extend(b"0123456789" * 100)
    return len(numbers) + len(table) + len(text)


def recursion(depth):
    p = helpers.C.a_valloc(depth * K)
    if depth:
        recursion(depth - 1)
    if depth % 2:
        helpers.C.a_free(p)


def large_objects():
    a = bytes(100 * K)
    b = bytearray(50 * K)
    c = a[:30 * K] + bytes(b)
    d = [None] * 5000
    e = {number: None for number in range(3000)}
    f = "x" * 70000
    return len(c) + len(d) + len(e) + len(f)


def library_calls():
    text = json.dumps([{"name": "x" * 50, "values": list(range(20))} for _ in range(200)])
    packed = zlib.compress(text.encode() * 4)
    again = json.loads(zlib.decompress(packed)[:len(text)])
    re.purge()
    pattern = re.compile("(a|b)+c{3,7}[xyz]*" * 10)
    return len(again), len(pattern.findall("abcccx" * 1000))


def numbers(count):
    for number in range(count):
        yield helpers.C.a_valloc(K + number)


def generators():
    for address in list(numbers(10)):
        helpers.C.a_free(address)


class Shape:
    def __init__(self, size):
        self.data = bytes(size)

    def bigger(self):
        return Shape(2 * len(self.data))


def objects():
    shapes = [Shape(10 * K)]
    for _ in range(5):
        shapes.append(shapes[-1].bigger())
    return sum(len(s.data) for s in shapes)


def worker_in_thread():
    for size in (5, 7, 9):
        helpers.C.a_free(helpers.C.a_valloc(size * K))
    leaked.append(helpers.C.a_valloc(11 * K))


def threads():
    for _ in range(2):
        thread = threading.Thread(target=worker_in_thread)
        thread.start()
        thread.join()


def highest():
    """The moment at which most is held."""
    held = [helpers.C.a_malloc(100 * K) for _ in range(50)]
    more = bytearray(3 * K * K)
    for address in held:
        helpers.C.a_free(address)
    return len(more)


def leak():
    for number in range(10):
        leaked.append(helpers.C.a_malloc(2 * K + number))


def main(with_threads):
    blocks()
    mappings()
    growth()
    recursion(9)
    large_objects()
    library_calls()
    generators()
    objects()
    if with_threads:
        threads()
    highest()
    leak()


def under_memray(path, trace):
    with memray.Tracker(path, trace_python_allocators=trace):
        gc.collect()		# and empty what Python keeps of objects that it freed
        main(not trace)


def profiled(trace):
    """As Memray does, whose function Python calls with a frame object for each call and return; this one is
    called with the same, and gives None."""
    threading.setprofile(getattr)
    sys.setprofile(getattr)
    try:
        gc.collect()
        main(not trace)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def run(path, trace, *libraries):
    gc.disable()		# it would come at any moment
    helpers.load(*libraries)
    functions.extend(getattr(helpers.C, "a_" + name) for name in FUNCTIONS)
    trace = trace == "1"
    main(not trace)
    main(not trace)
    if not path.startswith("-"):
        return under_memray(path, trace)
    print("ready", flush=True)
    sys.stdin.readline()
    if path.endswith("profiled"):
        profiled(trace)
    else:
        gc.collect()
        main(not trace)
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    run(*sys.argv[1:])
