# SPDX-License-Identifier: Apache-2.0
# tests/python/test_places.py - Tracker where it is not easy: a process without its privileges, a worker of
# gunicorn.
# Knows: the package, gunicorn. Does not know: how it attaches.
import os
import shutil
import unittest
import urllib.request

import harness
from test_package import PACKAGE, environment

DROPPED = """
import ctypes, os, sys, memtrace
os.setgroups([]); os.setgid(65534); os.setuid(65534)
prctl = ctypes.CDLL(None).prctl
before = prctl(3, 0, 0, 0, 0)
with memtrace.Tracker(sys.argv[1]):
    kept = bytearray(1234567)
peak = memtrace.FileReader(sys.argv[1]).metadata.peak_memory
print(before, prctl(3, 0, 0, 0, 0), peak >= 1234567)
"""
# Under a filter like those of containers: it refuses what reaches into other processes.
REFUSED = """
import ctypes, os, struct, sys
import memtrace
calls = 101, 310, 311       # ptrace, process_vm_readv, process_vm_writev
rules = [(0x20, 0, 0, 0), *((0x15, len(calls) - i, 0, nr) for i, nr in enumerate(calls)),
         (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050001)]       # allow; EPERM
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
prctl = ctypes.CDLL(None).prctl
assert not prctl(38, 1, 0, 0, 0) and not prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0)
for _ in range(2):
    try:
        with memtrace.Tracker(sys.argv[1]):
            print("inside")
    except RuntimeError as error:
        print(error)
with open("/proc/self/maps") as maps:
    print("memfd" in maps.read(), os.path.exists(sys.argv[1]), len(bytearray(1000)))
"""
APPLICATION = """
from memtrace.web import WSGIMiddleware
def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(bytearray(1234567))).encode()]
application = WSGIMiddleware(hello, secret="0123456789abcdef", directory=".")
"""


class Places(unittest.TestCase):
    def test_a_process_that_is_not_dumpable(self):
        if os.getuid():
            self.skipTest("only root can give up privileges")
        with harness.tmpdir(0o777) as tmp:
            # Where another user can read it.
            shutil.copytree(PACKAGE / "memtrace", tmp / "memtrace")
            for name in ("memtrace", "libmemtrace.so.1"):
                shutil.copy(harness.BUILD / name, tmp / f"{name}.copy")
            out = harness.run([harness.PYTHON, "-c", DROPPED, tmp / "out.bin"], cwd="/", check=0,
                              env={**environment(tmp), "MEMTRACE": tmp / "memtrace.copy",
                                   "MEMTRACE_LIBRARY": tmp / "libmemtrace.so.1.copy"}).out
            self.assertEqual(out, "0 0 True\n")

    def test_ptrace_is_refused(self):
        with harness.tmpdir() as tmp:
            out = harness.run([harness.PYTHON, "-c", REFUSED, tmp / "out.bin"], env=environment(PACKAGE),
                              check=0).out.splitlines()
            for line in out[:2]:
                self.assertRegex(line, r"^Tracker records by ptrace, which is refused here: process \d+ .*seccomp")
            self.assertEqual(out[2:], ["False False 1000"])

    def test_gunicorn(self):
        if not shutil.which("gunicorn"):
            self.skipTest("no gunicorn here")
        with harness.tmpdir() as tmp:
            (tmp / "app.py").write_text(APPLICATION)
            port = harness.free_port()
            with harness.start_target(["gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "app"], cwd=tmp,
                                      env=environment(PACKAGE)):
                harness.wait_port(port)
                for secret in ("0123456789abcdef", None, "0123456789abcdef"):
                    request = urllib.request.Request(f"http://127.0.0.1:{port}/")
                    if secret:
                        request.add_header("X-Memtrace-Profile", secret)
                    with urllib.request.urlopen(request, timeout=60) as reply:
                        self.assertEqual(reply.read(), b"1234567")
                        page = reply.headers["X-Memtrace-Profile"]
                    if secret:
                        self.assertIn("</html>", (tmp / os.path.basename(page)).read_text())
                    else:
                        self.assertIsNone(page)
                self.assertEqual(len(list(tmp.glob("*.bin"))), 2)


if __name__ == "__main__":
    unittest.main()
