# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/gevents.py - the rows about gevent: greenlets that a loop switches.
# Knows: its own stack at each allocation. Does not know: what is recorded.
# Run by runner.py for tests/acceptance/test_greenlets.py. Returns stacks as stacks.py does.
"""It waits for its input as gevent's programs do: the main greenlet is away, the loop's one waits in the kernel."""
from gevent import monkey

monkey.patch_all()

import threading	# noqa: E402
import time		# noqa: E402

import gevent		# noqa: E402
import gevent.event	# noqa: E402
import gevent.socket	# noqa: E402

from greenlets import down, take, through_native	# noqa: E402

K = 1024


def wait_for_input():
    gevent.socket.wait_read(0)


def spawned():
    said = []

    def spawned_in_greenlet(number):
        for turn in range(4):
            down(number * 5, take, said, K * (turn + 1))
            gevent.sleep(0)
        through_native(number, take, said, K)
    gevent.joinall([gevent.spawn(spawned_in_greenlet, number) for number in range(3)])
    return said


def patched_threads():
    """What the program takes for threads."""
    said = []

    def patched_threads_in_thread(number):
        for _ in range(3):
            take(said, K + number)
            time.sleep(0.001)
    threads = [threading.Thread(target=patched_threads_in_thread, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def pool():
    """Real threads, whose work the loop waits for."""
    said = []

    def pool_in_worker():
        down(4, take, said, 2 * K)
    for _ in range(3):
        gevent.get_hub().threadpool.apply(pool_in_worker)
    return said


def callbacks():
    """Called by the loop itself, in its own greenlet."""
    said, done = [], gevent.event.Event()

    def callbacks_in_loop():
        take(said, 3 * K)
        done.set()
    gevent.get_hub().loop.run_callback(callbacks_in_loop)
    done.wait()
    return said
