# SPDX-License-Identifier: Apache-2.0
# memtrace/_reader.py - captures with Memray's names and meanings.
# Knows: what a script written for Memray expects. Does not know: the file, ctypes.

import bisect
import enum
import os
from datetime import datetime, timezone
from types import TracebackType
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Type, Union

from . import _library

StackFrame = Tuple[str, str, int]	# function, file, line
PathLike = Union[str, "os.PathLike[str]"]

MERGED_THREADS = -1


class AllocatorType(enum.IntEnum):
    """Memray's numbers; those from 64 on it does not have."""
    PYMALLOC_FREE = 1
    PYMALLOC_MALLOC = 2
    PYMALLOC_CALLOC = 3
    PYMALLOC_REALLOC = 4
    FREE = 5
    MALLOC = 6
    REALLOC = 7
    CALLOC = 8
    POSIX_MEMALIGN = 9
    ALIGNED_ALLOC = 10
    MEMALIGN = 11
    VALLOC = 12
    PVALLOC = 13
    MMAP = 14
    MUNMAP = 15
    MREMAP = 64
    BRK = 65
    BRK_SHRINK = 66


class FileFormat(enum.IntEnum):
    """AGGREGATED_ALLOCATIONS: sums by stack, in a small file however long it takes; no single events."""
    ALL_ALLOCATIONS = 1
    AGGREGATED_ALLOCATIONS = 2


# enum memtrace_allocator
_ALLOCATORS = {
    8: AllocatorType.MALLOC, 9: AllocatorType.CALLOC, 10: AllocatorType.REALLOC,
    11: AllocatorType.POSIX_MEMALIGN, 12: AllocatorType.ALIGNED_ALLOC, 13: AllocatorType.MEMALIGN,
    14: AllocatorType.VALLOC, 15: AllocatorType.PVALLOC, 16: AllocatorType.MMAP,
    17: AllocatorType.MREMAP, 18: AllocatorType.BRK, 24: AllocatorType.FREE,
    25: AllocatorType.FREE, 26: AllocatorType.MUNMAP, 27: AllocatorType.MUNMAP,
    28: AllocatorType.BRK_SHRINK, 19: AllocatorType.PYMALLOC_MALLOC,
    20: AllocatorType.PYMALLOC_CALLOC, 21: AllocatorType.PYMALLOC_REALLOC,
    29: AllocatorType.PYMALLOC_FREE,
}
_RELEASES = {AllocatorType.FREE, AllocatorType.MUNMAP, AllocatorType.PYMALLOC_FREE,
             AllocatorType.BRK_SHRINK}


class Metadata(NamedTuple):
    start_time: datetime
    end_time: datetime
    total_allocations: int
    total_frames: int
    peak_memory: int
    command_line: str
    pid: int
    main_thread_id: int
    python_allocator: str
    has_native_traces: bool
    trace_python_allocators: bool
    file_format: FileFormat


class MemorySnapshot(NamedTuple):
    time: int		# milliseconds since 1970
    rss: int
    heap: int


class Interval(NamedTuple):
    """Blocks that lived from before one snapshot to before another; None: to the end."""
    allocated_before_snapshot: int
    deallocated_before_snapshot: Optional[int]
    n_allocations: int
    n_bytes: int


class _Record:
    """What records have in common: a thread, an allocator and a stack."""

    __slots__ = ("_capture", "_thread", "_merged", "allocator", "stack_id")

    def __init__(self, capture: _library.Capture, thread: int, merged: bool,
                 allocator: AllocatorType, stack_id: int) -> None:
        self._capture = capture
        self._thread = thread
        self._merged = merged
        self.allocator = allocator
        self.stack_id = stack_id

    @property
    def tid(self) -> int:
        """The kernel's thread id; -1 when threads were merged."""
        return MERGED_THREADS if self._merged else self._capture.thread(self._thread)[0]

    @property
    def thread_name(self) -> str:
        if self._merged:
            return "merged thread"
        tid, name = self._capture.thread(self._thread)
        return f"Thread {tid} ({name})" if name else f"Thread {tid}"

    @property
    def native_stack_id(self) -> int:
        return self.stack_id

    @property
    def native_segment_generation(self) -> int:
        return 0

    def _frames(self, kind: int, max_stacks: Optional[int]) -> List[StackFrame]:
        if self.allocator in _RELEASES:
            raise NotImplementedError("a release has no stack")
        frames = self._capture.stack(self.stack_id, kind, max_stacks)
        return [(f.function, f.file or f.module, f.line) for f in frames
                if not f.flags & _library.FRAME_MARK]

    def stack_trace(self, max_stacks: Optional[int] = None) -> List[StackFrame]:
        """The Python frames, most recent first."""
        return self._frames(_library.PYTHON, max_stacks)

    def native_stack_trace(self, max_stacks: Optional[int] = None) -> List[StackFrame]:
        """The native frames, most recent first, those of the interpreter too."""
        return self._frames(_library.NATIVE, max_stacks)

    def hybrid_stack_trace(self, max_stacks: Optional[int] = None) -> List[StackFrame]:
        """Both, the Python frames where the interpreter ran them, most recent first."""
        return self._frames(_library.HYBRID, max_stacks)


class AllocationRecord(_Record):
    """An allocation or a release, or all blocks of one stack and allocator in a view."""

    __slots__ = ("address", "size", "n_allocations")

    def __init__(self, capture: _library.Capture, thread: int, merged: bool,
                 allocator: AllocatorType, stack_id: int, address: int, size: int,
                 n_allocations: int) -> None:
        super().__init__(capture, thread, merged, allocator, stack_id)
        self.address = address
        self.size = size
        self.n_allocations = n_allocations

    def _key(self) -> Tuple[int, ...]:
        return (self.tid, self.address, self.size, self.allocator, self.stack_id, self.n_allocations)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AllocationRecord):
            return NotImplemented
        return self._key() == other._key()

    def __lt__(self, other: "AllocationRecord") -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return (f"AllocationRecord<tid={self.tid}, address={self.address:#x}, size={self.size}, "
                f"allocator={self.allocator.name}, stack_id={self.stack_id}, "
                f"n_allocations={self.n_allocations}>")


class TemporalAllocationRecord(_Record):
    """All blocks of one stack and allocator, by when they lived."""

    __slots__ = ("intervals",)

    def __init__(self, capture: _library.Capture, thread: int, merged: bool,
                 allocator: AllocatorType, stack_id: int) -> None:
        super().__init__(capture, thread, merged, allocator, stack_id)
        self.intervals: List[Interval] = []


class FileReader:
    """Reads a capture, also one that is cut or still being written; `damage` tells what is missing.

    Records stay usable after close()."""

    def __init__(self, file_name: PathLike, *, report_progress: bool = False,
                 max_memory_records: int = 10000) -> None:
        self._path = os.fspath(file_name)
        self._open: Optional[_library.Capture] = _library.Capture(self._path)
        self._max_memory_records = max_memory_records
        self._metadata: Optional[Metadata] = None

    def __enter__(self) -> "FileReader":
        self._capture()
        return self

    def __exit__(self, exc_type: Optional[Type[BaseException]], exc: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        self._open = None

    @property
    def closed(self) -> bool:
        return self._open is None

    def _capture(self) -> _library.Capture:
        if self._open is None:
            raise ValueError("Operation on a closed FileReader")
        return self._open

    @property
    def damage(self) -> Optional[str]:
        """None for a whole capture, else one line that says what is missing."""
        return self._capture().damage()

    @property
    def metadata(self) -> Metadata:
        if self._metadata is None:
            self._metadata = _read_metadata(self._capture())
        return self._metadata

    def totals(self) -> Dict[str, int]:
        """peakBytes, totalBytes, leakedBytes and allocations: cheaper than the records."""
        t = self._capture().totals()
        return {"peakBytes": t.peak_bytes, "totalBytes": t.allocated_bytes,
                "leakedBytes": t.leaked_bytes, "allocations": t.allocations}

    def get_allocation_records(self) -> Iterator[AllocationRecord]:
        """Every event in order, releases included. An aggregated capture has none."""
        capture = self._capture()
        if capture.features() & _library.FEATURE_AGGREGATED:
            raise NotImplementedError(f"'{self._path}' is an aggregated capture: it has no single events")
        for e in capture.events():
            yield AllocationRecord(capture, e.thread, False, _ALLOCATORS[e.allocator], e.stack,
                                   e.address, e.size, 1)

    def _view(self, view: int, merge_threads: bool, threshold: int = 1) -> Iterator[AllocationRecord]:
        capture = self._capture()
        for r in capture.records(view, not merge_threads, threshold):
            yield AllocationRecord(capture, r.thread, merge_threads, _ALLOCATORS[r.allocator],
                                   r.stack, 0, r.bytes, r.blocks)

    def get_high_watermark_allocation_records(self, merge_threads: bool = True) \
            -> Iterator[AllocationRecord]:
        """What was live when most bytes were."""
        return self._view(_library.PEAK, merge_threads)

    def get_leaked_allocation_records(self, merge_threads: bool = True) -> Iterator[AllocationRecord]:
        """What was live at the end."""
        return self._view(_library.LEAKS, merge_threads)

    def get_temporary_allocation_records(self, merge_threads: bool = True, threshold: int = 1) \
            -> Iterator[AllocationRecord]:
        """What was released before `threshold` + 1 further allocations of its thread; of an aggregated
        capture for the threshold 1 alone."""
        if threshold < 0:
            raise ValueError("threshold must not be negative")
        return self._view(_library.TEMPORARY, merge_threads, threshold)

    def get_temporal_allocation_records(self, merge_threads: bool = True) \
            -> Iterator[TemporalAllocationRecord]:
        """What lived from when to when, in numbers of get_memory_snapshots(). As exact as the at most
        256 instants of the capture: blocks that lived at none of them are left out."""
        capture = self._capture()
        lives, instants = capture.lifetimes(not merge_threads)
        times = [s.time_ns for s in self._snapshots()]
        place = [bisect.bisect_left(times, i.time_ns) for i in instants]
        place.append(len(times))		# what came or went after the last instant
        found: Dict[Tuple[int, int, int], TemporalAllocationRecord] = {}
        for live in lives:
            key = live.stack, live.thread, live.allocator
            if key not in found:
                found[key] = TemporalAllocationRecord(capture, live.thread, merge_threads,
                                                      _ALLOCATORS[live.allocator], live.stack)
            gone = None if live.gone == _library.NEVER else place[live.gone]
            found[key].intervals.append(Interval(place[live.born], gone, live.blocks, live.bytes))
        yield from found.values()

    def get_temporal_high_water_mark_allocation_records(self, merge_threads: bool = True) \
            -> Tuple[List[TemporalAllocationRecord], List[int]]:
        """The same, and the live bytes at each snapshot."""
        return (list(self.get_temporal_allocation_records(merge_threads)),
                [s.heap for s in self.get_memory_snapshots()])

    def get_memory_snapshots(self) -> Iterator[MemorySnapshot]:
        """Memory over time, at most max_memory_records of it."""
        for s in self._snapshots():
            yield MemorySnapshot(s.time_ns // 1000000, s.rss, s.heap)

    def _snapshots(self) -> List[_library.Snapshot]:
        found = list(self._capture().snapshots())
        step = max(1, -(-len(found) // max(1, self._max_memory_records)))
        return found[::step]


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, timezone.utc)


def _read_metadata(capture: _library.Capture) -> Metadata:
    def text(key: str) -> str:
        return (capture.meta(key) or b"").decode("utf-8", "replace")

    totals = capture.totals()
    arguments = [a for a in (capture.meta("command_line") or b"").split(b"\0")]
    if arguments and not arguments[-1]:
        arguments.pop()
    return Metadata(
        start_time=_time(totals.start_ns), end_time=_time(totals.end_ns or totals.start_ns),
        total_allocations=totals.allocations + totals.releases, total_frames=totals.frames,
        peak_memory=totals.peak_bytes,
        command_line=" ".join(a.decode("utf-8", "replace") for a in arguments),
        pid=int(text("pid") or 0), main_thread_id=int(text("main_thread_id") or 0),
        python_allocator=text("python_allocator"),
        has_native_traces=bool(capture.features() & _library.FEATURE_NATIVE),
        trace_python_allocators=bool(capture.features() & _library.FEATURE_PYMALLOC),
        file_format=FileFormat.AGGREGATED_ALLOCATIONS if capture.features() & _library.FEATURE_AGGREGATED
        else FileFormat.ALL_ALLOCATIONS)


def dump_all_records(file_name: PathLike) -> None:
    """Prints every record of a capture, as `memtrace parse` does."""
    import subprocess
    from . import _files
    subprocess.run([_files.program(), "parse", os.fspath(file_name)], check=True)
