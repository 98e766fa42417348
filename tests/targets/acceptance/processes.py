# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/processes.py - the rows about children and about ends.
# Knows: what each process allocates. Does not know: what is expected of the captures.
# Run by runner.py for tests/acceptance/test_processes.py.
import ctypes
import multiprocessing
import os
import signal
import sys

import helpers

SIZE = 1234
WORKERS = 3


def allocate(times):
    for _ in range(times):
        helpers.C.a_free(helpers.C.a_valloc(SIZE))
    return os.getpid()


def objects(times):
    request, release = ctypes.pythonapi.PyObject_Malloc, ctypes.pythonapi.PyObject_Free
    request.restype, request.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    release.restype, release.argtypes = None, [ctypes.c_void_p]
    for _ in range(times):
        release(request(497))
    return os.getpid()


def without_profile(times):
    sys.setprofile(None)
    return allocate(times)


def in_pool(work, times):
    """The workers' pids; each does a third."""
    allocate(1)
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        done = pool.map(work, [times // WORKERS] * WORKERS, chunksize=1)
        pool.close()
        pool.join()
    return sorted(set(done))


def pool():
    return in_pool(allocate, 15111)


def pool_of_objects():
    return in_pool(objects, 30)


def pool_without_profile():
    return in_pool(without_profile, 30)


# ---- ends: none of these returns ----

def at_once():
    allocate(5)
    os._exit(3)


def by_signal():
    allocate(5)
    os.kill(os.getpid(), signal.SIGKILL)


def of_c():
    allocate(5)
    helpers.C.leave(4)


def of_python():
    allocate(5)
    sys.exit(5)
