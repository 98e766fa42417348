# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_run.py - a program under `memtrace run` is the program it always was.
# Knows: arguments, exit codes, signals, streams. Does not know: how it is started.
# Run by tests/run.py.
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

import harness
import session

SHOW = "import json, os, sys; print(json.dumps(sys.argv))"


def write_script(path, text, mode=0o755):
    path.write_text(text)
    path.chmod(mode)
    return path


class Run(unittest.TestCase):
    def setUp(self):
        self.scope = harness.tmpdir()
        self.tmp = self.scope.__enter__()
        self.cap = self.tmp / "cap.bin"

    def tearDown(self):
        self.scope.__exit__(None, None, None)

    def run_(self, *words, check=0, **kwargs):
        return harness.memtrace("run", "-o", self.cap, *words, check=check, **kwargs)

    def frames(self, cap=None):
        return {f for row, _ in harness.folded(cap or self.cap, "--view", "allocated") for f in row}


class Program(Run):
    """memtrace run -- PROGRAM ARGS"""

    def test_arguments(self):
        words = ["a", "b c", "", "--flag", "-o", "x", "ü", "$HOME", "a\nb", "-h", "--"]
        result = self.run_("--", sys.executable, "-c", SHOW, *words)
        self.assertEqual(json.loads(result.out), ["-c", *words])

    def test_arguments_without_the_dashes(self):
        result = self.run_("/bin/echo", "-n", "-o", "x")
        self.assertEqual(result.out, "-o x")

    def test_argument_zero_and_path(self):
        result = self.run_("--", "sh", "-c", "echo $0 $1; readlink /proc/$$/exe", "zero", "one")
        self.assertEqual(result.out.splitlines()[0], "zero one")

    def test_environment(self):
        code = "import os, json; print(json.dumps(dict(os.environ), sort_keys=True))"
        env = {"ODD": "a\nb=c", "EMPTY": ""}
        plain = harness.run([harness.PYTHON, "-c", code], env=env, check=0)
        traced = self.run_("--", harness.PYTHON, "-c", code, env=env)
        self.assertEqual(json.loads(traced.out), json.loads(plain.out))

    def test_standard_streams(self):
        data = bytes(range(256)) * 5000
        result = self.run_("-q", "--", "cat", stdin=data, binary=True)
        self.assertEqual(result.out, data)
        self.assertEqual(result.err, "")
        result = self.run_("-f", "-q", "--", "sh", "-c", "echo out; echo err >&2; read x; echo $x",
                           stdin="in\nrest\n")
        self.assertEqual(result.out, "out\nin\n")
        self.assertEqual(result.err, "err\n")

    def test_descriptors_are_those_of_a_plain_start(self):
        code = "import os; print(sorted(os.listdir('/proc/self/fd')))"
        plain = harness.run([harness.PYTHON, "-c", code], check=0).out
        self.assertEqual(self.run_("--", harness.PYTHON, "-c", code).out, plain)

    def test_signal_state_is_that_of_a_plain_start(self):
        code = ("print([l for l in open('/proc/self/status') "
                "if l.startswith(('SigBlk', 'SigIgn', 'SigPnd', 'NoNewPrivs'))])")
        plain = harness.run([harness.PYTHON, "-c", code], check=0).out
        traced = self.run_("--", harness.PYTHON, "-c",
                           "import time; time.sleep(0.5)\n" + code).out
        self.assertEqual(traced, plain)

    def test_exit_codes(self):
        for code in (0, 1, 2, 3, 127, 255):
            self.run_("-f", "--", "sh", "-c", f"exit {code}", check=code)

    def test_killed_by_a_signal(self):
        """The status tells the same: by the signal itself or as a shell does, 128 + N."""
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
            code = f"import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); " \
                   f"os.kill(os.getpid(), {int(number)})"
            result = self.run_("-f", "--", harness.PYTHON, "-c", code, check=None)
            self.assertIn(result.code, (128 + number, -number), result)
            harness.memtrace("stats", self.cap)

    def test_not_found(self):
        for name in ("nosuchprogram", "/no/such/program", "./nosuch"):
            result = self.run_("--", name, check=(1, 127))
            self.assertRegex(result.err, r"^memtrace: .*" + re.escape(name))
            self.assertRegex(result.err, r"(?i)no such file|not found")
            self.assertFalse(self.cap.exists())

    def test_cannot_be_run(self):
        plain = write_script(self.tmp / "plain.txt", "hello\n", 0o644)
        result = self.run_("--", plain, check=(1, 126))
        self.assertRegex(result.err, r"Permission denied")
        result = self.run_("--", self.tmp, check=(1, 126))
        self.assertRegex(result.err, r"(?i)denied|directory")
        self.assertFalse(self.cap.exists())

    def test_static_program(self):
        program = harness.compile_c("int main(void) { return 3; }\n", name="static",
                                    flags=["-static"])
        result = self.run_("--", program, check=1)
        self.assertRegex(result.err, r"(?i)static")
        self.assertIn("hint:", result.err)

    def test_32_bit_program(self):
        program = harness.compile_32_bit("int main(void) { return 3; }\n", "bits32")
        result = self.run_("--", program, check=1)
        self.assertRegex(result.err, r"(?i)(32|64)-bit")

    def test_program_that_allocates_nothing(self):
        self.run_("--", "/bin/true")
        self.assertGreaterEqual(harness.stats(self.cap)["total_num_allocations"], 0)

    def test_default_name(self):
        harness.memtrace("run", "--", "/bin/true", cwd=self.tmp)
        self.assertRegex(" ".join(p.name for p in self.tmp.iterdir()),
                         r"^memtrace-true\.\d+\.bin$")

    def test_what_info_says(self):
        self.run_("--", "/bin/echo", "some words")
        info = harness.memtrace("info", self.cap).out
        self.assertIn("/bin/echo", info)
        self.assertIn("some words", info)

    def test_children_are_not_followed_and_unharmed(self):
        result = self.run_("--", "sh", "-c", "ls / | sort | head -3; /bin/echo $(echo a; echo b)")
        plain = harness.run(["sh", "-c", "ls / | sort | head -3; /bin/echo $(echo a; echo b)"])
        self.assertEqual(result.out, plain.out)

    def test_exec_is_followed(self):
        """sh -c 'exec program': the capture is of what runs in the end."""
        program = harness.compile_c("alloc_exact.c", flags=["-w", "-O1", "-pthread"])
        result = self.run_("--", "sh", "-c", f"exec {program}")
        sites = session.read_sites(result.out.splitlines())
        got, _ = session.by_site(harness.folded(self.cap, "--view", "allocated", "--metric",
                                                "count"), ["alloc_exact.c"])
        self.assertEqual(sum(v for (f, _), v in got.items() if f == "use_malloc"),
                         sum(s.count("allocated") for s in sites if s.function == "use_malloc"))

    def test_setuid_program_is_told(self):
        """It runs, or the reason is told; it never hangs."""
        result = self.run_("--", "su", "--version", check=None, timeout=30)
        self.assertIsNotNone(result.code)

    def test_ignored_signals_stay_ignored(self):
        """nohup and background jobs of scripts ignore signals for what they start."""
        words = "trap '' HUP INT PIPE USR1; exec \"$@\""
        show = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"
        plain = harness.run(["sh", "-c", words, "sh", "sh", "-c", show], check=0).out
        traced = harness.run(["sh", "-c", words, "sh", harness.MEMTRACE, "run", "-q", "-o", self.cap,
                              "--", "sh", "-c", show], check=0).out
        self.assertEqual(traced, plain)

    def test_nothing_is_left_of_it(self):
        """The program's output file, no other."""
        self.run_("--", "/bin/true", cwd=self.tmp)
        self.assertEqual([p.name for p in self.tmp.iterdir()], ["cap.bin"])


class Terminal(Run):
    """Ctrl-C and the like."""

    def start(self, code, *options):
        proc = subprocess.Popen(
            [harness.MEMTRACE, "run", "-o", self.cap, *options, "--", harness.PYTHON, "-c", code],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.addCleanup(self.end, proc)
        line = proc.stdout.readline().decode()
        self.assertTrue(line.startswith("ready"), (line, proc.stderr.read() if not line else ""))
        self.pid = int(line.split()[1])
        return proc

    def end(self, proc):
        try:
            os.killpg(proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        proc.communicate()

    READY = "import os, signal, sys, time; print('ready', os.getpid(), flush=True)\n"

    def test_interrupt_is_the_programs_own(self):
        code = (self.READY +
                "try:\n    time.sleep(20)\nexcept KeyboardInterrupt:\n"
                "    print('interrupted', flush=True); keep = bytes(123456); sys.exit(5)\n")
        proc = self.start(code)
        time.sleep(0.2)
        os.killpg(proc.pid, signal.SIGINT)
        out, err = proc.communicate(timeout=20)
        self.assertEqual((proc.returncode, out), (5, b"interrupted\n"), err)
        rows = harness.folded(self.cap, "--view", "allocated", "--metric", "bytes")
        self.assertGreaterEqual(harness.folded_sum(rows, r"\(<string>:"), 123456,
                                "what it did after Ctrl-C is in the capture")

    def test_interrupt_that_kills(self):
        proc = self.start(self.READY + "signal.signal(2, signal.SIG_DFL); time.sleep(20)")
        time.sleep(0.2)
        os.killpg(proc.pid, signal.SIGINT)
        proc.communicate(timeout=20)
        self.assertIn(proc.returncode, (130, -2))
        harness.memtrace("stats", self.cap)

    def test_interrupt_that_is_ignored(self):
        proc = self.start("import signal; signal.signal(2, signal.SIG_IGN)\n" + self.READY +
                          "time.sleep(1); print('over')")
        os.killpg(proc.pid, signal.SIGINT)
        out, err = proc.communicate(timeout=20)
        self.assertEqual((proc.returncode, out), (0, b"over\n"), err)

    def test_capture_goes_on_after_a_signal(self):
        """The program handles Ctrl-C and then does most of its work."""
        code = ("import signal\nsignal.signal(2, lambda *a: None)\n" + self.READY +
                "time.sleep(0.7)\nfor i in range(300000):\n    bytes(5000)\nprint('over')\n")
        proc = self.start(code)
        time.sleep(0.2)
        os.killpg(proc.pid, signal.SIGINT)
        out, err = proc.communicate(timeout=30)
        self.assertEqual((proc.returncode, out), (0, b"over\n"), err)
        rows = harness.folded(self.cap, "--view", "allocated", "--metric", "count")
        self.assertGreaterEqual(harness.folded_sum(rows, r"<module> \(<string>:6\)"), 300000)
        self.assertEqual(harness.counters(self.cap)["dropped"], 0)

    def test_every_signal_is_passed_on(self):
        """A reload, and another, and the end."""
        code = ("import signal, sys\n"
                "def note(n, f):\n    print('got', n, flush=True)\n    n == 15 and sys.exit(6)\n"
                "for n in (1, 15): signal.signal(n, note)\n" + self.READY +
                "for i in range(200): time.sleep(0.1)\n")
        proc = self.start(code)
        for number in (1, 1, 1, 15):
            proc.send_signal(number)
            self.assertEqual(proc.stdout.readline(), b"got %d\n" % number)
        proc.communicate(timeout=20)
        self.assertEqual(proc.returncode, 6)

    def test_terminate_goes_to_the_program(self):
        """A supervisor sends SIGTERM to what it started. The signal may come within print() still, or
        right before a sleep that it then does not end."""
        code = ("import os, signal, sys\n"
                "def end(*a):\n    os.write(1, b'terminated\\n'); sys.exit(4)\n"
                "signal.signal(15, end)\n" + self.READY + "for i in range(200): time.sleep(0.1)")
        proc = self.start(code)
        proc.send_signal(signal.SIGTERM)
        out, err = proc.communicate(timeout=20)
        self.assertEqual((proc.returncode, out), (4, b"terminated\n"), err)
        harness.memtrace("stats", self.cap)

    def test_memtrace_killed(self):
        """The program goes on without it."""
        proc = self.start(self.READY + "for i in range(8):\n    time.sleep(0.1)\n"
                          "    keep = [bytes(1000) for _ in range(1000)]\nprint('over', flush=True)")
        time.sleep(0.3)
        proc.kill()
        self.assertEqual(proc.stdout.read(), b"over\n")
        harness.memtrace("info", self.cap)

    def test_detach_ends_the_capture_not_the_program(self):
        proc = self.start(self.READY + "time.sleep(1.5); print('over')")
        harness.memtrace("detach", self.pid)
        self.assertEqual(harness.maps_clean(self.pid), [])
        out, err = proc.communicate(timeout=20)
        self.assertEqual((proc.returncode, out), (0, b"over\n"), err)


class Python(Run):
    """memtrace run script.py | -m module | -c code: python3 from PATH."""

    def setUp(self):
        super().setUp()
        # The system's python3 first in PATH, whatever this machine prefers.
        self.bin = self.tmp / "bin"
        self.bin.mkdir()
        (self.bin / "python3").symlink_to(harness.PYTHON)
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin"}

    def script(self, name="app.py", text=None):
        return write_script(self.tmp / name, text or (
            SHOW + "\ndef work():\n    return [bytes(5000) for _ in range(10)]\nkeep = work()\n"),
            0o644)

    def check_work(self, name):
        frames = self.frames()
        self.assertTrue([f for f in frames if re.match(rf"work \(.*{re.escape(name)}:3\)", f)],
                        sorted(frames)[:50])

    def test_script(self):
        script = self.script()
        words = ["a", "-o", "x", "--duration", "-f", "--", "-m"]
        result = self.run_(script, *words, env=self.env)
        self.assertEqual(json.loads(result.out), [str(script), *words])
        self.check_work("app.py")

    def test_script_by_relative_name(self):
        self.script()
        result = self.run_("app.py", "x", env=self.env, cwd=self.tmp)
        self.assertEqual(json.loads(result.out), ["app.py", "x"])

    def test_script_is_main_and_its_folder_in_the_path(self):
        self.script(text="import sys, neighbour; print(__name__, neighbour.value, __file__)\n")
        self.script("neighbour.py", "value = 5\n")
        result = self.run_("app.py", env=self.env, cwd=self.tmp)
        self.assertEqual(result.out, f"__main__ 5 {self.tmp}/app.py\n")

    def test_missing_script(self):
        result = self.run_("nosuch.py", check=None, env=self.env, cwd=self.tmp)
        self.assertIn(result.code, (1, 2), result)
        self.assertRegex(result.err, "nosuch.py")

    def test_module(self):
        result = self.run_("-m", "json.tool", "--compact", stdin='{"a": [1, 2]}', env=self.env)
        self.assertEqual(result.out, '{"a":[1,2]}\n')
        self.script("mine.py")
        result = self.run_("-f", "-m", "mine", "a", "-m", "-q", env=self.env, cwd=self.tmp)
        self.assertEqual(json.loads(result.out)[1:], ["a", "-m", "-q"])
        self.check_work("mine.py")

    def test_code(self):
        result = self.run_("-c", SHOW, "a", "-c", "--", env=self.env)
        self.assertEqual(json.loads(result.out), ["-c", "a", "-c", "--"])

    def test_exit_code(self):
        self.run_("-c", "import sys; sys.exit(3)", env=self.env, check=3)
        result = self.run_("-f", "-c", "raise SystemError('x')", env=self.env, check=1)
        self.assertIn("SystemError: x", result.err)

    def test_no_python_in_the_path(self):
        empty = self.tmp / "empty"
        empty.mkdir()
        result = self.run_(self.script(), env={"PATH": str(empty)}, check=1)
        self.assertRegex(result.err, r"^memtrace: .*python3")

    def shim(self):
        """What pyenv puts in PATH: a shell script that finds the interpreter and execs it."""
        return write_script(self.bin / "shim", "#!/usr/bin/env bash\nset -e\n"
                            "x=$(echo sub; echo shell)\n"
                            f"exec /usr/bin/env REAL=1 {harness.PYTHON} \"$@\"\n")

    def test_python_is_a_shell_script(self):
        (self.bin / "python3").unlink()
        self.shim().rename(self.bin / "python3")
        script = self.script()
        result = self.run_(script, "a b", env=self.env)
        self.assertEqual(json.loads(result.out), [str(script), "a b"])
        self.check_work("app.py")

    def test_program_with_a_shebang(self):
        script = write_script(self.tmp / "app", "#!/usr/bin/env python3\n" + SHOW +
                              "\ndef work():\n    return [bytes(5000) for _ in range(10)]\nwork()\n")
        result = self.run_("--", script, "x", env=self.env)
        self.assertEqual(json.loads(result.out), [str(script), "x"])
        frames = self.frames()
        self.assertTrue([f for f in frames if re.match(r"work \(.*app:4\)", f)],
                        sorted(frames)[:50])

    def test_pyenv(self):
        """The shims of a real pyenv, when there is one."""
        shim = os.path.expanduser("~/.pyenv/shims/python3")
        if not os.path.exists(shim):
            self.skipTest("no pyenv here")
        version = harness.run([shim, "-c", "import sys; print(sys.version_info[:2])"], check=0).out
        script = self.script()
        path = f"{os.path.dirname(shim)}:/usr/bin:/bin"
        result = self.run_(script, env={"PATH": path})
        self.assertEqual(json.loads(result.out), [str(script)])
        if version.strip() == "(3, 11)":
            self.check_work("app.py")

    def test_threads_and_asyncio_end_well(self):
        code = ("import asyncio, concurrent.futures as cf\n"
                "async def main():\n"
                "    loop = asyncio.get_running_loop()\n"
                "    with cf.ThreadPoolExecutor(8) as pool:\n"
                "        return await asyncio.gather(*(loop.run_in_executor(\n"
                "            pool, lambda i=i: len([bytes(i) for _ in range(200)]))\n"
                "            for i in range(600, 700)))\n"
                "print(sum(asyncio.run(main())))\n")
        self.assertEqual(self.run_("-c", code, env=self.env).out, "20000\n")

    def test_multiprocessing(self):
        script = self.script(text="import multiprocessing as m\n"
                             "def square(x):\n    return x * x\n"
                             "if __name__ == '__main__':\n"
                             "    for way in ('fork', 'spawn'):\n"
                             "        with m.get_context(way).Pool(3) as pool:\n"
                             "            print(sum(pool.map(square, range(1000))))\n")
        result = self.run_(script, env=self.env, timeout=60)
        self.assertEqual(result.out, "332833500\n332833500\n")

    def test_same_output_as_plain(self):
        """A piece of the standard library's own work, byte for byte."""
        code = ("import json, re, sqlite3, zlib, hashlib, decimal, gc\n"
                "data = json.dumps([{str(i): list(range(i % 50))} for i in range(2000)])\n"
                "db = sqlite3.connect(':memory:')\n"
                "db.execute('create table t(a, b)')\n"
                "db.executemany('insert into t values(?, ?)', [(i, str(i)) for i in range(5000)])\n"
                "print(hashlib.sha256(zlib.compress(data.encode())).hexdigest())\n"
                "print(db.execute('select sum(a), max(b) from t').fetchall())\n"
                "print(len(re.findall('[0-9]+', data)), decimal.Decimal(2) ** 100)\n"
                "gc.collect()\n")
        plain = harness.run([harness.PYTHON, "-c", code], check=0).out
        self.assertEqual(self.run_("-c", code, env=self.env).out, plain)
        stats = harness.stats(self.cap)
        self.assertGreater(stats["total_num_allocations"], 5000)


if __name__ == "__main__":
    unittest.main()
