# SPDX-License-Identifier: Apache-2.0
# tests/targets/spawns.py - workers of every start method, and programs run by subprocess, each with blocks
# of its own number of bytes. Says "PID BYTES TIMES" for each, and then "done".
import concurrent.futures
import multiprocessing
import os
import subprocess
import sys

TIMES = 50
CODE = "import os; k = [bytes(%d) for _ in range(50)]; os.write(1, b'%%d %d 50\\n' %% os.getpid())"
keep = []


def leaf(size):
    return [bytes(size) for _ in range(TIMES)]


def work(size):
    keep.append(leaf(size))
    os.write(1, f"{os.getpid()} {size + 33} {TIMES}\n".encode())


def main():
    for number, method in enumerate(("fork", "spawn", "forkserver")):
        context = multiprocessing.get_context(method)
        worker = context.Process(target=work, args=(30000 + number,))
        worker.start()
        worker.join()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(work, range(31000, 31004))
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        list(executor.map(work, range(32000, 32004)))
    for size, before in ((33000, None), (34000, lambda: None)):     # by vfork, by fork
        subprocess.run([sys.executable, "-c", CODE % (size, size + 33)], preexec_fn=before, check=True)
    print("done", flush=True)


if __name__ == "__main__":
    main()
