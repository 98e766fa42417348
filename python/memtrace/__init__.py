# SPDX-License-Identifier: Apache-2.0
# memtrace/__init__.py - the names of the package.
"""Finds where a program's memory goes.

    import memtrace
    with memtrace.Tracker("out.bin"):
        work()
    with memtrace.FileReader("out.bin") as reader:
        for record in reader.get_high_watermark_allocation_records():
            print(record.size, record.stack_trace(max_stacks=1))

The names and meanings are Memray's where it has them: `import memtrace as memray` works."""

from typing import Any

from ._profile import profile_function
from ._reader import (AllocationRecord, AllocatorType, FileFormat, FileReader, Interval,
                      MemorySnapshot, Metadata, TemporalAllocationRecord, dump_all_records)
from ._tracker import Destination, FileDestination, Tracker

__version__ = "0.1.0"

__all__ = ["AllocationRecord", "AllocatorType", "Destination", "FileDestination", "FileFormat",
           "FileReader", "Interval", "MemorySnapshot", "Metadata", "TemporalAllocationRecord", "Tracker",
           "dump_all_records", "profile_function", "__version__"]


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext memtrace`: the cell magic %%memtrace_flamegraph."""
    from .ipython import register
    register(ipython)
