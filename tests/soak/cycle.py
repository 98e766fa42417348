# SPDX-License-Identifier: Apache-2.0
# tests/soak/cycle.py - one attach and its end, by whatever way chance gives, and what it left.
# Knows: memtrace's commands and exit codes. Does not know: which target it is.
# Imported by tests/soak/soak.py.
"""`Cycles(kind, rng, tmp)` does one cycle after another on a started kind. Ways to end:

    duration    its own time is over
    signal      SIGINT, SIGTERM or SIGHUP after a random time
    detach      `memtrace detach` from elsewhere
    twice       two memtraces at once; one of them wins
    kill        SIGKILL at a random instant of the whole life, or of the attach, or of the detach;
                what is left is removed by `memtrace detach` or by the next attach"""

import os
import re
import signal
import subprocess
import time

import harness
import session

WAYS = [("kill", 34), ("duration", 40), ("signal", 13), ("detach", 6), ("twice", 7)]
TIMEOUT = 60
LONGEST_MS = 250


class Outcome(dict):
    """What one cycle was; sent to the parent."""


class Tool(Exception):
    """memtrace itself did wrong: crashed, hung, lied about what it left."""


def guess(old, new):
    return new if old is None else 0.8 * old + 0.2 * new


class Cycles:
    def __init__(self, kind, rng, tmp):
        self.kind, self.rng, self.tmp = kind, rng, tmp
        self.pid, self.number = kind.pid, 0
        self.attach_s, self.detach_s = 0.15, 0.1        # learnt as it goes

    # ---- running memtrace ----

    def begin(self, *args):
        self.started += 1
        log = self.tmp / f"memtrace-{self.number}-{self.started}.log"
        with open(log, "wb") as out:
            proc = subprocess.Popen([str(a) for a in (harness.MEMTRACE, *args)],
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    start_new_session=True)
        proc.log, proc.args_text = log, " ".join(map(str, args))
        self.logs.append(log)
        return proc

    def end(self, proc, *codes):
        """Its exit code, one of these."""
        try:
            code = proc.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            proc.stack = harness.run(["gdb", "-p", proc.pid, "-batch", "-ex", "thread apply all bt"],
                                     timeout=30).out[-3000:]
            proc.kill()
            proc.wait()
            raise Tool(f"`memtrace {proc.args_text}` hung: {self.text(proc)[-2000:]}\n{proc.stack}") from None
        if code not in codes:
            raise Tool(f"`memtrace {proc.args_text}` ended with {code}: {self.text(proc)[-2000:]}")
        return code

    @staticmethod
    def text(proc):
        return proc.log.read_text(errors="replace")

    def memtrace(self, codes, *args):
        proc = self.begin(*args)
        return self.end(proc, *codes), self.text(proc)

    def attach(self, ms, name="cap"):
        cap = self.tmp / f"{name}-{self.number}.bin"
        self.caps.append(cap)
        sums = ["--aggregate"] if self.rng.random() < 0.3 else []
        return self.begin("attach", self.pid, "-f", "-o", cap, "-d", f"{ms}ms", *sums)

    def wait_recording(self, proc):
        """Until it says that it records, or ends."""
        begin = time.monotonic()
        while proc.poll() is None and b"recording process" not in proc.log.read_bytes():
            time.sleep(0.002)
        if proc.poll() is None:
            self.attach_s = guess(self.attach_s, time.monotonic() - begin)

    # ---- the ways ----

    def random_ms(self):
        return int(self.rng.expovariate(1 / 60)) % LONGEST_MS + 1

    def duration(self, outcome):
        proc = self.attach(self.random_ms())
        self.wait_recording(proc)
        self.ended(proc, outcome)

    def ended(self, proc, outcome):
        """An attach that nobody killed: what it said."""
        code = self.end(proc, 0, 1, 3)
        outcome["code"] = code
        if code == 1:
            self.refused(self.text(proc), outcome)
        elif code == 3:
            outcome["left"] = True
            self.clean_up(outcome)

    @staticmethod
    def refused(text, outcome):
        line = next((ln for ln in text.splitlines() if ln.startswith("memtrace: ")), text[-200:])
        line = re.sub(r"\d+", "N", line.removeprefix("memtrace: ").split("\n")[0])
        outcome.setdefault("refused", []).append(line)

    def signal(self, outcome):
        number = self.rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        proc = self.attach(60000)
        if self.rng.random() < 0.7:
            self.wait_recording(proc)
            time.sleep(self.random_ms() / 1000)
        else:
            time.sleep(self.rng.uniform(0, self.attach_s))
        if proc.poll() is None:
            begin = time.monotonic()
            proc.send_signal(number)
            try:
                code = proc.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                code = None
            if code == -number:         # before it caught signals
                outcome["code"] = code
                return
            if code == 0:
                self.detach_s = guess(self.detach_s, time.monotonic() - begin)
        self.ended(proc, outcome)

    def detach(self, outcome):
        proc = self.attach(60000)
        self.wait_recording(proc)
        time.sleep(self.random_ms() / 1000)
        if proc.poll() is None:
            self.memtrace((0,), "detach", self.pid)
        self.ended(proc, outcome)

    def twice(self, outcome):
        first = self.attach(self.random_ms(), "first")
        time.sleep(self.rng.choice([0, 0, self.rng.uniform(0, self.attach_s)]))
        second = self.attach(self.random_ms(), "second")
        self.ended(first, outcome)
        self.ended(second, outcome)

    def kill(self, outcome):
        where = self.rng.choice(["life", "attach", "detach"])
        outcome["where"] = where
        ms = self.random_ms()
        proc = self.attach(ms if where == "life" else 60000)
        if where == "life":
            time.sleep(self.rng.uniform(0, self.attach_s + ms / 1000 + self.detach_s))
        elif where == "attach":
            time.sleep(self.rng.uniform(0, 1.1 * self.attach_s))
        else:
            self.wait_recording(proc)
            time.sleep(self.rng.uniform(0, 0.05))
            proc.send_signal(signal.SIGINT)
            time.sleep(self.rng.uniform(0, 1.1 * self.detach_s))
        proc.kill()
        code = self.end(proc, -signal.SIGKILL, 0, 1, 3)
        outcome["killed"] = code == -signal.SIGKILL
        if code == 1:
            self.refused(self.text(proc), outcome)
        time.sleep(self.rng.choice([0, self.rng.uniform(0, 0.02)]))
        if self.rng.random() < 0.4:
            outcome["again"] = True
            code, text = self.memtrace((0, 1, 3), "attach", self.pid, "-f", "-o",
                                       self.tmp / "again.bin", "-d", "20ms")
            if code == 1:
                self.refused(text, outcome)
        self.clean_up(outcome)

    def clean_up(self, outcome):
        """`memtrace detach` until `status` is content."""
        deadline = time.monotonic() + 30
        while self.memtrace((0, 3), "status", self.pid)[0] == 3:
            code, text = self.memtrace((0, 1, 3), "detach", self.pid)
            if code:
                outcome["cleanings"] = outcome.get("cleanings", 0) + 1
                if time.monotonic() > deadline:
                    raise Tool(f"detach does not succeed in 30 s: {text}")
                time.sleep(0.05)

    # ---- the target before and after ----

    def changes(self, before):
        """What is different; what changes by itself is given time to be seen unchanged once."""
        left = None
        for attempt in range(6):
            if attempt:
                time.sleep(0.02 * 2 ** attempt)
            found = set(self.kind_changes(session.Snapshot(self.pid), before))
            left = found if left is None else left & found
            if not left:
                break
        return sorted(left)

    def kind_changes(self, after, before):
        kind = self.kind
        found = harness.maps_clean(self.pid)
        if len(after.thunks) > 1:
            found.append(f"{len(after.thunks)} permanent pages")
        if kind.exact_maps:
            found += [c for c in after.changes(before) if "mapping" in c]
        elif not kind.moving_modules:
            found += self.module_changes(after, before)
        if kind.stable_threads and after.threads != before.threads:
            found.append(f"threads: {before.threads} -> {after.threads}")
        if kind.stable_fds and after.fds != before.fds:
            found.append(f"files: {before.fds} -> {after.fds}")
        found += [f"file {n}: {to}" for n, to in after.fds.items() if "memfd:memtrace" in to]
        for key, value in after.status.items():
            moving = kind.moving_masks and key in ("SigBlk", "SigPnd", "ShdPnd", "SigCgt")
            if not moving and before.status.get(key) != value:
                found.append(f"{key}: {before.status.get(key)} -> {value}")
        return found + self.slot_changes(after, before)

    @staticmethod
    def module_changes(after, before):
        """Mappings of files, with their rights."""
        def files(snapshot):
            return {m for m in snapshot.maps if len(m) == 3 and m[2].startswith("/")
                    and not m[2].startswith(("/memfd:", "/dev/", "/SYSV"))}
        return ([f"new mapping {m}" for m in files(after) - files(before)] +
                [f"lost mapping {m}" for m in files(before) - files(after)])

    @staticmethod
    def slot_changes(after, before):
        """A slot may be bound by its own lazy binding: from its module's stub to another's code."""
        ranges = [(*(int(x, 16) for x in m[0].split("-")), m[2]) for m in after.maps if len(m) == 3]

        def owner(value):
            address = int.from_bytes(bytes.fromhex(value), "little")
            return next((path for low, high, path in ranges if low <= address < high), None)
        found = []
        for (module, offset), value in before.slots.items():
            now = after.slots.get((module, offset), value)
            if now == value:
                continue
            lazily = owner(value) == module and (owner(now) or "").startswith("/")
            if not lazily:
                found.append(f"slot {module}+{offset:#x}: {value} -> {now}, {owner(now)}")
        return found

    # ---- one cycle ----

    def one(self, way=None):
        """An Outcome; "harm" in it when the target is not as it was."""
        self.number += 1
        self.started, self.logs, self.caps = 0, [], []
        names, weights = zip(*WAYS)
        way = way or self.rng.choices(names, weights)[0]
        outcome = Outcome(way=way)
        begin = time.monotonic()
        before = session.Snapshot(self.pid)
        self.kind.mark(killed=way == "kill")
        try:
            getattr(self, way)(outcome)
            if self.alive():
                self.check_status(outcome)
            self.count_events(outcome)
        except Tool as wrong:
            outcome["tool"] = str(wrong)
        outcome["pause"] = self.kind.pause_ms()
        outcome["harm"] = outcome.get("harm") or self.kind.harm()
        if not outcome["harm"] and not outcome.get("tool"):
            outcome["harm"] = "; ".join(self.changes(before))[:2000]
        outcome["seconds"] = time.monotonic() - begin
        if not outcome["harm"] and not outcome.get("tool"):
            for path in (*self.logs, *self.caps):
                path.unlink(missing_ok=True)
        return outcome

    def alive(self):
        return harness.proc_state(self.pid) not in (None, "Z", "X")

    def check_status(self, outcome):
        code, text = self.memtrace((0, 1, 3), "status", self.pid)
        if code and self.alive():
            raise Tool(f"status after {outcome['way']}: {text}")
        if harness.tracer_pid(self.pid):
            raise Tool(f"still traced by {harness.tracer_pid(self.pid)}")
        state = harness.proc_state(self.pid)
        if state in "Tt":
            time.sleep(0.05)
            if harness.proc_state(self.pid) in "Tt":
                outcome["harm"] = "it is stopped"

    def count_events(self, outcome):
        """Every capture is readable; a whole one balances."""
        for cap in self.caps:
            if not cap.exists():
                continue
            cut = outcome["way"] == "kill"
            if cut and os.path.getsize(cap) < 64:
                continue
            code, text = self.memtrace((0, 1) if cut else (0,), "info", cap)
            if code:
                outcome.setdefault("unreadable", []).append(text[:200])
                continue
            for name in ("produced", "written", "dropped"):
                match = re.search(rf"^\s*{name}\b\D*([\d,]+)", text, re.M | re.I)
                if match:
                    outcome[name] = outcome.get(name, 0) + int(match[1].replace(",", ""))
        lost = outcome.get("produced", 0) - outcome.get("written", 0) - outcome.get("dropped", 0)
        if outcome["way"] != "kill" and lost:
            raise Tool(f"{lost} events are in no account: {dict(outcome)}")
