# SPDX-License-Identifier: Apache-2.0
# memtrace/_objects.py - the Python objects that were created in a block and are alive at its end.
# Knows: PyRefTracer, libmemtrace's set of objects. Does not know: captures.
"""The interpreter tells a function of libmemtrace of every object that comes and goes, from 3.13.3 on."""

import ctypes
import sys
from ctypes import POINTER, byref, c_int, c_size_t, c_void_p
from typing import Any, List, Optional

from ._library import Library, check

NEEDED = (3, 13, 3)


class ObjectLifetimes:
    def __init__(self) -> None:
        if sys.version_info < NEEDED:
            raise RuntimeError("Python object reference tracking requires Python 3.13.3 or later. "
                               f"Current version: {'.'.join(map(str, sys.version_info[:3]))}")
        self._dll = Library.get()
        self._set: Optional[int] = None
        # Calls that keep the interpreter's lock: nobody frees an object meanwhile.
        locked: Any = ctypes.PyDLL(self._dll._name)
        self._take, self._pause = locked.memtrace_objects_take, locked.memtrace_objects_pause
        for function in self._take, self._pause:
            typed = getattr(self._dll, function.__name__)
            function.argtypes, function.restype = typed.argtypes, typed.restype
        api = ctypes.pythonapi
        # Of our own: what others set on functions of pythonapi stays theirs.
        self._get_tracer = ctypes.PYFUNCTYPE(c_void_p, POINTER(c_void_p))(("PyRefTracer_GetTracer", api))
        self._set_tracer = ctypes.PYFUNCTYPE(c_int, c_void_p, c_void_p)(("PyRefTracer_SetTracer", api))
        self._unhold = ctypes.PYFUNCTYPE(None, c_void_p)(("Py_DecRef", api))
        self._hold = ctypes.cast(api.Py_IncRef, c_void_p)
        self._note = ctypes.cast(self._dll.memtrace_objects_note, c_void_p)

    def begin(self) -> None:
        if self._get_tracer(byref(c_void_p())):
            raise RuntimeError("somebody else follows the objects of this interpreter")
        self._set = self._dll.memtrace_objects_create()
        if not self._set:
            raise MemoryError("no memory to note objects")
        self._set_tracer(self._note, self._set)

    def pause(self) -> None:
        """What is created from here on is none of the block's."""
        if self._set is not None:
            self._pause(self._set)

    def end(self) -> List[object]:
        found, count = POINTER(c_void_p)(), c_size_t()
        error = self._take(self._set, self._hold, byref(found), byref(count))
        self.abandon()
        check(self._dll, error, "")
        objects = []
        for i in range(count.value):
            address = found[i]
            objects.append(ctypes.cast(address, ctypes.py_object).value)
            self._unhold(address)
        self._dll.memtrace_free(found)
        return objects

    def abandon(self) -> None:
        if self._set is not None:
            self._set_tracer(None, None)
            self._dll.memtrace_objects_free(self._set)
            self._set = None
