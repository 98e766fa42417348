# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/table.py - runs tables of rows: a function of a target, what its capture must say.
# Knows: tests/targets/acceptance/runner.py, captures by the package's FileReader. Does not know: rows.
# Imported by tests/acceptance/test_*.py.
"""
    ROWS = [
        Row("PK-1", "same_twice", peak([(1024, 1)]), high=True),
        Row("LK-1 ...", "one_leak", ..., shares="leaks"),
    ]
    Memory = table.of(ROWS, "memory")     # a TestCase: each interpreter, by attach and by run

Every row has a capture of its own, unless rows name one that they share. By attach all captures are
of one process; by run each is of one from its start. What memtrace makes of a row are the records that
have the row's function in their Python stack."""

import contextlib
import json
import os
import re
import shutil
import sys
import unittest

import harness
import session

sys.path.insert(0, str(harness.ROOT / "python"))
os.environ["MEMTRACE"] = str(harness.MEMTRACE)
os.environ["MEMTRACE_LIBRARY"] = str(harness.BUILD / "libmemtrace.so.1")
import memtrace  # noqa: E402

TARGETS = harness.TARGETS / "acceptance"
RELEASES = {memtrace.AllocatorType.FREE, memtrace.AllocatorType.MUNMAP, memtrace.AllocatorType.BRK_SHRINK,
            memtrace.AllocatorType.PYMALLOC_FREE}


class Row:
    """One case. `function` and arguments: what the target does; `check(test, seen)`: what must be
    true; `high`: it must happen while the process is at its peak; `before`: rows of the target that are
    done before the capture begins, by attach alone. `not_by`: {"run": "why it cannot be"}."""

    def __init__(self, name, function, check, *, high=False, shares=None, options=(), before=(),
                 not_by=None, prime=True):
        self.name, self.check, self.high, self.options = name, check, high, tuple(options)
        self.function, *self.arguments = function.split()
        self.shares = shares if shares else name
        self.before, self.not_by, self.prime = before, not_by or {}, prime

    def command(self, word=None):
        return " ".join([word or ("high" if self.high else "do"), self.function, *self.arguments])


class Capture:
    """A capture, read once for all rows that share it."""

    def __init__(self, path):
        self.path, self.reader = path, memtrace.FileReader(path)
        self._events, self._functions = None, {}

    @property
    def events(self):
        if self._events is None:
            self._events = list(self.reader.get_allocation_records())
        return self._events

    def functions(self, record):
        """Names of the Python functions of its stack, without their class."""
        if record.stack_id not in self._functions:
            names = {function.split(".")[-1] for function, _, _ in record.stack_trace()}
            self._functions[record.stack_id] = names
        return self._functions[record.stack_id]


class Seen:
    """A capture as one row sees it: the records in whose stack its function is, or one that is named
    after it (a thread's)."""

    def __init__(self, row, way, python, capture, said):
        self.row, self.way, self.python, self.capture, self.said = row, way, python, capture, said
        self.reader = capture.reader
        self.pattern = re.compile(rf"{row.function}(_in_\w+)?")

    def is_mine(self, record):
        names = self.capture.functions(record)
        return "prime" not in names and any(map(self.pattern.fullmatch, names))

    def mine(self, records, allocator=None):
        return [r for r in records if (r.allocator == allocator if allocator else r.allocator not in RELEASES)
                and self.is_mine(r)]

    def allocations(self, allocator=None, size=None):
        return self.mine((r for r in self.capture.events if size in (None, r.size)), allocator)

    def releases(self, address, allocator=memtrace.AllocatorType.FREE):
        return [r for r in self.capture.events if r.allocator == allocator and r.address == address]

    def peak(self, allocator=None, **kwargs):
        return self.mine(self.reader.get_high_watermark_allocation_records(**kwargs), allocator)

    def leaks(self, allocator=None):
        return self.mine(self.reader.get_leaked_allocation_records(), allocator)

    def temporary(self, threshold, allocator=None):
        return self.mine(self.reader.get_temporary_allocation_records(threshold=threshold), allocator)


def sizes(records):
    """[(bytes, blocks)] of records, the largest first."""
    return sorted(((r.size, r.n_allocations) for r in records), reverse=True)


class Process:
    """The target under one interpreter, told row by row what to do (attach)."""

    def __init__(self, python, module, tmp, env):
        self.python, self.argv, self.tmp = python, argv(python, module, tmp), tmp
        self.env = {**environment(python, tmp), **env}
        self.number = 0

    @contextlib.contextmanager
    def started(self):
        with harness.start_target(self.argv, stdin=True, wait="^ready", env=self.env) as self.target:
            yield self
            self.target.proc.stdin.close()
            code = self.target.wait()
            if code or self.target.err:
                raise AssertionError(f"the target ended with {code}: {self.target.err}")

    def ask(self, command):
        self.number += 1
        self.target.send(f"{command}\n")
        harness.wait_for(lambda: len(self.answers()) >= self.number or not self.target.alive(), 60, 0.002,
                         f"answer to {command!r}")
        if len(self.answers()) < self.number:
            raise AssertionError(f"it died of {command!r}: {self.target.err}")
        return json.loads(self.answers()[-1][5:])

    def answers(self):
        return [line for line in self.target.lines if line.startswith("done ")]

    def capture(self, rows):
        """(capture, what each row said)"""
        for row in rows:
            if row.prime:
                self.ask(row.command("prime"))
            for command in row.before:
                self.ask(f"do {command}")
        cap = self.tmp / f"{rows[0].shares.replace(' ', '-')}.bin"
        with session.Attach(self.target.pid, "-q", "-o", cap, *rows[0].options) as attach:
            said = [self.ask(row.command()) for row in rows]
            attach.interrupt()
        return cap, said


def library(name):
    return harness.compile_c(f"acceptance/{name}", flags=["-shared", "-fPIC", "-pthread", "-Wall", "-ldl"])


def argv(python, module, tmp):
    """The target's command line; its files are where the interpreter can see them."""
    runner, *_ = [python.put(path, tmp) for path in sorted(TARGETS.glob("*.py"), key=lambda p: p.stem != "runner")]
    helpers = map(library, ("helper_sized.c", "helper.c", "helper_cpp.cc"))
    return [*python.argv, runner, module, *(python.put(path, tmp) for path in helpers)]


def environment(python, tmp):
    """A copy of the helper, which is another library for the loader."""
    shutil.copy(library("helper.c"), tmp / "late.so")
    return {"LATE_LIBRARY": python.inside(tmp / "late.so")}


class Runs:
    """The same by run: each capture is of a process of its own, from its start."""

    def __init__(self, python, module, tmp, env):
        self.python, self.argv, self.tmp = python, argv(python, module, tmp), tmp
        self.env = {**environment(python, tmp), **env}

    @contextlib.contextmanager
    def started(self):
        yield self

    def capture(self, rows):
        lines, wanted = [], []
        for row in rows:
            lines += [row.command("prime")] if row.prime else []
            lines += [f"do {command}" for command in row.before]
            wanted.append(len(lines))
            lines.append(row.command())
        cap = self.tmp / f"{rows[0].shares.replace(' ', '-')}.bin"
        result = harness.memtrace("run", "-q", "-o", cap, *rows[0].options, "--", *self.argv,
                                  stdin="".join(f"{line}\n" for line in lines), env=self.env)
        if result.err:
            raise AssertionError(str(result))
        answers = [json.loads(line[5:]) for line in result.out.splitlines() if line.startswith("done ")]
        return cap, [answers[i] for i in wanted]


def captures(rows, way):
    """Lists of rows that share a capture."""
    found = {}
    for row in rows:
        if way not in row.not_by:
            found.setdefault((row.shares, row.options), []).append(row)
    return found.values()


class Table(unittest.TestCase):
    maxDiff = None
    ROWS = MODULE = None

    def prepare(self, python, tmp):
        """Puts there what the rows need besides, and returns what to add to the environment."""
        return {}

    def check_all(self, way, python):
        with python.tmpdir() as tmp:
            kind = Process if way == "attach" else Runs
            with kind(python, self.MODULE, tmp, self.prepare(python, tmp)).started() as target:
                for rows in captures(self.rows(way, python), way):
                    self.check_rows(way, target, rows)

    def rows(self, way, python):
        # chroot itself is the program then whose capture has the given name, and Python another one.
        behind_chroot = way == "run" and python.root
        return [row for row in self.ROWS if not (behind_chroot and "--follow-fork" in row.options)]

    def check_rows(self, way, target, rows):
        try:
            cap, said = target.capture(rows)
        except AssertionError as error:
            with self.subTest(", ".join(row.name for row in rows)):
                self.fail(str(error))
            return
        capture = Capture(cap)
        for row, answer in zip(rows, said):
            with self.subTest(row.name):
                row.check(self, Seen(row, way, target.python, capture, answer))
        cap.unlink()


def here():
    """{name: function of a test that gives the interpreter}: those of this machine, then newer ones."""
    found = {name: lambda test, path=path: harness.Interpreter(path)
             for name, path in harness.interpreters().items()}
    for name in harness.NEWER:
        found[f"{harness.NEWER_SUITE} {name}"] = lambda test, name=name: harness.newer_interpreter(test, name)
    return found


def tests(check, interpreters):
    """Members of a TestCase: a test of each interpreter, named after check(test, interpreter)."""
    members = {}
    for name, find in interpreters.items():
        def test(self, find=find):
            check(self, find(self))
        short = re.sub(r"\W+", "_", name.replace(os.path.expanduser("~"), ""))
        members[f"test_{check.__name__}_{short}"] = test
    return members


def each(check):
    return tests(check, here())


def add(case, *checks):
    for check in checks:
        for name, test in each(check).items():
            setattr(case, name, test)


def of(rows, module, interpreters=each, base=Table):
    """A TestCase with a test for each interpreter and way."""
    def attach(self, python):
        self.check_all("attach", python)

    def run(self, python):
        self.check_all("run", python)
    members = {"ROWS": rows, "MODULE": module, **interpreters(attach), **interpreters(run)}
    return type(module.capitalize(), (base,), members)
