# SPDX-License-Identifier: Apache-2.0
# tests/python/check_tracker.py - the package's Tracker, run by every interpreter at hand.
# Knows: the package. Does not know: how it is installed. Started by test_package.py.
import asyncio
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings

import memtrace
from memtrace import AllocatorType, FileReader, Tracker

SIZE = 1234567	# nothing else asks for so much


def allocate(size=SIZE):
    return bytearray(size)


def high(path, size=SIZE, **kwargs):
    """Peak records of blocks of about that size (an object has a header)."""
    with FileReader(path) as reader:
        return [r for r in reader.get_high_watermark_allocation_records(**kwargs)
                if size <= r.size / r.n_allocations < size + 128]


def in_child(source, *args, **kwargs):
    """Runs a program with the same interpreter; (exit code, stdout, stderr)."""
    done = subprocess.Popen([sys.executable, "-c", source] + list(args), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True, **kwargs)
    out, err = done.communicate(timeout=60)
    return done.returncode, out, err


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "out.bin")

    def replace(self, owner, name, function):
        """For the rest of the test; what was there."""
        before = getattr(owner, name)
        self.addCleanup(setattr, owner, name, before)
        setattr(owner, name, function)
        return before

    def check_taken_out(self, message=None):
        with open("/proc/self/maps") as maps:
            self.assertNotIn("memfd:memtrace-tracer", maps.read(), message)


class Blocks(Case):
    def test_the_block_and_nothing_else(self):
        before = allocate()
        with Tracker(self.path):
            kept = allocate()
        after = allocate()
        del before, kept, after
        records = high(self.path)
        self.assertEqual([r.n_allocations for r in records], [1])
        self.assertEqual(records[0].allocator, AllocatorType.MALLOC)
        stack = records[0].stack_trace()
        self.assertEqual([(f.split(".")[-1], os.path.basename(file)) for f, file, _ in stack[:2]],
                         [("allocate", "check_tracker.py"),
                          ("test_the_block_and_nothing_else", "check_tracker.py")])
        self.assertEqual(stack[0][2], allocate.__code__.co_firstlineno + 1)

    def test_an_empty_block_records_nothing(self):
        for _ in range(2):	# the first time memory is still being warmed up
            with Tracker(self.path, overwrite=True):
                pass
        with FileReader(self.path) as reader:
            self.assertEqual(list(reader.get_allocation_records()), [])

    def test_native_stacks_can_be_left_out(self):
        with Tracker(self.path, native_traces=False):
            kept = allocate()
        del kept
        self.assertEqual(high(self.path)[0].native_stack_trace(), [])
        with FileReader(self.path) as reader:
            self.assertFalse(reader.metadata.has_native_traces)

    def test_native_stacks(self):
        with Tracker(self.path):
            kept = allocate()
        del kept
        record = high(self.path)[0]
        self.assertGreater(len(record.native_stack_trace()), 3)
        hybrid = record.hybrid_stack_trace()
        self.assertEqual([frame for frame in hybrid if frame[1].endswith(".py")],
                         [frame for frame in record.stack_trace() if frame[1].endswith(".py")])
        self.assertNotEqual(hybrid, record.stack_trace())

    def test_python_allocators(self):
        with Tracker(self.path, trace_python_allocators=True):
            kept = [bytes(i) for i in range(300, 301) for _ in range(1000)]
        with FileReader(self.path) as reader:
            self.assertTrue(reader.metadata.trace_python_allocators)
            found = [r for r in reader.get_leaked_allocation_records()
                     if r.allocator.name.startswith("PYMALLOC") and r.n_allocations >= 900]	# the rest while the line was cold
            self.assertTrue(found)
            list(reader.get_allocation_records())
        del kept

    def test_sample(self):
        with Tracker(self.path, sample="64KiB"):
            kept = [allocate(100000) for _ in range(200)]
        del kept
        with FileReader(self.path) as reader:
            estimate = sum(r.size for r in reader.get_high_watermark_allocation_records())
        self.assertLess(abs(estimate - 20e6), 6e6)

    def test_exceptions_pass(self):
        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            with Tracker(self.path):
                kept = allocate()
                raise ZeroDivisionError("mine")
        del kept
        self.assertEqual(len(high(self.path)), 1)

    def test_nothing_of_memtrace_is_left(self):
        with Tracker(self.path):
            pass
        self.check_taken_out()
        fds = os.listdir("/proc/self/fd")
        with Tracker(self.path, overwrite=True):
            pass
        self.assertEqual(os.listdir("/proc/self/fd"), fds)
        with self.assertRaises(ChildProcessError):	# and no child to wait for
            os.waitpid(-1, os.WNOHANG)

    def test_decorator(self):
        @Tracker(self.path, overwrite=True)
        def work(count):
            """Its text."""
            return [allocate() for _ in range(count)]

        self.assertEqual(work.__doc__, "Its text.")
        self.assertEqual(len(work(1)), 1)
        kept = work(3)
        self.assertEqual(sum(r.n_allocations for r in high(self.path)), len(kept))

    def test_dev_null(self):
        with Tracker(os.devnull):
            allocate()
        self.assertEqual(os.stat(os.devnull).st_rdev, os.makedev(1, 3))

    def test_path_objects_and_destinations(self):
        import pathlib
        with Tracker(pathlib.Path(self.path)):
            pass
        destination = memtrace.FileDestination(pathlib.Path(self.path), overwrite=True)
        with Tracker(destination=destination):
            kept = allocate()
        del kept
        self.assertEqual(len(high(self.path)), 1)

    def test_a_path_that_looks_like_an_option(self):
        here = os.getcwd()
        os.chdir(self.folder.name)
        self.addCleanup(os.chdir, here)
        with Tracker("--help"):
            pass
        with FileReader("--help") as reader:
            self.assertEqual(reader.metadata.pid, os.getpid())

    def test_mmap(self):
        with Tracker(self.path):
            mmap.mmap(-1, 2048).close()
        with FileReader(self.path) as reader:
            found = [(r.allocator, r.size) for r in reader.get_allocation_records()
                     if r.size == 2048]
        self.assertEqual(found, [(AllocatorType.MMAP, 2048), (AllocatorType.MUNMAP, 2048)])


class Misuse(Case):
    def test_second_active(self):
        with Tracker(self.path):
            with self.assertRaisesRegex(RuntimeError, "No more than one Tracker instance"):
                with Tracker(self.path + ".2"):
                    self.fail("inside")
            kept = allocate()
        del kept
        self.assertEqual(len(high(self.path)), 1)	# the first went on
        self.assertFalse(os.path.exists(self.path + ".2"))

    def test_again(self):
        tracker = Tracker(self.path)
        with tracker:
            pass
        with self.assertRaisesRegex(RuntimeError, "cannot be used again"):
            with tracker:
                self.fail("inside")
        with Tracker(self.path, overwrite=True):
            pass

    def test_a_file_that_exists(self):
        with open(self.path, "w") as file:
            file.write("mine")
        with self.assertRaisesRegex(FileExistsError, "exists"):
            with Tracker(self.path):
                self.fail("inside")
        with open(self.path) as file:
            self.assertEqual(file.read(), "mine")

    def test_unwritable(self):
        with self.assertRaisesRegex(FileNotFoundError, "nonexistent"):
            with Tracker("/nonexistent/out.bin"):
                self.fail("inside")
        with self.assertRaises(OSError):
            with Tracker("/proc/out.bin"):
                self.fail("inside")

    def test_arguments(self):
        with self.assertRaises(TypeError):
            Tracker()
        with self.assertRaises(TypeError):
            Tracker(self.path, destination=memtrace.FileDestination(self.path))
        if sys.version_info < (3, 13, 3):       # newer ones: check_objects.py
            with self.assertRaisesRegex(RuntimeError, "requires Python 3.13.3 or later"):
                Tracker(self.path, track_object_lifetimes=True)
        with self.assertRaisesRegex(RuntimeError, "lots"):
            with Tracker(self.path, sample="lots"):
                self.fail("inside")

    def test_no_program_for_this_machine(self):
        foreign = os.path.join(self.folder.name, "memtrace")
        with open(foreign, "wb") as file:	# a header of another machine
            file.write(b"\x7fELF\2\1\1" + b"\0" * 9 + b"\2\0\xb7\0\1\0\0\0" + b"\0" * 200)
        os.chmod(foreign, 0o755)
        old = os.environ.get("MEMTRACE")
        try:
            for program, text in ((foreign, "not part of this installation"),
                                  ("/nonexistent/memtrace", "cannot start")):
                os.environ["MEMTRACE"] = program
                with self.assertRaisesRegex(RuntimeError, text):
                    with Tracker(self.path):
                        self.fail("inside")
        finally:
            os.environ.pop("MEMTRACE")
            if old:
                os.environ["MEMTRACE"] = old
        with Tracker(self.path):	# and no Tracker counts as active
            pass


class Tasks(Case):
    def test_threads(self):
        with Tracker(self.path):
            kept = []
            threads = [threading.Thread(target=lambda: kept.append(allocate())) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        records = high(self.path, merge_threads=False)
        self.assertEqual(len({r.tid for r in records}), 4)
        self.assertEqual(len(kept), 4)
        self.assertEqual({r.tid for r in high(self.path)}, {-1})

    def test_begun_in_another_thread(self):
        def work():
            with Tracker(self.path):
                self.kept = allocate()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(len(high(self.path)), 1)

    def test_two_threads_want_it(self):
        began, seen = threading.Barrier(2), []

        def work(path):
            began.wait()
            try:
                with Tracker(path):
                    time.sleep(0.3)
                seen.append("done")
            except RuntimeError:
                seen.append("refused")
        threads = [threading.Thread(target=work, args=(self.path + str(i),)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(seen), ["done", "refused"])

    def test_asyncio(self):
        @Tracker(self.path)
        async def work():
            await asyncio.sleep(0.01)
            kept = allocate()
            await asyncio.sleep(0.01)
            return kept
        loop = asyncio.new_event_loop()
        try:
            kept = loop.run_until_complete(work())
        finally:
            loop.close()
        self.assertEqual(len(high(self.path)), 1)
        del kept

    def test_sigchld_ignored(self):
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            with Tracker(self.path):
                kept = allocate()
        finally:
            signal.signal(signal.SIGCHLD, before)
        del kept
        self.assertEqual(len(high(self.path)), 1)


class Surroundings(Case):
    def recorded(self):
        with Tracker(self.path, overwrite=True):
            kept = allocate()
        del kept
        self.assertEqual(len(high(self.path)), 1)

    def test_sockets_have_a_timeout(self):
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(0.001)
        self.addCleanup(socket.setdefaulttimeout, before)
        self.recorded()

    def test_no_descriptors_are_left(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        self.recorded()
        with Tracker(self.path, overwrite=True):
            kept = allocate()
            fd = os.open("/", os.O_RDONLY)
            os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (fd, limit[1]))
        del kept
        self.assertEqual(len(high(self.path)), 1)
        with self.assertRaisesRegex(OSError, "Too many open files"):
            with Tracker(self.path, overwrite=True):
                self.fail("inside")
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        self.recorded()

    def test_interrupted(self):
        """By Ctrl-C at each word of memtrace: nothing is left, and the next Tracker works at once."""
        self.recorded()
        fds, heard, at = os.listdir("/proc/self/fd"), [0], [0]

        def interrupted(controller):
            line = listen(controller)
            heard[0] += 1
            if heard[0] == at[0]:
                os.kill(os.getpid(), signal.SIGINT)
            return line

        listen = self.replace(memtrace._tracker._Controller, "_any_line", interrupted)
        self.recorded()
        for at[0] in range(1, heard[0] + 1, 1 + heard[0] // 12):
            heard[0] = 0
            with self.assertRaises(KeyboardInterrupt):
                with Tracker(self.path, overwrite=True):
                    pass
            self.check_taken_out(at)
            self.assertEqual(os.listdir("/proc/self/fd"), fds, at)
            heard[0] = 1000
            self.recorded()


class Forks(Case):
    def fork(self, work):
        """The exit code of a child that runs work()."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            code = 1
            try:
                work()
                code = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitpid(pid, 0)[1]

    def test_a_child_has_the_other_end_of_the_socket(self):
        """A fork of another thread while memtrace is started; a copy of the descriptor stands for it."""
        copies = []

        def spawn_beside_a_fork(controller, options, fd):
            copies.append(os.dup(fd))
            spawn(controller, options, fd)
        spawn = self.replace(memtrace._tracker._Controller, "_spawn", spawn_beside_a_fork)
        with Tracker(self.path):
            kept = allocate()
        del kept
        self.assertEqual(len(high(self.path)), 1)
        with self.assertRaises(FileExistsError):
            with Tracker(self.path):
                self.fail("inside")
        for fd in copies:
            os.close(fd)

    def test_a_child_leaves_the_block(self):
        tracker = Tracker(self.path)

        def leave():
            allocate()
            tracker.__exit__(None, None, None)
        with tracker:
            self.assertEqual(self.fork(leave), 0)
            kept = allocate()	# still recorded
        del kept
        self.assertEqual(sum(r.n_allocations for r in high(self.path)), 1)

    def test_children_too(self):
        def work():
            kept = allocate()
            time.sleep(0.3)
            return kept
        with Tracker(self.path, follow_fork=True):
            self.assertEqual(self.fork(work), 0)
        children = [n for n in os.listdir(self.folder.name) if n.startswith("out.bin.")]
        self.assertEqual(len(children), 1)
        self.assertEqual(len(high(os.path.join(self.folder.name, children[0]))), 1)
        self.assertEqual(high(self.path), [])

    def test_workers_with_trackers_of_their_own(self):
        def work(path):
            with Tracker(path):
                kept = allocate()
            self.assertEqual([r.n_allocations for r in high(path)], [len([kept])])
        with Tracker(self.path):
            self.assertEqual(self.fork(lambda: work(self.path + ".inside")), 0)
        self.assertEqual(self.fork(lambda: work(self.path + ".after")), 0)


class Endings(Case):
    PROGRAM = ("import memtrace, os, sys\n"
               "with memtrace.Tracker(sys.argv[1]):\n"
               "    kept = bytearray(1234567)\n")

    def check(self, ending, code):
        path = self.path + ending[:3]
        result = in_child(self.PROGRAM + "    " + ending + "\n", path)
        self.assertEqual((result[0], result[1]), (code, ""), result)
        # The program did not wait for it.
        deadline = time.monotonic() + 20
        while True:
            with FileReader(path) as reader:
                if not reader.damage or time.monotonic() > deadline:
                    break
            time.sleep(0.05)
        self.assertEqual(len(high(path)), 1)

    def test_os_exit(self):
        self.check("os._exit(7)", 7)

    def test_sys_exit(self):
        self.check("sys.exit(3)", 3)

    def test_killed(self):
        self.check("os.kill(os.getpid(), 9)", -9)

    def test_left_open_at_the_end_of_the_interpreter(self):
        result = in_child("import memtrace, sys\nt = memtrace.Tracker(sys.argv[1])\n"
                          "t.__enter__()\nkept = bytearray(1234567)\n", self.path)
        self.assertEqual(result, (0, "", ""))

    def test_exec_in_the_block(self):
        result = in_child(self.PROGRAM + "    os.execv('/bin/echo', ['echo', 'hello'])\n", self.path)
        self.assertEqual(result, (0, "hello\n", ""))

    # What a program needs to reach memtrace in the background.
    FIND = ("import memtrace, os, resource, sys\n"
            "def controller():\n"
            "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "        try:\n"
            "            with open('/proc/%s/cmdline' % pid) as file:\n"
            "                if '--output=' + sys.argv[1] in file.read():\n"
            "                    return int(pid)\n"
            "        except OSError:\n"
            "            continue\n")

    def test_disk_full(self):
        """A limit on the size of its files stands for it: the same write fails."""
        program = self.FIND + (
            "try:\n"
            "    with memtrace.Tracker(sys.argv[1]):\n"
            "        resource.prlimit(controller(), resource.RLIMIT_FSIZE, (20000, 20000))\n"
            "        for i in range(300000):\n"
            "            kept = bytearray(600 + i * 7919 % 5000)\n"
            "except OSError as error:\n"
            "    print(type(error).__name__, error.errno, error)\n"
            "print('goes on')\n")
        code, out, err = in_child(program, self.path)
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"^OSError 27 .*the capture ended early.*\ngoes on\n$")

    def test_a_late_signal_of_the_first_line(self):
        """The kernel tells of a line after it can be read: no reason to end."""
        program = self.FIND + (
            "import signal, time\n"
            "with memtrace.Tracker(sys.argv[1]):\n"
            "    os.kill(controller(), signal.SIGIO)\n"
            "    for i in range(100):\n"
            "        kept = bytearray(1234567)\n"
            "    os.kill(controller(), signal.SIGIO)\n"
            "    time.sleep(0.2)\n"
            "    kept = bytearray(1234567)\n")
        result = in_child(program, self.path)
        self.assertEqual(result, (0, "", ""))
        with FileReader(self.path) as reader:
            self.assertEqual(sum(r.size >= 1234567 for r in reader.get_allocation_records()), 101)

    def test_the_controller_dies(self):
        program = self.FIND + (
            "try:\n"
            "    with memtrace.Tracker(sys.argv[1]):\n"
            "        os.kill(controller(), 9)\n"
            "        kept = bytearray(1234567)\n"
            "except RuntimeError as error:\n"
            "    print(error)\n"
            "with memtrace.Tracker(sys.argv[1] + '.2'):\n"
            "    kept = bytearray(1234567)\n"
            "print('goes on')\n")
        code, out, err = in_child(program, self.path)
        self.assertEqual((code, out), (0, "memtrace ended unexpectedly\ngoes on\n"), err)
        self.assertEqual(len(high(self.path + ".2")), 1)


class Function(Case):
    def test_profile_function(self):
        def work(count, size=1):
            return sum(len(allocate(size)) for _ in range(count))
        found = memtrace.profile_function(work, 3, profile_prefix="bulk",
                                          profile_dir=self.folder.name, size=SIZE)
        self.assertEqual(found["result"], 3 * SIZE)
        profile = found["profile"]
        self.assertRegex(profile["profileFile"], r"^bulk_\d{8}_\d{6}_\d{6}\.bin$")
        self.assertEqual(profile["profilePath"],
                         os.path.join(self.folder.name, profile["profileFile"]))
        self.assertGreater(profile["durationMs"], 0)
        self.assertGreaterEqual(profile["peakBytes"], SIZE)
        self.assertGreaterEqual(profile["totalBytes"], 3 * SIZE)

    def test_profile_function_of_sums(self):
        found = memtrace.profile_function(allocate, profile_dir=self.folder.name, profile_aggregate=True)
        with FileReader(found["profile"]["profilePath"]) as reader:
            self.assertEqual(reader.metadata.file_format, memtrace.FileFormat.AGGREGATED_ALLOCATIONS)
            self.assertEqual(reader.totals()["peakBytes"], found["profile"]["peakBytes"])
        self.assertGreaterEqual(found["profile"]["peakBytes"], SIZE)

    def test_its_exception_passes(self):
        with self.assertRaises(KeyError):
            memtrace.profile_function({}.__getitem__, 1, profile_dir=self.folder.name)

    def test_a_prefix_is_no_path(self):
        with self.assertRaises(ValueError):
            memtrace.profile_function(allocate, profile_prefix="../x")


if __name__ == "__main__":
    unittest.main()
