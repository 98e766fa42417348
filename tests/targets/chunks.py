# SPDX-License-Identifier: Apache-2.0
# tests/targets/chunks.py - allocates at the end of a long stack that shrinks and grows again by hundreds of
# frames, far ancestors going on while the youngest frames look as before, and prints for each stack of
# this file's frames ("function:line;...", root first) how often.
import random
import sys
import threading

seen = {}
DEPTHS = 1, 40, 85, 95, 130, 175, 185, 260, 350


def leaf(size):
    frame, stack = sys._getframe(), []
    while frame is not None:
        if frame.f_code.co_filename == __file__:
            stack.append("%s:%d" % (frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    # The allocations are in line 22.
    key = ";".join(reversed(stack[1:])) + ";leaf:22"
    seen[key] = seen.get(key, 0) + 2
    bytes(size), bytes(size)


class Walk:
    """Goes to a random depth and from there to the next, by other lines each time."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.leaves = 700
        self.goal, self.stay = 1, 0

    def next(self, depth):
        if not self.leaves:
            return -1
        if abs(depth - self.goal) > 1:
            return -1 if depth > self.goal else int(self.random.random() * 4)
        if self.stay:
            self.stay -= 1
            return int(self.random.random() * 4) if self.stay % 3 == 0 else 4
        self.goal, self.stay = self.random.choice(DEPTHS), 8
        return self.next(depth)


def down(walk, depth):
    while True:
        step = walk.next(depth)
        if step < 0:
            return
        if step == 4:
            walk.leaves -= 1
            leaf(5000)
        elif step == 0:
            down(walk, depth + 1)
        elif step == 1:
            down(walk, depth + 1); down(walk, depth + 1)
        elif step == 2:
            for _ in generated(walk, depth + 1):
                pass
        else:
            large(walk, depth + 1)


def generated(walk, depth):
    yield 1
    down(walk, depth + 1)
    yield 2


def large(walk, depth, a=0, b=0, c=0, d=0, e=0, f=0, g=0, h=0):
    list(map(lambda i: down(walk, depth + 1) if i == a else down(walk, depth + 1),
             range(2)))
    return a + b + c + d + e + f + g + h


def main(seed):
    walk = Walk(seed)
    while walk.leaves:
        down(walk, 0)


sys.setrecursionlimit(10000)
threading.stack_size(64 << 20)
other = threading.Thread(target=main, args=(2,))
other.start()
main(1)
other.join()
for key in sorted(seen):
    print(seen[key], key)
