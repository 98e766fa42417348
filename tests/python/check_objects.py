# SPDX-License-Identifier: Apache-2.0
# tests/python/check_objects.py - which Python objects of a block are alive at its end, told by Tracker and
# by the pytest marker.
# Knows: Memray's names, Python from 3.13.3 on. Does not know: PyRefTracer. Started by test_newer_python.py.
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import weakref

from memtrace import Tracker

TESTS = """
import pytest

class Thing:
    def __init__(self, value):
        self.value = value
    def __repr__(self):
        if self.value == 13:
            raise ValueError("unlucky")
        return f"Thing({self.value})" + "x" * 200 * (self.value == 7)

kept = []

@pytest.mark.limit_leaked_objects
def test_none():
    one, two = [1, 2, 3], {"a": "b"}
    assert len(one) == 3 and "a" in two
    cycle = []
    cycle.append(cycle)

@pytest.mark.limit_leaked_objects
def test_some():
    kept.append(Thing(1000)), kept.append(Thing(13)), kept.append(Thing(7))
    kept.append({"number": 12345678})

@pytest.mark.limit_leaked_objects(filter_fn=lambda o: isinstance(o, dict))
def test_filtered():
    kept.append([1000]), kept.append({"many": [2000]})

@pytest.mark.limit_leaked_objects(filter_fn=lambda o: False)
def test_excused():
    kept.append(Thing(5))

@pytest.mark.limit_leaked_objects
def test_many():
    for i in range(100):
        kept.append({"id": 1000 + i})

@pytest.mark.limit_leaked_objects
@pytest.mark.limit_memory("1 MB")
def test_both():
    pass
"""


class Thing:
    pass


class Objects(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "out.bin")

    def track(self, work):
        tracker = Tracker(self.path, overwrite=True, track_object_lifetimes=True)
        with tracker:
            result = work()
        return tracker.get_surviving_objects(), result

    def test_survivors_are_those_that_live(self):
        before = Thing()
        found, kept = self.track(lambda: [Thing() for _ in range(1000)])
        things = [o for o in found if isinstance(o, Thing)]
        self.assertEqual({id(o) for o in things}, {id(o) for o in kept})
        self.assertEqual(len(things), 1000)
        self.assertTrue(any(o is kept for o in found))
        self.assertFalse(any(o is before for o in found))

    def test_nothing_survives(self):
        def work():
            things = [Thing() for _ in range(1000)]
            numbers = {i: float(i) for i in range(1000, 3000)}
            self.assertEqual((len(things), len(numbers)), (1000, 2000))
        work()
        found, _ = self.track(work)
        self.assertEqual([o for o in found if isinstance(o, (Thing, float, list))], [])
        self.assertLess(len(found), 20, found)

    def test_who_asked_alone_holds_them(self):
        found, kept = self.track(lambda: [Thing()])
        alive = weakref.ref(kept[0])
        del kept
        self.assertIsInstance(alive(), Thing)
        del found
        gc.collect()
        self.assertIsNone(alive())

    def test_threads(self):
        kept = []

        def work():
            threads = [threading.Thread(target=lambda: kept.extend(Thing() for _ in range(2000))) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        found, _ = self.track(work)
        self.assertEqual({id(o) for o in found if isinstance(o, Thing)}, {id(o) for o in kept})
        self.assertEqual(len(kept), 8000)

    def test_objects_come_and_go_all_the_time(self):
        over = False

        def churn():
            while not over:
                [Thing() for _ in range(100)]
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                found, kept = self.track(lambda: [Thing() for _ in range(100)])
                living = {id(o) for o in found}
                self.assertTrue(all(id(o) in living for o in kept))
                del found
                gc.collect()
        finally:
            over = True
            for thread in threads:
                thread.join()

    def test_wrong_use(self):
        with self.assertRaisesRegex(RuntimeError, "track_object_lifetimes=True was not provided"):
            Tracker(self.path).get_surviving_objects()
        tracker = Tracker(self.path, track_object_lifetimes=True)
        for _ in range(2):
            with self.assertRaisesRegex(RuntimeError, "never started or has not finished"):
                tracker.get_surviving_objects()
        with tracker:
            with self.assertRaisesRegex(RuntimeError, "never started or has not finished"):
                tracker.get_surviving_objects()
        self.assertIsInstance(tracker.get_surviving_objects(), tuple)

    def test_a_child_leaves_the_block(self):
        tracker = Tracker(self.path, track_object_lifetimes=True)
        with tracker:
            pid = os.fork()
            if not pid:
                with Tracker(self.path + ".child", track_object_lifetimes=True) as mine:
                    kept = Thing()
                os._exit(sum(o is kept for o in mine.get_surviving_objects()))
            self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 1)
            kept = Thing()
        self.assertTrue(any(o is kept for o in tracker.get_surviving_objects()))

    def test_marker(self):
        with open(os.path.join(self.folder.name, "test_them.py"), "w") as file:
            file.write(TESTS)
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_them.py"], cwd=self.folder.name,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                              env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
        text = done.stdout
        self.assertRegex(text, r"\b4 failed, 2 passed")
        self.assertRegex(text, r"(?s)test_some.*Test leaked \d+ objects.*3 Thing instance.*1 dict instance")
        self.assertRegex(text, r"Thing: Thing\(1000\)\n")
        self.assertRegex(text, r"Thing: <repr\(\) raises ValueError>\n")
        self.assertRegex(text, r"Thing: Thing\(7\)x+\.\.\.\n")
        self.assertRegex(text, r"(?s)test_filtered.*Test leaked 1 objects.*1 dict instance")
        self.assertRegex(text, r"(?s)test_many.*\.\.\. and \d+ more")
        self.assertIn("only one of limit_memory, limit_leaks, limit_leaked_objects can be used", text)


if __name__ == "__main__":
    unittest.main()
