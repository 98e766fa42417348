# SPDX-License-Identifier: Apache-2.0
# tests/exact.py - compares a target's ledger with every report of its capture.
# Knows: `transform folded` and `stats --json`. Does not know: how the capture was made.
# Imported by tests/e2e/test_exact_*.py.

import harness
import session

VIEWS = ("allocated", "leaks", "peak", "temporary")
# What the capture calls the kinds of a ledger.
KINDS = {"mmap64": "mmap", "sbrk": "brk", "reallocarray": "realloc"}
MAPPINGS = ("mmap", "mmap64", "mremap", "sbrk", "brk")

# The ways to compile a C target; one line each.
VARIANTS = {
    "O1": ("gcc", ["-O1", "-fno-inline"]),
    "O2-no-frame-pointer": ("gcc", ["-O2", "-fomit-frame-pointer"]),
    "no-pie": ("gcc", ["-O2", "-no-pie", "-fno-pie"]),
    "lazy": ("gcc", ["-O2", "-Wl,-z,lazy"]),
    "now": ("gcc", ["-O2", "-fno-plt", "-Wl,-z,now"]),
    "clang": ("clang", ["-O2"]),
}


def expected(sites, view, metric):
    """{(function, line): value} without zeros."""
    found = {}
    for site in sites:
        if view == "temporary" and site.kind in MAPPINGS:
            continue
        value = getattr(site, metric)(view)
        if value:
            key = (site.function, site.line)
            found[key] = found.get(key, 0) + value
    return found


def differences(want, got):
    """Readable lines, [] when equal."""
    lines = []
    for key in sorted(set(want) | set(got)):
        if want.get(key, 0) != got.get(key, 0):
            lines.append(f"  {key[0]}:{key[1]}: the program says {want.get(key, 0)}, "
                         f"the capture {got.get(key, 0)}")
    return lines


def compare(sites, cap, sources, views=VIEWS, leaf_only=True):
    """(differences, rows outside of the sources by (view, metric)). Mappings have no say in the
    temporary view: whether they count there is not promised."""
    faults, outside = [], {}
    skip = {(s.function, s.line) for s in sites if s.kind in MAPPINGS}
    for view in views:
        for metric in ("count", "bytes"):
            rows = harness.folded(cap, "--view", view, "--metric", metric)
            got, rest = session.by_site(rows, sources, leaf_only)
            if view == "temporary":
                got = {key: value for key, value in got.items() if key not in skip}
            got = {key: value for key, value in got.items() if value}
            outside[view, metric] = [row for row in rest if row[1]]
            lines = differences(expected(sites, view, metric), got)
            if lines:
                faults.append(f"--view {view} --metric {metric}:")
                faults += lines
    return faults, outside


def by_kind(sites):
    found = {}
    for site in sites:
        kind = KINDS.get(site.kind, site.kind)
        found[kind] = found.get(kind, 0) + site.count("allocated")
    return found
