# SPDX-License-Identifier: Apache-2.0
# tests/harness.py - what every Python test needs: the program, targets, captures, waiting.
# Knows: where things are built, processes. Does not know: what a test checks.
# Imported by tests/*/test_*.py (`import harness`); standard library only, any Python from 3.9 on.
"""Helpers for the tests.

    import unittest
    import harness

    class Attach(unittest.TestCase):
        def test_sleeping(self):
            with harness.tmpdir() as tmp, harness.start_target(["sleep", "100"]) as target:
                cap = tmp / "cap.bin"
                harness.memtrace("attach", target.pid, "--duration", "1s", "-o", cap)
                self.assertEqual(harness.maps_clean(target.pid), [])
                self.assertEqual(harness.memtrace("status", target.pid).code, 0)

    TIMEOUT = 300        # optional, seconds one test method of this file may take (default 120)
    NEEDS = ["nginx"]    # optional, programs without which the whole file is skipped

`tests/run.py` runs them; so does `python3 -m unittest` inside the folder with tests/ in
PYTHONPATH. A test that cannot run calls self.skipTest("why").
"""

import contextlib
import ctypes
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("O", ROOT / "build"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
MEMTRACE = Path(os.environ.get("MEMTRACE", BUILD / "memtrace"))
TARGETS = ROOT / "tests" / "targets"
# The system's interpreter, not one that happens to come first in PATH.
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


class Result:
    """How a command ended. `code` is the exit code, -N for signal N, None after a timeout."""

    def __init__(self, argv, code, out, err, seconds):
        self.argv, self.code, self.out, self.err, self.seconds = argv, code, out, err, seconds

    @property
    def timed_out(self):
        return self.code is None

    def __str__(self):
        end = "timed out" if self.timed_out else f"exit {self.code}"
        return (f"$ {' '.join(self.argv)}\n[{end} after {self.seconds:.2f}s]\n"
                f"--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}")


def run(argv, timeout=60, stdin=None, env=None, cwd=None, check=None, binary=False):
    """Runs a command to its end in a process group of its own and returns a Result. `stdin` is
    text (none: /dev/null); `env` adds to the environment (a None value removes); `check`: the
    exit code (or a tuple of codes) it must have, else AssertionError with all its output."""
    argv = [str(a) for a in argv]
    full_env = _environment(env)
    begin = time.monotonic()
    proc = subprocess.Popen(
        argv, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=full_env, cwd=cwd,
        start_new_session=True)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        out, err = proc.communicate(data, timeout=timeout)
        code = proc.returncode
    except subprocess.TimeoutExpired:
        _kill_group(proc.pid)
        out, err = proc.communicate()
        code = None
    except BaseException:
        _kill_group(proc.pid)
        raise
    if not binary:
        out = out.decode(errors="replace")
    result = Result(argv, code, out, err.decode(errors="replace"), time.monotonic() - begin)
    if check is not None:
        expected = check if isinstance(check, (tuple, list)) else (check,)
        if code not in expected:
            raise AssertionError(f"expected exit {check}\n{result}")
    return result


def memtrace(*args, timeout=120, check=0, **kwargs):
    """Runs build/memtrace with the arguments; check=None when any exit code will do."""
    return run([MEMTRACE, *args], timeout=timeout, check=check, **kwargs)


class Target:
    """A running program: pid, what it printed so far, its state."""

    def __init__(self, proc, argv):
        self.proc, self.pid, self.argv = proc, proc.pid, argv
        self._lines, self._err = [], []
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, store), daemon=True)
            for stream, store in ((proc.stdout, self._lines), (proc.stderr, self._err)) if stream]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, store):
        for line in stream:
            with self._changed:
                store.append(line.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()

    @property
    def lines(self):
        """Lines of its stdout so far."""
        with self._changed:
            return list(self._lines)

    @property
    def err(self):
        with self._changed:
            return "\n".join(self._err)

    def wait_line(self, pattern, timeout=20):
        """Waits for a line of stdout that matches, and returns the match."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    match = re.search(pattern, line)
                    if match:
                        return match
                seen = len(self._lines)
                left = deadline - time.monotonic()
                over = self.proc.poll() is not None and not any(r.is_alive() for r in self._readers)
                if left <= 0 or over:
                    raise AssertionError(
                        f"no line like {pattern!r} from {self.argv}; exit {self.proc.poll()}; "
                        f"stdout {self._lines[-20:]}; stderr {self._err[-20:]}")
                self._changed.wait(min(left, 0.2))

    def send(self, text):
        """Writes to its standard input (start_target(..., stdin=True))."""
        self.proc.stdin.write(text.encode())
        self.proc.stdin.flush()

    def alive(self):
        return self.proc.poll() is None

    def state(self):
        """The letter of /proc/PID/stat: R, S, D, T, t, Z; None when gone."""
        return proc_state(self.pid)

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=20):
        """Waits for its end and returns the exit code, -N for a signal."""
        code = self.proc.wait(timeout)
        for reader in self._readers:
            reader.join(5)
        return code

    def stop(self, timeout=20):
        """SIGTERM, wait, exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)


@contextlib.contextmanager
def start_target(argv, env=None, cwd=None, stdin=False, wait=None, preexec=None, stdout=True):
    """Starts a program and yields a Target; kills its process group whatever happens. `wait`: a
    pattern of a line to wait for. The target dies with this process, too (PR_SET_PDEATHSIG).
    `preexec` runs in the child before exec. stdout=False: to /dev/null instead of a pipe."""
    argv = [str(a) for a in argv]
    libc = ctypes.CDLL(None)

    def prepare():
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        if preexec:
            preexec()

    pipe = subprocess.PIPE if stdout else subprocess.DEVNULL
    proc = subprocess.Popen(
        argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=pipe,
        stderr=pipe, env=_environment(env), cwd=cwd, start_new_session=True,
        preexec_fn=prepare)
    target = Target(proc, argv)
    try:
        if wait:
            target.wait_line(wait)
        yield target
    finally:
        _kill_group(proc.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            proc.wait(10)
        for reader in target._readers:
            reader.join(1)
        for stream in (proc.stdin, proc.stdout, proc.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _environment(extra):
    env = dict(os.environ)
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = str(value)
    return env


def _kill_group(pgid):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGCONT)


@contextlib.contextmanager
def tmpdir(mode=0o700, parent=None):
    """A fresh folder (a Path), removed at the end. mode=0o755 when other users must enter it."""
    path = Path(tempfile.mkdtemp(prefix="memtrace-test-", dir=parent))
    path.chmod(mode)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port():
    """A TCP port of 127.0.0.1 nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(predicate, timeout=20, interval=0.02, what="condition"):
    """Calls until the answer is true and returns it; AssertionError after the timeout."""
    deadline = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(interval)


def wait_port(port, timeout=30, host="127.0.0.1"):
    """Waits until somebody accepts connections there."""
    def accepts():
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex((host, port)) == 0
    wait_for(accepts, timeout, 0.05, f"port {port} open")


# ---- interpreters ----

PYTHON_MINORS = range(7, 16)	# of CPython 3 that memtrace knows


def interpreters():
    """{"3.11 /usr/bin/python3": path}: the system's, and all of a pyenv; MEMTRACE_PYTHONS may name
    more."""
    found = {}
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    paths = sorted(glob.glob(f"{root}/versions/3.*/bin/python3")) + ["/usr/bin/python3"]
    for path in paths + os.environ.get("MEMTRACE_PYTHONS", "").split():
        match = run([path, "-c", "import sys; print(sys.version_info[1])"]) if os.path.exists(path) else None
        if match and match.code == 0 and int(match.out) in PYTHON_MINORS:
            found[f"3.{match.out.strip()} {path}"] = path
    return found


class Interpreter:
    """A CPython: of this machine, or of another Debian's root, which is entered by chroot."""

    def __init__(self, path, root=None):
        self.path, self.root = str(path), root
        self.argv = ["chroot", str(root), self.path] if root else [self.path]

    def tmpdir(self):
        """As harness.tmpdir(), where the interpreter can see it."""
        return tmpdir(parent=self.root / "tmp" if self.root else None)

    def inside(self, path):
        """The name by which the interpreter knows a file."""
        return Path("/", path.relative_to(self.root)) if self.root else path

    def outside(self, path):
        """The file that the interpreter knows by this name."""
        return self.root / str(path).lstrip("/") if self.root else Path(path)

    def put(self, path, folder):
        """A file of the tree as the interpreter sees it: in its own root, copied into the folder."""
        if not self.root:
            return path
        shutil.copy(path, folder)
        return self.inside(folder / path.name)


# Packages of the newest interpreters that Debian has, and of what tests use with them; one with Py_DEBUG. All
# in one root, whoever asks for one of them: it is made once.
NEWER_SUITE = "forky"
NEWER_PACKAGES = ["python3.13", "python3.13-nopie", "python3.14", "python3.14-dbg", "python3.15",
                  "libpython3.13", "libpython3.14", "libpython3.15", "libstdc++6",
                  "python3", "python3-greenlet", "python3-gevent", "python3-memray"]
NEWER = ("3.13", "3.14", "3.14d", "3.15")


def newer_root(test):
    return rootfs(test, NEWER_SUITE, *NEWER_PACKAGES)


def newer_interpreter(test, name):
    """One of NEWER; skips the test where there is no such root."""
    root = newer_root(test)
    test.assertTrue((root / f"usr/bin/python{name}").exists(), f"{NEWER_SUITE} has no Python {name}")
    return Interpreter(f"/usr/bin/python{name}", root)


# ---- what a target looks like from outside ----

def proc_state(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rsplit(")", 1)[1].split()[0]


def proc_status(pid):
    """/proc/PID/status as a dict of strings."""
    pairs = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {key: value.strip() for key, value in pairs}


def living(pid):
    """Whose entry of /proc shows the process's memory and files: that of its main thread shows
    nothing when that has exited."""
    if proc_state(pid) != "Z":
        return pid
    return next((t for t in threads(pid) if proc_state(t) not in (None, "Z", "X")), pid)


def maps(pid):
    return Path(f"/proc/{living(pid)}/maps").read_text().splitlines()


def maps_clean(pid):
    """Lines of /proc/PID/maps that show memtrace; [] when nothing of it is mapped but the permanent
    thunk page. A target that runs from a folder called memtrace does not count."""
    return [line for line in maps(pid)
            if re.search(r"memfd:memtrace|memtrace-(tracer|data)|memtrace[^/]*\.so", line)
            and not re.search(r"memfd:memtrace-thunk\b", line)]


def fds(pid):
    """Open files of a process: {number: what it points to}."""
    found = {}
    pid = living(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def threads(pid):
    return sorted(int(t) for t in os.listdir(f"/proc/{pid}/task"))


def tracer_pid(pid):
    """Who ptraces it; 0 nobody."""
    return int(proc_status(pid)["TracerPid"])


# ---- building targets ----

def compile_32_bit(source, name):
    """A 32-bit program; unittest.SkipTest where the kernel runs none."""
    program = compile_c(source, name=name, flags=["-m32"])
    probe = compile_c("int main(void) { return 0; }\n", name="probe32", flags=["-m32"])
    try:
        subprocess.run([probe], check=True)
    except OSError as error:
        raise unittest.SkipTest(f"this kernel runs no 32-bit programs: {error.strerror}") from None
    return program


def _included(source, text):
    """The files a source includes by "name", and those they include."""
    found = b""
    for name in re.findall(rb'^#include "([^"]+)"', text, re.M):
        path = source.parent / name.decode()
        if path.exists():
            part = path.read_bytes()
            found += part + _included(path, part)
    return found


def compile_c(source, name=None, flags=(), compiler=None, out_dir=None):
    """Compiles a C or C++ target (path relative to tests/targets/, or absolute, or the text of a
    program when it holds a newline) to a program that is built once per content and flags, and
    returns its path."""
    import hashlib
    out_dir = Path(out_dir) if out_dir else BUILD / "tests" / "targets"
    out_dir.mkdir(parents=True, exist_ok=True)
    if "\n" in str(source):
        text = str(source).encode()
        suffix = ".c"
        source = None
    else:
        source = TARGETS / source
        text = source.read_bytes()
        suffix = source.suffix
    if compiler is None:
        compiler = "g++" if suffix in (".cc", ".cpp", ".cxx") else os.environ.get("CC", "gcc")
    flags = [str(f) for f in flags]
    stem = name or (source.stem if source else "inline")
    parts = (text, _included(source, text) if source else b"", flags, compiler)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    out = out_dir / f"{stem}-{key}"
    if out.exists():
        return out
    if source is None:
        source = out_dir / f"{stem}-{key}{suffix}"
        source.write_bytes(text)
    part = out_dir / f"{stem}-{key}.{os.getpid()}.part"
    run([*compiler.split(), "-g", "-O0", "-o", part, source, *flags], check=0, cwd=ROOT)
    # Never over one that another test has built meanwhile: it may run already.
    with contextlib.suppress(FileExistsError):
        os.link(part, out)
    part.unlink()
    return out


# ---- captures ----

def rootfs(test, suite, *packages):
    """Folder with packages of another Debian release, made once under the build folder. Skips the
    test with the reason where that cannot be: no root, no network, no such release."""
    if os.geteuid() != 0:
        test.skipTest("chroot needs root")
    name = f"{suite}-{zlib.crc32(' '.join(sorted(packages)).encode()):08x}"
    made = run([ROOT / "tests" / "rootfs.sh", suite, BUILD / "rootfs" / name, *packages], timeout=300)
    if made.code != 0:
        test.skipTest(made.err.strip().splitlines()[-1] if made.err.strip() else "no root was made")
    return Path(made.out.strip())


def folded(capture, *options):
    """`transform folded` as a list of ([root, ..., leaf], value)."""
    return parse_folded(memtrace("transform", "folded", capture,
                                 *options).out)


def parse_folded(text):
    rows = []
    for line in text.splitlines():
        if not line.strip():
            continue
        stack, value = line.rsplit(" ", 1)
        rows.append((stack.split(";"), int(value)))
    return rows


def folded_sum(rows, pattern):
    """Sum of the values of all stacks in which some frame matches."""
    want = re.compile(pattern)
    return sum(value for frames, value in rows if any(want.search(f) for f in frames))


def stats(capture, *options):
    """`stats --json` as Python data."""
    import json
    return json.loads(memtrace("stats", "--json", capture, *options).out)


def counters(capture):
    """The conservation counters as `info` prints them, {"produced": n, ...}."""
    text = memtrace("info", capture).out
    found = {}
    for name in ("produced", "written", "dropped", "nested", "waits"):
        match = re.search(rf"^\s*{name}\b\D*([\d,]+)", text, re.M | re.I)
        if match:
            found[name] = int(match.group(1).replace(",", ""))
    return found
