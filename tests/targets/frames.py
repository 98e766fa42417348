# SPDX-License-Identifier: Apache-2.0
# tests/targets/frames.py - allocates in frames that are entered by unusual ways (generators, coroutines,
# callbacks of C, threads C started, sub-interpreters), in any CPython 3, and prints for each stack of this
# file's frames ("function:line;...", root first) how often.
import asyncio
import ctypes
import sys

seen = {}


def leaf(size):
    frame, stack = sys._getframe(), []
    while frame is not None:
        if frame.f_code.co_filename == __file__:
            stack.append("%s:%d" % (frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    # The allocation is in line 21.
    key = ";".join(reversed(stack[1:])) + ";leaf:21"
    seen[key] = seen.get(key, 0) + 1
    return bytes(size)


async def inner(size):
    await asyncio.sleep(0)
    return leaf(size)


async def outer(size):
    return len(await inner(size))


async def async_generator():
    for _ in range(3):
        yield leaf(50000)


async def coroutines():
    await asyncio.gather(*[outer(40000 + i) for i in range(5)])
    async for _ in async_generator():
        pass


def sent_to():
    while True:
        yield
        leaf(60000)


def delegating():
    yield from sent_to()


def closed():
    try:
        yield 1
    finally:
        leaf(61000)


class Manager:
    def __enter__(self):
        leaf(62000)

    def __exit__(self, *exc):
        leaf(63000)


class Special:
    @property
    def value(self):
        return leaf(64000)

    def __getattr__(self, name):
        return leaf(65000)

    def __del__(self):
        leaf(66000)


def called_by_c():
    def compare(a, b):
        leaf(72000)
        return 0
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(compare)
    ctypes.CDLL(None).qsort((ctypes.c_int * 3)(3, 1, 2), 3, 4, callback)


def thread_of_c():
    """Not started by Python: it comes in by PyGILState_Ensure, each time with a new state."""
    def run(arg):
        leaf(73000)
        leaf(73001)
        return 0
    callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(run)
    libc = ctypes.CDLL("libpthread.so.0")
    for _ in range(2):
        thread = ctypes.c_ulong()
        libc.pthread_create(ctypes.byref(thread), None, callback, None)
        libc.pthread_join(thread, None)


def main():
    asyncio.run(coroutines())
    generator = delegating()
    next(generator)
    for _ in range(4):
        generator.send(1)
    generator = closed()
    next(generator)
    generator.close()
    with Manager():
        pass
    special = Special()
    special.value
    special.missing
    del special
    called_by_c()
    thread_of_c()
    list(map(lambda i: leaf(74000), range(3)))
    exec("leaf(75000)", globals())
    eval("leaf(76000)")


main()
for key in sorted(seen):
    print(seen[key], key)
