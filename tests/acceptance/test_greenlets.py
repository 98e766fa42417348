# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_greenlets.py - greenlets and gevent (GR).
# Knows: what the functions of tests/targets/acceptance/greenlets.py and gevents.py do. Does not know: how they are run.
# Run by tests/run.py.
"""Each stack is the running greenlet's own: its Python functions and lines as the program says, natively up to the
function that a greenlet begins in, and nothing of who runs where its memory was before. Greenlets have no ids
of their own here: records are of threads."""
import unittest

import harness
import table
from memtrace import AllocatorType as A
from table import Row
from test_stacks import plain, stacks

TIMEOUT = 400


def frames(record):
    """Names of the whole stack, the youngest first; those that stand for no frame, too."""
    library = table.memtrace._library
    return [f.function for f in record._capture.stack(record.stack_id, library.HYBRID)]


def whole(allocator=A.VALLOC, size=None):
    """And natively: all of it, and of this greenlet alone."""
    def check(test, seen):
        stacks(allocator, size)(test, seen)
        for record, said in zip(seen.allocations(allocator, size), seen.said):
            names = frames(record)
            python = [f[0] for f in plain(record.stack_trace())]
            test.assertEqual([n.split(".")[-1] for n in names if n.split(".")[-1] in python], python)
            test.assertNotIn("<truncated>", names)
            test.assertEqual([n for n in names if "EvalFrame" in n], [])
            test.assertEqual("native_between" in names, any("in_callback" in f for f in python), names)
            if python[-1] == "<module>":
                test.assertEqual(names[-1], "_start")
            else:
                test.assertRegex(names[-1], "^greenlet::UserGreenlet::inner_bootstrap")
    return check


def of_threads(test, seen):
    """Two threads, in whatever order."""
    found = {}
    for record in seen.allocations(A.VALLOC):
        found.setdefault(record.tid, []).append(plain(record.stack_trace()))
        test.assertNotIn("<truncated>", frames(record))
    key = str
    test.assertEqual(sorted(found.values(), key=key), sorted(([plain(s) for s in said] for said in seen.said), key=key))


def row(name, function, check, **more):
    """Not primed: what a greenlet does beforehand has nothing of that in its stack."""
    return Row(name, function, check, prime=False, **more)


GREENLETS = [
    # First by attach: greenlet is loaded while events are recorded.
    row("GR-1 imported later", "switching", whole()),
    row("GR-1", "switching", whole(), shares="greenlets"),
    row("started by another", "started_inside", whole(), shares="greenlets"),
    row("below frames of C", "suspended_in_native", whole(), shares="greenlets"),
    row("one after another", "many", whole(), shares="greenlets"),
    row("exceptions", "thrown", whole(), shares="greenlets"),
    row("generators", "generator", whole(), shares="greenlets"),
    row("threads", "threads", of_threads, shares="greenlets"),
    row("older than the capture", "resume", whole(), before=["suspend"], shares="older"),
    row("Python's allocator", "objects", whole(A.PYMALLOC_MALLOC, 499), options=["--trace-python-allocators"]),
]
GEVENT = [
    row("gevent", "spawned", whole(), shares="gevent"),
    row("gevent, patched threads", "patched_threads", whole(), shares="gevent"),
    row("gevent, pool", "pool", whole(), shares="gevent"),
    row("gevent, its loop", "callbacks", whole(), shares="gevent"),
    row("gevent, Python's allocators", "spawned", whole(), options=["--trace-python-allocators"], shares="traced",
        not_by={"run": "gevent's own start has millions of events, which this test would read one by one"}),
]


def with_greenlet(check):
    """Where distributions have the packages: of this machine's own Python, and of a newer Debian's."""
    return table.tests(check, {"usr_bin_python3": lambda test: harness.Interpreter(harness.PYTHON),
                               "forky_3_14": lambda test: harness.newer_interpreter(test, "3.14")})


Greenlets = table.of(GREENLETS, "greenlets", with_greenlet)
Gevents = table.of(GEVENT, "gevents", with_greenlet)


if __name__ == "__main__":
    unittest.main()
