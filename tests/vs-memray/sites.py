# SPDX-License-Identifier: Apache-2.0
# tests/vs-memray/sites.py - sums a capture by call site, in the words that Memray and memtrace share.
# Knows: FileReader, which both have. Does not know: which of them it is.
# Imported by tests/vs-memray/test_vs_memray.py; run with Memray's in a root that has it.
"""usage: sites.py CAPTURE: {view: [[stack, allocator, blocks, bytes], ...]} of a capture of Memray's as JSON. A
stack is [[function, file, line], ...], leaf first, without classes and folders, and ends with the first function
of program.py: who called that differs between the profilers."""
import json
import linecache
import os
import sys

RELEASES = {"FREE", "MUNMAP", "PYMALLOC_FREE", "BRK_SHRINK"}
FIRST = ("main", "worker_in_thread")


def at_entry(frame, root):
    """Is it a frame that has begun and done nothing yet? A profile function is called there; to memtrace it is
    the function's own frame, to Memray, which pushes it then, still its caller's."""
    function, file, line = frame
    return function.endswith("<genexpr>") or linecache.getline(f"{root}{file}", line).lstrip().startswith(("def ", "@"))


def site(stack, root):
    """None: not of the program."""
    if stack and at_entry(stack[0], root):
        stack = stack[1:]
    frames = [[function.split(".")[-1], os.path.basename(file), line] for function, file, line in stack]
    ends = [i for i, f in enumerate(frames) if f[0] in FIRST and f[1] == "program.py"]
    return frames[:ends[-1] + 1] if ends else None


def sums(records, name_of, root):
    found = {}
    for record in records:
        name = name_of(record.allocator)
        where = None if name in RELEASES else site(record.stack_trace(), root)
        if where:
            total = found.setdefault((json.dumps(where), name), [0, 0])
            total[0] += record.n_allocations
            total[1] += record.size
    return [[json.loads(where), name, *total] for (where, name), total in sorted(found.items())]


def views(reader, allocator_type, root=""):
    """`root`: where the files of the program are."""
    def name_of(number):
        return allocator_type(number).name
    return {
        "allocated": sums(reader.get_allocation_records(), name_of, root),
        "peak": sums(reader.get_high_watermark_allocation_records(merge_threads=True), name_of, root),
        "leaks": sums(reader.get_leaked_allocation_records(merge_threads=True), name_of, root),
    }


if __name__ == "__main__":
    import memray
    json.dump(views(memray.FileReader(sys.argv[1]), memray.AllocatorType), sys.stdout)
