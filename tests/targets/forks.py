# SPDX-License-Identifier: Apache-2.0
# tests/targets/forks.py - children of every kind, each with blocks of its own number of bytes. Says
# "PID KIND BYTES TIMES" for each process, from the line of which `leaf` allocates them, and then "done";
# waits for a line before and after its work.
import multiprocessing
import os
import sys
import threading

TIMES = 50
keep = []


def leaf(size):
    return [bytes(size) for _ in range(TIMES)]


def work(kind, size):
    keep.append(leaf(size))
    os.write(1, f"{os.getpid()} {kind} {size + 33} {TIMES}\n".encode())


def fork(*steps):
    """A child that takes the steps."""
    pid = os.fork()
    if not pid:
        for step in steps:
            step()
        os._exit(0)
    os.waitpid(pid, 0)


def grandchild():
    work("second", 20001)
    fork(lambda: work("grandchild", 20002))
    work("second", 20003)


def daemon():
    """Its parent goes at once."""
    pid = os.fork()
    if not pid:
        os.setsid()
        done, told = os.pipe()
        if not os.fork():
            work("daemon", 20004)
            os.close(told)
            os._exit(0)
        os.close(told)
        os.read(done, 1)
        os._exit(0)
    os.waitpid(pid, 0)


def threads():
    """All of a child's first events at once."""
    os.register_at_fork(after_in_child=lambda: None)
    ts = [threading.Thread(target=work, args=("thread", 20010 + i)) for i in range(4)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()


def pool():
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=("worker", 20020 + i)) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    work("root", 20000)
    fork(lambda: work("first", 20005))
    fork(grandchild)
    daemon()
    fork(threads)
    pool()
    print("done", flush=True)
    sys.stdin.readline()
