# SPDX-License-Identifier: Apache-2.0
# tests/python/test_places.py - Tracker where it is not easy: a process without its privileges, where ptrace is
# refused, under gevent, a worker of gunicorn.
# Knows: the package, gevent, gunicorn. Does not know: how it attaches.
import os
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.request

import harness
from test_package import HERE, PACKAGE, environment

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
# Where ptrace is refused, beside threads that want the interpreter, and one that never sleeps.
REFUSED = """
import ctypes, sys, threading, warnings
import memtrace, refused
refused.refuse()
spin = ctypes.CDLL(sys.argv[2])
warnings.simplefilter("always")

def record(name):
    with warnings.catch_warnings(record=True) as found:
        try:
            with memtrace.Tracker(sys.argv[1], overwrite=True):
                kept = bytearray(1234567)
        except RuntimeError as error:
            print(name, "raises", error)
            return
    with open("/proc/self/maps") as maps:
        left = sorted({line.split()[5] for line in maps if "memfd:memtrace" in line})
    with memtrace.FileReader(sys.argv[1]) as reader:
        print(name, reader.metadata.peak_memory >= 1234567, left, *(str(w.message) for w in found))

def work():
    while not over:
        sum([bytearray(600)[0] for _ in range(100)])

record("alone")
over = False
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
record("threads")
over = True
for thread in threads: thread.join()
spin.begin()
record("spinning"); record("again")
spin.end()
record("after")
"""
SPIN = """
#include <pthread.h>
static volatile int over;
static pthread_t thread;
static void *spin(void *unused) { while (!over) ; return unused; }
void begin(void) { pthread_create(&thread, NULL, spin, NULL); }
void end(void) { over = 1; pthread_join(thread, NULL); }
"""
TRACED = """
import sys, memtrace
with memtrace.Tracker(sys.argv[1]):
    kept = bytearray(1234567)
print(memtrace.FileReader(sys.argv[1]).metadata.peak_memory >= 1234567)
"""
KILLED = """
import ctypes, os, sys, memtrace, refused
refused.refuse(int(sys.argv[2]))
try:
    with memtrace.Tracker(sys.argv[1]):
        print("recorded")
except RuntimeError as error:
    print("lives")
"""
GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, memtrace
if len(sys.argv) > 2:
    import refused; refused.refuse()
for i in range(5):
    with memtrace.Tracker(sys.argv[1], overwrite=True):
        kept = bytearray(1234567)
    print(memtrace.FileReader(sys.argv[1]).metadata.peak_memory >= 1234567)
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
        """Nothing is left behind but the one page; with a thread that never sleeps, until it does."""
        spin = harness.compile_c(SPIN, name="spin", flags=["-shared", "-fPIC", "-pthread"])
        clean = "True ['/memfd:memtrace-thunk']"
        with harness.tmpdir() as tmp:
            out = harness.run([harness.PYTHON, "-c", REFUSED, tmp / "out.bin", spin], check=0, timeout=120,
                              env=environment(PACKAGE, HERE)).out.splitlines()
        self.assertEqual(out[:2], [f"alone {clean}", f"threads {clean}"])
        self.assertRegex(out[2], r"^spinning True .*memtrace-tracer.* disarmed but still in process \d+: "
                                 r"a thread that never sleeps could not be looked at .*the next capture")
        self.assertRegex(out[3], r"^again raises what an earlier capture left .* cannot be removed now")
        self.assertEqual(out[4:], [f"after {clean}"])

    def test_somebody_traces_it(self):
        if not shutil.which("strace"):
            self.skipTest("no strace here")
        for options in ([], ["-f"]):
            with self.subTest(options), harness.tmpdir() as tmp:
                out = harness.run(["strace", *options, "-o", "/dev/null", harness.PYTHON, "-c", TRACED,
                                   tmp / "out.bin"], env=environment(PACKAGE), check=0).out
                self.assertEqual(out, "True\n")

    def test_who_controls_another_process(self):
        """One that is refused: it cannot help, and is not asked to."""
        with harness.tmpdir() as tmp, harness.start_target(["sleep", "100"]) as target:
            target.signal(signal.SIGSTOP)
            harness.wait_for(lambda: harness.proc_state(target.pid) == "T", 10)
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.settimeout(30)
                subprocess.run([harness.MEMTRACE, "attach", "--control", "-q", "-o", tmp / "out.bin",
                                str(target.pid)], stdin=theirs, stdout=theirs, stderr=theirs, check=True)
                theirs.close()
                with ours.makefile("r") as lines:
                    self.assertRegex(lines.readline(), r"^ready \d+\n")
                    ours.sendall(b"go\n")
                    said = lines.readlines()
            self.assertTrue(any(line.startswith("failed 5 ") for line in said), said)
            self.assertFalse([line for line in said if line.startswith("cooperate")])
            target.signal(signal.SIGCONT)

    def test_a_call_that_it_needs_kills(self):
        """Of what the Tracker calls itself, and of what memtrace has it call: nothing of it is tried here."""
        calls = {"poll": 7, "madvise": 28, "dup": 32, "sendto": 44, "sendmsg": 46, "shutdown": 48, "prctl": 157,
                 "gettid": 186, "memfd_create": 319}
        for name, number in calls.items():
            with self.subTest(name), harness.tmpdir() as tmp:
                out = harness.run([harness.PYTHON, "-c", KILLED, tmp / "out.bin", str(number)], check=0, timeout=60,
                                  env=environment(PACKAGE, HERE)).out
                self.assertEqual(out, "lives\n")

    def test_gevent(self):
        """Whose sockets do not wait, and whose waitpid() knows its own children only."""
        python = "/usr/bin/python3"
        if harness.run([python, "-c", "import gevent"]).code:
            self.skipTest("no gevent here")
        for refused in ([], ["refused"]):
            with self.subTest(refused), harness.tmpdir() as tmp:
                out = harness.run([python, "-c", GEVENT, tmp / "out.bin", *refused], check=0, timeout=60,
                                  env=environment(PACKAGE, HERE)).out
                self.assertEqual(out, "True\n" * 5)

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
