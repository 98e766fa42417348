# SPDX-License-Identifier: Apache-2.0
# memtrace/pytest_plugin.py - how much memory tests use, and limits on it.
# Knows: pytest's hooks, Tracker, FileReader. Does not know: how a capture is made.
"""`pytest --memtrace` records every test and tells of the biggest at the end. Marked tests are recorded
without it:

    @pytest.mark.limit_memory("24 MB")      fails when the peak of the test is above
    @pytest.mark.limit_leaks("1 MB")        fails when one place leaks more
    @pytest.mark.limit_leaked_objects       fails when an object that it created is alive at its end

Units are powers of 1024. What is recorded is the test function alone, not its fixtures. Results travel
in the test reports, so that xdist needs nothing else."""

import asyncio
import functools
import gc
import os
import re
import shutil
import sys
import tempfile
import threading
import uuid
from collections import Counter
from typing import Any, Callable, Dict, Generator, Iterable, List, NamedTuple, Optional, Tuple

import pytest

from . import _objects
from ._reader import AllocationRecord, FileFormat, FileReader
from ._tracker import Tracker

MARKERS = {
    "limit_memory": "limit_memory(limit, current_thread_only=False): fail the test when its memory "
                    "peaks above the limit, like '24 MB'",
    "limit_leaks": "limit_leaks(limit, filter_fn=None, current_thread_only=False): fail the test when "
                   "one place leaks more than the limit; filter_fn(stack) false excuses a place",
    "limit_leaked_objects": "limit_leaked_objects(filter_fn=None): fail the test when Python objects that it "
                            "created are alive at its end, Python 3.13.3 and later; filter_fn(object) false "
                            "excuses one",
}
HISTOGRAM_BINS = 5
TYPES_SHOWN, OBJECTS_SHOWN, REPR_MAX = 10, 10, 100


class StackFrame(NamedTuple):
    function: str
    filename: str
    lineno: int


class Stack(NamedTuple):
    """What filter_fn gets: most recent frame first, native ones too."""
    frames: Tuple[StackFrame, ...]


# ---- options ----

class _Option(NamedTuple):
    flag: str
    kind: str		# of the ini value: "bool" or "string"
    default: Any
    help: str

    @property
    def name(self) -> str:
        return self.flag[2:].replace("-", "_")


_OPTIONS = [
    _Option("--memtrace", "bool", False, "record the memory of every test"),
    _Option("--memtrace-bin-path", "string", None, "keep the captures in this folder"),
    _Option("--memtrace-bin-prefix", "string", None, "what their names begin with"),
    _Option("--hide-memtrace-summary", "bool", False, "no summary at the end"),
    _Option("--most-allocations", "string", 5, "show so many tests and functions (5; 0: all)"),
    _Option("--stacks", "string", 1, "show so many frames of a place (1)"),
    _Option("--native", "bool", False, "show native frames"),
    _Option("--trace-python-allocators", "bool", False, "record Python's own allocator"),
    _Option("--memtrace-aggregate", "bool", False, "sums by stack in place of each event: small captures"),
    _Option("--fail-on-increase", "bool", False,
            "fail a test with limit_memory that uses more than in its last successful run"),
]


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("memtrace")
    parser.addini("verbosity_memtrace", "how much a failed limit_memory tells: below 0 the sum alone, from 2 on "
                  "all places, else --most-allocations of them; without it as -v and -q", default="auto")
    for option in _OPTIONS:
        action = "store_true" if option.kind == "bool" else "store"
        try:
            group.addoption(option.flag, action=action, default=None, help=option.help)
        except ValueError:	# pytest-memray has the same: one command line for both
            continue
        parser.addini(option.name, option.help, default=option.default,
                      **({"type": "bool"} if option.kind == "bool" else {}))


def _value(config: Any, name: str) -> Any:
    """Of the command line, else of the ini file."""
    value = config.getoption(name, None)
    return config.getini(name) if value is None else value


def _number(config: Any, name: str) -> int:
    try:
        number = int(_value(config, name))
        if number < 0:
            raise ValueError
    except ValueError:
        raise pytest.UsageError(f"--{name.replace('_', '-')}: a number, please") from None
    return number


def _verbosity(config: Any) -> int:
    text = config.getini("verbosity_memtrace")
    if text == "auto":
        return int(config.getoption("verbose", 0))
    try:
        return int(text)
    except ValueError:
        raise pytest.UsageError("verbosity_memtrace: a number, or auto") from None


# ---- sizes ----

_UNITS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """"24 MB" to bytes, by powers of 1024."""
    match = re.match(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])i?B|(B))\s*$", text, re.I)
    if not match:
        raise ValueError(f"invalid size {text!r}: a number and B, KB, MB, GB or TB")
    return int(float(match.group(1)) * 1024 ** _UNITS[(match.group(2) or "B").upper()])


def size_text(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}TiB"


# ---- what a test used ----

def _place(record: AllocationRecord, native: bool, stacks: int) -> List[str]:
    frames = record.hybrid_stack_trace() if native else record.stack_trace()
    return [f"{function}:{file}:{line}" for function, file, line in frames[:stacks or None]] \
        or ["the interpreter"]


def _biggest(records: Iterable[AllocationRecord], native: bool, stacks: int) -> List[Tuple[List[str], int]]:
    found: Dict[Tuple[str, ...], int] = {}
    for record in records:
        place = tuple(_place(record, native, stacks))
        found[place] = found.get(place, 0) + record.size
    return [(list(place), size) for place, size in sorted(found.items(), key=lambda x: -x[1])]


def _histogram(records: List[AllocationRecord]) -> List[Tuple[int, int]]:
    """(smallest size, blocks) of powers of 32 from 1 byte on."""
    bins = [0] * HISTOGRAM_BINS
    for record in records:
        size = record.size // max(record.n_allocations, 1)
        bins[min(max(size.bit_length() - 1, 0) // 5, HISTOGRAM_BINS - 1)] += record.n_allocations
    return [(32 ** i, count) for i, count in enumerate(bins)]


def _places_text(places: List[Tuple[List[str], int]]) -> str:
    lines = []
    for place, size in places:
        lines.append(f"    - {place[0]} -> {size_text(size)}")
        lines += [f"        {frame}" for frame in place[1:]]
    return "\n".join(lines)


# ---- limits ----

class _Limit(NamedTuple):
    """A marker with its arguments."""
    name: str
    limit: int
    filter_fn: Optional[Callable[[Any], bool]]		# of a Stack, or of an object
    current_thread_only: bool


def _limit_of(item: Any) -> Optional[_Limit]:
    markers = [m for name in MARKERS for m in item.iter_markers(name)][:2]
    names = {m.name for m in markers}
    if len(names) > 1:
        raise pytest.UsageError(f"only one of {', '.join(MARKERS)} can be used on a test")
    if not markers:
        return None
    marker = markers[0]

    def arguments(limit: str, filter_fn: Any = None, current_thread_only: bool = False) -> _Limit:
        return _Limit(marker.name, parse_size(limit), filter_fn, current_thread_only)

    def of_memory(limit: str, current_thread_only: bool = False) -> _Limit:
        return arguments(limit, None, current_thread_only)

    def of_objects(filter_fn: Any = None) -> _Limit:
        return _Limit(marker.name, 0, filter_fn, False)
    try:
        if marker.name == "limit_leaked_objects":
            return of_objects(*marker.args, **marker.kwargs)
        if marker.name == "limit_memory":
            return of_memory(*marker.args, **marker.kwargs)
        return arguments(*marker.args, **marker.kwargs)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{marker.name}: {error}") from None


def _of_thread(records: Iterable[AllocationRecord], tid: Optional[int]) -> List[AllocationRecord]:
    return [r for r in records if tid is None or r.tid == tid]


def _objects_text(objects: List[object]) -> str:
    """How many of which type, and some of them."""
    types = Counter(type(o).__name__ for o in objects).most_common()
    lines = [f"Object types that leaked (total: {len(objects)} objects):"]
    lines += [f"    {count:>6} {name} instance(s)" for name, count in types[:TYPES_SHOWN]]
    if len(types) > TYPES_SHOWN:
        lines.append(f"    ... and {len(types) - TYPES_SHOWN} more types")
    lines.append("Sample of leaked objects:")
    for o in objects[:OBJECTS_SHOWN]:
        try:
            text = repr(o)
        except Exception as error:		# it is a program's to define
            text = f"<repr() raises {type(error).__name__}>"
        lines.append(f"    {type(o).__name__}: {text if len(text) <= REPR_MAX else text[:REPR_MAX - 3] + '...'}")
    if len(objects) > OBJECTS_SHOWN:
        lines.append(f"    ... and {len(objects) - OBJECTS_SHOWN} more")
    return "\n".join(lines)


class _Measured:
    """One recorded test: its capture and who ran it."""

    def __init__(self, path: str, limit: Optional[_Limit]) -> None:
        self.path = path
        self.limit = limit
        self.tid: Optional[int] = None
        self.complete = False
        self.objects: Optional[str] = None		# what is to be said of those that are left

    @property
    def of_objects(self) -> bool:
        return self.limit is not None and self.limit.name == "limit_leaked_objects"

    @property
    def of_leaks(self) -> bool:
        return self.limit is not None and self.limit.name == "limit_leaks"

    def look_at_objects(self, tracker: Tracker) -> None:
        """At once: later others let go of them, and we keep none alive."""
        if self.limit is None or not self.of_objects:
            return
        filter_fn = self.limit.filter_fn
        left = [o for o in tracker.get_surviving_objects() if filter_fn is None or filter_fn(o)]
        if left:
            self.objects = f"Test leaked {len(left)} objects\n{_objects_text(left)}"

    def problem(self, reader: FileReader, config: Any, last: Optional[int]) -> Optional[str]:
        """Why the test fails, or None."""
        limit = self.limit
        if limit is None:
            return None
        if self.of_objects:
            return self.objects
        tid = self.tid if limit.current_thread_only else None
        if limit.name == "limit_leaks":
            return self._leaks(reader, limit, tid, config)
        records = _of_thread(reader.get_high_watermark_allocation_records(merge_threads=tid is None), tid)
        peak = sum(r.size for r in records)
        if peak > limit.limit:
            text = f"Test is using {size_text(peak)} out of limit of {size_text(limit.limit)}"
        elif last is not None and peak > last:
            text = f"Test uses {size_text(peak - last)} more than in its last run, {size_text(last)}"
        else:
            return None
        verbosity = _verbosity(config)
        if verbosity < 0:
            return text
        places = _biggest(records, bool(_value(config, "native")), max(_number(config, "stacks"), 1))
        most = 0 if verbosity > 1 else _number(config, "most_allocations")
        return f"{text}\nList of allocations:\n{_places_text(places[:most or len(places)])}"

    def _leaks(self, reader: FileReader, limit: _Limit, tid: Optional[int], config: Any) -> Optional[str]:
        found = []
        for r in _of_thread(reader.get_leaked_allocation_records(merge_threads=tid is None), tid):
            stack = Stack(tuple(StackFrame(*frame) for frame in r.hybrid_stack_trace()))
            if r.size > limit.limit and (limit.filter_fn is None or limit.filter_fn(stack)):
                found.append(r)
        if not found:
            return None
        places = _biggest(found, True, max(_number(config, "stacks"), 5))
        return (f"Test leaked {size_text(sum(r.size for r in found))} in {len(found)} "
                f"{'place' if len(found) == 1 else 'places'}, the limit of each is "
                f"{size_text(limit.limit)}\n{_places_text(places)}")

    def result(self, reader: FileReader, config: Any) -> Dict[str, Any]:
        """What the summary tells, in types that travel between processes."""
        records = list(reader.get_high_watermark_allocation_records())
        places = _biggest(records, bool(_value(config, "native")), max(_number(config, "stacks"), 1))
        most = _number(config, "most_allocations") or len(places)
        return {"peak": reader.totals()["peakBytes"], "allocations": reader.totals()["allocations"],
                "histogram": _histogram(records), "places": places[:most]}


# ---- the plugin ----

def _tid() -> int:
    import ctypes
    if hasattr(threading, "get_native_id"):
        return threading.get_native_id()
    return int(ctypes.CDLL(None).syscall(186))	# gettid


class Plugin:
    def __init__(self, config: Any) -> None:
        self.config = config
        self.all = bool(_value(config, "memtrace"))
        self.kept = _value(config, "memtrace_bin_path")
        self.folder = os.fspath(self.kept) if self.kept else tempfile.mkdtemp(prefix="memtrace-pytest-")
        os.makedirs(self.folder, exist_ok=True)
        self.prefix = _value(config, "memtrace_bin_prefix") or uuid.uuid4().hex
        self.measured: Dict[str, _Measured] = {}		# tests that are running
        self.names: Dict[str, str] = {}		# of kept captures: whose each is
        self.results: Dict[str, Dict[str, Any]] = {}
        self.peaks: Dict[str, int] = {}
        cache = getattr(config, "cache", None)
        self.last: Dict[str, int] = cache.get("memtrace/peaks", {}) if cache else {}

    # -- running a test --

    def _track(self, measured: _Measured) -> Tracker:
        kind = FileFormat.AGGREGATED_ALLOCATIONS if _value(self.config, "memtrace_aggregate") \
            else FileFormat.ALL_ALLOCATIONS
        every = measured.of_leaks or bool(_value(self.config, "trace_python_allocators"))
        return Tracker(measured.path, overwrite=True, file_format=kind, trace_python_allocators=every,
                       track_object_lifetimes=measured.of_objects)

    def _wrap(self, function: Callable[..., Any], measured: _Measured) -> Callable[..., Any]:
        def end() -> None:
            measured.complete = True
            if measured.of_leaks or measured.of_objects:	# a cycle that is not collected yet is no leak
                gc.collect()

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            measured.tid = _tid()
            with self._track(measured) as tracker:
                function(*args, **kwargs)
                end()
            measured.look_at_objects(tracker)

        @functools.wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            measured.tid = _tid()
            with self._track(measured) as tracker:
                await function(*args, **kwargs)
                end()
            measured.look_at_objects(tracker)
        return acall if asyncio.iscoroutinefunction(function) else call

    def _name(self, nodeid: str) -> str:
        """A file's name that no other test has; the same one when the test is run again."""
        plain = re.sub(r"[^\w.-]+", "-", nodeid)[-150:]
        name, count = plain, 1
        while self.names.setdefault(name, nodeid) != nodeid:
            count += 1
            name = f"{plain}.{count}"
        return f"{self.prefix}-{name}.bin"

    def pytest_collection_modifyitems(self, items: List[Any]) -> None:
        if sys.version_info < _objects.NEEDED and any(item.get_closest_marker("limit_leaked_objects")
                                                      for item in items):
            raise pytest.UsageError("limit_leaked_objects requires Python 3.13.3 or later, this is "
                                    f"{'.'.join(map(str, sys.version_info[:3]))}")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: Any) -> Generator[None, Any, None]:
        limit = _limit_of(item)
        if not isinstance(item, pytest.Function) or not (self.all or limit):
            yield
            return
        measured = _Measured(os.path.join(self.folder, self._name(item.nodeid)), limit)
        self.measured[item.nodeid] = measured
        function = item.obj
        item.obj = self._wrap(function, measured)
        try:
            yield
        finally:
            item.obj = function

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, None]:
        outcome = yield
        report = outcome.get_result()
        measured = self.measured.pop(item.nodeid, None) if report.when == "call" else None
        if measured is None or not measured.complete:
            return
        with FileReader(measured.path) as reader:
            last = self.last.get(item.nodeid) if _value(self.config, "fail_on_increase") else None
            report.memtrace = measured.result(reader, self.config)
            problem = measured.problem(reader, self.config, last)
        if not self.kept:
            os.unlink(measured.path)
        if problem and report.passed:
            report.outcome = "failed"
            report.longrepr = problem
            report.memtrace["problem"] = True

    # -- telling, where the reports of all workers come together --

    def pytest_report_teststatus(self, report: Any) -> Optional[Tuple[str, str, str]]:
        if report.when == "call" and report.failed and getattr(report, "memtrace", {}).get("problem"):
            return "failed", "M", "MEMORY PROBLEMS"
        return None

    def pytest_runtest_logreport(self, report: Any) -> None:
        result = getattr(report, "memtrace", None)
        if report.when != "call" or result is None:
            return
        self.results[report.nodeid] = result
        if report.passed:
            self.peaks[report.nodeid] = result["peak"]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.all or _value(self.config, "hide_memtrace_summary") or not self.results:
            return
        out = terminalreporter
        out.write_sep("=", "MEMTRACE REPORT")
        most = _number(self.config, "most_allocations") or len(self.results)
        for nodeid, result in sorted(self.results.items(), key=lambda x: -int(x[1]["peak"]))[:most]:
            out.write_line(f"Allocation results for {nodeid} at the high watermark")
            out.write_line("")
            out.write_line(f"  Total memory allocated: {size_text(result['peak'])}")
            out.write_line(f"  Total allocations: {result['allocations']}")
            out.write_line("  Histogram of allocation sizes:")
            peak = max([count for _, count in result["histogram"]] + [1])
            for size, count in result["histogram"]:
                bar = "#" * -(-30 * count // peak)
                out.write_line(f"    from {size_text(size):>9} {count:>8} {bar}".rstrip())
            out.write_line("  Biggest allocating functions:")
            out.write_line(_places_text(result["places"]))
            out.write_line("")
        if self.kept:
            out.write_line(f"Captures are in {self.folder}")

    def pytest_sessionfinish(self) -> None:
        cache = getattr(self.config, "cache", None)
        if cache and self.peaks and not hasattr(self.config, "workerinput"):
            cache.set("memtrace/peaks", {**self.last, **self.peaks})

    def pytest_unconfigure(self) -> None:
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)


def pytest_configure(config: Any) -> None:
    for text in MARKERS.values():
        config.addinivalue_line("markers", text)
    config.pluginmanager.register(Plugin(config), "memtrace_plugin")
