# SPDX-License-Identifier: Apache-2.0
# bench/paths_target.py - makes allocations along one kind of Python stack, for bench/paths.py.
# Knows: shapes of stacks. Does not know: that somebody counts.
# A line "PATH DEPTH ROUNDS" on stdin is answered by "done"; with ROUNDS below 0 so many rounds
# are counted by bench/step.c, the library named by the first argument.
import ctypes
import sys

STEP = ctypes.CDLL(sys.argv[1])
BLOCK = 1000            # above what the interpreter keeps blocks of its own for


def same(rounds):
    for _ in range(rounds):
        bytes(BLOCK)


def leaf(rounds):
    for _ in range(rounds):
        bytes(BLOCK)
        bytes(BLOCK)


def inner():
    bytes(BLOCK)


def outer():
    inner()


def moved(rounds):
    for _ in range(rounds):
        outer()
        outer()


def key(_value):
    bytes(BLOCK)
    return 0


def between(rounds):
    """A frame of C code between two of Python: the sort calls back."""
    sorted(range(rounds), key=key)


def deep(depth, body, rounds):
    if depth > 1:
        return deep(depth - 1, body, rounds)
    if rounds < 0:
        STEP.step_begin()
    body(abs(rounds))
    if rounds < 0:
        STEP.step_end()
    return None


BODIES = {"same": same, "leaf": leaf, "moved": moved, "between": between}


def main():
    sys.setrecursionlimit(10000)
    print("ready", flush=True)
    for line in sys.stdin:
        name, depth, rounds = line.split()
        deep(int(depth), BODIES[name], int(rounds))
        print("done", flush=True)


main()
