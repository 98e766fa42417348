# SPDX-License-Identifier: Apache-2.0
# tests/targets/versions.py - allocates in functions of every kind, in any CPython 3, and prints for
# each stack of this file's frames ("function:line;...", root first) how often.
import re
import sys
import threading

seen = {}


def leaf(size):
    frame, stack = sys._getframe(), []
    while frame is not None:
        if frame.f_code.co_filename == __file__:
            stack.append("%s:%d" % (frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    # The allocation is in line 20.
    key = ";".join(reversed(stack[1:])) + ";leaf:20"
    seen[key] = seen.get(key, 0) + 1
    return bytes(size)


class Thing:
    def method(self, size):
        return leaf(size)

    @staticmethod
    def static(size):
        return [leaf(size)
                for _ in range(2)][0]


def callback(match):
    Thing().method(40001)
    return ""


def generator(n):
    for _ in range(n):
        yield leaf(40002)


def recursion(n):
    if n:
        return recursion(n - 1)
    return leaf(40003)


def thread():
    recursion(3)


def main():
    for _ in range(5):
        Thing().method(40004)
    Thing.static(40005)
    re.sub("a", callback, "aaa")
    list(generator(4))
    recursion(50)
    sorted([3, 1, 2], key=lambda k: len(leaf(40006)))
    t = threading.Thread(target=thread)
    t.start()
    t.join()


main()
for key in sorted(seen):
    print(seen[key], key)
