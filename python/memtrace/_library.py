# SPDX-License-Identifier: Apache-2.0
# memtrace/_library.py - libmemtrace(3) as Python sees it.
# Knows: lib/memtrace.h. Does not know: Memray's names.
"""`Capture` is a `struct memtrace_reader`: opened, asked, closed when nobody refers to it any more.
Errors of the library become OSError, MemoryError or RuntimeError with its message."""

import ctypes
import struct
import threading
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import _files

# enum memtrace_error_code
_OS, _NO_MEMORY, _CORRUPT = 1, 2, 3
# enum memtrace_view
PEAK, LEAKS, ALLOCATED, TEMPORARY = range(4)
SPLIT_THREADS = 1
# enum memtrace_stack
HYBRID, PYTHON, NATIVE = range(3)
# enum memtrace_feature
FEATURE_NATIVE, FEATURE_PYMALLOC, FEATURE_AGGREGATED = 1, 16, 32
# enum memtrace_frame_flag
FRAME_MARK = 2
NEVER = 0xFFFFFFFF


class _Totals(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in (
        "allocations", "releases", "allocated_bytes", "peak_bytes", "peak_count", "leaked_bytes",
        "leaked_count", "start_ns", "end_ns", "peak_ns", "frames")]


class _Frame(ctypes.Structure):
    _fields_ = [("function", c_char_p), ("file", c_char_p), ("module", c_char_p),
                ("line", c_uint32), ("flags", c_uint32)]


# Read as bytes: a list of tuples is made much faster so than field by field.
_RECORD = struct.Struct("=IIIIQQ")
_SNAPSHOT = struct.Struct("=QQQ")
_LIFETIME = struct.Struct("=IIIIIIQQ")
_EVENT = struct.Struct("=QQQIIII")

# name: (arguments, result); c_void_p as a result is an error unless told otherwise
_FUNCTIONS: Dict[str, Tuple[List[Any], Any]] = {
    "memtrace_error_code": ([c_void_p], c_int),
    "memtrace_error_errno": ([c_void_p], c_int),
    "memtrace_error_message": ([c_void_p], c_char_p),
    "memtrace_error_hint": ([c_void_p], c_char_p),
    "memtrace_error_free": ([c_void_p], None),
    "memtrace_version": ([], c_char_p),
    "memtrace_reader_open": ([c_char_p, POINTER(c_void_p)], c_void_p),
    "memtrace_reader_close": ([c_void_p], None),
    "memtrace_reader_damage": ([c_void_p], c_char_p),
    "memtrace_reader_meta": ([c_void_p, c_char_p, POINTER(c_size_t)], c_void_p),
    "memtrace_reader_thread": ([c_void_p, c_uint32, POINTER(c_uint32)], c_char_p),
    "memtrace_reader_features": ([c_void_p], c_uint32),
    "memtrace_reader_totals": ([c_void_p, POINTER(_Totals)], c_void_p),
    "memtrace_reader_records": ([c_void_p, c_uint32, c_uint32, c_uint32, POINTER(c_void_p),
                                 POINTER(c_size_t)], c_void_p),
    "memtrace_reader_snapshots": ([c_void_p, POINTER(c_void_p), POINTER(c_size_t)], c_void_p),
    "memtrace_reader_lifetimes": ([c_void_p, c_uint32, POINTER(c_void_p), POINTER(c_size_t),
                                   POINTER(c_void_p), POINTER(c_size_t)], c_void_p),
    "memtrace_reader_stack": ([c_void_p, c_uint32, c_uint32, POINTER(POINTER(_Frame)),
                               POINTER(c_size_t)], c_void_p),
    "memtrace_events_begin": ([c_void_p, POINTER(c_void_p)], c_void_p),
    "memtrace_events_next": ([c_void_p, POINTER(c_void_p), POINTER(c_size_t)], c_void_p),
    "memtrace_events_end": ([c_void_p], None),
    "memtrace_free": ([c_void_p], None),
    "memtrace_objects_create": ([], c_void_p),
    "memtrace_objects_free": ([c_void_p], None),
    "memtrace_objects_pause": ([c_void_p], None),
    "memtrace_objects_take": ([c_void_p, c_void_p, POINTER(POINTER(c_void_p)), POINTER(c_size_t)], c_void_p),
}


class Library:
    """The functions of libmemtrace with their types; loaded at the first use."""

    _instance: Optional["Library"] = None

    def __init__(self) -> None:
        path = _files.library()
        try:
            self.dll = ctypes.CDLL(path)
        except OSError as error:
            raise RuntimeError(f"{_files.unsupported('libmemtrace')} ({error})") from error
        for name, (arguments, result) in _FUNCTIONS.items():
            function = getattr(self.dll, name)
            function.argtypes, function.restype = arguments, result

    @classmethod
    def get(cls) -> Any:
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance.dll


def _text(data: Optional[bytes]) -> str:
    return (data or b"").decode("utf-8", "replace")


def check(dll: Any, error: Optional[int], path: str) -> None:
    """Raises what the library returned, if anything, and ends it."""
    if not error:
        return
    code, number = dll.memtrace_error_code(error), dll.memtrace_error_errno(error)
    message, hint = _text(dll.memtrace_error_message(error)), dll.memtrace_error_hint(error)
    dll.memtrace_error_free(error)
    if hint:
        message += f" ({_text(hint)})"
    if code == _NO_MEMORY:
        raise MemoryError(message)
    if code == _OS:
        raise OSError(number, message, path)
    if code == _CORRUPT:
        raise OSError(message)
    raise RuntimeError(message)


class Record(NamedTuple):
    stack: int
    thread: int
    allocator: int
    reserved: int
    bytes: int
    blocks: int


class Event(NamedTuple):
    time_ns: int
    address: int
    size: int
    stack: int
    thread: int
    allocator: int
    reserved: int


class Snapshot(NamedTuple):
    time_ns: int
    rss: int
    heap: int


class Lifetime(NamedTuple):
    stack: int
    thread: int
    allocator: int
    born: int
    gone: int		# NEVER: live at the end
    reserved: int
    bytes: int
    blocks: int


class Frame(NamedTuple):
    function: str
    file: str
    module: str
    line: int
    flags: int


class Capture:
    """One open capture. The library wants one thread at a time: calls take a lock."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._dll = Library.get()
        self._lock = threading.Lock()
        self._handle = c_void_p()
        self._stacks: Dict[Tuple[int, int, Optional[int]], List[Frame]] = {}
        try:
            self._call("memtrace_reader_open", path.encode("utf-8", "surrogateescape"),
                       byref(self._handle))
        except RuntimeError as error:	# a newer version, another machine: a file that is no good
            raise OSError(str(error)) from None

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._dll.memtrace_reader_close(self._handle)

    def _call(self, name: str, *arguments: Any) -> None:
        with self._lock:
            check(self._dll, getattr(self._dll, name)(*arguments), self.path)

    def _tables(self, layouts: List[struct.Struct], name: str, *arguments: Any) \
            -> List[Iterator[Tuple[Any, ...]]]:
        """Arrays that the caller ends, as tuples."""
        outputs = [(c_void_p(), c_size_t()) for _ in layouts]
        self._call(name, self._handle, *arguments, *[byref(x) for pair in outputs for x in pair])
        try:
            return [layout.iter_unpack(ctypes.string_at(items, count.value * layout.size)
                                       if count.value else b"")
                    for layout, (items, count) in zip(layouts, outputs)]
        finally:
            for items, _ in outputs:
                self._dll.memtrace_free(items)

    def damage(self) -> Optional[str]:
        with self._lock:
            text = self._dll.memtrace_reader_damage(self._handle)
        return None if text is None else _text(text)

    def meta(self, key: str) -> Optional[bytes]:
        size = c_size_t()
        with self._lock:
            value = self._dll.memtrace_reader_meta(self._handle, key.encode(), byref(size))
        return None if value is None else ctypes.string_at(value, size.value)

    def features(self) -> int:
        with self._lock:
            return int(self._dll.memtrace_reader_features(self._handle))

    def totals(self) -> _Totals:
        totals = _Totals()
        self._call("memtrace_reader_totals", self._handle, byref(totals))
        return totals

    def thread(self, index: int) -> Tuple[int, str]:
        """Its thread id and last name."""
        tid = c_uint32()
        with self._lock:
            name = self._dll.memtrace_reader_thread(self._handle, index, byref(tid))
        return tid.value, _text(name)

    def records(self, view: int, split_threads: bool, threshold: int = 1) -> Iterator[Record]:
        flags = SPLIT_THREADS if split_threads else 0
        return map(Record._make, self._tables([_RECORD], "memtrace_reader_records", view, flags,
                                              threshold)[0])

    def snapshots(self) -> Iterator[Snapshot]:
        return map(Snapshot._make, self._tables([_SNAPSHOT], "memtrace_reader_snapshots")[0])

    def lifetimes(self, split_threads: bool) -> Tuple[Iterator[Lifetime], List[Snapshot]]:
        """Which blocks lived from which instant to which, and the instants."""
        lives, instants = self._tables([_LIFETIME, _SNAPSHOT], "memtrace_reader_lifetimes",
                                       SPLIT_THREADS if split_threads else 0)
        return map(Lifetime._make, lives), list(map(Snapshot._make, instants))

    def stack(self, stack: int, kind: int, limit: Optional[int] = None) -> List[Frame]:
        """Frames from leaf to root, as Python programs expect them; the first `limit`: who asks for one
        of a stack of thousands does not pay for all."""
        key = stack, kind, limit
        found = self._stacks.get(key)
        if found is None:
            found = self._stacks[key] = self._read_stack(*key)
        return found

    def _read_stack(self, stack: int, kind: int, limit: Optional[int]) -> List[Frame]:
        frames, count = POINTER(_Frame)(), c_size_t()
        with self._lock:
            check(self._dll, self._dll.memtrace_reader_stack(
                self._handle, stack, kind, byref(frames), byref(count)), self.path)
            first = 0 if limit is None or limit < 0 else max(0, count.value - limit)
            # Borrowed until the next call: copied under the lock.
            return [Frame(_text(f.function), _text(f.file), _text(f.module), f.line, f.flags)
                    for f in frames[first:count.value][::-1]][:limit]

    def events(self) -> Iterator[Event]:
        handle, items, count = c_void_p(), c_void_p(), c_size_t()
        self._call("memtrace_events_begin", self._handle, byref(handle))
        try:
            while True:
                with self._lock:
                    check(self._dll, self._dll.memtrace_events_next(
                        handle, byref(items), byref(count)), self.path)
                    data = ctypes.string_at(items, count.value * _EVENT.size) if count.value else b""
                if not data:
                    return
                for event in _EVENT.iter_unpack(data):
                    yield Event._make(event)
        finally:
            with self._lock:
                self._dll.memtrace_events_end(handle)
