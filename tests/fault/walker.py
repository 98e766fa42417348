# SPDX-License-Identifier: Apache-2.0
# tests/fault/walker.py - makes memtrace die or fail at one step, and looks at the target after it.
# Knows: the build of tests/fault/fault.c, the target's view of itself. Does not know: which steps.
# Imported by tests/fault/test_*.py and tests/fault/walk.py.
"""
    with walker.Walk() as walk:
        walk.kill("attach", 17)     # AssertionError that names the step, if the target suffers
"""

import contextlib
import errno
import mmap
import os
import re
import signal
import struct
import time
from pathlib import Path

import harness
import session

FAULTY = harness.BUILD / "fault" / "memtrace"
VIEW_MAGIC = 0x6d747661756c74
MAGIC, TICKS, FAILED, STOP, EXECS = range(5)
DURATION = "30ms"
PATIENCE = 20
RUN_CODE = 7         # of the program of `run`

# What each call can be answered by a kernel that is short of something, or when the target, its
# files or its rights go away. By step number, in turn.
FAILURES = {
    "ptrace": (errno.ESRCH, errno.EIO, errno.EPERM),
    "waitpid": (errno.ECHILD, errno.EINTR),
    "waitid": (errno.ECHILD, errno.EINTR),
    "process_vm_readv": (errno.EPERM, errno.ESRCH, errno.EFAULT, errno.ENOSYS, errno.ENOMEM),
    "open": (errno.EMFILE, errno.EACCES, errno.ENOENT, errno.ENOMEM),
    "read": (errno.EIO, errno.EINTR, errno.ENOMEM, errno.ESRCH),
    "pread": (errno.EIO, errno.EINTR, errno.EFAULT),
    "write": (errno.ENOSPC, errno.EINTR, errno.EIO),
    "pwrite": (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EPERM),
    "poll": (errno.EINTR, errno.ENOMEM),
    "mmap": (errno.ENOMEM,),
    "syscall": (errno.EPERM, errno.ENOSYS, errno.EINTR, errno.EAGAIN),
    "readlink": (errno.EACCES, errno.ENOENT),
    "opendir": (errno.EMFILE, errno.EACCES, errno.ENOENT),
    "fopen": (errno.EMFILE, errno.EACCES, errno.ENOENT),
    "fork": (errno.EAGAIN, errno.ENOMEM),
    "ftruncate": (errno.ENOSPC, errno.EFBIG),
}
OTHERWISE = (errno.EPERM, errno.ENOMEM, errno.EIO)


def program():
    return harness.compile_c(harness.ROOT / "tests" / "fault" / "target.c", name="fault_target",
                             flags=["-O1", "-D_GNU_SOURCE", "-pthread", "-w", f"-I{harness.ROOT}"])


class Target:
    """One process of target.c, with its view of itself and what it looked like from outside."""

    def __init__(self, tmp, strict=False):
        self.path = tmp / f"view.{time.monotonic_ns()}"
        self.path.write_bytes(bytes(4096))
        self.file = open(self.path, "r+b")
        self.view = mmap.mmap(self.file.fileno(), 4096)
        self.argv = [program(), self.path, *(["strict"] if strict else [])]
        self.stack = contextlib.ExitStack()

    def start(self):
        self.process = self.stack.enter_context(harness.start_target(self.argv, stdout=False))
        self.pid = self.process.pid
        self.wait_ready()
        time.sleep(0.1)         # thread stacks and the heap have their size
        self.before = session.Snapshot(self.pid)
        return self

    def close(self):
        self.stack.close()
        self.view.close()
        self.file.close()

    def word(self, index):
        return struct.unpack_from("<Q", self.view, index * 8)[0]

    def wait_ready(self):
        harness.wait_for(lambda: self.word(MAGIC) == VIEW_MAGIC, PATIENCE, what="the target works")

    def why_failed(self):
        return bytes(self.view[40:296]).split(b"\0")[0].decode(errors="replace")

    def check_lives(self):
        """Nobody traces it, and every thread of it gets on."""
        seen = self.word(TICKS)
        deadline = time.monotonic() + PATIENCE
        while self.word(TICKS) < seen + 2 and not self.word(FAILED):
            # Not its state: in an exec by another thread the first one is a zombie for a moment.
            if self.process.proc.poll() is not None:
                raise AssertionError(f"the target is gone: exit {self.process.proc.poll()}, "
                                     f"{self.why_failed()!r}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the target does not get on: {self.threads()}")
            time.sleep(0.002)
        traced = [t for t in harness.threads(self.pid) if self.thread_status(t)["TracerPid"] != "0"]
        if traced:
            raise AssertionError(f"threads still traced: {traced}")

    def thread_status(self, tid):
        try:
            text = Path(f"/proc/{self.pid}/task/{tid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return {"TracerPid": "0", "State": "gone"}
        return {k: v.strip() for k, v in (line.split(":", 1) for line in text.splitlines())}

    def threads(self):
        found = []
        for tid in harness.threads(self.pid):
            status = self.thread_status(tid)
            with contextlib.suppress(OSError):
                status["syscall"] = Path(f"/proc/{self.pid}/task/{tid}/syscall").read_text().strip()
            found.append((tid, status["State"], status["TracerPid"], status.get("syscall")))
        return found

    def check_verdict(self):
        struct.pack_into("<Q", self.view, STOP * 8, 1)
        code = self.process.wait(PATIENCE)
        if code or self.word(FAILED):
            raise AssertionError(f"the target ends with {code}: {self.why_failed()!r} "
                                 f"{self.process.err}")


class Walk:
    """Steps on one target after the other; each serves a number of them, and must then end well."""
    STEPS_A_TARGET = 40

    def __init__(self, strict=False):
        self.strict, self.target, self.used = strict, None, 0
        self.counts = {}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        if not FAULTY.exists():
            raise AssertionError(f"{FAULTY} was not built: make FAULT=1")
        self.tmp = self.stack.enter_context(harness.tmpdir())
        self.cap, self.log = self.tmp / "cap.bin", self.tmp / "log"
        self.fresh()
        return self

    def __exit__(self, kind, *_):
        try:
            if self.target and not kind:
                self.target.check_verdict()
        finally:
            if self.target:
                self.target.close()
            self.stack.close()

    def fresh(self):
        """Another target; the last one must have ended well."""
        if self.target:
            self.target.check_verdict()
        self.drop()
        self.target, self.used = Target(self.tmp, self.strict).start(), 0

    def drop(self):
        if self.target:
            self.target.close()
        self.target = None

    def ready(self):
        if not self.target:
            self.fresh()
        self.used += 1
        if self.used > self.STEPS_A_TARGET:
            self.fresh()

    # ---- running it ----

    def command(self, name, *options):
        pid = self.target.pid if self.target else 0
        return {
            "attach": ["attach", pid, "--duration", DURATION, "-f", "-o", self.cap],
            "run": ["run", "-f", "-o", self.cap, "--", "/bin/sh", "-c", "echo whole; exit 7"],
            "detach": ["detach", pid],
            "status": ["status", pid],
        }[name] + list(options)

    def faulty(self, name, fault, *options, timeout=60):
        """Runs the command with something happening in it."""
        self.log.unlink(missing_ok=True)
        return harness.run([FAULTY, *self.command(name, *options)], timeout=timeout, cwd=self.tmp,
                           env={"MEMTRACE_FAULT": fault, "MEMTRACE_FAULT_LOG": self.log,
                                "MEMTRACE_FAULT_PID": self.target.pid if self.target else None})

    def steps(self, name):
        """The steps of a run in which nothing happens: [text of step 1, ...]."""
        if name not in self.counts:
            result = self.faulty(name, None)
            if result.code not in (0, 3, RUN_CODE):
                raise AssertionError(str(result))
            lines = self.log.read_text(errors="replace").splitlines()
            self.counts[name] = [line for line in lines if not line.startswith("end ")]
            self.memory = int(lines[-1].split()[2])
            self.cap.unlink(missing_ok=True)
        return self.counts[name]

    def at(self, number):
        """What the last run did at this step, for messages."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()
            near = lines[max(0, number - 3):number + 1]
            return "; ".join(near)
        return "not reached"

    def reached(self, number):
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return sum(not line.startswith("end ") for line in lines) >= number

    @contextlib.contextmanager
    def named(self, what, number):
        try:
            yield
        except AssertionError as e:
            ended = ""
            if self.target:
                print(f"target {self.target.pid}", flush=True)
                if self.target.process.proc.poll() is not None:
                    ended = f"\nthe target ended: {self.target.process.proc.poll()}, {self.target.why_failed()!r}"
            raise AssertionError(f"{what}, step {number} ({self.at(number)}): {e}{ended}") from e

    # ---- what must hold after it ----

    def check_file(self):
        """Readable up to its last block, or absent."""
        if self.cap.exists():
            result = harness.memtrace("info", self.cap, check=None)
            # Killed between the creation and the first write.
            if result.code and self.cap.stat().st_size:
                raise AssertionError(f"the capture cannot be read\n{result}")
        self.cap.unlink(missing_ok=True)

    def check_equal(self):
        changes = session.Snapshot(self.target.pid).changes(self.target.before)
        if changes:
            raise AssertionError(f"the target is not as it was: {changes}")

    def check_clean(self):
        status = harness.memtrace("status", self.target.pid, check=None)
        if status.code:
            raise AssertionError(f"not clean\n{status}")
        self.check_equal()

    def remove_rest(self):
        result = harness.memtrace("detach", self.target.pid, check=None)
        if result.code == 1 and "nothing of memtrace is active" in result.err:
            return
        if result.code:
            raise AssertionError(f"what is left cannot be removed\n{result}")

    def check_after_death(self):
        self.target.check_lives()
        if session.armed(self.target.pid):
            raise AssertionError("the hooks are not passive")
        self.remove_rest()
        self.target.check_lives()
        self.check_clean()
        self.check_file()

    # ---- the ways to go wrong ----

    def kill(self, name, number):
        """SIGKILL for memtrace at this step. False: it has no such step."""
        self.ready()
        with self.named(f"{name} killed", number):
            if name == "detach":
                self.leave_something()
            result = self.faulty(name, f"kill:{number}")
            if result.code not in (-signal.SIGKILL, 0):
                raise AssertionError(str(result))
            self.check_after_death()
            if number % 16 == 0:
                self.check_next_attach()
        return result.code != 0

    def leave_something(self):
        """A capture whose memtrace is gone."""
        self.cap.unlink(missing_ok=True)
        with session.Attach(self.target.pid, "-f", "-o", self.cap) as attach:
            attach.proc.kill()
            attach.wait()

    def check_next_attach(self):
        harness.memtrace(*self.command("attach"))
        self.check_clean()
        self.check_file()

    def fail(self, name, number, turn=0):
        """A call fails: memtrace says so and takes itself out, or copes."""
        steps = self.steps(name)
        self.ready()
        call = steps[min(number, len(steps)) - 1].split()[1]
        ways = FAILURES.get(call, OTHERWISE)
        value = ways[(number + turn) % len(ways)]
        with self.named(f"{name} fails by {errno.errorcode[value]}", number):
            if name == "detach":
                self.leave_something()
            self.end_well(name, self.faulty(name, f"fail:{number}:{value}"))

    def short(self, name, number):
        self.ready()
        with self.named(f"{name} half done", number):
            if name == "detach":
                self.leave_something()
            self.end_well(name, self.faulty(name, f"short:{number}"))

    def no_memory(self, name, number):
        self.ready()
        with self.named(f"{name} without memory", number):
            if name == "detach":
                self.leave_something()
            self.end_well(name, self.faulty(name, f"nomem:{number}"))

    def end_well(self, name, result):
        if result.code not in (0, 1, 3):
            raise AssertionError(f"it ended with {result.code}\n{result}")
        if result.code and not re.search(r"^memtrace: ", result.err, re.M) and name != "status":
            raise AssertionError(f"no word about it\n{result}")
        self.target.check_lives()
        if session.armed(self.target.pid):
            raise AssertionError(f"the hooks are not passive\n{result}")
        if result.code == 3 or "memtrace detach" in result.err or name in ("detach", "status"):
            self.remove_rest()
        try:
            self.check_clean()
        except AssertionError as e:
            raise AssertionError(f"{e}\n{result}") from e
        self.check_file()

    def interrupt(self, name, number, sig=signal.SIGINT, times=1):
        """A signal at this step: a clean detach, whatever was going on."""
        self.ready()
        with self.named(f"{name} gets {signal.Signals(sig).name}", number):
            if name == "detach":
                self.leave_something()
            result = self.faulty(name, f"signal:{number}:{int(sig)}:{times}")
            before_it_began = result.code == 1 and "interrupt" in result.err
            if result.code and not before_it_began:
                raise AssertionError(f"it ended with {result.code}\n{result}")
            self.target.check_lives()
            if name == "detach":
                self.remove_rest()
            self.check_clean()
            self.check_file()

    def end_target(self, name, number, sig):
        """The target dies, or becomes another program, at this step."""
        self.ready()
        execs = self.target.word(EXECS)
        with self.named(f"target gets {signal.Signals(sig).name} in {name}", number):
            result = self.faulty(name, f"target:{number}:{int(sig)}", timeout=40)
            if result.code not in (0, 1):
                raise AssertionError(f"it ended with {result.code}\n{result}")
            if result.code and not re.search(r"^memtrace: ", result.err, re.M):
                raise AssertionError(f"no word about it\n{result}")
            if not self.reached(number):
                return False
            if sig == signal.SIGUSR1:
                self.check_exec(execs)
            else:
                code = self.target.process.wait(PATIENCE)
                if code != -sig:
                    raise AssertionError(f"the target ended with {code}")
                self.drop()
            self.check_file()
        return True

    # ---- run: its program does all that it was to do, or nothing ----

    def not_begun(self, number):
        """Until its child is there."""
        steps = [line.split() for line in self.steps("run")]
        return number <= next(i for i, s in enumerate(steps, 1) if s[1] == "fork")

    def run_program(self, what, number, fault, codes):
        """Waits for the program, too: it has the same pipe."""
        self.drop()
        with self.named(f"run {what}", number):
            result = self.faulty("run", fault)
            if result.out not in ("", "whole\n") or result.code not in codes[bool(result.out)]:
                raise AssertionError(f"the program printed {result.out!r}\n{result}")
            if result.code == 1 and not re.search(r"^memtrace: ", result.err, re.M):
                raise AssertionError(f"no word about it\n{result}")
            self.check_file()
        return result

    def kill_run(self, number):
        codes = (-signal.SIGKILL,), (-signal.SIGKILL, RUN_CODE)
        result = self.run_program("killed", number, f"kill:{number}", codes)
        if not result.out and not self.not_begun(number):
            raise AssertionError(f"run killed, step {number} ({self.at(number)}): the program died")

    def fail_run(self, number, turn=0):
        steps = self.steps("run")
        call = steps[min(number, len(steps)) - 1].split()[1]
        ways = FAILURES.get(call, OTHERWISE)
        value = ways[(number + turn) % len(ways)]
        self.run_program(f"fails by {errno.errorcode[value]}", number, f"fail:{number}:{value}",
                         ((1,), (RUN_CODE,)))

    def interrupt_run(self, number):
        """A Ctrl-C that the program does not get: it is the terminal's to give."""
        self.run_program("gets SIGINT", number, f"signal:{number}:{int(signal.SIGINT)}",
                         ((), (RUN_CODE,)))

    def end_program(self, number):
        self.run_program("loses its program", number, f"target:{number}:{int(signal.SIGKILL)}",
                         ((1, -signal.SIGKILL), (RUN_CODE, -signal.SIGKILL)))

    def check_exec(self, execs):
        """It became another program, as a whole, and nothing of memtrace is in it."""
        target = self.target
        harness.wait_for(lambda: target.word(EXECS) > execs, PATIENCE, what="the exec")
        target.check_lives()
        if harness.maps_clean(target.pid):
            raise AssertionError(f"not clean: {harness.maps_clean(target.pid)}")
        target.check_verdict()
        self.drop()
