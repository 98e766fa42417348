# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/helpers.py - the helper libraries for the rows.
# Knows: ctypes. Does not know: rows.
import ctypes

ADDRESSES = ("a_malloc a_calloc a_realloc a_posix_memalign a_aligned_alloc a_memalign a_valloc a_pvalloc "
             "a_mmap reserve in_raw_thread native_foo from_here from_there").split()

C = CPP = None


def load(sized, c, cpp):
    """All are called without the GIL."""
    global C, CPP
    ctypes.CDLL(sized, ctypes.RTLD_GLOBAL)
    C, CPP = ctypes.CDLL(c), ctypes.CDLL(cpp)
    for name in ADDRESSES:
        getattr(C, name).restype = ctypes.c_void_p
        getattr(C, name).argtypes = [ctypes.c_size_t]
    C.a_mmap_at.restype = ctypes.c_void_p
    C.a_mmap_at.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    C.a_free.restype = None
    C.a_free.argtypes = [ctypes.c_void_p]
    C.a_free_sized.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    C.a_free_aligned_sized.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    C.wait_and_valloc.restype = C.native_recursion.restype = C.use_library.restype = ctypes.c_void_p
    C.wait_and_valloc.argtypes = [ctypes.c_int, ctypes.c_size_t]
    C.use_library.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    C.valloc_at_thread_exit.argtypes = [ctypes.c_size_t]
    C.myself.restype = ctypes.c_ulong
    C.name_other.argtypes = [ctypes.c_ulong, ctypes.c_char_p]
    C.a_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    C.from_both.argtypes = [ctypes.c_void_p * 2, ctypes.c_size_t]
    CPP.vector_of.argtypes = [ctypes.c_size_t]
