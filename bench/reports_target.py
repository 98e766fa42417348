# SPDX-License-Identifier: Apache-2.0
# bench/reports_target.py - a program with many allocations from many stacks, for reports to compare.
# Knows: nothing but Python. Does not know: who records it.
# Started by bench/reports.sh: reports_target.py EVENTS [LIVE]
import random
import sys

EVENTS = int(sys.argv[1])
LIVE = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
FUNCTIONS, DEPTH, STACKS, BURST = 400, 20, 2000, 500

kept = [None] * LIVE
place = 0


def burst(n):
    """An allocation each, and a release of one that is older."""
    global place
    for _ in range(n):
        kept[place] = bytearray(600 + place % 4000)
        place = (place + 7) % LIVE


FUNCTION = """
def f{i}(path, at, n):
    if at == len(path):
        return burst(n)
    return functions[path[at]](path, at + 1, n)
"""
functions = []
for i in range(FUNCTIONS):
    names = {"functions": functions, "burst": burst}
    exec(compile(FUNCTION.format(i=i), f"part_{i % 20}.py", "exec"), names)
    functions.append(names[f"f{i}"])

rnd = random.Random(1)
paths = [[rnd.randrange(FUNCTIONS) for _ in range(DEPTH)] for _ in range(STACKS)]
left = EVENTS // 2
while left > 0:
    n = min(BURST, left)
    left -= n
    path = rnd.choice(paths)
    functions[path[0]](path, 1, n)
