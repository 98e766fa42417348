# SPDX-License-Identifier: Apache-2.0
# tests/targets/stacks.py - threads that block in functions of every kind, in any CPython 3; prints
# "NAME function:line;..." of each, leaf first, as the interpreter sees it, then "ready".
import re
import sys
import threading
import time

started = threading.Semaphore(0)


def block():
    started.release()
    while True:
        time.sleep(1000)


def generator():
    yield 1
    yield block()


def callback(match):
    return str(list(generator()))


class Thing:
    def method(self):
        re.sub("a", callback, "a")


def recursion(n):
    if n:
        recursion(n - 1)
    else:
        sorted([2, 1], key=lambda k: block())


kinds = {"method": Thing().method, "deep": lambda: recursion(30), "plain": block}
threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in kinds.items()]
for t in threads:
    t.start()
for t in threads:
    started.acquire()
time.sleep(0.3)
frames = sys._current_frames()
for t in threads:
    frame, text = frames[t.ident], []
    while frame is not None:
        text.append("%s:%d" % (frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    print(t.name, ";".join(text))
print("ready", flush=True)
block()
