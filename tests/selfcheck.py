# SPDX-License-Identifier: Apache-2.0
# tests/selfcheck.py - programs that check themselves, and the page with their verdict.
# Knows: tests/targets/check/page.h's layout. Does not know: what each mode checks.
# Imported by tests/e2e and tests/soak.
"""
    with selfcheck.start("waits", tmp) as target:      # tests/targets/selfcheck.c
        ...
        self.assertEqual(target.failure(), "")         # as of now
        self.assertEqual(target.finish(), "")          # its end: "" or what was broken
"""

import contextlib
import mmap
import struct
import time

import harness

FLAGS = ["-O1", "-D_GNU_SOURCE", "-pthread", "-ldl", "-w"]
# musl-gcc has no headers of the kernel's of its own.
KERNEL_HEADERS = ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"]
SIZE = 4096
READY, STOP, FAILED, ALLOW_EINTR = 0, 4, 8, 12
ROUNDS, EINTR, SIGNALS, GAP_US, TICKS, FAILURE = 16, 24, 32, 40, 48, 56
FAILURE_SIZE = 256


class Page:
    """The shared page, mapped here too."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb+") as file:
            file.truncate(SIZE)
            self.map = mmap.mmap(file.fileno(), SIZE)

    def u32(self, offset):
        return struct.unpack_from("<I", self.map, offset)[0]

    def u64(self, offset):
        return struct.unpack_from("<Q", self.map, offset)[0]

    def put32(self, offset, value):
        struct.pack_into("<I", self.map, offset, value)

    def rounds(self):
        return self.u64(ROUNDS)

    def failure(self):
        if not self.u32(FAILED):
            return ""
        text = self.map[FAILURE:FAILURE + FAILURE_SIZE].split(b"\0")[0].decode(errors="replace")
        return text or "failed"

    def gap_ms(self):
        """The ticker's longest gap since the last call; 0 where there is none."""
        gap = self.u64(GAP_US)
        struct.pack_into("<Q", self.map, GAP_US, 0)
        return gap / 1000


class SelfChecked:
    """A started program with its page."""

    def __init__(self, target, page):
        self.target, self.page, self.pid = target, page, target.pid

    def alive(self):
        return self.target.alive()

    def failure(self):
        return self.page.failure()

    def goes_on(self, timeout=20):
        """Progress, or an AssertionError with what broke."""
        before = self.page.rounds()
        harness.wait_for(lambda: self.page.rounds() != before or self.failure()
                         or not self.alive(), timeout, what="it works on")
        if self.failure() or not self.alive():
            raise AssertionError(self.failure() or f"it ended: {self.target.wait(5)}")

    def finish(self, timeout=60):
        """Asks it to end; "" when all was well, else what was not."""
        self.page.put32(STOP, 1)
        if self.target.proc.stdin:
            with contextlib.suppress(OSError):
                self.target.proc.stdin.close()
        code = self.target.wait(timeout)
        words = " ".join(self.target.lines[-1:])
        if code == 0 and words.startswith("ok") and not self.failure():
            return ""
        return self.failure() or f"exit {code}, last words '{words}', {self.target.err[-500:]}"


@contextlib.contextmanager
def start(mode, tmp, rest_us=0, argv=None, preexec=None, ready=True, compiler=None):
    """tests/targets/selfcheck.c in a mode (or another program that keeps such a page: `argv`
    gets the page's path appended). `compiler`: of another C library."""
    page = Page(tmp / f"page-{mode}-{time.monotonic_ns()}")
    if argv is None:
        flags = FLAGS + (KERNEL_HEADERS if compiler else [])
        argv = [harness.compile_c("selfcheck.c", flags=flags, compiler=compiler), mode]
    with harness.start_target([*argv, page.path, rest_us], stdin=True, preexec=preexec) as target:
        checked = SelfChecked(target, page)
        if ready:
            harness.wait_for(lambda: page.u32(READY) or not target.alive(), 30, what="ready")
            if not target.alive():
                raise AssertionError(f"it ended: {target.wait(5)} {target.err}")
        yield checked
