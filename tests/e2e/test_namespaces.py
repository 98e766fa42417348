# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_namespaces.py - targets that live in a container, watched from the host.
# Knows: unshare, nsenter, setpriv, mounts. Does not know: how the tracer gets in.
# Run by tests/run.py. One row of ROOMS a case; each with a C and a Python target.
"""Each case: capture, detach, capture again, and the target is what it was before: mappings,
descriptors, threads, signal state, every slot. Nothing of memtrace exists inside."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import harness
import session

TIMEOUT = 180
NEEDS = ["unshare", "nsenter", "setpriv", "mount", "prlimit"]

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PYTHON_WORK = """
import os, sys, threading
def make_block():
    return [bytes(1000 + i % 10) for i in range(1000)]
if sys.argv[1:] == ["hidden"]:
    import ctypes
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.write(1, b"ready\\n")
while os.read(0, 1) == b"g":
    make_block()
    os.write(1, b"done\\n")
os.write(1, b"ok\\n")
os._exit(0)
"""


class Room:
    """How a target is started. `unshare`: its arguments. `inside`: shell lines run as root in the
    new namespaces, ROOT is the minimal root. `enter`: words before the program. `later`: shell lines
    run with nsenter when the program runs. `extra`: arguments of the program."""

    def __init__(self, unshare=(), inside="", enter=(), later="", extra=()):
        self.unshare, self.inside, self.enter = list(unshare), inside, list(enter)
        self.later, self.extra = later, list(extra)


# The minimal root has no tools: what is mounted later is mounted from outside.
READ_ONLY = "mount -t tmpfs -o noexec tmpfs $ROOT/tmp; mount -o remount,bind,ro $ROOT"
ALL = ["--mount", "--pid", "--fork", "--net", "--ipc", "--uts", "--cgroup", "--user",
       "--map-root-user"]
CHROOT = ["chroot", "ROOT"]
SHADOW = "mount -t tmpfs tmpfs /proc"

ROOMS = {
    "plain": Room(),
    "mount": Room(["--mount"]),
    "pid": Room(["--pid", "--fork", "--mount-proc"]),
    "pid_with_foreign_proc": Room(["--pid", "--fork"]),
    "pid_without_proc": Room(["--pid", "--fork", "--mount"], SHADOW),
    "net": Room(["--net"]),
    "ipc_uts_cgroup": Room(["--ipc", "--uts", "--cgroup"]),
    "time": Room(["--time", "--fork"]),
    "user_root_inside": Room(["--user", "--map-root-user"]),
    "user_unmapped": Room(["--user"]),
    "all": Room([*ALL, "--mount-proc"]),
    "all_without_proc": Room(ALL, SHADOW),
    "chroot": Room(["--mount"], enter=CHROOT),
    "chroot_in_all": Room(ALL, enter=CHROOT),
    "chroot_with_proc": Room(["--mount", "--pid", "--fork"], "mount -t proc proc $ROOT/proc",
                             enter=CHROOT),
    "chroot_with_foreign_proc": Room(["--mount", "--pid", "--fork"],
                                     "mount --bind /proc $ROOT/proc", enter=CHROOT),
    "chroot_without_tmp": Room(["--mount"], "rmdir $ROOT/tmp", enter=CHROOT),
    "chroot_read_only": Room(["--mount"], "mount --bind $ROOT $ROOT; " + READ_ONLY, enter=CHROOT),
    "pivot_root": Room(["--mount", "--pid", "--fork"],
                       "mount --make-rprivate /; mount --bind $ROOT $ROOT; cd $ROOT; "
                       "mount -t proc proc proc; pivot_root . old; exec /bin/chroot . \"$@\""),
    "root_read_only": Room(["--mount"], "mount -t tmpfs -o noexec tmpfs /tmp; "
                           "mount -o remount,bind,ro /"),
    "everything_noexec": Room(["--mount"], later="for m in /tmp /dev/shm /run /proc /; do "
                              "mount -o remount,bind,noexec,nosuid $m 2>/dev/null || "
                              "mount -t tmpfs -o noexec tmpfs $m; done"),
    "memfd_noexec_1": Room(["--pid", "--fork", "--mount-proc"],
                           "echo 1 >/proc/sys/vm/memfd_noexec"),
    "memfd_noexec_2": Room(["--pid", "--fork", "--mount-proc"],
                           "echo 2 >/proc/sys/vm/memfd_noexec"),
    "other_user": Room(enter=NOBODY),
    "other_user_no_new_privs": Room(enter=[*NOBODY, "--no-new-privs"]),
    "other_user_in_all": Room(["--mount", "--pid", "--fork", "--net", "--ipc", "--uts"],
                              SHADOW, enter=NOBODY),
    "not_dumpable": Room(extra=["hidden"]),
    "other_user_not_dumpable": Room(enter=NOBODY, extra=["hidden"]),
    "no_capabilities": Room(enter=["setpriv", "--bounding-set=-all", "--inh-caps=-all",
                                   "--no-new-privs"]),
    "limit_address_space": Room(enter=["prlimit", "--as=700000000"]),
    "limit_descriptors": Room(enter=["prlimit", "--nofile=5:5"]),
    "limit_processes": Room(enter=[*NOBODY, "prlimit", "--nproc=2:2"]),
    "limit_locked_memory": Room(enter=["prlimit", "--memlock=0:0", "--stack=262144"]),
    "limit_file_size": Room(enter=["prlimit", "--fsize=0:0"]),
}
# A dynamic loader alone cannot start these; nothing to learn from Python there.
C_ONLY = {"limit_address_space", "limit_processes", "limit_locked_memory"}


def descendants(pid):
    yield pid
    with contextlib.suppress(FileNotFoundError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from descendants(int(child))


def libraries(program):
    text = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+\.so\S*)", text)


@contextlib.contextmanager
def minimal_root(program, python=False):
    """A root with a program, its libraries, and nothing else: no shell, no /proc."""
    with tempfile.TemporaryDirectory(prefix="memtrace-test-") as name:
        root = Path(name)
        root.chmod(0o755)
        for folder in ("proc", "tmp", "old", "bin", "dev"):
            (root / folder).mkdir()
        files = [(program, root / "bin" / "program")]
        if python:
            files = [(harness.PYTHON, root / "bin" / "program")]
        tools = ["/usr/sbin/chroot", "/usr/bin/setpriv"]
        files += [(tool, root / "bin" / Path(tool).name) for tool in tools]
        for source, _ in list(files):
            files += [(lib, root / lib.lstrip("/")) for lib in libraries(source)]
        for source, dest in files:
            dest.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, dest)
        if python:
            copy_library(root)
        yield root


def copy_library(root):
    """What the interpreter imports to start."""
    code = "import sys, os; print(os.path.dirname(os.__file__))"
    lib = Path(harness.run([harness.PYTHON, "-c", code], check=0).out.strip())
    dest = root / str(lib).lstrip("/")
    ignore = shutil.ignore_patterns("test", "tests", "__pycache__", "*-packages", "config-*",
                                    "idlelib", "tkinter", "lib2to3", "ensurepip", "distutils")
    shutil.copytree(lib, dest, ignore=ignore, symlinks=False, ignore_dangling_symlinks=True)
    for module in (dest / "lib-dynload").glob("*.so"):
        if not module.name.startswith(("_ctypes", "_struct")):
            module.unlink()
    for module in (dest / "lib-dynload").glob("*.so"):
        for needed in libraries(module):
            to = root / needed.lstrip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            if not to.exists():
                shutil.copy(needed, to)


@contextlib.contextmanager
def started(room, program, python):
    """Yields (target, pid of the program itself, minimal root or None)."""
    uses_root = "ROOT" in str(room.enter) + room.inside
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(minimal_root(program, python)) if uses_root else None
        argv = [harness.PYTHON, "-S", "-c", PYTHON_WORK] if python else [str(program)]
        if uses_root:
            argv[0] = "/bin/program"
        argv = [w.replace("ROOT", str(root)) for w in room.enter] + argv + room.extra
        if room.unshare or room.inside:
            inside = "set -e; " + room.inside.rstrip("; ") + "; " if room.inside else ""
            argv = ["unshare", *room.unshare, "sh", "-c", inside + 'exec "$@"', "sh", *argv]
        target = stack.enter_context(harness.start_target(
            argv, stdin=True, env={"ROOT": root, "PYTHONHASHSEED": "0"} if root else None))
        with contextlib.suppress(AssertionError):
            target.wait_line("^ready", 20)
        if "ready" not in target.lines:
            raise unittest.SkipTest(f"no right to do this here: {target.err.strip()[-200:]}")
        pid = list(descendants(target.pid))[-1]
        if room.later:
            harness.run(["nsenter", "-t", pid, "-m", "sh", "-c", room.later], check=0)
        yield target, pid, root


class InARoom(unittest.TestCase):
    def work(self, target, count):
        target.send("g")
        harness.wait_for(lambda: target.lines.count("done") >= count, 30, what="the work")

    def capture(self, target, pid, cap, count, attach=None, root=None):
        argv = [*attach, "attach", pid, "-o", cap] if attach else None
        with session.Attach(pid, "-o", cap, argv=argv) as capture:
            self.work(target, count)
            capture.interrupt()
        options = ["--sysroot", root] if root else []
        rows = harness.folded(cap, "--view", "allocated", "--metric", "count", *options)
        made = [(f, v) for f, v in rows if any(x.startswith("make_block") for x in f)]
        self.assertGreaterEqual(sum(v for _, v in made), 1000, rows[:5])

    def cycle(self, target, pid, attach=None, root=None):
        with harness.tmpdir(0o777) as tmp:
            for i in range(2):		# heaps and caches of its own
                self.work(target, 1 + i)
            before = session.Snapshot(pid)
            for i in range(2):
                self.capture(target, pid, tmp / f"{i}.bin", 3 + i, attach, root)
                self.assertEqual(session.Snapshot(pid).changes(before), [])
                self.assertEqual(harness.memtrace("status", pid).code, 0)
            target.send("e")
            self.assertEqual(target.wait(30), 0, target.err)
            self.assertEqual(target.lines[-1], "ok")


class Rooms(InARoom):
    def check(self, name, python):
        program = harness.compile_c("rooms.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with started(ROOMS[name], program, python) as (target, pid, root):
            self.cycle(target, pid, root=root)
            if root:
                self.assertEqual(list(root.rglob("*memtrace*")), [], "a file of ours inside")


def add_case(name, python):
    def test(self):
        self.check(name, python)
    setattr(Rooms, f"test_{name}_{'python' if python else 'c'}", test)


for case in ROOMS:
    add_case(case, False)
    if case not in C_ONLY:
        add_case(case, True)


class AsTheSameUser(InARoom):
    """memtrace without any privilege, as the user that the program belongs to."""

    def check(self, name, python=False):
        program = harness.compile_c("rooms.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir(0o755) as tmp:
            copy = tmp / "memtrace"
            shutil.copy(harness.MEMTRACE, copy)
            room = ROOMS[name]
            unprivileged = Room([], "", [*NOBODY, "unshare", *room.unshare], room.later, room.extra)
            with started(unprivileged, program, python) as (target, pid, _):
                self.cycle(target, pid, [*NOBODY, copy])


for case in ("user_root_inside", "user_unmapped", "all"):
    setattr(AsTheSameUser, f"test_{case}", lambda self, case=case: self.check(case))


if __name__ == "__main__":
    unittest.main()
