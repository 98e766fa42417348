# SPDX-License-Identifier: Apache-2.0
# tests/vs-memray/test_vs_memray.py - memtrace and Memray say the same of the same program, site by site.
# Knows: program.py, sites.py, a root that has Memray. Does not know: how either records.
# Run by tests/run.py. What differs, and why: docs/accuracy.md.
import json
import sys
import unittest

import harness
import session

sys.path.insert(0, str(harness.ROOT / "tests" / "acceptance"))
import table  # noqa: E402
import sites  # noqa: E402

TIMEOUT = 300
FRAME = 616	# bytes of the frame object of _parse() in Python's re, the only one that is no small object
ENVIRONMENT = {"PYTHONHASHSEED": "0"}
HERE = harness.ROOT / "tests" / "vs-memray"


def by_site(rows, view):
    """{(stack, allocator): (blocks, bytes)}. Memray sums what several functions gave at one site under the name of
    the last of them, but for single events: there is no allocator in the keys of other views."""
    found = {}
    for stack, allocator, blocks, size in rows:
        key = tuple(map(tuple, stack)), allocator if view == "allocated" else ""
        have = found.get(key, (0, 0))
        found[key] = have[0] + blocks, have[1] + size
    return found


def readable(key):
    stack, allocator = key
    return f"{allocator} {' < '.join(f'{function}:{line}' for function, _, line in stack)}"


class Compared(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.python = harness.newer_interpreter(self, "3.14")

    def command(self, tmp, path, trace):
        for name in ("sites.py", "program.py"):
            self.python.put(HERE / name, tmp)
        self.python.put(table.TARGETS / "helpers.py", tmp)
        libraries = [self.python.put(table.library(name), tmp)
                     for name in ("helper_sized.c", "helper.c", "helper_cpp.cc")]
        return [*self.python.argv, self.python.inside(tmp / "program.py"), path, int(trace), *libraries]

    def with_proc(self, argv):
        """Memray reads /proc."""
        chroot, root, *rest = argv
        script = f'mount --bind /proc "$0/proc" && exec {chroot} "$0" "$@"'
        return harness.run(["unshare", "--mount", "sh", "-c", script, root, *rest], check=0, env=ENVIRONMENT).out

    def of_memray(self, tmp, trace):
        cap = self.python.inside(tmp / "memray.bin")
        self.with_proc(self.command(tmp, cap, trace))
        return json.loads(self.with_proc([*self.python.argv, self.python.inside(tmp / "sites.py"), cap]))

    def of_memtrace(self, tmp, trace, how):
        options = ["--trace-python-allocators"] if trace else []
        with harness.start_target(self.command(tmp, how, trace), stdin=True, wait="^ready",
                                  env=ENVIRONMENT) as target:
            with session.Attach(target.pid, "-q", "-o", tmp / "cap.bin", *options) as attach:
                target.send("go\n")
                target.wait_line("^done", 60)
                attach.interrupt()
        reader = table.memtrace.FileReader(tmp / "cap.bin")
        return sites.views(reader, table.memtrace.AllocatorType, self.python.root)

    def differences(self, trace, how):
        """[(view, site, Memray's, memtrace's)]"""
        with self.python.tmpdir() as tmp:
            theirs, ours = self.of_memray(tmp, trace), self.of_memtrace(tmp, trace, how)
        self.assertGreater(len(ours["allocated"]), 30)
        found = []
        for view in ("allocated", "peak", "leaks"):
            a, b = by_site(theirs[view], view), by_site(ours[view], view)
            found += [(view, readable(key), a.get(key), b.get(key)) for key in sorted(set(a) | set(b))
                      if a.get(key) != b.get(key)]
        return found

    def test_allocations(self):
        """Under a profile function, as under Memray's: equal at every site, in every view."""
        self.assertEqual(self.differences(False, "- profiled"), [])

    def test_python_allocators(self):
        """Each object."""
        self.assertEqual(self.differences(True, "- profiled"), [])

    def test_without_a_profile_function(self):
        """What Memray sees more are frame objects that its own profile function has Python make."""
        for view, site, theirs, ours in self.differences(False, "-"):
            self.assertEqual((view, ours, theirs[1] // theirs[0]), ("allocated", None, FRAME), site)


if __name__ == "__main__":
    unittest.main()
