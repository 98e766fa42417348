# SPDX-License-Identifier: Apache-2.0
# tests/serve/test_serve.py - `memtrace serve` shows what it should, and nothing else to nobody else.
# Knows: HTTP down to its bytes. Does not know: how it is served.
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import time
import unittest

import harness

TIMEOUT = 300
TARGET = r"""
#include <stdlib.h>
__attribute__((noinline)) void *keep(void) { return malloc(123456); }
int main(void) { for (int i = 0; i < 3; i++) if (!keep()) return 1; return 0; }
"""


class Unix(http.client.HTTPConnection):
    """Over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class Server(contextlib.ExitStack):
    def __init__(self, folder, *options):
        super().__init__()
        self.target = self.enter_context(harness.start_target(
            [harness.MEMTRACE, "serve", *options, folder], wait="token"))
        line = self.target.lines[0]
        match = re.match(r"http://(\S+):(\d+)/\?token=(\w{64})$", line)
        self.path = None if match else line.partition(", token ")[0]
        self.port = int(match[2]) if match else 0
        self.token = match[3] if match else line.rpartition(" ")[2]
        self.host = f"127.0.0.1:{self.port}" if match else "localhost"

    def ask(self, path, method="GET", token=True, body=None, host=None, **headers):
        """(status, headers, body)"""
        c = Unix(self.path) if self.path else http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            c.putrequest(method, path, skip_host=True)
            c.putheader("Host", host or self.host)
            for name, value in headers.items():
                c.putheader(name, value)
            if body is not None:
                c.putheader("Content-Length", str(len(body)))
            c.endheaders(body)
            reply = c.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            c.close()

    def code(self, *args, **kwargs):
        return self.ask(*args, **kwargs)[0]

    def end(self):
        self.target.signal(signal.SIGINT)
        return self.target.wait(), self.target.err


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        cls.folder = cls.stack.enter_context(harness.tmpdir())
        probe = harness.run([harness.MEMTRACE, "serve", "/nonexistent"])
        if "libmicrohttpd is not installed" in probe.err:
            raise unittest.SkipTest("no libmicrohttpd here")
        target = harness.compile_c(TARGET, name="serve_target", flags=["-g"])
        harness.memtrace("run", "-q", "-o", cls.folder / "first.bin", "--", target)
        harness.memtrace("run", "-q", "-o", cls.folder / "a b&<c>.bin", "--", target)
        (cls.folder / "broken.bin").write_bytes(b"memtrace" + b"\0" * 300)
        (cls.folder / "secret.txt").write_text("secret")
        (cls.folder / "link.bin").symlink_to("/etc/passwd")
        (cls.folder / "deep").mkdir()
        (cls.folder / "deep" / "inner.bin").write_text("secret")
        os.mkfifo(cls.folder / "pipe.bin")
        cls.server = cls.stack.enter_context(Server(cls.folder))

    def test_list(self):
        status, headers, body = self.server.ask("/captures.json")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        found = {c["name"]: c for c in json.loads(body)}
        self.assertEqual(set(found), {"first", "a b&<c>"})
        first = found["first"]
        self.assertIsNone(first["damage"])
        self.assertGreater(first["events"], 0)
        self.assertIn("serve_target", first["command"])
        self.assertEqual(first["bytes"], (self.folder / "first.bin").stat().st_size)

    def test_reports(self):
        for path, kind, text in (
                ("/", "text/html; charset=utf-8", b"serve.js"), ("/serve.js", "text/javascript", b"fetch"),
                ("/serve.css", "text/css", b"body"),
                ("/flamegraphs/first.html", "text/html; charset=utf-8", b"</html>"),
                ("/flamegraphs/a%20b%26%3Cc%3E.html?view=leaks", "text/html; charset=utf-8", b"</html>"),
                ("/tables/first.html?view=allocated", "text/html; charset=utf-8", b"</html>"),
                ("/leaks/first.html", "text/html; charset=utf-8", b"keep"),
                ("/diffs/first/a%20b%26%3Cc%3E.html", "text/html; charset=utf-8", b"</html>"),
                ("/stats/first.json", "application/json", b"total_num_allocations"),
                ("/exports/folded/first.txt", "text/plain; charset=utf-8", b"keep"),
                ("/exports/speedscope/first.json", "application/json", b"speedscope"),
                ("/exports/pprof/first.pb.gz", "application/octet-stream", b"\x1f\x8b")):
            with self.subTest(path):
                status, headers, body = self.server.ask(path)
                self.assertEqual((status, headers["Content-Type"]), (200, kind), body[:500])
                self.assertIn(text, body)
        self.assertEqual(self.server.ask("/captures/first.bin")[2], (self.folder / "first.bin").read_bytes())
        self.assertEqual(self.server.ask("/stats/first.json", method="HEAD")[2], b"")

    def test_bad_captures_have_a_readable_answer(self):
        status, headers, body = self.server.ask("/flamegraphs/broken.html")
        self.assertEqual((status, headers["Content-Type"]), (500, "text/plain; charset=utf-8"))
        self.assertRegex(body, rb"(?i)header|capture|machine")
        self.assertEqual(self.server.code("/flamegraphs/first.html?view=everything"), 400)

    def test_nothing_outside_the_folder(self):
        for path in ("/captures/../secret.txt", "/captures/secret.txt", "/captures/link.bin",
                     "/captures/pipe.bin", "/captures/deep/inner.bin", "/captures/deep%2finner.bin",
                     "/captures/..%2f..%2fetc%2fpasswd.bin", "/captures/%2e%2e/first.bin",
                     "/captures//etc/passwd.bin", "/captures/first%00.bin", "/captures/.bin",
                     "/captures/" + "x" * 400 + ".bin", "/flamegraphs/../../etc/passwd.html",
                     "/flamegraphs/--help.html", "/flamegraphs/-o.html", "/diffs/first.html",
                     "/diffs/first/../first.html", "/diffs//first.html", "/etc/passwd", "//", "/%2e%2e/",
                     "/captures.json/x", "/serve.js/"):
            with self.subTest(path):
                status, _, body = self.server.ask(path)
                self.assertEqual(status, 404)
                self.assertNotIn(b"root:", body)
                self.assertNotIn(b"secret", body)

    def test_token(self):
        token = self.server.token
        for path in ("/", "/captures.json", "/captures/first.bin", "/nothing", "/?token=" + "0" * 64,
                     "/?token=" + token[:-1], "/?token=", "/captures.json?token=" + token):
            with self.subTest(path):
                self.assertEqual(self.server.code(path, token=False), 401)
        for value in ("Bearer " + token + "0", "Bearer ", "Basic " + token, token):
            with self.subTest(value):
                self.assertEqual(self.server.code("/", token=False, Authorization=value), 401)
        status, headers, _ = self.server.ask("/?token=" + token, token=False)
        self.assertEqual((status, headers["Location"]), (303, "/"))
        cookie = headers["Set-Cookie"]
        self.assertRegex(cookie, r"HttpOnly; SameSite=Strict")
        name = cookie.partition(";")[0]
        self.assertEqual(self.server.code("/", token=False, Cookie="a=b; " + name), 200)
        for wrong in (name[:-1], name + "0", name.replace("memtrace-", "x"), "memtrace-0=" + token):
            with self.subTest(wrong):
                self.assertEqual(self.server.code("/", token=False, Cookie=wrong), 401)

    def test_host_and_origin(self):
        port, host = self.server.port, self.server.host
        for good in (host, f"localhost:{port}", f"[::1]:{port}"):
            self.assertEqual(self.server.code("/captures.json", host=good), 200)
        for bad in (f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1.evil.example:{port}",
                    f"10.0.0.1:{port}", "x" * 300):
            with self.subTest(bad):
                self.assertEqual(self.server.code("/captures.json", host=bad), 403)
        self.assertEqual(self.server.code("/captures.json", Origin=f"http://{host}"), 200)
        for origin in ("http://evil.example", "null", f"https://{host}", f"http://{host}.evil.example", ""):
            with self.subTest(origin):
                self.assertEqual(self.server.code("/captures.json", Origin=origin), 403)
        for site, code in (("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403)):
            with self.subTest(site):
                self.assertEqual(self.server.code("/captures.json", Sec_Fetch_Site=site), code)

    def test_headers(self):
        for path, token in (("/", True), ("/", False), ("/flamegraphs/first.html", True), ("/nothing", True)):
            with self.subTest(path, token=token):
                headers = self.server.ask(path, token=token)[1]
                self.assertIn("frame-ancestors", headers["Content-Security-Policy"])
                self.assertNotIn("unsafe", headers["Content-Security-Policy"])
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["Cache-Control"], "no-store")
                self.assertEqual(headers["Referrer-Policy"], "no-referrer")
                self.assertIsNone(headers["Access-Control-Allow-Origin"])

    def test_read_only(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            with self.subTest(method):
                self.assertEqual(self.server.code("/", method=method), 405)

    def raw(self, data, timeout=2):
        """What comes back for these bytes until the connection is closed, or nothing more comes."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout) as s:
            with contextlib.suppress(ConnectionError):
                s.sendall(data)
            found = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    found += more
            return found

    def test_huge_and_malformed(self):
        host = f"Host: {self.server.host}\r\nConnection: close\r\n".encode()
        for data in (b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n" + host + b"\r\n",
                     b"GET / HTTP/1.1\r\n" + host + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n",
                     b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 99999999999\r\n\r\n" + b"z" * (1 << 20),
                     b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 5\r\n\r\nhello",
                     b"\0\1\2\3" * 1000 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(data[:60]):
                self.assertFalse(re.match(rb"HTTP/1.1 2", self.raw(data)))
        self.assertEqual(self.server.code("/"), 200)

    def test_a_thousand_connections_and_slow_ones(self):
        with contextlib.ExitStack() as stack:
            for i in range(1000):
                s = stack.enter_context(socket.socket())
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", self.server.port))
                if i < 40:
                    time.sleep(0.002)
                    with contextlib.suppress(OSError):
                        s.send(b"GET / HT")
            status = harness.proc_status(self.server.target.pid)
            self.assertLess(int(status["Threads"]), 100)
        harness.wait_for(lambda: self.answers(), 60, what="an answer after the flood")

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.server.code("/") == 200
        return False


class Lives(unittest.TestCase):
    setUpClass = Serve.__dict__["setUpClass"]

    def test_ends_at_ctrl_c_while_a_client_waits(self):
        with Server(self.folder) as server, socket.create_connection(("127.0.0.1", server.port)) as s:
            s.send(b"GET / HTTP/1.1\r\n")
            self.assertEqual(server.end(), (0, ""))

    def test_unix_socket(self):
        with harness.tmpdir() as tmp:
            path = tmp / "socket"
            with Server(self.folder, f"--listen=unix:{path}") as server:
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
                self.assertEqual(server.path, str(path))
                self.assertEqual(server.code("/captures.json"), 200)
                self.assertEqual(server.code("/captures.json", token=False), 401)
                self.assertEqual(server.code("/captures.json", host="evil.example"), 403)
                again = harness.run([harness.MEMTRACE, "serve", f"--listen=unix:{path}", self.folder], check=1)
                self.assertIn("Address already in use", again.err)
                self.assertTrue(path.exists())
                self.assertEqual(server.end(), (0, ""))
            self.assertFalse(path.exists())

    def test_other_addresses(self):
        for where, code, text in (("0.0.0.0:0", 1, "others can reach '0.0.0.0:0'"), ("[::]:0", 1, "others can reach"),
                                  ("127.0.0.1", 2, "cannot listen on"), ("localhost:0", 2, "cannot listen on"),
                                  ("127.0.0.1:65536", 2, "cannot listen on"), ("127.0.0.1:x", 2, "cannot listen on"),
                                  ("unix:", 2, "Unix socket"), ("unix:" + "x" * 200, 2, "Unix socket")):
            with self.subTest(where):
                result = harness.run([harness.MEMTRACE, "serve", "--listen", where, self.folder])
                self.assertEqual(result.code, code, result)
                self.assertIn(text, result.err)
        with Server(self.folder, "--insecure", "--listen=0.0.0.0:0") as server:
            self.assertEqual(server.code("/"), 200)
            self.assertEqual(server.code("/", host=f"10.1.2.3:{server.port}"), 200)
            self.assertEqual(server.code("/", host=f"evil.example:{server.port}"), 403)
            self.assertEqual(server.code("/", token=False), 401)

    def test_tokens_differ(self):
        with Server(self.folder) as one, Server(self.folder) as two:
            self.assertNotEqual(one.token, two.token)
            self.assertEqual(one.code("/", token=False, Authorization=f"Bearer {two.token}"), 401)

    def test_no_folder(self):
        result = harness.run([harness.MEMTRACE, "serve", "/nonexistent"], check=1)
        self.assertIn("cannot open the folder '/nonexistent'", result.err)

    def test_in_a_browser(self):
        with Server(self.folder) as server:
            result = harness.run(["node", harness.ROOT / "tests/browser/drive_serve.mjs",
                                  f"http://{server.host}/?token={server.token}"], timeout=200)
            if result.code == 77:
                self.skipTest("no chromium is installed")
            self.assertEqual(result.code, 0, result)
            seen = json.loads(result.out)
            self.assertEqual(seen["problems"], [])
            self.assertEqual(seen["url"], f"http://{server.host}/")
            self.assertEqual(seen["captures"], ["a b&<c>", "first"])
            self.assertIn("serve_target", seen["flamegraph"])
            self.assertIn("serve_target", seen["diff"])


if __name__ == "__main__":
    unittest.main()
