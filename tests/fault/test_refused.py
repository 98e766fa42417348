# SPDX-License-Identifier: Apache-2.0
# tests/fault/test_refused.py - memtrace dies, fails or has no memory at every k-th of its steps while a
# program under a filter that refuses ptrace records itself.
# Knows: the package's Tracker, the environment of tests/fault/fault.c. Does not know: what the steps do.
# Run by tests/run.py.
import os
import unittest

import harness
import walk
import walker

PYTHON = harness.ROOT / "tests" / "python"
STRIDE = 120
# Says how many steps were walked, and of each what is wrong after it.
PROGRAM = """
import errno, os, re, sys, time, warnings
import memtrace, refused
refused.refuse()
what, path, log, stride, first = *sys.argv[1:4], *map(int, sys.argv[4:])
warnings.simplefilter("ignore")         # the tracer may still be there

def record():
    with memtrace.Tracker(path, overwrite=True):
        kept = [bytearray(1000) for _ in range(100)]

def is_left():
    with open("/proc/self/maps") as maps:
        return "memfd:memtrace-tracer" in maps.read()

record()
fds = os.listdir("/proc/self/fd")
os.environ["MEMTRACE_FAULT_LOG"] = log
record()
os.environ["MEMTRACE_FAULT_LOG"] = "/dev/null"
ends = []
while not ends:                         # it writes that when we are done with it
    time.sleep(0.01)
    with open(log) as file:
        ends = re.findall(r"(?m)^end (\\d+) (\\d+)$", file.read())
steps, allocations = map(int, ends[-1])
errors = errno.EIO, errno.ENOMEM, errno.EPERM, errno.EMFILE, errno.ESRCH
walked = 0
for n in range(1 + first, (allocations if what == "nomem" else steps) + 1, stride):
    text = f"{what}:{n}" + (f":{errors[walked % len(errors)]}" if what == "fail" else "")
    os.environ["MEMTRACE_FAULT"] = text
    try:
        record()
    except (RuntimeError, OSError, MemoryError):
        pass
    del os.environ["MEMTRACE_FAULT"]
    try:
        record()
    except Exception as error:
        print(text, error)
    if is_left() or os.listdir("/proc/self/fd") != fds:
        print(text, is_left(), os.listdir("/proc/self/fd"))
    walked += 1
print(walked)
"""


class Refused(unittest.TestCase):
    def walk(self, what, stride=STRIDE):
        """The program goes on, and the next Tracker works and takes out what is left."""
        seed, first = walk.offset_of_this_run(stride)
        with harness.tmpdir() as tmp:
            path = os.pathsep.join(map(str, (harness.ROOT / "python", PYTHON)))
            out = harness.run([harness.PYTHON, "-c", PROGRAM, what, tmp / "out.bin", tmp / "log", stride, first],
                              check=0, timeout=240, env={
                                  "PYTHONPATH": path, "MEMTRACE": walker.FAULTY, "MEMTRACE_FAULT_BACKGROUND": "1",
                                  "MEMTRACE_LIBRARY": harness.BUILD / "libmemtrace.so.1"}).out
        self.assertRegex(out, r"^\d+\n$", f"MEMTRACE_FAULT_SEED={seed}")
        self.assertGreater(int(out), 10)

    def test_it_dies(self):
        self.walk("kill")

    def test_a_call_fails(self):
        self.walk("fail")

    def test_no_memory(self):
        self.walk("nomem", STRIDE // 4)


if __name__ == "__main__":
    unittest.main()
