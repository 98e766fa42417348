# SPDX-License-Identifier: Apache-2.0
# tests/symbols/forms.py - names of addresses by memtrace and by other readers, to compare.
# Knows: what addr2line and its like print. Does not know: which programs are asked about.
# Imported by tests/symbols/test_*.py.
import re
import subprocess

import harness

NAMES = harness.BUILD / "tests" / "symbols" / "names"


def sh(command, cwd, **kwargs):
    done = subprocess.run(["bash", "-ec", command], cwd=cwd, text=True, capture_output=True, check=False,
                          **kwargs)
    if done.returncode:
        raise AssertionError(f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def addresses(program, words, step=3):
    """Addresses in all functions whose readable name has one of the words."""
    found = set()
    for line in sh(f"nm -S -C --defined-only {program}", "/").splitlines():
        match = re.match(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] (.*)", line)
        if match and any(word in match[3] for word in words):
            start, size = int(match[1], 16), int(match[2], 16)
            found.update(range(start, start + min(size, 3000), step))
    return sorted(found)


def _blocks(text):
    """{address: [(function, file, line), ...]}, the innermost first."""
    ret, current = {}, None
    lines = iter(text.splitlines())
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            current = ret.setdefault(int(line, 16), [])
        elif line:
            place = next(lines).split(" (discriminator")[0]
            match = re.match(r"(.*?):(\d+|\?)(?::\d+)?$", place)
            number = int(match[2]) if match[2] != "?" else 0
            current.append((line.split(" inlined at ")[0], match[1], number))
    return ret


def ours(program, where, *options, timeout=60):
    """What memtrace says, and its notes with the seconds taken in front."""
    done = harness.run([NAMES, *options, program], timeout=timeout, check=0,
                       stdin="".join(f"{a:#x}\n" for a in where))
    return _blocks(done.out), done.err


def elfutils(program, where):
    return _other(["eu-addr2line", "-a", "-f", "-i", "-C", "-e", program], where)


def llvm(program, where):
    return _other(["llvm-symbolizer", "--output-style=GNU", "-a", "-f", "-i", "-C", "-e", program], where)


def _other(argv, where):
    done = harness.run(argv, check=(0, 1), stdin="".join(f"{a:#x}\n" for a in where))
    return _blocks(done.out)


def bare(name):
    """Without scope, template arguments and parameters: readers know more or less of these."""
    name = re.sub(r" ?\[clone [^]]*\]|\[abi:[^]]*\]|::h[0-9a-f]{16}$", "", name)
    name = name.replace("(anonymous namespace)", "@").replace("operator()", "operator@@")
    name = re.sub(r"\b(operator)\s*([<>=!+\-*/%&|^~]+)(?=[^\w]|$)", lambda m: m[1] + "@" * len(m[2]), name)
    depth, out = 0, []
    for c in name.removesuffix(" const"):
        if c in "<[{(":
            depth += 1
        elif c in ">]})" and depth:
            depth -= 1
        elif not depth:
            out.append(c)
    return re.split(r"::|\s", "".join(out).strip())[-1]


def outline(frames):
    """Of a list of frames what readers must agree on."""
    return [(bare(function), file.rsplit("/", 1)[-1] if line else "??", line)
            for function, file, line in frames]


def differences(got, want, names=True):
    """Addresses at which they differ, of those that `want` has lines of."""
    found, compared = [], 0
    for address, frames in want.items():
        a, b = outline(got.get(address, [])), outline(frames)
        if not frames or not any(line for _, _, line in b):
            continue
        compared += 1
        if not names:
            a, b = [f[1:] for f in a], [f[1:] for f in b]
        if a != b:
            found.append(f"{address:#x}: {a}\n    instead of {b}")
    return found, compared
