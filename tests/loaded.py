# SPDX-License-Identifier: Apache-2.0
# tests/loaded.py - captures of a real server while clients use it.
# Knows: a server, its load, its answers. Does not know: which server.
# Imported by tests/real/test_*.py.
"""Each test starts a server of its own on loopback in a folder of its own, lets clients use it,
attaches twice and makes every report. Nothing a client sees may change.

    class Redis(loaded.Server):
        SYMBOL = r"^processCommand\\b"       # some frame of the capture must look like this
        def start(self): ...                 # starts it, returns the pid to attach to
        def ask(self): ...                   # one request; raises when the answer is wrong
        def load(self): ...                  # argv of a load generator, or None
        def check_load(self, result): ...    # its own count of errors is zero

MEMTRACE_SHORT=1, or CI in the environment, makes the captures 3 seconds instead of 10."""

import contextlib
import os
import signal
import subprocess
import threading
import time
import unittest

import harness
import session

SECONDS = 3 if os.environ.get("MEMTRACE_SHORT") or os.environ.get("CI") else 10


class Client(threading.Thread):
    """Asks one question after another; keeps the time each took and every wrong answer."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.over = ask, threading.Event()
        self.asked, self.wrong, self.times = 0, [], []

    def run(self):
        while not self.over.is_set():
            begin = time.monotonic()
            try:
                self.ask()
            except Exception as error:          # any failure is a wrong answer
                self.wrong.append(f"{type(error).__name__}: {error}")
                time.sleep(0.05)
            self.times.append((begin, time.monotonic() - begin))
            self.asked += 1
            time.sleep(0.001)

    def slowest(self, begin, end):
        """Milliseconds of the slowest answer in that time."""
        return round(1000 * max((took for at, took in self.times if begin <= at <= end),
                                default=0), 1)

    def stop(self):
        self.over.set()
        self.join(30)


class Server(unittest.TestCase):
    SYMBOL = None
    SYMBOL_VIEW = "allocated"
    seconds = SECONDS           # of the first capture; the load runs some longer
    endless = False             # the load is ended by SIGINT instead (tests/soak)

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.tmp = self.stack.enter_context(harness.tmpdir(0o755))
        self.facts = []

    def fact(self, text):
        self.facts.append(text)

    # ---- what a server says of itself ----

    def start(self):
        raise NotImplementedError

    def ask(self):
        raise NotImplementedError

    def load(self):
        return None

    def check_load(self, result):
        self.assertEqual(result.code, 0, result)

    def stop(self):
        """Its orderly end, and that it is one."""

    # ---- the test ----

    def attach(self, pid, name, seconds):
        result = harness.memtrace("attach", pid, "--duration", f"{seconds}s",
                                  "-o", self.tmp / name, timeout=seconds + 60)
        self.assertEqual(harness.memtrace("status", pid).code, 0)
        self.assertEqual(harness.maps_clean(pid), [])
        self.assertEqual(harness.tracer_pid(pid), 0)
        return result

    def start_load(self):
        argv = self.load()
        if not argv:
            return None
        return self.stack.enter_context(harness.start_target(argv))

    def end_load(self, load):
        if load:
            if self.endless:
                load.signal(signal.SIGINT)
            code = load.wait(120)
            self.check_load(harness.Result(load.argv, code, "\n".join(load.lines),
                                           load.err + "\n" + "\n".join(self.facts), 0))

    def use(self, pid):
        """Clients before, during and after two captures."""
        client = Client(self.ask)
        load = self.start_load()
        client.start()
        time.sleep(1)
        threads, begin = len(harness.threads(pid)), time.monotonic()
        quiet = client.slowest(0, begin)
        result = self.attach(pid, "first.bin", self.seconds)
        middle = time.monotonic()
        self.attach(pid, "second.bin", 1)
        end = time.monotonic()
        asked = client.asked
        time.sleep(1)
        self.assertGreater(client.asked, asked, "it answers no more")
        client.stop()
        self.fact(f"slowest answer {quiet} ms before, {client.slowest(begin, middle)} in the first "
                  f"capture, {client.slowest(middle, end)} in the second; {threads} threads; "
                  f"{client.asked} answers; load average {os.getloadavg()[0]}")
        self.assertEqual(client.wrong, [], f"{len(client.wrong)} of {client.asked} answers wrong; "
                         f"{self.facts}")
        self.end_load(load)
        return result

    def check_capture(self, name, least):
        """Every report; how many events."""
        cap = self.tmp / name
        counters = harness.counters(cap)
        self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
        begin = time.monotonic()
        symbolized = self.tmp / f"symbolized-{name}"
        harness.memtrace("symbolize", cap, "-o", symbolized, timeout=100)
        took = time.monotonic() - begin
        page = self.tmp / f"{name}.html"
        harness.memtrace("flamegraph", symbolized, "-o", page, timeout=100)
        self.assertGreater(page.stat().st_size, 10000)
        harness.memtrace("summary", symbolized, timeout=100)
        stats = harness.stats(symbolized)
        self.assertGreater(stats["total_num_allocations"], least, stats)
        rows = harness.folded(symbolized, "--view", self.SYMBOL_VIEW, "--metric", "count")
        self.assertEqual(sum(v for _, v in rows), stats["total_num_allocations"])
        named = harness.folded_sum(rows, self.SYMBOL)
        self.assertGreater(named, 0, f"nothing like {self.SYMBOL} in "
                           + "\n".join(";".join(f) for f, _ in rows[:40]))
        cut = harness.folded_sum(rows, "truncated")
        self.fact(f"{name}: {counters}, {cap.stat().st_size} bytes, {stats['total_num_allocations']} "
                  f"allocations, {100 * named // stats['total_num_allocations']} % with "
                  f"{self.SYMBOL}, {100 * cut // stats['total_num_allocations']} % cut, "
                  f"symbolized in {took:.1f} s")

    def whole(self, least=100):
        pid = self.start()
        self.ask()
        before = session.Snapshot(pid)
        self.use(pid)
        after = session.Snapshot(pid)
        self.check_capture("first.bin", least)
        self.check_capture("second.bin", 0)
        self.assertLessEqual(len(after.thunks), 1)
        self.assertEqual(before.status, after.status)
        leftover = [s for s in after.slots if s in before.slots and
                    any(int(t.split("-")[0], 16) <= int.from_bytes(bytes.fromhex(after.slots[s]),
                                                                  "little")
                        < int(t.split("-")[1], 16) for t in after.thunks)]
        self.assertEqual(leftover, [], "slots still point at the thunks")
        self.ask()
        self.stop()
        print(f"{type(self).__name__}: " + "\n  ".join(self.facts))

    def end_with(self, target, number=signal.SIGTERM, code=0, timeout=30):
        target.signal(number)
        self.assertEqual(target.wait(timeout), code, target.err[-2000:])


def children(pid):
    """Child processes, youngest last."""
    text = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True,
                          text=True, check=False).stdout
    return sorted(int(x) for x in text.split())
