# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_memory_limit.py - an attach never pushes a target over its memory limit.
# Knows: memory control groups, version 1 and 2. Does not know: what the tracer needs.
# Run by tests/run.py. The arithmetic on both versions' files: tests/unit/u_cgroup.c.
import contextlib
import os
import re
import time
import unittest
from pathlib import Path

import harness
import session

KIB = 1024
NAMES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
         2: ("memory.max", "memory.current")}


def hierarchy():
    """(version, folder in which groups with a memory limit can be made) or None."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, rest = (part.split() for part in line.split(" - "))
        mount = Path(fields[4])
        if rest[0] == "cgroup" and "memory" in rest[-1].split(","):
            return 1, mount
        if rest[0] == "cgroup2":
            with contextlib.suppress(OSError):
                if "memory" in (mount / "cgroup.subtree_control").read_text().split():
                    return 2, mount
    return None


class MemoryLimit(unittest.TestCase):
    def setUp(self):
        found = hierarchy()
        if not found:
            self.skipTest("no memory control groups here")
        self.version, mount = found
        self.group = mount / f"memtrace-test-{os.getpid()}-{self.id().rsplit('.', 1)[1][-20:]}"
        try:
            self.group.mkdir()
        except OSError as error:
            self.skipTest(f"no right to make a control group: {error}")
        self.addCleanup(self.remove)

    def remove(self):
        harness.wait_for(lambda: not (self.group / "cgroup.procs").read_text(), 10,
                         what="the group is empty")
        self.group.rmdir()

    def used(self):
        return int((self.group / NAMES[self.version][1]).read_text())

    def limit(self, size):
        (self.group / NAMES[self.version][0]).write_text(str(size))

    @contextlib.contextmanager
    def service(self, threads):
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])

        def enter():
            (self.group / "cgroup.procs").write_text(str(os.getpid()))
        with harness.start_target([program, threads], stdin=True, wait="^ready",
                                  preexec=enter) as target:
            target.wait_line("^beat")
            yield target
            target.send("x")
            self.assertEqual(target.wait(30), 0, target.lines[-1:])
            self.assertRegex(target.lines[-1], "^ok ")

    def refused(self, target, cap):
        result = harness.memtrace("attach", target.pid, "--duration", "200ms", "-o", cap, check=1)
        first, hint = result.err.splitlines()
        self.assertRegex(first, rf"memory limit of process {target.pid}'s control group leaves "
                         r"\d+ KiB, and tracing its 5 threads can take \d+ KiB")
        self.assertFalse(cap.exists())
        self.assertEqual(harness.maps_clean(target.pid), [])
        return int(re.search(r"raise the limit by (\d+) KiB", hint)[1])

    def test_nearly_full(self):
        """Refused by what is missing; with that much more it is recorded, and within the limit."""
        with harness.tmpdir() as tmp, self.service(4) as target:
            self.limit(self.used() + 2048 * KIB)        # its own memory moves a little
            missing = self.refused(target, tmp / "cap.bin")
            self.assertGreater(missing, 0)
            room = self.used() + (2048 + 4096 + missing) * KIB
            self.limit(room)
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(2)
                attach.interrupt()
            counters = harness.counters(tmp / "cap.bin")
            self.assertGreater(counters["produced"], 1000)
            self.assertEqual(counters["produced"], counters["written"])
            self.assertLessEqual(self.used(), room)
            self.assertEqual(harness.maps_clean(target.pid), [])


if __name__ == "__main__":
    unittest.main()
