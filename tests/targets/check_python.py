# SPDX-License-Identifier: Apache-2.0
# tests/targets/check_python.py - a Python program that checks its own results in three threads.
# Knows: the page of tests/targets/check/page.h. Does not know: memtrace. Any CPython from 3.7 on.
# Usage: check_python.py PAGE [REST_US]; started by tests/soak.
import gc
import json
import mmap
import re
import struct
import sys
import threading
import time
import zlib

READY, STOP, FAILED, ROUNDS, GAP_US, TICKS, FAILURE = 0, 4, 8, 16, 40, 48, 56
page = None
rest = 0.0
lock = threading.Lock()


def fail(what):
    with lock:
        if not struct.unpack_from("<I", page, FAILED)[0]:
            text = what.encode()[:250]
            page[FAILURE:FAILURE + len(text)] = text
            struct.pack_into("<I", page, FAILED, 1)


def goes_on():
    return not struct.unpack_from("<I", page, STOP)[0]


def add(offset):
    with lock:
        struct.pack_into("<Q", page, offset, struct.unpack_from("<Q", page, offset)[0] + 1)


def text_and_back(n):
    value = {"rows": [{"id": i, "name": "row %d" % i, "x": i * 0.5} for i in range(n)]}
    return json.loads(json.dumps(value)) == value


def packed(n):
    data = bytes(range(256)) * n
    return zlib.decompress(zlib.compress(data, 1)) == data


def words(n):
    found = re.findall(r"\bw(\d+)\b", " ".join("w%d" % i for i in range(n)))
    return sorted(map(int, found)) == list(range(n))


def recursion(n):
    return 0 if n == 0 else 1 + recursion(n - 1)


def deep(n):
    return recursion(n) == n


def errors(n):
    caught = 0
    for i in range(n):
        try:
            raise ValueError(i)
        except ValueError as error:
            caught += error.args[0] == i
    return caught == n


def generators(n):
    return sum(x for x in (y * 2 for y in range(n)) if x % 3) == sum(
        [x for x in range(0, 2 * n, 2) if x % 3])


class Node:
    __slots__ = ("next", "data")

    def __init__(self, following, data):
        self.next, self.data = following, data


def cycles(n):
    first = Node(None, bytearray(100))
    node = first
    for _ in range(n):
        node = Node(node, bytearray(100))
    first.next = node
    count, at = 1, node
    while at is not first:
        at = at.next
        count += 1
    return count == n + 1


WORK = [(text_and_back, 30), (packed, 20), (words, 200), (deep, 200), (errors, 100),
        (generators, 300), (cycles, 50)]


def work():
    while goes_on():
        for function, n in WORK:
            try:
                if not function(n):
                    fail("wrong result of " + function.__name__)
            except Exception as error:
                fail("%s: %r" % (function.__name__, error))
        add(ROUNDS)
        time.sleep(rest)


def tick():
    last = time.perf_counter()
    while goes_on():
        time.sleep(0.001)
        now = time.perf_counter()
        gap = int((now - last) * 1e6)
        last = now
        if gap > struct.unpack_from("<Q", page, GAP_US)[0]:
            struct.pack_into("<Q", page, GAP_US, gap)


def main():
    global page, rest
    with open(sys.argv[1], "r+b") as file:
        page = mmap.mmap(file.fileno(), 4096)
    if len(sys.argv) > 2:
        rest = int(sys.argv[2]) / 1e6
    threads = [threading.Thread(target=work) for _ in range(2)] + [threading.Thread(target=tick)]
    for thread in threads:
        thread.start()
    struct.pack_into("<I", page, READY, 1)
    while goes_on():
        gc.collect(0)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    failed = struct.unpack_from("<I", page, FAILED)[0]
    rounds = struct.unpack_from("<Q", page, ROUNDS)[0]
    print("broken" if failed else "ok %d" % rounds)
    sys.exit(1 if failed else 0)


main()
