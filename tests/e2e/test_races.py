# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_races.py - many memtraces at one process at once, killed, interrupted and stopped at
# random, while it forks, executes itself, makes threads. Knows: commands, their exit codes.
# Does not know: what each finds. Run by tests/run.py. MEMTRACE_RACES=SEED:SECONDS does one again.
import os
import random
import signal
import subprocess
import time
import unittest

import harness
import selfcheck

TIMEOUT = 180
AT_ONCE = 3
LATEST = 40         # seconds until a memtrace that is asked for 100 ms must have ended
ENDS = [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM]


class Command:
    def __init__(self, words, log):
        self.words, self.log, self.begun, self.stopped = words, log, time.monotonic(), False
        with open(log, "wb") as out:
            self.proc = subprocess.Popen([str(w) for w in (harness.MEMTRACE, *words)],
                                         stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                         start_new_session=True)

    def __str__(self):
        text = self.log.read_text(errors="replace")[-2000:]
        return f"memtrace {' '.join(map(str, self.words))}: {self.proc.poll()}\n{text}"

    def hit(self, rng):
        """A signal; one that stops it is followed by one that lets it go on, later."""
        if self.stopped:
            self.proc.send_signal(signal.SIGCONT)
        elif rng.random() < 0.15:
            self.proc.send_signal(signal.SIGSTOP)
        else:
            self.proc.send_signal(rng.choice(ENDS))
            return
        self.stopped = not self.stopped


class Races(unittest.TestCase):
    def begin(self, rng, pid, tmp, number, options):
        cap = tmp / f"{number}.bin"
        words = rng.choice([
            ["attach", pid, "-f", "-o", cap, "-d", f"{rng.randrange(1, 100)}ms", *options],
            ["attach", pid, "-f", "-o", cap, "-d", f"{rng.randrange(1, 100)}ms", *options],
            ["attach", pid, "-f", "-o", cap, "-d", "10s", "--aggregate"],
            ["detach", pid], ["detach", pid], ["status", pid], ["stack", pid]])
        return Command(words, tmp / f"{number}.log")

    def reap(self, running):
        """Those that still run; the others ended in a way that is foreseen."""
        for command in running:
            code = command.proc.poll()
            if code is not None:
                self.assertIn(code, (0, 1, 3, *(-s for s in ENDS)), str(command))
                command.log.unlink()
        return [c for c in running if c.proc.poll() is None]

    def end(self, running):
        for command in running:
            command.proc.send_signal(signal.SIGCONT)
            command.proc.send_signal(random.choice(ENDS))
            try:
                command.proc.wait(LATEST)
            except subprocess.TimeoutExpired:
                where = harness.run(["gdb", "-p", command.proc.pid, "-batch", "-ex", "bt"]).out
                command.proc.kill()
                raise AssertionError(f"it does not end\n{command}\n{where[-2000:]}") from None
        self.reap(running)

    def clean_up(self, pid):
        """A process that becomes another in between may be clean by itself."""
        def is_clean():
            harness.memtrace("detach", pid, check=(0, 1, 3))
            return harness.memtrace("status", pid, check=(0, 1, 3)).code == 0
        harness.wait_for(is_clean, 30, what="nothing of memtrace is left")
        self.assertEqual(harness.maps_clean(pid), [])
        self.assertEqual(harness.tracer_pid(pid), 0)

    def race(self, mode, *options):
        seed, _, seconds = os.environ.get("MEMTRACE_RACES", "").partition(":")
        seed = seed or str(random.SystemRandom().randrange(1 << 30))
        print(f"MEMTRACE_RACES={seed}", flush=True)
        rng, running, number = random.Random(seed), [], 0
        with harness.tmpdir() as tmp, selfcheck.start(mode, tmp) as target:
            target.page.put32(selfcheck.ALLOW_EINTR, 1)
            deadline = time.monotonic() + float(seconds or 8)
            while time.monotonic() < deadline and not target.failure() and target.alive():
                if len(running) < AT_ONCE:
                    number += 1
                    running.append(self.begin(rng, target.pid, tmp, number, options))
                time.sleep(rng.choice([0, rng.uniform(0, 0.03), rng.uniform(0, 0.1)]))
                if rng.random() < 0.5:
                    rng.choice(running).hit(rng)
                running = self.reap(running)
            self.end(running)
            if not target.alive():
                self.fail(f"it ended: {target.target.wait(5)}, seed {seed}")
            target.goes_on()
            self.clean_up(target.pid)
            target.goes_on()
            self.assertEqual(target.finish(), "", f"seed {seed}, {number} commands")
            self.assertGreater(number, 5)

    def test_executes_itself(self):
        self.race("executes")

    def test_executes_itself_and_is_followed(self):
        self.race("executes", "--follow-fork")

    def test_children(self):
        self.race("children")

    def test_children_are_followed(self):
        self.race("children", "--follow-fork")

    def test_threads(self):
        self.race("churn")

    def test_libraries(self):
        self.race("dlopen")

    def test_blocked(self):
        self.race("waits")

    def test_signals(self):
        self.race("storm")


if __name__ == "__main__":
    unittest.main()
