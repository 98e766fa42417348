# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/memory.py - the rows about allocators, peak, leaks and temporary blocks.
# Knows: what each allocates. Does not know: what is expected of the capture.
# Run by runner.py for tests/acceptance/test_memory.py.
import ctypes
import mmap
import os
import threading

import helpers

K = 1024
PAGE = mmap.PAGESIZE


# ---- AC: allocators and exactness ----

def each():
    """984 bytes of each function, all live at once."""
    names = "malloc calloc realloc posix_memalign aligned_alloc memalign valloc pvalloc".split()
    made = {name: getattr(helpers.C, "a_" + name)(984) for name in names}
    for address in made.values():
        helpers.C.a_free(address)
    return made


def vector():
    helpers.CPP.vector_of(984)


def sized():
    p = helpers.C.a_malloc(7531)
    helpers.C.a_free_sized(p, 7531)
    q = helpers.C.a_aligned_alloc(7536)
    helpers.C.a_free_aligned_sized(q, 8, 7536)


def requests(prefix):
    """malloc, calloc and realloc of a domain of Python's."""
    addresses = []
    for function, arguments in (("Malloc", (1234,)), ("Calloc", (1, 1234)), ("Realloc", (None, 1234))):
        call = getattr(ctypes.pythonapi, prefix + function)
        call.restype = ctypes.c_void_p
        call.argtypes = {1: [ctypes.c_size_t], 2: [ctypes.c_void_p, ctypes.c_size_t]}[len(arguments)]
        addresses.append(call(*arguments))
    free = getattr(ctypes.pythonapi, prefix + "Free")
    free.restype, free.argtypes = None, [ctypes.c_void_p]
    for address in addresses:
        free(address)
    return addresses


def domain_raw():
    return requests("PyMem_Raw")


def domain_mem():
    return requests("PyMem_")


def domain_obj():
    return requests("PyObject_")


def mapped():
    made = mmap.mmap(-1, 2048)
    made.close()


def nothing():
    pass


def raw_thread():
    return helpers.C.in_raw_thread(984)


before = []


def take_before():
    before.append(helpers.C.a_valloc(6543))


def free_before():
    address = before.pop()
    helpers.C.a_free(address)
    return address


# ---- PK: peak ----

def same_twice():
    for _ in range(2):
        p = helpers.C.a_valloc(K)
        helpers.C.a_free(p)


def small_then_big():
    p = helpers.C.a_valloc(K)
    helpers.C.a_free(p)
    p = helpers.C.a_valloc(2 * K)
    helpers.C.a_free(p)


def big_then_small():
    p = helpers.C.a_valloc(2 * K)
    helpers.C.a_free(p)
    p = helpers.C.a_valloc(K)
    helpers.C.a_free(p)


def two_of_one_line():
    made = []
    for _ in range(2):
        made.append(helpers.C.a_valloc(K))
    for p in made:
        helpers.C.a_free(p)


def two_of_two_lines():
    p = helpers.C.a_valloc(K)
    q = helpers.C.a_valloc(2 * K)
    helpers.C.a_free(p)
    helpers.C.a_free(q)


def two_native_places():
    made = (ctypes.c_void_p * 2)()
    helpers.C.from_both(made, 984)
    for p in made:
        helpers.C.a_free(p)


def big_then_small_kept():
    p = helpers.C.a_valloc(2 * K)
    helpers.C.a_free(p)
    helpers.C.a_valloc(K)


def recursive(depth=10):
    p = helpers.C.a_valloc(depth * K)
    if depth % 2:
        helpers.C.a_free(p)
    if depth > 1:
        recursive(depth - 1)
    if not depth % 2:
        helpers.C.a_free(p)


def pages(plan):
    """"2,-0:1": maps 2 pages, gives back the first of them. "+" before a mapping: right after the one before
    it. Pages are counted from the first mapping on. Then maps 10 more, in a line of their own."""
    area = helpers.C.reserve(64 * PAGE)
    after, first = area, None
    for step in plan.split(","):
        if step.startswith("-"):
            begin, count = map(int, step[1:].split(":"))
            helpers.C.a_munmap(first + begin * PAGE, count * PAGE)
            continue
        if not step.startswith("+"):
            after += PAGE
        p = helpers.C.a_mmap_at(after, int(step) * PAGE)
        first = first or p
        after += int(step) * PAGE
    helpers.C.a_mmap_at(after + PAGE, 10 * PAGE)
    helpers.C.a_munmap(first, area + 64 * PAGE - first)


def hundred():
    made = [None] * 100
    for i in range(100):
        made[i] = helpers.C.a_valloc(K)
    return len(made)


def two_threads():
    def two_threads_in_thread():
        made = [helpers.C.a_valloc(2 * K), helpers.C.a_valloc(2 * K)]
        allocated.wait()
        released.wait()
        for p in made:
            helpers.C.a_free(p)
    allocated, released = threading.Barrier(3), threading.Barrier(3)
    threads = [threading.Thread(target=two_threads_in_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    allocated.wait()
    released.wait()
    for thread in threads:
        thread.join()


# ---- LK: leaks ----

def one_leak():
    helpers.C.a_valloc(K)


def three_pairs():
    for _ in range(3):
        helpers.C.a_free(helpers.C.a_valloc(K))


def leak_among_others():
    p = helpers.C.a_valloc(K)
    helpers.C.a_valloc(2 * K)
    helpers.C.a_free(p)
    q = helpers.C.a_valloc(K)
    helpers.C.a_free(q)


def ten_leaks():
    for _ in range(10):
        helpers.C.a_valloc(K)


def leaks_of_two_lines():
    helpers.C.a_valloc(K)
    helpers.C.a_valloc(2 * K)


# ---- TM: temporary blocks ----

def reverse(count):
    """`count` + 1 blocks, released from the last to the first."""
    made = [0] * (count + 1)
    for i in range(len(made)):
        made[i] = helpers.C.a_valloc(K)
    for i in reversed(range(len(made))):
        helpers.C.a_free(made[i])


def reverse_1():
    reverse(1)


def reverse_2():
    reverse(2)


def reverse_5():
    reverse(5)


def reverse_10():
    reverse(10)


def interleaved():
    """Each of two threads allocates between the other's allocation and release."""
    here, there = os.pipe(), os.pipe()

    def interleaved_in_thread():
        os.read(here[0], 1)
        p = helpers.C.a_valloc(K)
        os.write(there[1], b"1")
        os.read(here[0], 1)
        helpers.C.a_free(p)
    thread = threading.Thread(target=interleaved_in_thread)
    thread.start()
    p = helpers.C.a_valloc(K)
    os.write(here[1], b"1")
    os.read(there[0], 1)
    helpers.C.a_free(p)
    os.write(here[1], b"1")
    thread.join()
    for end in here + there:
        os.close(end)


def growing():
    helpers.CPP.growing_vector(512)


def never():
    helpers.C.a_valloc(K)
