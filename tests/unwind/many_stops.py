#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/unwind/many_stops.py - our tables against libunwind and gdb at many stops of real programs.
# Knows: tests/unwind/compare.c, gdb's frames, how five programs are kept busy. Does not know: rules.
# Called by `make unwind-check`; too long for the tests, which do some of it (test_live.py).
"""usage: many_stops.py [-n STOPS] [-g STOPS] [PROGRAM...]

At each of -n random stops all threads are unwound by our rules and by libunwind-ptrace; no frame may
differ. At each of -g more gdb holds the program, and its frames are compared with ours. Where we have no rule (JIT code) a stack ends there, and is equal as far as it goes."""

import argparse
import contextlib
import glob
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import harness      # noqa: E402

COMPARE = harness.BUILD / "tests" / "unwind" / "compare"
TARGETS = HERE / "targets"
GDB_SCRIPT = """
import subprocess
import gdb
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
inferior = gdb.selected_inferior()
for thread in inferior.threads():
    thread.switch()
    frame, pcs = gdb.newest_frame(), []
    registers = [hex(int(frame.read_register(name)) % 2 ** 64) for name in ("rip", "rsp", "rbp")]
    while frame is not None and len(pcs) < 512:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):	# no frames of the stack
            pcs.append(hex(frame.pc()))
        try:
            frame = frame.older()
        except gdb.error:
            break
    ours = subprocess.run([COMPARE, "-r", str(inferior.pid), *registers], capture_output=True, text=True)
    print("ours", ours.stdout.strip() or "nothing " + ours.stderr)
    print("gdb", *pcs)
"""
BUSY_SQL = """
create table t as select i, md5(i::text) as m from generate_series(1, 2000) i;
create function fail(n int) returns int language plpgsql as $$
begin if n = 0 then raise exception 'x'; end if; return fail(n - 1); end $$;
do $$ declare r record; begin loop
    begin perform fail(10); exception when others then null; end;
    for r in select m, count(*), array_agg(i order by m desc) from t group by m order by 1 limit 50
    loop null; end loop;
    perform count(*) from t a join t b using (m) where a.m ~ '^[0-9a]+b';
end loop; end $$;
"""


# ---- the programs: each yields the pid of a busy process ----

@contextlib.contextmanager
def started(argv):
    with harness.start_target(argv) as target:
        time.sleep(0.7)
        yield target.pid


def python():
    return started([harness.PYTHON, TARGETS / "busy.py"])


def cpp():
    return started([harness.compile_c(TARGETS / "busy.cc", flags=["-O2", "-pthread", "-Wl,-z,lazy"])])


def node():
    return started([shutil.which("node"), TARGETS / "busy.js"])


@contextlib.contextmanager
def rust():
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "busy"
        harness.run(["rustc", "-C", "opt-level=3", "-o", program, TARGETS / "busy.rs"], check=0,
                    timeout=300)
        with started([program]) as pid:
            yield pid


@contextlib.contextmanager
def postgres():
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    tools = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, "postgres", "postgres")
        data, port = f"{folder}/data", harness.free_port()
        harness.run([*user, tools / "initdb", "-D", data, "-A", "trust", "-N", "-U", "postgres"],
                    check=0, timeout=200)
        where = ["-h", folder, "-p", port, "-U", "postgres", "-X", "-q", "-t", "-A"]
        with harness.start_target([*user, tools / "postgres", "-D", data, "-p", port, "-k", folder,
                                   "-c", "listen_addresses=", "-c", "max_parallel_workers=0"]):
            harness.wait_for(lambda: harness.run(["psql", *where, "-c", "select 1"]).code == 0, 60)
            script = Path(folder) / "busy.sql"
            script.write_text(BUSY_SQL)
            with harness.start_target(["psql", *where, "-f", script]):
                pid = harness.wait_for(lambda: harness.run(
                    ["psql", *where, "-c", "select pid from pg_stat_activity where state = 'active' "
                     "and query like 'do %'"]).out.strip(), 60)
                time.sleep(0.7)
                try:
                    yield int(pid)
                finally:    # it would go on without its server
                    os.kill(int(pid), signal.SIGKILL)


LIBUNWIND_IS_LOST = {"rust"}    # in the program's own frames, where gdb is not
PROGRAMS = {"python": python, "postgres": postgres, "node": node, "cpp": cpp, "rust": rust}


# ---- comparing ----

def by_gdb(pid, stops, random_):
    """(stacks, frames, [what differs])"""
    stacks = frames = 0
    different = []
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(f"COMPARE = {str(COMPARE)!r}\n{GDB_SCRIPT}")
        script.flush()
        for _ in range(stops):
            time.sleep(random_.uniform(0.0005, 0.05))
            text = harness.run(["gdb", "-nx", "-batch", "-p", pid, "-x", script.name], timeout=300).out
            found = re.findall(r"^ours ([\w-]+)(.*)\ngdb (.*)$", text, re.M)
            if not found:
                different.append("gdb said: " + text[-1000:])
            for end, ours, theirs in found:
                ours, theirs = ours.split(), theirs.split()
                stacks += 1
                frames += len(ours)
                if not ours or ours != theirs[:len(ours)] or \
                        (end == "root" and len(ours) != len(theirs)):
                    different.append(f"{end}\n  ours {' '.join(ours)}\n  gdb  {' '.join(theirs)}")
    return stacks, frames, different


def check(name, options):
    with PROGRAMS[name]() as pid:
        done = harness.run([COMPARE, pid, options.stops, options.seed], timeout=3600)
        print(f"{name}: libunwind: {done.out.strip()}", flush=True)
        stacks, frames, different = by_gdb(pid, options.gdb_stops, random.Random(options.seed))
        print(f"{name}: gdb: {stacks} stacks, {frames} frames, {len(different)} different", flush=True)
        for text in different[:5]:
            print(text)
    return (done.code == 0 or name in LIBUNWIND_IS_LOST) and not different


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--stops", type=int, default=1000)
    parser.add_argument("-g", "--gdb-stops", type=int, default=50)
    parser.add_argument("-s", "--seed", type=int, default=1)
    parser.add_argument("programs", nargs="*", choices=[*PROGRAMS, []], default=[])
    options = parser.parse_args()
    results = [check(name, options) for name in options.programs or PROGRAMS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
