# SPDX-License-Identifier: Apache-2.0
# tests/targets/domains.py - asks each domain of any CPython 3 for known blocks when told to, and says
# which functions its allocator tables hold. Commands on standard input, one a line, each answered by
# its number and more.
import ctypes
import os
import signal
import sys
import tracemalloc

api = ctypes.pythonapi
N = 200


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


def tables():
    found = []
    for domain in range(3):
        a = Allocator()
        api.PyMem_GetAllocator(domain, ctypes.byref(a))
        found += [hex(getattr(a, name) or 0) for name, _ in a._fields_]
    return " ".join(found)


def functions(prefix):
    found = []
    for name in ("Malloc", "Calloc", "Realloc", "Free"):
        f = getattr(api, prefix + name)
        f.restype = ctypes.c_void_p
        found.append(f)
    return found


CALLS = [functions(prefix) for prefix in ("PyMem_Raw", "PyMem_", "PyObject_")]
SIZE = ctypes.c_size_t


LETTER = b"x"
kept = []


def domain(n):
    malloc, calloc, realloc, free = CALLS[n]
    for _ in range(3):
        malloc(SIZE(7001))              # stays
        moved = malloc(SIZE(7002))
        moved = realloc(ctypes.c_void_p(moved), SIZE(17003))
        zero = calloc(SIZE(7), SIZE(1005))
        free(ctypes.c_void_p(moved))
        free(ctypes.c_void_p(zero))


def small(n):                           # 33 bytes more than it says
    found = []
    for _ in range(n):
        found.append(LETTER * 333)
    return found


def large(n):
    found = []
    for _ in range(n):
        found.append(bytes(100000))
    return found


def work():
    kept.append(small(N))
    kept.append(large(N))
    gone = small(N)
    del gone
    for n in range(3):
        domain(n)


def child():
    signal.signal(signal.SIGUSR1, lambda *_: print("child", tables(), flush=True))
    print("child is there", flush=True)
    signal.pause()
    os._exit(0)


def answer(command):
    if command == "tables":
        return tables()
    if command == "work":
        work()
    elif command == "tracemalloc":
        tracemalloc.start()
        work()
        tracemalloc.stop()
        work()
    elif command == "fork":
        pid = os.fork()
        if not pid:
            child()
        return str(pid)
    else:
        sys.exit()
    return "done"


print("ready", flush=True)
number = 0
while True:
    number += 1
    print(number, answer(sys.stdin.readline().strip()), flush=True)
