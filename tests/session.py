# SPDX-License-Identifier: Apache-2.0
# tests/session.py - a capture around a piece of a target's work, and what it left in the target.
# Knows: `memtrace attach`, the shared memory's first words, ELF slots. Does not know: reports.
# Imported by tests/e2e and tests/real.
"""
    with Attach(target.pid, "-o", cap) as attach:      # armed from here
        ...
        result = attach.interrupt()                    # Ctrl-C; harness.Result

    before = Snapshot(pid) ... self.assertEqual(Snapshot(pid).changes(before), [])
"""

import contextlib
import functools
import os
import re
import signal
import struct
import subprocess
import time
from pathlib import Path

import harness

THUNK_MAGIC = b"mtthunk1"


# ---- is it armed? Read from outside, so that no message of the program is needed ----

def _read_memory(pid, address, size):
    with open(f"/proc/{harness.living(pid)}/mem", "rb", buffering=0) as mem:
        mem.seek(address)
        return mem.read(size)


def thunk_pages(pid):
    """Addresses of memtrace's permanent pages."""
    found = []
    for line in harness.maps(pid):
        fields = line.split(maxsplit=5)
        start, end = (int(x, 16) for x in fields[0].split("-"))
        if fields[1] == "r-xp" and end - start == 4096:
            with contextlib.suppress(OSError):
                if _read_memory(pid, start, 8) == THUNK_MAGIC:
                    found.append(start)
    return found


def armed(pid):
    """True when the hooks are in and record."""
    data = [line for line in harness.maps(pid) if "memtrace-data" in line]
    pages = thunk_pages(pid)
    if not data or not pages:
        return False
    try:
        mode, _, wanted, applied = struct.unpack(
            "<4I", _read_memory(pid, int(data[0].split("-")[0], 16) + 64, 16))
        return (mode not in (0, 0x40000000) and 0 < applied <= wanted and
                any(_read_memory(pid, page + 16, 1) == b"\1" for page in pages))
    except OSError:
        return False


class Attach:
    """`memtrace attach PID ...` in the background, armed on entry; killed at the end if it still
    runs. `argv` replaces the whole command line (run as another user, under a limit, ...)."""

    def __init__(self, pid, *options, argv=None, wait=True, cwd=None, timeout=30, env=None):
        self.pid, self.wait_for_arming, self.timeout = pid, wait, timeout
        self.argv = [str(a) for a in (argv or [harness.MEMTRACE, "attach", pid, *options])]
        self.cwd, self.result = cwd, None
        self.env = {**os.environ, **(env or {})}
        self.seconds_to_armed = None

    def __enter__(self):
        self.begin = time.monotonic()
        self.proc = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.cwd, env=self.env, start_new_session=True)
        if self.wait_for_arming:
            try:
                self.wait_armed()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.proc.pid, signal.SIGKILL)
        if self.result is None:
            self.proc.communicate()

    def wait_armed(self):
        deadline = time.monotonic() + self.timeout
        while not armed(self.pid):
            if self.proc.poll() is not None:
                raise AssertionError(f"ended before it was armed\n{self.wait()}")
            if time.monotonic() > deadline:
                self.proc.kill()
                raise AssertionError(f"not armed within {self.timeout} s\n{self.wait()}")
            time.sleep(0.005)
        self.seconds_to_armed = time.monotonic() - self.begin

    def wait(self, timeout=60):
        """Waits for its end; a harness.Result."""
        if self.result is None:
            try:
                out, err = self.proc.communicate(timeout=timeout)
                code = self.proc.returncode
            except subprocess.TimeoutExpired:
                os.killpg(self.proc.pid, signal.SIGKILL)
                out, err = self.proc.communicate()
                code = None
            self.result = harness.Result(self.argv, code, out.decode(errors="replace"),
                                         err.decode(errors="replace"),
                                         time.monotonic() - self.begin)
        return self.result

    def send_signal(self, number):
        self.proc.send_signal(number)

    def interrupt(self, number=signal.SIGINT, check=0):
        """Ends the capture the way a person does."""
        self.send_signal(number)
        result = self.wait()
        if check is not None and result.code != check:
            raise AssertionError(f"expected exit {check}\n{result}")
        return result


def capture_work(target, cap, *options, timeout=60):
    """The protocol of the alloc_* targets: they wait for a byte, work, print, wait again."""
    with Attach(target.pid, "-o", cap, *options) as attach:
        target.send("g")
        target.wait_line("^done", timeout)
        return attach.interrupt()


# ---- what a capture left behind ----

def _dynamic(data, offset, size):
    tags = {}
    for at in range(offset, offset + size, 16):
        tag, value = struct.unpack_from("<qQ", data, at)
        if tag == 0:
            break
        tags.setdefault(tag, value)
    return tags


@functools.lru_cache(maxsize=500)
def _slot_offsets(path, _version):
    """(addresses of relocated pointers, lowest address) of an ELF file, as in the file."""
    data = Path(path).read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return [], 0
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    loads, dynamic = [], None
    for i in range(phnum):
        kind, _, offset, vaddr, _, filesz, _, _ = struct.unpack_from(
            "<IIQQQQQQ", data, phoff + i * phentsize)
        if kind == 1:
            loads.append((vaddr, offset, filesz))
        elif kind == 2:
            dynamic = _dynamic(data, offset, filesz)
    if not dynamic or not loads:
        return [], 0

    def at(vaddr):
        return next(o + vaddr - v for v, o, n in loads if v <= vaddr < v + n)
    symbols = at(dynamic[6]) if 6 in dynamic else None

    def is_variable(info):
        """A word of the program's data that begins as the address of an object (_IO_list_all)."""
        return (info & 0xffffffff) == 1 and data[symbols + 24 * (info >> 32) + 4] & 0xf == 1
    slots = []
    for table, length in ((23, 2), (7, 8)):		# JMPREL, RELA
        if table in dynamic:
            begin = at(dynamic[table])
            for pos in range(begin, begin + dynamic.get(length, 0), 24):
                slot, info = struct.unpack_from("<QQ", data, pos)
                if info & 0xffffffff in (1, 6, 7) and not is_variable(info):	# 64, GLOB_DAT, JUMP_SLOT
                    slots.append(slot)
    return sorted(slots), min(v for v, _, _ in loads) & ~4095


def _place(pid, path):
    """Where this process can read a file of another one's maps; None: nowhere. The program of a
    chroot is shown there with a path from outside."""
    inside = f"/proc/{harness.living(pid)}/root{path}"
    if os.path.isfile(path) and (not os.path.isfile(inside) or os.path.samefile(path, inside)):
        return path
    return inside if os.path.isfile(inside) else None


def slots(pid):
    """{(module, address in the file): value} of every pointer the loader relocates by symbol."""
    values = {}
    seen = set()
    for line in harness.maps(pid):
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or fields[2] != "00000000" or not fields[5].startswith("/"):
            continue
        path, start = fields[5], int(fields[0].split("-")[0], 16)
        place = _place(pid, path)
        if path in seen or not place:
            continue
        seen.add(path)
        offsets, low = _slot_offsets(place, os.stat(place).st_mtime_ns)
        for offset, value in _read_words(pid, start - low, offsets):
            values[path, offset] = value
    return values


def _read_words(pid, base, offsets):
    """(offset, word in hex) of sorted offsets; what lies together is read together."""
    with open(f"/proc/{harness.living(pid)}/mem", "rb", buffering=0) as mem:
        begin = 0
        while begin < len(offsets):
            end = begin + 1
            while end < len(offsets) and offsets[end] - offsets[end - 1] < 4096:
                end += 1
            first = offsets[begin]
            with contextlib.suppress(OSError):
                mem.seek(base + first)
                data = mem.read(offsets[end - 1] + 8 - first)
                for offset in offsets[begin:end]:
                    word = data[offset - first:offset - first + 8]
                    if len(word) == 8:
                        yield offset, word.hex()
            begin = end


def _map_shape(line):
    """Range, rights and file of a mapping; the heap and the stack may grow."""
    fields = line.split(maxsplit=5)
    path = fields[5] if len(fields) > 5 else ""
    if path in ("[heap]", "[stack]"):
        return (fields[1], path)
    return (fields[0], fields[1], path)


def _blocked(pid):
    """Signals that it blocks for longer than a moment: the C library blocks all of them while it makes
    a thread or ends one."""
    blocked = ~0
    for _ in range(20):
        blocked &= int(harness.proc_status(pid).get("SigBlk", "0"), 16)
        if not blocked:
            break
        time.sleep(0.002)
    return blocked


class Snapshot:
    """What a target looks like from outside."""

    def __init__(self, pid, with_slots=True):
        self.maps = [_map_shape(line) for line in harness.maps(pid)]
        self.thunks = [f"{p:x}-{p + 4096:x}" for p in thunk_pages(pid)]
        self.threads = harness.threads(pid)
        self.fds = harness.fds(pid)
        status = harness.proc_status(pid)
        self.status = {key: status[key] for key in
                       ("SigIgn", "SigCgt", "SigPnd", "ShdPnd", "TracerPid", "Seccomp",
                        "NoNewPrivs", "Groups", "Uid", "Umask") if key in status}
        self.status["SigBlk"] = f"{_blocked(pid):016x}"
        # A signal that the program has a handler for is its own business: a timer of its may have
        # fired in this instant. One without would be a trace of somebody.
        handled = int(self.status.get("SigCgt", "0"), 16)
        for key in ("SigPnd", "ShdPnd"):
            if key in self.status:
                self.status[key] = f"{int(self.status[key], 16) & ~handled:016x}"
        self.slots = slots(pid) if with_slots else {}

    def changes(self, before):
        """Differences to an earlier one, as text; the one permanent page is not a difference."""
        found = []
        allowed = {(shape, "r-xp") for shape in self.thunks[:1]}
        found += [f"new mapping {m}" for m in self.maps
                  if m not in before.maps and m[:2] not in allowed]
        found += [f"lost mapping {m}" for m in before.maps if m not in self.maps]
        if len(self.thunks) > 1:
            found.append(f"{len(self.thunks)} permanent pages")
        for name in ("threads", "fds", "status"):
            if getattr(self, name) != getattr(before, name):
                found.append(f"{name}: {getattr(before, name)} -> {getattr(self, name)}")
        for slot, value in before.slots.items():
            if self.slots.get(slot) != value:
                found.append(f"slot {slot[0]}+{slot[1]:#x}: {value} -> {self.slots.get(slot)}")
        return found


# ---- the ledger of an alloc_* target, and the same from a report ----

FIELDS = {"allocated": (0, 1), "leaks": (2, 3), "peak": (4, 5), "temporary": (6, 7)}


class Site:
    def __init__(self, function, line, kind, numbers):
        self.function, self.line, self.kind, self.numbers = function, int(line), kind, numbers

    def count(self, view):
        return self.numbers[FIELDS[view][0]]

    def bytes(self, view):
        return self.numbers[FIELDS[view][1]]


def read_sites(lines):
    """The "site" lines a target printed."""
    sites = []
    for line in lines:
        if line.startswith("site "):
            _, function, number, kind, *rest = line.split()
            # C++: "operator() 12 new" keeps its name in one word
            sites.append(Site(function, number, kind, [int(x) for x in rest]))
    if "ledger ends" not in lines:
        raise AssertionError(f"the target's ledger is not whole: {lines[-5:]}")
    return sites


def split_frame(frame):
    """"function (file.c:12)" -> (function, file.c, 12); "function (module)" -> (.., module, 0)."""
    match = re.fullmatch(r"(.*) \((.*?)(?::(\d+))?\)", frame, re.S)
    if not match:
        return frame, "", 0
    return match.group(1), os.path.basename(match.group(2)), int(match.group(3) or 0)


def plain_name(function):
    """A C++ name without parameters, template arguments and namespaces."""
    name = re.sub(r"\[.*?\]", "", function)
    if "operator()" in name:
        return "operator()"
    while True:
        shorter = re.sub(r"<[^<>]*>|\([^()]*\)", "", name)
        if shorter == name:
            break
        name = shorter
    name = name.replace(" const", "").strip()
    return name.split("::")[-1].split(" ")[-1]


def by_site(rows, source, leaf_only=False):
    """{(function, line): value} by the leaf-most frame of a source file (by the leaf itself), and
    the rows that have none."""
    found, rest = {}, []
    for frames, value in rows:
        for frame in reversed(frames[-1:] if leaf_only else frames):
            function, file, line = split_frame(frame)
            if file in source:
                key = (plain_name(function), line)
                found[key] = found.get(key, 0) + value
                break
        else:
            rest.append((frames, value))
    return found, rest
