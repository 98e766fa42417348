#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/structure/includes.py - the arrows between the rooms point down (DESIGN section 2).
# Knows: rooms, who may include whom. Does not know: C beyond its #include lines.
# Called by `make check-includes`; prints file:line for each breach and exits 1.
"""Also checked: files say who they are in their first lines, only cmds/ exits or writes to
stderr, and only the rooms of a live process name /proc or a pid."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

OFFLINE = ["base", "capture", "symbolize", "analysis", "reporters"]    # each sees those before it
MAY_INCLUDE = {room: set(OFFLINE[:i]) for i, room in enumerate(OFFLINE)}
MAY_INCLUDE["lib"] = {"base", "capture", "symbolize", "analysis"}
MAY_INCLUDE["attach"] = {"base"}
MAY_INCLUDE["inject"] = {"base", "capture", "attach"}
MAY_INCLUDE["record"] = {"base", "capture", "attach", "inject"}
MAY_INCLUDE["serve"] = {"base", "capture", "reporters", "attach"}      # everything else by children
MAY_INCLUDE["cmds"] = set(OFFLINE) | {"attach", "inject", "record", "serve"}

TRACER = "inject/tracer"
TRACER_MAY = {"capture/wire.h", "base/varint.h"}
# What a freestanding file may use: types, intrinsics and the kernel's own headers.
TRACER_SYSTEM = re.compile(r"(std(int|def|atomic|bool|arg|align|noreturn)|limits|immintrin|"
                           r"x86intrin|cpuid|elf|asm/.*|linux/.*|asm-generic/.*)(\.h)?$")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
SPEAKS = re.compile(r"\b(exit|_exit|abort|perror|err|errx|warn|warnx)\s*\(|\bstderr\b")
PID = re.compile(r'\bpid_t\b|"/proc/|\bptrace\s*\(')


def sources():
    """What git tracks or would track, so that build output is never checked."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", "*.c", "*.h", "*.S"],
                         cwd=ROOT, capture_output=True, text=True)
    names = out.stdout.split("\n") if out.returncode == 0 else \
        [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.[chS]")]
    return sorted(name for name in set(names) if name and (ROOT / name).exists())


def room_of(name):
    if name.startswith(TRACER + "/"):
        return TRACER
    top = name.split("/")[0]
    return top if top in MAY_INCLUDE else None


def arrow(room, name, quote, target):
    """Why this include is wrong, or None."""
    top = target.split("/")[0]
    if quote == "<":
        if top in MAY_INCLUDE and "/" in target and (ROOT / target).exists():
            return f"<{target}> is ours: write \"{target}\""
        if room == TRACER and not TRACER_SYSTEM.match(target):
            return f"the tracer is freestanding: <{target}> is libc's"
        return None
    if "/" not in target or ".." in target.split("/"):
        return f'"{target}" is not written from the root'
    if room == TRACER:
        if target in TRACER_MAY or target.startswith(TRACER + "/"):
            return None
        return f'the tracer includes {", ".join(sorted(TRACER_MAY))} and its own headers only'
    if top == room and not target.startswith(TRACER + "/"):
        return None
    if target.startswith(TRACER + "/"):
        return f'"{target}": nothing outside the target includes the tracer'
    if top not in MAY_INCLUDE.get(room, ()):
        return f'{room}/ may not include {top}/'
    return None


def without_comments(text):
    """Comments and string contents blanked, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(r"/\*.*?\*/", blank, text, flags=re.S)


def check_file(name):
    room = room_of(name)
    text = (ROOT / name).read_text(errors="replace")
    first = "\n".join(text.split("\n")[:3])
    if "SPDX-License-Identifier: Apache-2.0" not in first:
        yield 1, "no SPDX line"
    elif name not in first:
        yield 2, f"the second line does not name the file: /* {name} - ... */"
    if not room:
        return
    code = without_comments(text).split("\n")
    for number, line in enumerate(code, 1):
        match = INCLUDE.match(line)
        why = arrow(room, name, *match.groups()) if match else None
        if why:
            yield number, why
        bare = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        if room != "cmds" and SPEAKS.search(bare) and "lint: allow" not in text.split("\n")[number - 1]:
            yield number, "only cmds/ exits or writes to stderr"
        if room in OFFLINE[2:] + ["lib"] and PID.search(line):
            yield number, f"{room}/ never sees a process"


def main():
    breaches = 0
    names = sources()
    for name in names:
        for number, why in check_file(name):
            print(f"{name}:{number}: {why}")
            breaches += 1
    print(f"check-includes: {len(names)} files, {breaches} breaches")
    return 1 if breaches or not names else 0


if __name__ == "__main__":
    sys.exit(main())
