# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_serve.py - memtrace serve: what it gives, to whom, and what it survives.
# Knows: HTTP, addresses of the server. Does not know: what is in a report.
# Called by tests/run.py.
import base64
import contextlib
import gzip
import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading
import unittest

import harness

TIMEOUT = 300

PROGRAM = """
import time
kept = []
print("ready", flush=True)
while True:
    kept.append(bytearray(1000))
    time.sleep(0.002)
"""


class Server:
    """A running `memtrace serve`; a request is made by a connection of its own."""

    def __init__(self, target, folder, unix=None):
        self.target, self.folder, self.unix = target, folder, unix
        url = target.wait_line(r"^https?://([^/]+)/(?:\?token=(\w+))?")
        self.host = url[1]
        self.token = url[2]

    def connect(self, timeout=30):
        if self.unix:
            conn = http.client.HTTPConnection("localhost", timeout=timeout)
            conn.sock = socket.socket(socket.AF_UNIX)
            conn.sock.settimeout(timeout)
            conn.sock.connect(str(self.unix))
            return conn
        return http.client.HTTPConnection(self.host, timeout=timeout)

    def ask(self, path, method="GET", body=None, headers=None, token=True, timeout=60):
        """(status, headers, body)"""
        full = {"Authorization": f"Bearer {self.token}"} if token else {}
        full.update(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            full.setdefault("Content-Type", "application/json")
        conn = self.connect(timeout)
        try:
            conn.request(method, path, body, full)
            response = conn.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            conn.close()

    def status(self, path, **kwargs):
        return self.ask(path, **kwargs)[0]

    def json(self, path, expect=200, **kwargs):
        status, _, body = self.ask(path, **kwargs)
        if status != expect:
            raise AssertionError(f"{path}: {status} {body[:500]!r}")
        return json.loads(body)

    def raw(self, data, timeout=20):
        """What comes back on a bare connection until the server closes it."""
        with self.bare(timeout) as sock:
            answer = b""
            with contextlib.suppress(OSError):
                sock.sendall(data)
            with contextlib.suppress(OSError):
                while chunk := sock.recv(65536):
                    answer += chunk
            return answer

    def bare(self, timeout=20):
        address, port = self.host.rsplit(":", 1)
        return socket.create_connection((address, int(port)), timeout)

    def post(self, path, body, **kwargs):
        return self.json(path, method="POST", body=body, **kwargs)

    def wait_state(self, number, *states):
        return harness.wait_for(
            lambda: (r := self.json(f"/api/recordings/{number}"))["state"] in states and r, 40,
            what=f"recording {number} {states}")


@contextlib.contextmanager
def serve(folder, *options, unix=None, **kwargs):
    with harness.start_target([harness.MEMTRACE, "serve", *options, folder], **kwargs) as target:
        yield Server(target, folder, unix)
        if target.alive() and target.stop() != 0:
            raise AssertionError(f"the server ended badly: {target.err}")


def text_of_page(body):
    """What a report's page holds, unpacked."""
    packed = re.findall(rb"H4sI[A-Za-z0-9+/]{20,}=*", body)
    return "".join(gzip.decompress(base64.b64decode(p)).decode("utf-8", "replace") for p in packed)


def make_capture(path, code="x = [bytearray(1000) for _ in range(500)]"):
    harness.memtrace("run", "-q", "-f", "-o", path, "--", harness.PYTHON, "-c", code)


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.folder = cls.stack.enter_context(harness.tmpdir())
        make_capture(cls.folder / "base.bin")
        make_capture(cls.folder / "new one & <b>ü.bin", "x = [bytearray(3000) for _ in range(900)]")
        (cls.folder / "secret.txt").write_text("memtrace: but no capture\n")
        (cls.folder / "below").mkdir()
        shutil.copy(cls.folder / "base.bin", cls.folder / "below" / "inner.bin")
        (cls.folder / "link.bin").symlink_to("base.bin")
        os.mkfifo(cls.folder / "fifo.bin")
        whole = (cls.folder / "base.bin").read_bytes()
        (cls.folder / "broken.bin").write_bytes(whole[:64] + bytes(random.Random(1).randbytes(20000)))
        cls.server = cls.stack.enter_context(serve(cls.folder))

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    # ---- what it gives ----

    def test_list(self):
        names = {c["name"] for c in self.server.json("/api/captures")["captures"]}
        self.assertEqual(names, {"base.bin", "new one & <b>ü.bin", "broken.bin"})
        about = self.server.json("/api/about")
        told = harness.memtrace("transform", "--help").out.partition("Formats:\n")[2]
        self.assertEqual(about["formats"], [line.split()[0] for line in told.splitlines() if line.startswith("  ")])

    def test_reports_are_those_of_the_commands(self):
        name = "new%20one%20%26%20%3Cb%3E%C3%BC"
        for path in (f"/flamegraphs/{name}.html", f"/tables/{name}.bin.html", f"/leaks/{name}.html",
                     f"/diffs/base.bin/{name}.html", "/flamegraphs/base.html?view=leaks&metric=count",
                     "/stats/base.html", "/"):
            with self.subTest(path=path):
                status, headers, body = self.server.ask(path)
                self.assertEqual(status, 200, body[:300])
                self.assertTrue(body.startswith(b"<!DOCTYPE html>"))
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                policy = headers["Content-Security-Policy"]
                self.assertIn("default-src 'none'", policy)
                ours = path.startswith("/stats") or path == "/"
                self.assertEqual("sandbox" not in policy, ours)
                self.assertEqual("unsafe-inline" not in policy, ours)
        stats = json.loads(harness.memtrace("stats", "--json", "-n", "20", self.folder / "base.bin").out)
        self.assertEqual(self.server.json("/stats/base.bin.json"), stats)
        self.assertEqual(self.server.json("/info/base.bin.json")["events"],
                         json.loads(harness.memtrace("info", "--json", self.folder / "base.bin").out)["events"])
        diff = self.server.json(f"/diffs/base.bin/{name}.bin.json")
        self.assertGreater(diff["new"]["bytes"], diff["base"]["bytes"])

    def test_downloads(self):
        status, headers, body = self.server.ask("/captures/new%20one%20%26%20%3Cb%3E%C3%BC.bin")
        self.assertEqual(status, 200)
        self.assertEqual(body, (self.folder / "new one & <b>ü.bin").read_bytes())
        self.assertEqual(headers["Content-Disposition"],
                         "attachment; filename*=UTF-8''new%20one%20%26%20%3Cb%3E%C3%BC.bin")
        for name in self.server.json("/api/about")["formats"]:
            with self.subTest(format=name):
                status, headers, body = self.server.ask(f"/exports/{name}/base.bin")
                self.assertEqual(status, 200)
                self.assertTrue(headers["Content-Disposition"].startswith("attachment;"))
                out = harness.memtrace("transform", name, self.folder / "base.bin", binary=True).out
                if name == "pprof":
                    self.assertEqual(gzip.decompress(body), gzip.decompress(out))
                elif name in ("folded", "csv"):
                    self.assertEqual(body, out)
                else:               # others hold the name of the file or the time
                    self.assertGreater(len(body), len(out) * 0.9)

    def test_broken_capture(self):
        """The report fails or shows what is whole; the server goes on."""
        for path in ("/flamegraphs/broken.html", "/stats/broken.bin.json", "/exports/folded/broken.bin"):
            status, _, body = self.server.ask(path)
            self.assertIn(status, (200, 422), body[:200])
            if status == 422:
                self.assertRegex(body.decode(), "broken|damaged|capture|offset|block")
        self.assertEqual(self.server.status("/stats/base.bin.json"), 200)

    def test_a_capture_is_called_by_its_name(self):
        """Its reader has a descriptor of it alone."""
        name = "damaged <b>.bin"
        whole = bytearray((self.folder / "base.bin").read_bytes())
        whole[40] ^= 1
        (self.folder / name).write_bytes(whole)
        self.addCleanup((self.folder / name).unlink)
        for path in ("/flamegraphs/damaged%20%3Cb%3E.html", "/stats/damaged%20%3Cb%3E.bin.json",
                     "/info/damaged%20%3Cb%3E.json", "/exports/csv/damaged%20%3Cb%3E.bin",
                     "/diffs/base.bin/damaged%20%3Cb%3E.json", "/diffs/damaged%20%3Cb%3E.bin/base.json"):
            with self.subTest(path=path):
                status, headers, body = self.server.ask(path)
                self.assertEqual((status, headers["Content-Type"]), (422, "text/plain; charset=utf-8"))
                self.assertIn(f"the header of '{name}' is damaged at offset 0", body.decode().splitlines())
                self.assertNotIn("/fd/", body.decode())
        self.assertEqual(self.server.json("/info/base.json")["file"], "base.bin")

    # ---- what it does not give ----

    def test_nothing_out_of_the_folder(self):
        for name in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "..", ".", "below%2finner.bin", "secret.txt",
                     "link.bin", "fifo.bin", "below", "%2fetc%2fpasswd", "base.bin%00", "base.bin%0a",
                     "%c0%ae%c0%ae", "%ff", "%", "%4", "%zz", "", "nothing.bin", ".bin"):
            for path in (f"/captures/{name}", f"/exports/folded/{name}", f"/flamegraphs/{name}.html",
                         f"/diffs/base.bin/{name}.html", f"/stats/{name}.json"):
                with self.subTest(path=path):
                    status, _, body = self.server.ask(path)
                    self.assertIn(status, (400, 404), path)
                    self.assertNotIn(b"root:", body)
                    self.assertLess(len(body), 200)
        for path in ("/captures/below/inner.bin", "/captures/../secret.txt", "//captures/base.bin",
                     "/captures//base.bin", "/captures/base.bin/", "/exports/--help/base.bin",
                     "/exports/..%2f/base.bin", "/nothing", "/api", "/api/nothing", "/api/recordings/0",
                     "/api/recordings/99", "/api/recordings/-1", "/api/recordings/1/2/3/4",
                     "/serve.html", "/" + "a" * 2000):
            with self.subTest(path=path[:60]):
                self.assertIn(self.server.status(path), (400, 404))
        for query in ("view=x", "view=peak&view=leaks", "-o=/tmp/x", "view", "native=no;x", "metric=bytes&x=1"):
            with self.subTest(query=query):
                self.assertEqual(self.server.status(f"/flamegraphs/base.html?{query}"), 400)

    def test_token(self):
        s = self.server
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {s.token[:-1]}"},
                        {"Authorization": f"Bearer {s.token}x"}, {"Authorization": f"Basic {s.token}"},
                        {"Authorization": f"Bearer {s.token.upper()}"}, {"Cookie": f"memtrace-1={s.token}"},
                        {"Cookie": f"x={s.token}"}):
            for path in ("/", "/serve.js", "/api/captures", "/captures/base.bin", "/nothing"):
                with self.subTest(headers=headers, path=path):
                    status, got, body = s.ask(path, headers=headers, token=False)
                    self.assertEqual(status, 401)
                    self.assertNotIn("Set-Cookie", got)
        self.assertEqual(s.status("/?token=wrong", token=False), 401)
        self.assertEqual(s.status(f"/api/captures?token={s.token}", token=False), 401)
        status, headers, _ = s.ask(f"/?token={s.token}", token=False)
        self.assertEqual((status, headers["Location"]), (303, "/"))
        cookie, *attributes = headers["Set-Cookie"].split("; ")
        self.assertEqual(set(attributes), {"HttpOnly", "SameSite=Strict", "Path=/"})
        self.assertEqual(s.status("/api/captures", headers={"Cookie": f"a=b; {cookie}; c=d"}, token=False), 200)

    def test_host(self):
        port = self.server.host.split(":")[1]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
            self.assertEqual(self.server.status("/", headers={"Host": host}), 200, host)
        for host in (f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1:{port}.evil.example", "",
                     f"127.0.0.1:{port}@evil", f"127.0.0.1.evil:{port}", f"x127.0.0.1:{port}", f"127.0.0.1:0{port}"):
            with self.subTest(host=host):
                self.assertIn(self.server.status("/", headers={"Host": host}), (400, 421))
        auth = f"Authorization: Bearer {self.server.token}\r\n"
        for head in (f"GET / HTTP/1.1\r\n{auth}\r\n", f"GET / HTTP/1.0\r\n{auth}\r\n",
                     f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n{auth}\r\n"):
            self.assertNotIn(b" 200 ", self.server.raw(head.encode() )[:20])

    def test_origin_and_forgery(self):
        s = self.server
        cookie = {"Cookie": s.ask(f"/?token={s.token}", token=False)[1]["Set-Cookie"].split(";")[0]}
        own = {"Origin": f"http://{s.host}"}
        mine = {**cookie, **own, "X-Memtrace": "1", "Content-Type": "application/json"}
        for origin in ("http://evil.example", "null", "http://127.0.0.1", f"https://{s.host}", f"http://{s.host}.evil",
                       "", "file://"):
            with self.subTest(origin=origin):
                self.assertEqual(s.status("/api/captures", headers={"Origin": origin}), 403)
                self.assertEqual(s.status("/api/recordings", method="POST", body={"pid": 1},
                                          headers={**mine, "Origin": origin}, token=False), 403)
        for site, expect in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
            self.assertEqual(s.status("/api/captures", headers={"Sec-Fetch-Site": site}), expect, site)
        # A form or an image of another site: the cookie alone, or without what a page of ours sends.
        for missing in ("Origin", "X-Memtrace", "Content-Type"):
            headers = {k: v for k, v in mine.items() if k != missing}
            if missing == "Content-Type":
                headers[missing] = "text/plain"
            with self.subTest(missing=missing):
                self.assertEqual(s.status("/api/recordings", method="POST", body='{"pid": 999999999}',
                                          headers=headers, token=False), 403)
        self.assertEqual(s.status("/api/recordings", method="POST", body='{"pid": 999999999}', headers=mine, token=False), 404)
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"):
            self.assertEqual(s.status("/api/captures", method=method), 405, method)
        self.assertEqual(s.status("/api/captures", method="POST", body={}), 405)
        self.assertEqual(s.status("/api/recordings/1/stop"), 404)

    # ---- what it survives ----

    def test_huge_bodies_and_heads(self):
        s = self.server
        head = (f"POST /api/recordings HTTP/1.1\r\nHost: {s.host}\r\nAuthorization: Bearer {s.token}\r\n"
                "Content-Type: application/json\r\n")
        for extra, body, expect in (("Content-Length: 5000000", b"x" * 5000000, b" 413 "),
                                    ("Content-Length: 99999999999999999999999", b"", b" 4"),
                                    ("Content-Length: -5", b"", b" 4"),
                                    ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n", b" 411 "),
                                    ("Content-Length: 2\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", b" 4"),
                                    ("X: " + "y" * 100000, b"", b" 4")):
            with self.subTest(extra=extra[:40]):
                answer = s.raw((head + extra + "\r\n\r\n").encode() + body)
                self.assertTrue(not answer or expect in answer[:20], answer[:100])
        self.assertEqual(s.status("/api/captures", method="GET", body="x" * 100000), 413)
        self.assertEqual(s.status("/"), 200)

    def test_garbage(self):
        s, rng = self.server, random.Random(7)
        auth = f"Host: {s.host}\r\nAuthorization: Bearer {s.token}\r\n"
        seeds = [f"GET / HTTP/1.1\r\n{auth}\r\n", f"GET /flamegraphs/base.html?view=peak HTTP/1.1\r\n{auth}\r\n",
                 f"POST /api/recordings HTTP/1.1\r\n{auth}Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{\"pid\": 9999}}"]
        for i in range(200):
            data = bytearray(rng.choice(seeds).encode())
            for _ in range(rng.randrange(1, 12)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with s.bare() as sock, contextlib.suppress(OSError):
                sock.sendall(data[:rng.randrange(1, len(data) + 1)])
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.05)       # half a request is waited for, but not by us
                sock.recv(4096)
        for body in ("", "{", "[]", "{}", "null", '{"pid":}', '{"pid":1,}', '{"pid":"1"}', '{"pid":-1}', '{"pid":0}',
                     '{"pid":1.5}', '{"pid":1e9}', '{"pid":99999999999999999999}', '{"pid":1,"pid":2}', '{"pid":1} x',
                     '{"pid":1,"output":"/etc/passwd"}', '{"pid":1,"seconds":0}', '{"pid":1,"seconds":true}',
                     '{"pid":1,"no_native":1}', '{"\\u0070id":1}', '{"pid":' + "1" * 4000 + "}", "[" * 4000):
            with self.subTest(body=body[:40]):
                self.assertEqual(s.status("/api/recordings", method="POST", body=body,
                                          headers={"Content-Type": "application/json"}), 400)
        self.assertEqual(s.status("/"), 200)

    def test_slow_clients_and_a_thousand_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        s, open_ones = self.server, []
        try:
            for i in range(1000):
                sock = s.bare()
                open_ones.append(sock)
                with contextlib.suppress(OSError):
                    sock.sendall(b"GET / HTTP/1.1\r\nX-Slow: " if i % 2 else b"")
                if i % 100 == 99:
                    self.assertEqual(s.status("/", timeout=30), 200, i)
            self.assertEqual(s.status("/stats/base.bin.json", timeout=30), 200)
            fds = len(os.listdir(f"/proc/{s.target.pid}/fd"))
            self.assertLess(fds, 700)
            # Whoever trickles a byte now and then is closed as well.
            slow = open_ones[-1]
            slow.settimeout(0.5)
            with contextlib.suppress(OSError):
                while True:
                    slow.sendall(b"x")
                    with contextlib.suppress(socket.timeout):
                        if not slow.recv(1):
                            break
        finally:
            for sock in open_ones:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(s.status("/"), 200)

    def test_many_ask_for_one_report(self):
        """One child makes it for all; those who leave early are not missed."""
        name = "crowd.bin"
        make_capture(self.folder / name, "x = [bytearray(100) for _ in range(30000)]")
        self.addCleanup((self.folder / name).unlink)
        gone = [self.server.bare() for _ in range(5)]
        for sock in gone:
            sock.sendall(f"GET /flamegraphs/{name}.html HTTP/1.1\r\nHost: {self.server.host}\r\nAuthorization: Bearer "
                         f"{self.server.token}\r\n\r\n".encode())
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.server.ask(f"/flamegraphs/{name}.html")[::2]))
                   for _ in range(20)]
        for t in threads:
            t.start()
        for sock in gone:
            sock.close()
        for t in threads:
            t.join()
        self.assertEqual({r[0] for r in results}, {200})
        self.assertEqual(len({r[1] for r in results}), 1)

    def test_load_while_a_capture_runs(self):
        """wrk asks as fast as it can; nothing fails, and the capture is whole. SERVE_LOAD_SECONDS: for how
        long on each page."""
        if not shutil.which("wrk"):
            self.skipTest("no wrk here")
        s, seconds = self.server, os.environ.get("SERVE_LOAD_SECONDS", "2")
        with harness.start_target([harness.PYTHON, "-c", PROGRAM], wait="^ready") as target:
            r = s.post("/api/recordings", {"pid": target.pid, "seconds": 600}, expect=201)
            s.wait_state(r["id"], "recording")
            for path in ("/", "/api/captures", "/stats/base.bin.json", f"/api/recordings/{r['id']}"):
                with self.subTest(path=path):
                    out = harness.run(["wrk", "-t2", "-c100", f"-d{seconds}s", "--timeout", "30s", "-H",
                                       f"Authorization: Bearer {s.token}", f"http://{s.host}{path}"],
                                      timeout=120, check=0).out
                    count = re.search(r"(\d+) requests in", out)
                    self.assertTrue(count, out)
                    self.assertGreater(int(count[1]), 0, out)
                    self.assertNotIn("Non-2xx", out)
                    self.assertNotIn("Socket errors", out)
            s.post(f"/api/recordings/{r['id']}/stop", {})
            done = s.wait_state(r["id"], "done", "failed")
            self.assertEqual(done["state"], "done", done)
            self.assertTrue(target.alive())
        info = s.json(f"/info/{done['file']}.json")
        self.assertIsNone(info["damage"])
        self.assertGreater(info["events"], 100)
        (self.folder / done["file"]).unlink()
        self.assertLess(len(os.listdir(f"/proc/{s.target.pid}/fd")), 700)

    # ---- captures ----

    def test_record_sums(self):
        s = self.server
        with harness.start_target([harness.PYTHON, "-c", PROGRAM], wait="^ready") as target:
            r = s.post("/api/recordings", {"pid": target.pid, "seconds": 1, "aggregate": True}, expect=201)
            done = s.wait_state(r["id"], "done", "failed")
            self.assertEqual(done["state"], "done", done)
        path = self.folder / done["file"]
        self.addCleanup(path.unlink)
        self.assertIn("aggregated", harness.memtrace("parse", path, check=1).err)
        self.assertIn(b"<module> (<string>:6)", s.ask(f"/exports/folded/{done['file']}")[2])

    def test_record_and_stop(self):
        s = self.server
        with harness.start_target([harness.PYTHON, "-c", PROGRAM], wait="^ready") as target:
            shown = {p["pid"]: p for p in s.json("/api/processes")}
            self.assertIn(target.pid, shown)
            self.assertNotIn(s.target.pid, shown)
            r = s.post("/api/recordings", {"pid": target.pid, "seconds": 60}, expect=201)
            conn = s.connect()
            conn.request("GET", f"/api/recordings/{r['id']}/events", headers={"Authorization": f"Bearer {s.token}"})
            events = conn.getresponse()
            self.assertEqual(events.getheader("Content-Type"), "text/event-stream")
            seen = []
            asked = False
            for line in events:
                if not line.startswith(b"data: "):
                    continue
                seen.append(json.loads(line[6:]))
                if seen[-1]["state"] == "recording" and seen[-1]["elapsed"] > 0.3 and not asked:
                    asked = True
                    # A second one of the same process is refused by the command, with its words.
                    other = s.post("/api/recordings", {"pid": target.pid, "seconds": 1}, expect=201)
                    failed = s.wait_state(other["id"], "failed")
                    self.assertRegex(failed["text"], "memtrace|record")
                    s.post(f"/api/recordings/{r['id']}/stop", {})
            conn.close()
            states = [e["state"] for e in seen]
            self.assertEqual(states[-1], "done", seen[-1])
            self.assertIn("recording", states)
            self.assertLess(seen[-1]["elapsed"], 40)
            self.assertIn("events in", seen[-1]["text"])
            self.assertTrue(target.alive())
            self.assertEqual(harness.memtrace("status", target.pid).code, 0)
            name = seen[-1]["file"]
            info = s.json(f"/info/{name}.json")
            self.assertEqual((info["pid"], info["symbolized"]), (target.pid, True))
            self.assertEqual(stat.S_IMODE((self.folder / name).stat().st_mode), 0o600)
            self.assertIn(b"<module> (<string>:6)", s.ask(f"/exports/folded/{name}")[2])
            self.assertEqual(s.status(f"/flamegraphs/{name}.html"), 200)
            (self.folder / name).unlink()

    def test_in_a_browser(self):
        driver = harness.ROOT / "tests" / "browser" / "drive_serve.mjs"
        if not (driver.parent / "node_modules").exists():
            self.skipTest("no playwright-core here")
        s = self.server
        shots = [os.environ["SCREENSHOTS"]] if os.environ.get("SCREENSHOTS") else []
        with harness.start_target([harness.PYTHON, "-c", PROGRAM], wait="^ready") as target:
            result = harness.run(["node", driver, f"http://{s.host}/?token={s.token}", target.pid, *shots], timeout=280)
            if result.code == 77:
                self.skipTest("no chromium here")
            self.assertTrue(target.alive())
        seen = json.loads(result.out)
        self.assertEqual(seen["problems"], [p for p in seen["problems"] if "422" in p], seen)
        self.assertEqual(seen["barriers"], [])
        self.assertEqual(seen["url"], f"http://{s.host}/")
        self.assertEqual(seen["captures"], sorted(["base.bin", "new one & <b>ü.bin", "broken.bin"]))
        self.assertTrue(any("bytearray(1000)" in c for c in seen["commands"]), seen["commands"])
        self.assertEqual(seen["flamegraph"], ["Peak", "Leaks", "Allocated", "Temporary"])
        self.assertEqual(seen["view"], "true")
        self.assertGreater(seen["leaks"], 1)
        self.assertIn("Sizes", seen["stats"])
        self.assertEqual(seen["diff"], ["New", "Base", "Grown", "Shrunk"])
        self.assertIn("events in", seen["recorded"])
        for path in self.folder.glob("memtrace-*.bin"):
            path.unlink()

    def test_who_is_not_recorded(self):
        s = self.server
        for pid, expect in ((s.target.pid, 403), (2 ** 22 + 1, 404)):
            self.assertEqual(s.status("/api/recordings", method="POST", body={"pid": pid}), expect, pid)
        self.assertEqual(s.status("/api/recordings", method="POST", body={"pid": 1, "seconds": 3601}), 400)


class Ways(unittest.TestCase):
    """Servers of other kinds."""

    def test_unix_socket(self):
        with harness.tmpdir() as tmp:
            path = tmp / "sock"
            with serve(tmp, "--listen", f"unix:{path}", unix=path) as s:
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
                self.assertEqual(s.json("/api/captures")["captures"], [])
                self.assertEqual(s.status("/", token=False), 401)
                self.assertEqual(s.status("/", headers={"Host": "evil"}), 421)
                again = harness.memtrace("serve", "--listen", f"unix:{path}", tmp, check=1)
                self.assertIn("cannot listen", again.err)
            self.assertFalse(path.exists())
            # A leftover of a server that was killed is no obstacle.
            socket.socket(socket.AF_UNIX).bind(str(path))
            with serve(tmp, "--listen", f"unix:{path}", unix=path) as s:
                self.assertEqual(s.status("/"), 200)

    def test_network_needs_tls(self):
        with harness.tmpdir() as tmp:
            for address in ("0.0.0.0:0", "[::]:0"):
                result = harness.memtrace("serve", "--listen", address, tmp, check=2)
                self.assertIn("--tls-cert", result.err)
            for address in ("nonsense", "127.0.0.1", "127.0.0.1:99999", "unix:", "example.org:80", "127.0.0.1:-1"):
                self.assertEqual(harness.memtrace("serve", "--listen", address, tmp, check=None).code, 2, address)
            with serve(tmp, "--listen", "0.0.0.0:0", "--insecure", "--host", "box.example") as s:
                s.host = s.host.replace("0.0.0.0", "127.0.0.1")
                port = s.host.split(":")[1]
                self.assertEqual(s.status("/", headers={"Host": f"box.example:{port}"}), 200)
                self.assertEqual(s.status("/", headers={"Host": f"localhost:{port}"}), 421)

    def test_tls(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl to make a certificate with")
        with harness.tmpdir() as tmp:
            cert, key = tmp / "cert.pem", tmp / "key.pem"
            harness.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
                         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"], check=0)
            self.assertEqual(harness.memtrace("serve", "--tls-cert", cert, tmp, check=None).code, 2)
            with serve(tmp, "--listen", "0.0.0.0:0", "--tls-cert", cert, "--tls-key", key, "--host", "127.0.0.1") as s:
                host, port = "127.0.0.1", int(s.host.split(":")[1])
                conn = http.client.HTTPSConnection(host, port, context=ssl.create_default_context(cafile=cert), timeout=20)
                conn.request("GET", f"/?token={s.token}")
                answer = conn.getresponse()
                self.assertEqual(answer.status, 303)
                self.assertIn("; Secure", answer.headers["Set-Cookie"])
                conn.close()

    def test_token_file_and_read_only(self):
        with harness.tmpdir() as tmp:
            token = tmp / "token"
            token.write_text("short\n")
            token.chmod(0o600)
            self.assertIn("letters", harness.memtrace("serve", "--token-file", token, tmp, check=2).err)
            token.write_text("a-token-that-is-long_enough\n")
            token.chmod(0o644)
            self.assertIn("anybody", harness.memtrace("serve", "--token-file", token, tmp, check=2).err)
            token.chmod(0o600)
            with serve(tmp, "--token-file", token, "--read-only") as s:
                self.assertIsNone(s.token)
                s.token = "a-token-that-is-long_enough"
                self.assertTrue(s.json("/api/about")["read_only"])
                self.assertEqual(s.status("/api/processes"), 403)
                self.assertEqual(s.status("/api/recordings", method="POST", body={"pid": 1}), 403)

    def test_socket_activation(self):
        with harness.tmpdir() as tmp, socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()

            def prepare():
                os.dup2(sock.fileno(), 3)
                os.set_inheritable(3, True)
            script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            with subprocess.Popen(["sh", "-c", script, "sh", harness.MEMTRACE, "serve", tmp], stdout=subprocess.PIPE,
                                  close_fds=False, preexec_fn=prepare) as proc:
                url = proc.stdout.readline().decode()
                conn = http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1], timeout=20)
                conn.request("GET", "/?" + url.strip().split("?")[1])
                self.assertEqual(conn.getresponse().status, 303)
                conn.close()
                proc.send_signal(signal.SIGTERM)
                self.assertEqual(proc.wait(20), 0)

    def test_root_reads_with_the_rights_of_the_owner(self):
        """A capture names files to look into. Made by another user, it gets no line of a file that this user
        cannot read."""
        if os.getuid():
            self.skipTest("needs root")
        with harness.tmpdir(0o755) as tmp:
            folder = tmp / "captures"
            folder.mkdir(0o700)
            script = tmp / "private.py"
            script.write_text("def work():\n    return bytearray(777000)    # the line that is nobody's business\n"
                              "kept = [work() for _ in range(3)]\n")
            script.chmod(0o600)
            harness.memtrace("run", "-q", "-o", folder / "ours.bin", "--", harness.PYTHON, script)
            shutil.copy(folder / "ours.bin", folder / "theirs.bin")
            (folder / "theirs.bin").chmod(0o600)
            os.chown(folder / "theirs.bin", 12345, 12345)
            with serve(folder) as s:
                for name, seen in (("ours", True), ("theirs", False)):
                    status, _, body = s.ask(f"/flamegraphs/{name}.html")
                    self.assertEqual(status, 200, body[:300])
                    texts = text_of_page(body)
                    self.assertIn("private.py", texts)
                    self.assertEqual("nobody's business" in texts, seen, name)
                self.assertEqual(s.status("/diffs/ours.bin/ours.json"), 200)
                self.assertEqual(s.status("/diffs/theirs.bin/theirs.json"), 200)
                for path in ("/diffs/ours.bin/theirs.json", "/diffs/theirs.bin/ours.html"):
                    status, _, body = s.ask(path)
                    self.assertEqual(status, 403)
                    self.assertIn(b"different owners", body)

    def test_limits_of_a_report(self):
        with harness.tmpdir() as tmp:
            make_capture(tmp / "a.bin")
            with serve(tmp, "--report-memory", "1MiB") as s:
                status, _, body = s.ask("/flamegraphs/a.html")
                self.assertGreaterEqual(status, 422)
                self.assertTrue(body.strip())
                self.assertEqual(s.status("/"), 200)

    def test_the_end_of_the_server_ends_its_captures(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(signal=number), harness.tmpdir() as tmp, \
                    harness.start_target([harness.PYTHON, "-c", PROGRAM], wait="^ready") as target, \
                    serve(tmp) as s:
                r = s.post("/api/recordings", {"pid": target.pid, "seconds": 100}, expect=201)
                s.wait_state(r["id"], "recording")
                s.target.signal(number)
                s.target.wait()
                harness.wait_for(lambda: harness.memtrace("status", target.pid, check=None).code == 0, 20)
                self.assertTrue(target.alive())
                harness.memtrace("stats", tmp / r["file"])


if __name__ == "__main__":
    unittest.main()
