# SPDX-License-Identifier: Apache-2.0
# memtrace/ipython.py - the cell magic %%memtrace_flamegraph.
# Knows: IPython, `memtrace flamegraph`. Does not know: notebooks' formats.
"""%load_ext memtrace, then %%memtrace_flamegraph at the top of a cell: the cell is run and recorded,
and its flame graph shown below it. `%%memtrace_flamegraph -h` tells the options."""

import argparse
import os
import subprocess
import tempfile
from typing import Any, List, NoReturn, Optional

from . import _files
from ._reader import FileFormat
from ._tracker import Tracker

RESULTS = "memtrace-results"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong instead of ending the interpreter."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}\n{self.format_usage()}")

    def exit(self, status: int = 0, message: Optional[str] = None) -> NoReturn:
        raise ValueError(message or "")


def _parser() -> _Parser:
    parser = _Parser(prog="%%memtrace_flamegraph", add_help=False,
                     description="Record the cell and show its flame graph.")
    parser.add_argument("-h", "--help", action="store_true", help="show this text")
    parser.add_argument("--native", action="store_true",
                        help="native stacks: always recorded, accepted for Memray's sake")
    parser.add_argument("--no-native", action="store_true", help="Python frames only")
    parser.add_argument("--follow-fork", action="store_true", help="record forked children and what they execute")
    parser.add_argument("--trace-python-allocators", action="store_true",
                        help="record requests to Python's own allocator")
    parser.add_argument("--leaks", action="store_true", help="what is alive at the end of the cell")
    parser.add_argument("--temporary-allocation-threshold", metavar="N", type=int,
                        help="blocks freed before N + 1 further allocations")
    parser.add_argument("--temporary-allocations", action="store_true",
                        help="the same with N = 1")
    parser.add_argument("--temporal", action="store_true",
                        help="memory over time: every page has it, accepted for Memray's sake")
    parser.add_argument("--split-threads", action="store_true", help="keep threads apart")
    parser.add_argument("--inverted", action="store_true", help="start from what allocates")
    parser.add_argument("--max-memory-records", metavar="N", type=int,
                        help="points of the memory graph: accepted for Memray's sake")
    parser.add_argument("--aggregate", action="store_true",
                        help="keep sums by stack in place of each event: a small file")
    parser.add_argument("--sample", metavar="BYTES", help="record a sample of blocks")
    return parser


def _report_options(args: argparse.Namespace) -> List[str]:
    temporary = args.temporary_allocations or args.temporary_allocation_threshold is not None
    if args.temporal and temporary:
        raise ValueError("--temporal and temporary allocations exclude each other")
    if args.leaks and temporary:
        raise ValueError("--leaks and temporary allocations exclude each other")
    if args.aggregate and args.temporary_allocation_threshold not in (None, 1):
        raise ValueError("--aggregate knows what is freed before 2 further allocations, no other threshold")
    options = ["--leaks"] if args.leaks else []
    if args.temporary_allocation_threshold is not None:
        options.append(f"--temporary-allocation-threshold={args.temporary_allocation_threshold}")
    elif args.temporary_allocations:
        options.append("--temporary-allocations")
    options += ["--split-threads"] if args.split_threads else []
    options += ["--inverted"] if args.inverted else []
    return options


def _parse(line: str) -> argparse.Namespace:
    import shlex
    return _parser().parse_args(shlex.split(line))


def flamegraph(ipython: Any, line: str, cell: str) -> None:
    """Runs the cell in the user's namespace under a Tracker and shows the page."""
    from IPython.display import IFrame, display
    try:
        args = _parse(line)
        options = _report_options(args)
    except ValueError as error:
        print(error)
        return
    if args.help:
        print(_parser().format_help())
        return
    os.makedirs(RESULTS, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="tmp", dir=RESULTS)
    capture, page = os.path.join(folder, "cell.bin"), os.path.join(folder, "flamegraph.html")
    code = ipython.transform_cell(cell)
    kind = FileFormat.AGGREGATED_ALLOCATIONS if args.aggregate else FileFormat.ALL_ALLOCATIONS
    with Tracker(capture, file_format=kind, native_traces=not args.no_native, follow_fork=args.follow_fork,
                 trace_python_allocators=args.trace_python_allocators, sample=args.sample):
        # Shows a traceback itself; the page is made whatever the cell did.
        ipython.run_cell(code, store_history=False)
    done = subprocess.run([_files.program(), "flamegraph", "--no-debuginfod", "-o", page, capture]
                          + options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout.decode("utf-8", "replace"), end="")
        return
    print(f"Results saved to {page}")
    display(IFrame(page, width="100%", height="600"))


def register(ipython: Any) -> None:
    def memtrace_flamegraph(line: str, cell: str) -> None:
        flamegraph(ipython, line, cell)
    ipython.register_magic_function(memtrace_flamegraph, "cell", "memtrace_flamegraph")
