#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/run.py - what memtrace and its peers cost whole workloads; writes docs/performance.md.
# Knows: the workloads, how each profiler is started. Does not know: how any of them works.
# Called by `make bench`; prints tables, is never a test.
"""usage: bench/run.py [--rounds N] [--peer-rounds N] [--python EXE] [--rootfs DIR] [--write FILE]
                    [--peers] [WORD...]

memtrace is measured attached: a process runs the workload bare, with memtrace attached, bare, ...
in turn, and a figure is the median of the ratios of neighbours, with the least and the largest.
Peers cannot be put in and out so; each of their runs is a fresh process, whose second run of the
workload is compared with the second run of a fresh bare process. Start-up is in no figure.
--rootfs: a folder made by bench/rootfs.sh; its interpreter and its memray are used. WORDs choose
workloads. --write replaces the part of FILE between the marks."""

import argparse
import contextlib
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import harness      # noqa: E402
import session      # noqa: E402

PYTHON_WORKLOADS = ["calls", "documents", "small", "deep", "between", "arrays", "threads",
                    "handlers", "database", "requests"]
C_WORKLOADS = ([f"storm {depth} {threads}" for depth in (10, 30, 100) for threads in (1, 2, 8)] +
               ["tree 40 1", "reuse 10 1", "reuse 10 8"])
STORM_PAIRS = 5_000_000     # as in bench/storm.c
SECONDS = 1.0               # a Python workload is repeated until it takes about that
MARKS = ("<!-- bench/run.py: from here -->", "<!-- bench/run.py: to here -->")


class Worker:
    """A process that runs workloads on demand."""

    def __init__(self, argv, env=None):
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, text=True, bufsize=1,
                                     env={**os.environ, "PYTHONHASHSEED": "0", **(env or {})},
                                     start_new_session=True)
        while True:
            line = self.proc.stdout.readline()
            if not line:
                raise RuntimeError(f"{argv} did not start")
            if line == "ready\n":
                return

    def run(self, name):
        self.proc.stdin.write(name + "\n")
        line = self.proc.stdout.readline()
        if not line:
            raise RuntimeError(f"the workload '{name}' failed")
        return float(line)

    def close(self):
        self.proc.stdin.close()
        try:
            self.proc.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()


def attached(worker, name, options, folder):
    with session.Attach(worker.proc.pid, *options, "-f", "-o", f"{folder}/cap.bin") as attach:
        value = worker.run(name)
        attach.interrupt(signal.SIGTERM, check=None)    # SIGINT is ignored in the background
        return value


def repeated(argv, name):
    """The workload as often as it takes to last SECONDS, as the line that asks for it."""
    worker = Worker(argv)
    try:
        worker.run(f"{name} 1")
        return f"{name} {max(1, round(SECONDS / worker.run(f'{name} 1')))}"
    finally:
        worker.close()


def ratios_attached(argv, name, configs, rounds, folder):
    """(bare seconds, {config: [ratio]}): bare before and after each attached run."""
    worker = Worker(argv)
    try:
        worker.run(name)
        bare, ratios = [worker.run(name)], {config: [] for config in configs}
        for _ in range(rounds):
            for config, options in configs.items():
                value = attached(worker, name, options, folder)
                bare.append(worker.run(name))
                ratios[config].append(2 * value / (bare[-2] + bare[-1]))
    finally:
        worker.close()
    return bare, ratios


def ratios_fresh(argv, name, peers, rounds):
    ratios = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer, wrap in peers.items():
            values = []
            for started in (argv, wrap(argv)):
                worker = Worker(started)
                worker.run(name)
                values.append(worker.run(name))
                worker.close()
            ratios[peer].append(values[1] / values[0])
    return ratios


def memtrace_configs():
    configs = {"memtrace": [], "--no-native": ["--no-native"]}
    if "--sample" in harness.memtrace("attach", "--help", check=None).out:
        configs["--sample 512KiB"] = ["--sample", "512KiB"]
    return configs


def find_peers(options, folder):
    """{name: function from a command line to one that is profiled}."""
    python, found = python_argv(options), {}
    inner = "/tmp" if options.rootfs else folder
    if subprocess.run([*python, "-c", "import memray"], capture_output=True).returncode == 0:
        def memray(*more):
            return lambda argv: [*python, "-m", "memray", "run", "-q", "-f", *more, "-o",
                                 f"{inner}/memray.bin", *argv[len(python):]]
        found["memray"] = memray()
        found["memray --native"] = memray("--native")
    found.update(find_heaptrack(options.rootfs, inner))
    return found


def find_heaptrack(root, inner):
    prefix = ["chroot", root] if root else []
    if not (Path(root or "/") / "usr/bin/heaptrack").exists():
        return {}
    return {"heaptrack": lambda argv: [*prefix, "heaptrack", "--record-only", "-o",
                                       f"{inner}/heaptrack", *argv[len(prefix):]]}


def python_argv(options):
    if options.rootfs:
        return ["chroot", options.rootfs, "/usr/bin/python3"]
    return [options.python]


def script_path(options):
    script = ROOT / "bench/workloads.py"
    if not options.rootfs:
        return str(script)
    shutil.copy(script, Path(options.rootfs) / "tmp/workloads.py")
    return "/tmp/workloads.py"


@contextlib.contextmanager
def proc_in(root):
    """memray reads /proc, in the folder too."""
    point = Path(root, "proc") if root else None
    mount = point is not None and not (point / "self").exists()
    if mount:
        subprocess.run(["mount", "-t", "proc", "proc", point], check=True)
    try:
        yield
    finally:
        if mount:
            subprocess.run(["umount", "-l", point], check=True)


def text_of(values):
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def python_table(options, out, folder):
    argv = [*python_argv(options), script_path(options)]
    configs = memtrace_configs()
    peers = find_peers(options, folder) if options.peers else {}
    columns = [*configs, *peers]
    version = subprocess.run([*python_argv(options), "--version"], capture_output=True,
                             text=True).stdout.strip()
    out(f"Slowdown of ten Python workloads, {version}; {options.rounds} rounds, peers "
        f"{options.peer_rounds}:\n")
    out(f"| workload | bare, s | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    medians = {column: [] for column in columns}
    for name in chosen(PYTHON_WORKLOADS, options):
        try:
            line = repeated(argv, name)
            bare, ratios = ratios_attached(argv, line, configs, options.rounds, folder)
            ratios.update(ratios_fresh(argv, line, peers, options.peer_rounds))
        except (RuntimeError, OSError, AssertionError) as e:
            out(f"| {name} | not run: {str(e).splitlines()[0]} |")
            continue
        for column in columns:
            medians[column].append(statistics.median(ratios[column]))
        out(f"| {name} | {text_of(bare)} | {' | '.join(text_of(ratios[c]) for c in columns)} |")
    means = [math.exp(statistics.fmean(map(math.log, medians[c]))) if medians[c] else math.nan
             for c in columns]
    out(f"| **geometric mean** | | {' | '.join(f'**{m:.2f}**' for m in means)} |\n")


def c_table(options, out, folder):
    configs = memtrace_configs()
    storm = str(harness.BUILD / "bench/storm")
    peers, inside = {}, [storm]
    if options.peers and options.rootfs: # older ones do more than record
        peers = find_heaptrack(options.rootfs, "/tmp")
        shutil.copy(storm, Path(options.rootfs) / "tmp/storm")
        inside = ["chroot", options.rootfs, "/tmp/storm"]
    columns = [*configs, *peers]
    out(f"Slowdown of workloads in C that only allocate, without a pause, and what a pair of malloc "
        f"and free costs in ns; {options.rounds} rounds, peers 1:\n")
    out(f"| kind, depth, threads | bare, s | {' | '.join(columns)} | bare, ns | "
        f"{' | '.join(c + ', ns' for c in columns)} |\n|{'---|' * (2 * len(columns) + 3)}")
    for name in chosen(C_WORKLOADS, options):
        bare, ratios = ratios_attached([storm], name, configs, options.rounds, folder)
        ratios.update(ratios_fresh(inside, name, peers, 1))
        pair = statistics.median(bare) * 1e9 / STORM_PAIRS if name.startswith("storm") else None
        costs = ["-" if pair is None else f"{pair * x:.0f}" for x in
                 [1.0, *(statistics.median(ratios[c]) for c in columns)]]
        out(f"| {name} | {text_of(bare)} | {' | '.join(text_of(ratios[c]) for c in columns)} | "
            f"{' | '.join(costs)} |")
    out("")


def chosen(names, options):
    return [n for n in names if not options.words or any(w in n for w in options.words)]


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), platform.machine())
    return (f"Made by `bench/run.py` on {time.strftime('%Y-%m-%d')}: {model}, {os.cpu_count()} cores, "
            f"Linux {platform.release()}, load average {os.getloadavg()[0]:.1f} at the start.\n")


def write_between_marks(path, lines):
    text = Path(path).read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0], 1)
    after = rest.split(MARKS[1], 1)[1]
    body = "\n".join(lines)
    Path(path).write_text(f"{before}{MARKS[0]}\n\n{body}\n{MARKS[1]}{after}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=2)
    parser.add_argument("--python", default=harness.PYTHON)
    parser.add_argument("--rootfs", default=os.environ.get("ROOTFS"))
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    lines = []

    def out(line):
        print(line, flush=True)
        lines.append(line)
    out(machine())
    with tempfile.TemporaryDirectory(prefix="memtrace-bench-") as folder, proc_in(options.rootfs):
        if chosen(PYTHON_WORKLOADS, options):
            python_table(options, out, folder)
        if chosen(C_WORKLOADS, options):
            c_table(options, out, folder)
    if options.write:
        write_between_marks(options.write, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
