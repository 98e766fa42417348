# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_debuginfod.py - debug information from servers: a real debuginfod, and bad ones.
# Knows: debuginfod's options, its protocol. Does not know: the client library.
# Run by tests/run.py.
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

import harness

NEEDS = ["debuginfod"]

PROGRAM = r"""
#include <stdlib.h>
static inline __attribute__((always_inline)) char *grab(int n) { return malloc(n); }
__attribute__((noinline)) char *fetch(int n) { char *p = grab(n); p[0] = 1; return p; }
int main(void) { for (int i = 0; i < 10; i++) { char *p = fetch(1000 + i); if (i & 1) free(p); } return 0; }
"""


class Server:
    """An HTTP server with one behaviour for every question, which it keeps."""

    def __init__(self, answer):
        self.asked = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                answer(self)

            def log_message(self, *args):
                pass

        self.ended = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.ended = self.ended
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


def gives(content, status=200):
    def answer(request):
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
    return answer


def hangs(request):
    request.server.ended.wait(60)


def drips(request):
    """A byte now and then, of a file that never ends."""
    request.send_response(200)
    request.send_header("Content-Length", "100000000")
    request.end_headers()
    try:
        while not request.server.ended.wait(0.3):
            request.wfile.write(b"\x7f")
            request.wfile.flush()
    except OSError:
        pass


def redirects(request):
    request.send_response(302)
    request.send_header("Location", request.path)
    request.send_header("Content-Length", "0")
    request.end_headers()


class Debuginfod(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.dir = cls.scope.__enter__()
        cls.built = cls.dir / "built"
        cls.program = cls.dir / "prog"
        shutil.copy(harness.compile_c(PROGRAM, name="ask_for_me", flags=["-O2", "-g"]), cls.built)
        cls.debug = cls.dir / "kept" / "prog.debug"
        cls.debug.parent.mkdir()
        cls.stripped = cls.dir / "kept" / "prog"
        subprocess.run(["objcopy", "--only-keep-debug", cls.built, cls.debug], check=True)
        subprocess.run(["strip", "-s", "-o", cls.stripped, cls.built], check=True)
        shutil.copy(cls.stripped, cls.program)
        cls.raw = cls.dir / "raw.bin"
        harness.memtrace("run", "-o", cls.raw, "--", cls.program)
        cls.build_id = subprocess.run(["readelf", "-n", cls.built], check=True, text=True,
                                      capture_output=True).stdout.split("Build ID:")[1].split()[0]

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def setUp(self):
        self.inner = harness.tmpdir()
        self.tmp = self.inner.__enter__()
        shutil.copy(self.stripped, self.program)
        self.cap = self.tmp / "cap.bin"
        shutil.copy(self.raw, self.cap)

    def tearDown(self):
        self.inner.__exit__(None, None, None)

    def symbolize(self, urls, *args, env=None, fresh=True, **kwargs):
        """Symbolizes with a cache of its own, that of the last call when not `fresh`."""
        cache = self.tmp / "cache"
        if fresh:
            shutil.rmtree(cache, ignore_errors=True)
        # The debug information of other modules is here or not, as this machine has it.
        root = self.tmp / "root"
        (root / str(self.dir).lstrip("/")).mkdir(parents=True, exist_ok=True)
        copy = root / str(self.program).lstrip("/")
        copy.unlink(missing_ok=True)
        if self.program.exists():
            shutil.copy(self.program, copy)
        return harness.memtrace("symbolize", "-f", "--sysroot", root, self.cap, *args,
                                env={"DEBUGINFOD_URLS": urls, "DEBUGINFOD_CACHE_PATH": str(cache),
                                     **(env or {})}, **kwargs)

    def warnings(self, result):
        return [line for line in result.err.splitlines() if "debuginfod" in line]

    def assert_named(self):
        out = harness.memtrace("transform", "folded", "--view", "allocated", self.cap).out
        self.assertRegex(out, r"main .*;fetch .*;grab ")

    def assert_not_named(self):
        out = harness.memtrace("transform", "folded", "--no-debuginfod", "--sysroot", self.tmp / "root",
                               "--view", "allocated", self.cap).out
        self.assertNotIn("fetch", out)

    # ---- the real one ----

    def start(self, *folders):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        proc = subprocess.Popen(["debuginfod", "-d", ":memory:", "-p", str(port), "-F", *folders],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env={**os.environ, "DEBUGINFOD_URLS": ""})
        self.addCleanup(proc.wait)
        self.addCleanup(proc.terminate)
        url = f"http://127.0.0.1:{port}"

        def has_looked():
            try:
                with urllib.request.urlopen(f"{url}/buildid/{self.build_id}/debuginfo") as answer:
                    return answer.status == 200
            except OSError:
                return False
        harness.wait_for(has_looked, timeout=60, interval=0.2)
        return url

    def test_real_server(self):
        url = self.start(self.debug.parent)
        with self.subTest("debug information of a stripped program"):
            self.symbolize(url)
            self.assert_named()
        with self.subTest("nothing of the program is here"):
            self.program.unlink()
            shutil.copy(self.raw, self.cap)
            result = self.symbolize(url)
            self.assertNotRegex(result.err, "prog: no file")
            self.assert_named()
        with self.subTest("the second of two servers has it"):
            shutil.copy(self.raw, self.cap)
            with Server(gives(b"", 404)) as empty:
                self.symbolize(f"{empty.url} {url}")
            self.assert_named()
        with self.subTest("one of two servers is down"):
            shutil.copy(self.raw, self.cap)
            self.symbolize(f"http://127.0.0.1:1 {url}")
            self.assert_named()
        with self.subTest("told not to ask"):
            shutil.copy(self.raw, self.cap)
            self.symbolize(url, "--no-debuginfod")
            self.assert_not_named()
        with self.subTest("no server named"):
            result = self.symbolize("")
            self.assertEqual(self.warnings(result), [])
            self.assert_not_named()
        with self.subTest("a report asks too"):
            shutil.copy(self.raw, self.cap)
            result = harness.memtrace("transform", "folded", "--view", "allocated", self.cap, "--sysroot",
                                      self.tmp / "root", env={
                                          "DEBUGINFOD_URLS": url,
                                          "DEBUGINFOD_CACHE_PATH": str(self.tmp / "other")})
            self.assertRegex(result.out, r"main .*;fetch .*;grab ")
            self.assertNotIn(" prog", "".join(self.warnings(result)))

    def test_program_only(self):
        """The server knows no debug information, but the program with all in it."""
        folder = self.tmp / "served"
        folder.mkdir()
        shutil.copy(self.built, folder / "prog")
        url = self.start(folder)
        self.program.unlink()
        result = self.symbolize(url)
        self.assertNotIn(" prog", "".join(self.warnings(result)))
        self.assert_named()

    # ---- what is asked ----

    def test_asked_once(self):
        with Server(gives(b"", 404)) as server:
            result = self.symbolize(server.url)
            self.assertEqual(len(server.asked), len(set(server.asked)), server.asked)
            self.assertIn(f"/buildid/{self.build_id}/debuginfo", server.asked)
            self.assertNotIn(f"/buildid/{self.build_id}/executable", server.asked)
            self.assertEqual(len(self.warnings(result)), 1, result.err)
            self.assertRegex(result.err, r"warning: debuginfod at http://127\.0\.0\.1:\d+: nothing there "
                             r"for (.*, |.* and )?prog( and .*|, .*)?\n")
            first = len(server.asked)
            self.symbolize(server.url, fresh=False)     # what the client remembers of a no
            self.assertEqual(len(server.asked), first)

    def test_diff_asks_once(self):
        """Two captures of one program, and a server that does not answer: it is asked once."""
        with Server(hangs) as server:
            result = harness.memtrace("diff", self.cap, self.raw, env={
                "DEBUGINFOD_URLS": server.url, "DEBUGINFOD_TIMEOUT": "2",
                "DEBUGINFOD_CACHE_PATH": str(self.tmp / "cache")})
            self.assertEqual(len(server.asked), 1, server.asked)
            self.assertEqual(len(self.warnings(result)), 1, result.err)

    def test_has_all(self):
        """A program with its debug information in it or beside it: nobody is asked about it."""
        for where in ("in it", "beside it"):
            with self.subTest(where), Server(gives(b"", 404)) as server:
                if where == "in it":
                    shutil.copy(self.built, self.program)
                    self.symbolize(server.url)
                else:
                    shutil.copy(self.stripped, self.program)
                    self.symbolize(server.url, "--debug-dir", self.debug.parent)
                self.assertNotIn(self.build_id, "".join(server.asked))
                self.assert_named()

    def test_password(self):
        with Server(gives(b"", 404)) as server:
            result = self.symbolize(server.url.replace("//", "//me:secret@"))
            self.assertTrue(server.asked)
            self.assertNotIn("secret", result.err)
            self.assertIn(f"debuginfod at {server.url}: ", result.err)

    # ---- servers that do not do ----

    def test_hangs(self):
        with Server(hangs) as server:
            begin = time.monotonic()
            result = self.symbolize(server.url, env={"DEBUGINFOD_TIMEOUT": "2"})
            self.assertLess(time.monotonic() - begin, 15)
            self.assertEqual(len(server.asked), 1, server.asked)
        self.assertEqual(len(self.warnings(result)), 1, result.err)
        self.assertRegex(result.err, r"warning: debuginfod at .*: no answer in time, \d+ s in all; "
                         "nothing more was asked")
        self.assert_not_named()
        url = self.start(self.debug.parent)     # and it is not remembered as a no
        self.symbolize(url, fresh=False)
        self.assert_named()

    def test_drips(self):
        for env in ({"DEBUGINFOD_TIMEOUT": "2"}, {"DEBUGINFOD_MAXTIME": "3"}):
            with self.subTest(env), Server(drips) as server:
                begin = time.monotonic()
                result = self.symbolize(server.url, env=env)
                self.assertLess(time.monotonic() - begin, 15)
                self.assertEqual(len(server.asked), 1, server.asked)
                self.assertRegex(result.err, "no answer in time")
                self.assert_not_named()

    def test_total_time(self):
        """Each answer comes, slowly; together they take no longer than all may."""
        def slow(request):
            request.server.ended.wait(1.5)
            gives(b"", 404)(request)
        self.program.unlink()
        with Server(slow) as server:
            begin = time.monotonic()
            result = self.symbolize(server.url, env={"DEBUGINFOD_MAXTIME": "2"})
            self.assertLess(time.monotonic() - begin, 15)
            self.assertLessEqual(len(server.asked), 3)
            self.assertRegex(result.err, r"no answer in time, \d+ s in all; nothing more was asked; "
                             "nothing there for ")

    def test_refuses(self):
        for urls in ("http://127.0.0.1:1", "http://127.0.0.1:1/", "nonsense://there",
                     "http://no-such-host.invalid", "/no/such/file"):
            with self.subTest(urls):
                result = self.symbolize(urls)
                self.assertEqual(len(self.warnings(result)), 1, result.err)
                self.assertIn(f"warning: debuginfod at {urls}: ", result.err)
                self.assert_not_named()
        result = self.symbolize("http://127.0.0.1:1")
        self.assertRegex(result.err, "Connection refused; nothing more was asked")

    def test_garbage(self):
        other = self.tmp / "other"
        subprocess.run(["gcc", "-O0", "-g", "-x", "c", "-o", other, "-"], check=True,
                       input=PROGRAM.encode())
        cases = {"text": b"hello\n" * 100, "cut": self.debug.read_bytes()[:3000],
                 "another program": other.read_bytes(), "an ELF header": self.debug.read_bytes()[:64]}
        for what, content in cases.items():
            with self.subTest(what), Server(gives(content)) as server:
                result = self.symbolize(server.url)
                self.assertEqual(len(self.warnings(result)), 1, result.err)
                self.assertRegex(result.err, r"warning: debuginfod at .*: .*'.*' is not the file of "
                                 r".*: not used")
                self.assertEqual(len(server.asked), len(set(server.asked)), server.asked)
                self.assert_not_named()

    def test_errors(self):
        for answer in (gives(b"no", 500), gives(b"no", 403), redirects, gives(b"")):
            with Server(answer) as server:
                begin = time.monotonic()
                result = self.symbolize(server.url)
                self.assertLess(time.monotonic() - begin, 15)
                self.assertEqual(len(self.warnings(result)), 1, result.err)
                self.assert_not_named()

    def test_no_cache(self):
        """The client has nowhere to keep files."""
        file = self.tmp / "file"
        file.write_text("")
        with Server(gives(b"", 404)) as server:
            result = self.symbolize(server.url, env={"DEBUGINFOD_CACHE_PATH": str(file / "cache")})
            self.assertEqual(len(self.warnings(result)), 1, result.err)
            self.assertEqual(server.asked, [])


if __name__ == "__main__":
    unittest.main()
