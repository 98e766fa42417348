# SPDX-License-Identifier: Apache-2.0
# tests/soak/kinds.py - the table of what is attached to: how each kind starts, answers and ends.
# Knows: programs, their load, their verdicts. Does not know: memtrace, cycles.
# Imported by tests/soak/soak.py and tests/soak/cycle.py.
"""A kind is used as

    kind = KINDS["redis"]()
    kind.start(tmp, seconds)        # raises Absent when the machine has not got it
    kind.pid
    kind.mark()                     # a cycle begins
    kind.harm()                     # "" or what is wrong with it now
    kind.pause_ms()                 # the longest pause since mark(), as it or a client saw it
    kind.finish()                   # "" or what its own verdict at the end says
    kind.close()                    # always"""

import contextlib
import glob
import importlib
import os
import shutil
import time
import unittest

import harness
import loaded
import selfcheck


class Absent(Exception):
    """The machine has not got it; the text says what."""


class Kind:
    exact_maps = False          # it maps nothing itself
    stable_threads = True
    stable_fds = True
    moving_modules = False      # it loads and unloads libraries
    moving_masks = False        # its handlers run all the time

    def __init__(self):
        self.stack = contextlib.ExitStack()

    def close(self):
        self.stack.close()


# ---- programs that check themselves ----

class Checked(Kind):
    mode, rest_us, compiler = None, 0, None
    pause_by = "1 ms ticker in the target"

    def argv(self):
        return None

    def start(self, tmp, _seconds):
        if self.compiler and not shutil.which(self.compiler):
            raise Absent(f"no {self.compiler}")
        self.checked = self.stack.enter_context(
            selfcheck.start(self.mode, tmp, self.rest_us, argv=self.argv(), compiler=self.compiler))
        self.pid, self.page = self.checked.pid, self.checked.page
        self.target = self.checked.target

    def mark(self, killed=False):
        """Waits that lie to a stopped thread may do so when its controller was killed."""
        self.page.put32(selfcheck.ALLOW_EINTR, killed)
        self.rounds = self.page.rounds()
        self.page.gap_ms()

    def harm(self):
        if not self.checked.alive():
            return f"it ended: {self.target.wait(5)} {self.target.lines[-1:]}{self.target.err[-500:]}"
        if self.mode != "idle" and not self.page.failure():
            with contextlib.suppress(AssertionError):
                harness.wait_for(lambda: self.page.rounds() > self.rounds or self.page.failure()
                                 or not self.checked.alive(), 30, 0.002)
            if self.page.rounds() == self.rounds:
                return f"no progress in 30 s; {self.page.failure()}"
        return self.page.failure()

    def pause_ms(self):
        return self.page.gap_ms() if self.mode != "idle" else None

    def eintr(self):
        """EINTRs seen that are excused by a killed controller."""
        return self.page.u64(selfcheck.EINTR)

    def finish(self):
        return self.checked.finish()


def checked(name, **more):
    return type(f"Checked_{name}", (Checked,), {"mode": name, **more})


def musl(name, **more):
    return checked(name, compiler="musl-gcc", **more)


class Python(Checked):
    interpreter = harness.PYTHON
    rest_us = 2000

    def argv(self):
        return [self.interpreter, harness.TARGETS / "check_python.py"]


class PythonOfPyenv(Python):
    version = None

    def start(self, tmp, seconds):
        root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        found = sorted(glob.glob(f"{root}/versions/{self.version}.*/bin/python3"))
        if not found:
            raise Absent(f"no Python {self.version} of pyenv")
        self.interpreter = found[-1]
        super().start(tmp, seconds)


def python(version):
    return type(f"Python{version}", (PythonOfPyenv,), {"mode": f"python{version}",
                                                      "version": version})


# ---- servers under load: those of tests/real ----

class Served(Kind):
    module, server_class, program = None, None, None
    stable_fds = False
    pause_by = "slowest answer to a client"

    def start(self, tmp, seconds):
        if self.program and not shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin"):
            raise Absent(f"no {self.program}")
        try:
            server = getattr(importlib.import_module(self.module), self.server_class)
            self.server = server("test_under_load")
            self.server.seconds, self.server.endless = 100000, True
            self.stack.callback(self.server.doCleanups)
            self.server.setUp()
            self.pid = self.server.start()
        except unittest.SkipTest as why:
            raise Absent(str(why)) from why
        self.server.ask()
        self.begun = time.monotonic()
        self.load = self.server.start_load()
        self.client = loaded.Client(self.server.ask)
        self.client.start()
        self.stack.callback(self.client.over.set)

    def mark(self, killed=False):
        self.since = time.monotonic()
        self.asked = self.client.asked

    def alive(self):
        return harness.proc_state(self.pid) not in (None, "Z", "X")

    def harm(self):
        if not self.alive():
            return "it ended"
        # One answer that was asked for after this moment.
        asked = self.client.asked
        with contextlib.suppress(AssertionError):
            harness.wait_for(lambda: self.client.asked > asked + 1 or self.client.wrong, 30, 0.002)
        if self.client.wrong:
            return f"wrong answers: {self.client.wrong[:3]}"
        if self.client.asked <= asked + 1:
            return "no answer in 30 s"
        if self.load and not self.load.alive():
            return f"its load ended: {self.load.err[-500:]}"
        return ""

    def pause_ms(self):
        return self.client.slowest(self.since, time.monotonic())

    def finish(self):
        self.client.stop()
        try:
            if self.client.wrong:
                return f"wrong answers: {self.client.wrong[:3]}"
            self.server.end_load(self.load)
            self.server.ask()
            self.server.stop()
        except AssertionError as broken:
            return str(broken)[-1500:]
        return ""

    def eintr(self):
        return 0


def served(module, server_class, program, **more):
    return type(server_class, (Served,), {"module": module, "server_class": server_class,
                                          "program": program, **more})


class Backend(Served):
    module, server_class, program = "test_postgres", "Postgres", "psql"

    def start(self, tmp, seconds):
        if os.geteuid() != 0:
            raise Absent("PostgreSQL's user can be taken by root only")
        super().start(tmp, seconds)


KINDS = {
    "c-registers": checked("regs", rest_us=200),
    "c-waits": checked("waits", stable_fds=False, moving_masks=True),
    "c-signals": checked("storm", rest_us=200, moving_masks=True),
    "c-timers": checked("timers", moving_masks=True),
    "c-malloc": checked("malloc"),
    "c-threads": checked("churn", stable_threads=False, moving_masks=True),
    "c-dlopen": checked("dlopen", rest_us=500, moving_modules=True, stable_fds=False),
    "c-deep": checked("deep"),
    "c-children": checked("children", moving_masks=True, rest_us=500),
    "c-idle": checked("idle", exact_maps=True),
    "musl-registers": musl("regs", rest_us=200),
    "musl-waits": musl("waits", stable_fds=False, moving_masks=True),
    "musl-malloc": musl("malloc"),
    "musl-threads": musl("churn", stable_threads=False, moving_masks=True),
    "musl-idle": musl("idle", exact_maps=True),
    "python3": type("Python3", (Python,), {"mode": "python3"}),
    "python3.8": python("3.8"),
    "python3.11": python("3.11"),
    "python3.13": python("3.13"),
    "gunicorn": served("test_gunicorn_django", "Gunicorn", "gunicorn"),
    "postgres": Backend,
    # jemalloc starts a thread of its own after a while
    "redis": served("test_redis", "Redis", "redis-server", stable_threads=False),
    "nginx": served("test_nginx", "Nginx", "nginx"),
    "node": served("test_node", "Node", "node"),
    # The collector and the compiler start threads as they need them.
    "java": served("test_java", "Java", "javac", stable_threads=False),
    "rust": served("test_rust", "Rust", "rustc"),
}
