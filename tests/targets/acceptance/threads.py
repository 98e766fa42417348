# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/threads.py - the rows about names of threads.
# Knows: who names whom. Does not know: what is expected of the capture.
# Run by runner.py for tests/acceptance/test_threads.py.
import os
import threading

import helpers

K = 1024


def in_thread(work):
    """To its end, which comes right after its last allocation: nobody has time to ask it for its name."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def named_by_prctl():
    def named_by_prctl_in_thread():
        helpers.C.name_myself(b"by-prctl")
        helpers.C.a_valloc(K)
    in_thread(named_by_prctl_in_thread)


def named_late():
    """When it has done much already."""
    def named_late_in_thread():
        for _ in range(200):
            helpers.C.a_free(helpers.C.a_malloc(K))
        helpers.C.name_myself(b"late-name")
        for _ in range(2000):
            helpers.C.a_free(helpers.C.a_malloc(K))
        helpers.C.a_valloc(K)
    in_thread(named_late_in_thread)


def named_from_outside():
    here, there = os.pipe(), os.pipe()

    def named_from_outside_in_thread():
        found.append(helpers.C.myself())
        os.write(there[1], b"1")
        os.read(here[0], 1)
        helpers.C.a_valloc(K)
    found = []
    thread = threading.Thread(target=named_from_outside_in_thread)
    thread.start()
    os.read(there[0], 1)
    error = helpers.C.name_other(found[0], b"from-outside")
    os.write(here[1], b"1")
    thread.join()
    for end in here + there:
        os.close(end)
    return error


def renamed():
    def renamed_in_thread():
        for number in range(1, 5):
            helpers.C.name_myself(b"name-%d" % number)
            helpers.C.a_valloc(K)
    in_thread(renamed_in_thread)


def many():
    """One after another: most get the place of one that has just ended."""
    for number in range(20):
        def many_in_thread(number=number):
            helpers.C.name_myself(b"many-%d" % number)
            helpers.C.a_valloc(K)
        in_thread(many_in_thread)
