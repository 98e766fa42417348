# SPDX-License-Identifier: Apache-2.0
# tests/targets/chunks.py - allocates at the end of a long stack that shrinks and grows again by hundreds of
# frames, far ancestors going on while the youngest frames look as before, and prints for each stack of
# this file's frames ("function:line;...", root first) how often.
import random
import sys
import threading

seen = {}
DEPTHS = 33, 87, 130, 175, 260, 351


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
    """Goes up and down between depths by ways that differ in a frame or two near the lower end, and most
    often allocates at the upper end only: there nothing but those tell one stack from the last."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ways = [int(self.random.random() * 4) for _ in range(1000)]
        self.leaves = 300
        self.goal, self.stay = 1, 0

    def turn(self):
        if self.goal in DEPTHS:
            self.goal = max(1, self.goal - int(self.random.random() * 150) - 2)
            self.stay = 6 if self.random.random() < 0.2 else 0
            self.ways[max(0, self.goal - 2)] = int(self.random.random() * 4)
            self.ways[self.goal + 1] = int(self.random.random() * 4)
        else:
            self.goal, self.stay = self.random.choice([d for d in DEPTHS if d > self.goal]), 6

    def next(self, depth):
        if not self.leaves:
            return -1
        if abs(depth - self.goal) > 1:
            return -1 if depth > self.goal else self.ways[depth]
        if not self.stay:
            self.turn()
            return self.next(depth)
        self.stay -= 1
        return 4


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
