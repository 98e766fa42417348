# SPDX-License-Identifier: Apache-2.0
# tests/targets/alloc_python.py - Python code of every shape that allocates known sizes.
# Knows: the Python stack at each allocation, by the interpreter's own account. Does not know:
# memtrace. Used by tests/e2e/test_exact_python.py.
"""Prints "ready", waits for a byte on standard input, works, prints one JSON line a stack
({"stack": [[function, file, line], ...], "count": n, "bytes": n, "live": n}) and "done", waits
again. Runs under Python 3.7 and later."""
import asyncio
import collections
import functools
import json
import mmap
import os
import re
import sys
import threading

stacks = collections.defaultdict(lambda: [0, 0, 0])
kept = []
lock = threading.Lock()


def here():
    """The stack of the caller, root first: what a traceback would print."""
    frames = []
    frame = sys._getframe(1)
    while frame:
        code = frame.f_code
        frames.append((getattr(code, "co_qualname", code.co_name), code.co_filename,
                       frame.f_lineno))
        frame = frame.f_back
    return frames[::-1]


def note(frames, size, live):
    with lock:
        row = stacks[tuple(frames)]
        row[0] += 1
        row[1] += size
        row[2] += live


def take(n=100000, keep=True):
    """The one place that allocates: one block of n + 33 bytes, on the line that is noted."""
    frames = here()
    data = bytes(n); line = sys._getframe().f_lineno
    frames[-1] = (frames[-1][0], frames[-1][1], line)
    if keep:
        kept.append(data)
    note(frames, sys.getsizeof(data), sys.getsizeof(data) if keep else 0)
    return 0


# ---- the shapes ----

def plain():
    take()
    take(200000, keep=False)


def several_lines():
    return [
        take(1000),
        take(
            2000,
        ),
        (take(3000) or
         take(4000)),
    ]


def recursion(n):
    if n:
        return recursion(n - 1) + take(600 + n)
    return take(700)


def deep(n):
    return deep(n - 1) + 1 if n else take(750)


def generator():
    for i in range(3):
        yield take(1100 + i)


def delegating():
    yield from generator()


def generators():
    list(generator())
    sum(x for x in delegating())
    step = generator()
    next(step)
    next(step)
    step.close()


def callbacks():
    sorted([3, 1, 2], key=lambda x: take(1200) + x)
    re.sub("a", lambda m: str(take(1300)), "banana")
    list(map(take, [1400, 1401]))
    list(filter(lambda n: take(n), [1500]))
    functools.reduce(lambda a, b: take(b), [1, 1600, 1601])
    functools.partial(take, 1700)()
    max([1, 2], key=lambda n: take(1750))


class Thing:
    taken = take(1800)

    def __init__(self):
        take(1900)

    def __del__(self):
        take(2000)

    @property
    def size(self):
        return take(2100)

    def __getattr__(self, name):
        return take(2200)

    def __lt__(self, other):
        return bool(take(2300))

    @staticmethod
    def static():
        take(2400)

    @classmethod
    def of_class(cls):
        take(2500)

    def __enter__(self):
        take(2600)

    def __exit__(self, *exc):
        take(2700)

    def __iter__(self):
        take(2750)
        return iter(())

    class Inner:
        def method(self):
            take(2800)


def methods():
    thing = Thing()
    thing.size
    thing.missing
    sorted([thing, thing])
    Thing.static()
    Thing.of_class()
    with thing:
        pass
    list(thing)
    Thing.Inner().method()
    del thing


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        take(2900)
        return function(*args)
    return wrapper


@decorated
def behind_decorator():
    take(3000)


@functools.lru_cache(maxsize=None)
def cached(n):
    return take(n)


def comprehensions():
    [take(3100) for _ in range(2)]
    {take(3200): 1 for _ in range(2)}
    {take(3300) for _ in range(2)}


def evaluated():
    exec(compile("def inner():\n\n    take(3400)\ninner()\n", "<made up>", "exec"), globals())
    eval("take(3500)")


def raising():
    try:
        try:
            raise ValueError
        except ValueError:
            take(3600)
            raise
    except ValueError:
        take(3700)
    finally:
        take(3800)


async def coroutine(n):
    take(n)
    await asyncio.sleep(0)
    take(n + 1)


async def gathered():
    await asyncio.gather(coroutine(3900), coroutine(4000))


def threads():
    def body(n):
        take(n)
        recursion(3)
    workers = [threading.Thread(target=body, args=(4100 + i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def closures():
    def outer():
        def inner():
            take(4200)
        inner()
    outer()


def many():
    """The same stack, very often: one row with the right count."""
    for _ in range(1000):
        take(600, keep=False)


def far_lines():
    # Lines far from the function's first one need more than a byte of the line table.
    text = "def far():\n take(4300)" + "\n" * 400 + " take(4400)" + "\n" * 70000 + " take(4500)\nfar()\n"
    exec(compile(text, "<far>", "exec"), globals())


# ---- what is not `bytes` ----

def maps():
    """mmap.mmap: one mapping, with its own line."""
    frames = here()
    area = mmap.mmap(-1, 1 << 20); line = sys._getframe().f_lineno
    frames[-1] = (*frames[-1][:2], line)
    note(frames, 1 << 20, 1 << 20)
    kept.append(area)
    frames = here()
    area = mmap.mmap(-1, 1 << 21); line = sys._getframe().f_lineno
    frames[-1] = (*frames[-1][:2], line)
    note(frames, 1 << 21, 0)
    area.close()


def from_c():
    """ctypes: C code that allocates for a Python line."""
    import ctypes
    libc = ctypes.CDLL(None)
    strdup = libc.strdup
    strdup.restype = ctypes.c_void_p
    strdup.argtypes = [ctypes.c_char_p]
    text = b"x" * 9999
    strdup(text)
    frames = here()
    strdup(text); line = sys._getframe().f_lineno
    frames[-1] = (*frames[-1][:2], line)
    note(frames, 10000, 10000)


SHAPES = [plain, several_lines, lambda: recursion(20), lambda: deep(900), generators,
          callbacks, methods, behind_decorator, lambda: cached(3050), comprehensions, evaluated,
          raising, lambda: asyncio.run(gathered()), threads, closures, many, far_lines, maps,
          from_c]


def say(text):
    os.write(1, (text + "\n").encode())


def main():
    plain()             # what the interpreter sets up at the first time
    take(600)
    recursion(20)
    generators()
    early = dict(stacks)
    stacks.clear()
    # Arenas with free pools, so that none is mapped later on a line that is noted.
    warm = [object() for _ in range(400000)]
    kept.append(warm[::5000])
    del warm
    sys.setrecursionlimit(5000)
    say(f"ready {os.getpid()}")
    os.read(0, 1)
    if "--from-start" in sys.argv:
        stacks.update(early)
    for shape in SHAPES:
        shape()
    for frames, (count, size, live) in list(stacks.items()):
        say(json.dumps({"stack": frames, "count": count, "bytes": size, "live": live}))
    say("done")
    os.read(0, 1)
    if "--from-start" in sys.argv:
        os._exit(0)             # without giving everything back first


if __name__ == "__main__":
    main()
