#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/run.py - runs all tests, prints a line each, and closes with "N passed, N failed".
# Knows: where tests lie and how each kind reports. Does not know: what they test.
# Called by `make check`; needs Python 3.9's standard library.
"""usage: tests/run.py [-l] [-v] [--fuzz-seconds N] [PATTERN...]

Runs the tests whose name contains a PATTERN (all without one):
  unit/NAME          tests/unit/u_*.c, cmocka programs that `make unit` built
  asan/NAME          the same, built by `make unit-asan` with the sanitizers
  KIND/FILE.Class.m  tests/KIND/test_*.py, unittest modules (e2e, real, unwind, ...)
  KIND/FILE          tests/KIND/test_*.{mjs,js,sh} and check_*.sh: exit 0 ok, 77 skipped; lines of
                     TAP are counted one by one
  fuzz/NAME          tests/fuzz/fuzz_*.c: its seeds, then some seconds of libFuzzer
  check/NAME         make check-includes, check-headers

Every test runs in a session of its own with a time limit; whatever it leaves running is killed
when it ends, by the mark in its environment. O= and MEMTRACE= name another build."""

import argparse
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
BUILD = Path(os.environ.get("O", "build"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
TIMEOUT = 120
MARK = "MEMTRACE_TEST_RUN"
# Their targets are forks of themselves; the sanitizers' allocator in them is not what is tested.
NOT_UNDER_ASAN = {"u_borrow"}
NOT_KINDS = {"unit", "fuzz", "targets"}


class Outcome:
    def __init__(self, name, status, seconds, detail=""):
        self.name, self.status, self.seconds, self.detail = name, status, seconds, detail


class Report:
    """Prints each outcome as it comes and the closing lines."""

    def __init__(self):
        self.outcomes = []

    def add(self, name, status, seconds, detail=""):
        self.outcomes.append(Outcome(name, status, seconds, detail))
        why = f"  ({detail.strip().splitlines()[-1]})" if status == "skip" and detail else ""
        print(f"{'FAIL' if status == 'fail' else status:4}  {seconds:7.2f}s  {name}{why}",
              flush=True)

    def close(self):
        failed = [o for o in self.outcomes if o.status == "fail"]
        passed = sum(o.status == "ok" for o in self.outcomes)
        skipped = sum(o.status == "skip" for o in self.outcomes)
        for outcome in failed:
            print(f"\n==== FAIL {outcome.name}\n{outcome.detail.rstrip()}")
        if failed:
            print()
        print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""),
              flush=True)
        return 1 if failed or not passed else 0


# ---- processes ----

def kill_marked(mark):
    """Kills every process that carries this mark in its environment, however it was detached."""
    want = f"{MARK}={mark}".encode()
    for _ in range(5):
        found = False
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                marked = want in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                state = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
                if marked and state not in "ZX":
                    os.kill(int(entry), signal.SIGKILL)
                    found = True
            except (OSError, IndexError):
                continue
        if not found:
            return
        time.sleep(0.05)


class Marked:
    """Environment and folder of one run of tests; kills and removes what was left."""
    count = 0

    def __enter__(self):
        Marked.count += 1
        self.mark = f"{os.getpid()}-{Marked.count}"
        self.tmp = tempfile.mkdtemp(prefix="memtrace-check-")
        os.chmod(self.tmp, 0o755)       # tests become other users in it
        self.env = dict(os.environ, **{MARK: self.mark, "TMPDIR": self.tmp, "O": str(BUILD),
                                       "PYTHONDONTWRITEBYTECODE": "1",
                                       "PYTHONPATH": str(TESTS), "LC_ALL": "C.UTF-8"})
        self.env.pop("PYTHONHOME", None)
        return self

    def __exit__(self, *_):
        kill_marked(self.mark)
        shutil.rmtree(self.tmp, ignore_errors=True)


def forget_ignored():
    """In a child: signals that whoever started the tests ignores (nohup, a shell's `&`) are not
    ignored in them; memtrace would take it that they are to stay so."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def run_command(argv, timeout, env_extra=None, cwd=ROOT):
    """(exit code or None after the timeout, output of both, seconds)"""
    with Marked() as marked, tempfile.TemporaryFile() as out:
        begin = time.monotonic()
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
                                preexec_fn=forget_ignored,
                                env={**marked.env, **(env_extra or {})})
        try:
            code = proc.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
            code = None
        seconds = time.monotonic() - begin
        out.seek(0)
        return code, out.read().decode(errors="replace"), seconds


def ending(code, timeout):
    if code is None:
        return f"timed out after {timeout} s"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


# ---- programs: unit tests, scripts, checks ----

TAP = re.compile(r"^\s*(not )?ok \d+(?: - )?\s*(.*?)(?:\s*# (SKIP)\b\s*(.*))?\s*$", re.I)


def skip_reason(output, match):
    """The line before the one that skips, when it is no result itself."""
    if not match[3]:
        return ""
    before = output[:output.index(match[0])].rstrip("\n").rpartition("\n")[2]
    if match[2] and match[4]:
        return match[4]
    return "no reason given" if TAP.match(before) or re.match(r"\d+\.\.\d+$", before) else before


def report_program(report, name, argv, timeout, env=None, tap=False):
    code, output, seconds = run_command(argv, timeout, env)
    rows = [m for m in map(TAP.match, output.splitlines()) if m] if tap else []
    bad = 0
    for index, match in enumerate(rows):
        # cmocka writes "not ok 4 # SKIP name", and the reason, if any, in a line of its own before.
        status = "skip" if match[3] else "fail" if match[1] else "ok"
        bad += status == "fail"
        detail = output[-6000:] if status == "fail" else skip_reason(output, match)
        report.add(f"{name}.{match[2] or match[4] or index + 1}", status, seconds / len(rows), detail)
    if code == 77 and not rows:
        report.add(name, "skip", seconds, output or "no reason given")
    elif code != 0 and not bad:
        report.add(name, "fail", seconds, f"{output[-6000:]}\n{ending(code, timeout)}")
    elif code == 0 and not rows:
        if tap:
            report.add(name, "fail", seconds, f"{output[-6000:]}\nit ran no test")
        else:
            report.add(name, "ok", seconds)


class Program:
    """A test that is a program of its own."""

    def __init__(self, name, argv, timeout=TIMEOUT, env=None, tap=False):
        self.name, self.argv, self.timeout, self.env, self.tap = name, argv, timeout, env, tap

    def names(self):
        return [self.name]

    def run(self, report, _names):
        report_program(report, self.name, self.argv, self.timeout, self.env, self.tap)


class Missing:
    """A test that should be there and is not: a failure, never silence."""

    def __init__(self, name, why):
        self.name, self.why = name, why

    def names(self):
        return [self.name]

    def run(self, report, _names):
        report.add(self.name, "fail", 0, self.why)


def unit_tests(kind, build, how):
    for source in sorted(TESTS.glob("unit/u_*.c")):
        program = build / "tests" / "unit" / source.stem
        name = f"{kind}/{source.stem}"
        if kind == "asan" and source.stem in NOT_UNDER_ASAN:
            continue
        if program.exists():
            yield Program(name, [str(program)], timeout=300, tap=True,
                          env={"CMOCKA_MESSAGE_OUTPUT": "TAP"})
        else:
            yield Missing(name, f"{program} was not built: {how}")


def script_tests():
    for path in sorted(TESTS.glob("*/*")):
        kind = path.parent.name
        if kind in NOT_KINDS or not re.match(r"(test|check)_.*\.(mjs|js|sh)$", path.name):
            continue
        argv = ["bash"] if path.suffix == ".sh" else ["node"]
        yield Program(f"{kind}/{path.stem}", [*argv, str(path)], timeout=300,
                      tap=path.suffix != ".sh")


def structure_checks():
    for target in ("check-includes", "check-headers"):
        yield Program(f"check/{target}", ["make", "--no-print-directory", f"O={BUILD}", target],
                      timeout=300)


# ---- fuzzers ----

class Fuzzer:
    """tests/fuzz/fuzz_X.c, built by `make fuzz`; seeds in tests/fuzz/X/ or seeds/X/."""

    def __init__(self, source, seconds):
        self.source, self.seconds = source, seconds
        self.name = f"fuzz/{source.stem[5:]}"

    def names(self):
        return [self.name]

    def run(self, report, _names):
        program = BUILD / "tests" / "fuzz" / self.source.stem
        if not program.exists():
            report.add(self.name, "fail", 0, f"{program} was not built: make fuzz")
            return
        short = self.source.stem[5:]
        seeds = [str(p) for p in (TESTS / "fuzz" / short, TESTS / "fuzz" / "seeds" / short,
                                  TESTS / "fuzz" / f"{self.source.stem}_seeds") if p.is_dir()]
        with tempfile.TemporaryDirectory(prefix="memtrace-fuzz-") as corpus:
            argv = [str(program), f"-max_total_time={self.seconds}", "-timeout=10",
                    "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={corpus}/",
                    corpus, *seeds]
            timeout = self.seconds + 90
            code, output, seconds = run_command(argv, timeout)
            if code == 0:
                report.add(self.name, "ok", seconds)
                return
            kept = [self.keep(Path(p)) for p in Path(corpus).glob("*-*")
                    if re.match(r"(crash|oom|timeout|leak|slow-unit)-", p.name)]
            report.add(self.name, "fail", seconds,
                       f"{output[-6000:]}\n{ending(code, timeout)}\ninputs: {kept}")

    @staticmethod
    def keep(path):
        folder = BUILD / "tests" / "fuzz" / "found"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
        return str(folder / path.name)


# ---- Python modules ----

class PythonFile:
    """A unittest module; its tests run in one child process, which is replaced after a hang."""

    def __init__(self, path):
        self.path = path
        self.prefix = f"{path.parent.name}/{path.stem}"

    def child(self, *names, env):
        read, write = os.pipe()
        log = tempfile.TemporaryFile()
        proc = subprocess.Popen(
            [PYTHON, "-B", str(TESTS / "run.py"), "--child", str(write), str(self.path), *names],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, pass_fds=[write],
            cwd=ROOT, env=env, start_new_session=True, preexec_fn=forget_ignored)
        os.close(write)
        return proc, read, log

    def names(self):
        with Marked() as marked:
            proc, read, log = self.child("--list", env=marked.env)
            with os.fdopen(read) as lines:
                found = [json.loads(line) for line in lines]
            proc.wait()
            if proc.returncode or not found:
                log.seek(0)
                self.broken = log.read().decode(errors="replace")
                return [f"{self.prefix}.load"]
        self.broken = None
        self.timeout, self.missing = found[0]["timeout"], found[0]["missing"]
        if not found[0]["names"]:
            self.broken = "the file holds no test"
            return [f"{self.prefix}.load"]
        return [f"{self.prefix}.{name}" for name in found[0]["names"]]

    def run(self, report, names):
        if self.broken:
            report.add(names[0], "fail", 0, self.broken)
            return
        if self.missing:
            for name in names:
                report.add(name, "skip", 0, f"not installed: {', '.join(self.missing)}")
            return
        left = [name[len(self.prefix) + 1:] for name in names]
        while left:
            left = self.run_some(report, left)

    def run_some(self, report, left):
        """Runs until all are done or one hangs or kills the process; returns those still to do."""
        with Marked() as marked:
            proc, read, log = self.child(*left, env=marked.env)
            done, current, begin = set(), None, time.monotonic()
            buffer = b""
            why = None
            while True:
                ready, _, _ = select.select([read], [], [], max(0, begin + self.timeout -
                                                                time.monotonic()))
                if not ready:
                    why = f"timed out after {self.timeout} s"
                    break
                chunk = os.read(read, 65536)
                if not chunk:
                    break
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for line in map(json.loads, lines):
                    begin = time.monotonic()
                    if "start" in line:
                        current = line["start"]
                    else:
                        current = None
                        done.add(line["name"])
                        report.add(f"{self.prefix}.{line['name']}", line["status"],
                                   line["seconds"], line["detail"])
            os.close(read)
            if why:
                self.end_hanging(proc)
            proc.wait()
            log.seek(0)
            output = log.read().decode(errors="replace")[-6000:]
        left = [name for name in left if name not in done]
        if not left:
            return []
        why = why or f"the test process ended: {ending(proc.returncode, self.timeout)}"
        victim = current if current in left else left[0]
        report.add(f"{self.prefix}.{victim}", "fail", time.monotonic() - begin,
                   f"{output}\n{why}")
        return [name for name in left if name != victim]

    @staticmethod
    def end_hanging(proc):
        """First SIGUSR1, so that the log tells where it hangs (faulthandler), then the end."""
        for number, pause in ((signal.SIGUSR1, 1), (signal.SIGTERM, 2), (signal.SIGKILL, 0)):
            if proc.poll() is None:
                os.killpg(proc.pid, number) if number == signal.SIGKILL else proc.send_signal(number)
            try:
                proc.wait(pause)
            except subprocess.TimeoutExpired:
                pass


def python_tests():
    for path in sorted(TESTS.glob("*/test_*.py")):
        if path.parent.name not in NOT_KINDS:
            yield PythonFile(path)


# ---- the child side of PythonFile ----

class ChildResult(unittest.TestResult):
    """Reports starts and ends on the pipe; a class whose setUpClass fails fails all its tests."""

    def __init__(self, fd, tests):
        super().__init__()
        self.fd, self.tests, self.reported = fd, tests, set()
        self.status, self.detail, self.begin = "ok", "", time.monotonic()

    def send(self, **data):
        os.write(self.fd, json.dumps(data).encode() + b"\n")

    def startTest(self, test):
        super().startTest(test)
        self.status, self.detail, self.begin = "ok", "", time.monotonic()
        self.send(start=short_id(test))

    def stopTest(self, test):
        super().stopTest(test)
        self.end(short_id(test), self.status, self.detail)

    def end(self, name, status, detail):
        if name in self.reported:
            return
        self.reported.add(name)
        self.send(name=name, status=status, detail=detail,
                  seconds=time.monotonic() - self.begin)

    def worse(self, test, status, detail):
        if test is not None and not isinstance(test, unittest.TestCase):
            self.of_class(test, status, detail)
        elif status == "fail" or self.status == "ok":
            self.status = status
            self.detail = f"{self.detail}\n{detail}" if status == "fail" else detail

    def of_class(self, holder, status, detail):
        """setUpClass or setUpModule: `holder` names it; its tests will not run. After them
        (tearDownClass) the failure is a result of its own."""
        match = re.search(r"(\w+) \((?:.*\.)?([^.)]+)\)", str(holder))
        what, where = match.groups() if match else ("fixture", str(holder))
        names = [short_id(test) for test in self.tests
                 if where in (short_id(test).split(".")[0], type(test).__module__)]
        self.begin = time.monotonic()
        if not set(names) - self.reported:
            names = [f"{where}.{what}"]
        for name in names:
            self.end(name, status, f"{holder}\n{detail}")

    def addError(self, test, err):
        self.worse(test, "fail", "".join(traceback.format_exception(*err)))

    addFailure = addError

    def addSkip(self, test, reason):
        self.worse(test, "skip", reason)

    def addSubTest(self, test, subtest, err):
        if err:
            self.worse(test, "fail", f"{subtest}\n" + "".join(traceback.format_exception(*err)))

    def addUnexpectedSuccess(self, test):
        self.worse(test, "fail", "unexpected success")


def short_id(test):
    return ".".join(test.id().split(".")[-2:])


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def child_main(fd, path, names):
    import faulthandler
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))    # runs finally blocks
    sys.path[:0] = [str(Path(path).parent), str(TESTS)]
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    if names == ["--list"]:
        missing = [n for n in getattr(module, "NEEDS", ())
                   if not shutil.which(n, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
        os.write(fd, json.dumps({"names": [short_id(t) for t in tests], "missing": missing,
                                 "timeout": getattr(module, "TIMEOUT", TIMEOUT)}).encode() + b"\n")
        return 0
    chosen = [t for t in tests if short_id(t) in names]
    result = ChildResult(fd, chosen)
    unittest.TestSuite(chosen).run(result)
    return 0


# ---- main ----

def all_tests(options):
    yield from structure_checks()
    yield from unit_tests("unit", BUILD, "make unit")
    yield from unit_tests("asan", BUILD / "asan", "make unit-asan")
    yield from python_tests()
    yield from script_tests()
    for source in sorted(TESTS.glob("fuzz/fuzz_*.c")):
        yield Fuzzer(source, options.fuzz_seconds)


def wanted(name, patterns):
    return not patterns or any(p in name for p in patterns)


def main():
    if sys.argv[1:2] == ["--child"]:
        return child_main(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    parser = argparse.ArgumentParser(usage=__doc__.partition("\n")[0][7:], description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-l", "--list", action="store_true", help="only print the names")
    parser.add_argument("-v", "--verbose", action="store_true", help="print failures at once")
    parser.add_argument("--fuzz-seconds", type=int, default=10, help="per fuzzer (default 10)")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    for test in all_tests(options):
        # A pattern that cannot match anything in a file need not load it.
        names = [n for n in test.names() if wanted(n, options.patterns)]
        if options.list:
            print("\n".join(names), end="\n" if names else "")
        elif names:
            seen = len(report.outcomes)
            test.run(report, names)
            if options.verbose:
                for outcome in report.outcomes[seen:]:
                    if outcome.status == "fail":
                        print(outcome.detail, flush=True)
    return 0 if options.list else report.close()


if __name__ == "__main__":
    sys.exit(main())
