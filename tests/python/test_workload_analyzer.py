# SPDX-License-Identifier: Apache-2.0
# tests/python/test_workload_analyzer.py - the example application, over HTTP and in a browser, with both
# databases.
# Knows: its addresses, how PostgreSQL is started. Does not know: how it is written.
import contextlib
import glob
import json
import os
import shutil
import threading
import unittest
import urllib.error
import urllib.request

import harness
from test_package import PACKAGE, environment

TIMEOUT = 300
EXAMPLE = harness.ROOT / "examples" / "workload-analyzer"
POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


class Answer:
    def __init__(self, code, body, kind):
        self.code, self.body, self.kind = code, body, kind

    @property
    def json(self):
        return json.loads(self.body)


class Server(contextlib.ExitStack):
    """The application on a free port, with a folder of its own."""

    def __init__(self, database_url=None):
        super().__init__()
        self.tmp = self.enter_context(harness.tmpdir())
        self.port = harness.free_port()
        self.profiles = self.tmp / "profiles"
        env = {**environment(PACKAGE), "PROFILES": self.profiles, "DATABASE_URL": database_url,
               "DATABASE_PATH": self.tmp / "workload.sqlite"}
        self.target = self.enter_context(harness.start_target(
            [harness.PYTHON, "-m", "flask", "--app", "app", "run", "--port", self.port], env=env,
            cwd=EXAMPLE))
        harness.wait_port(self.port)

    def ask(self, path, data=None, kind="application/json", method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        if data is not None:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return Answer(reply.status, reply.read(), reply.headers.get_content_type())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), error.headers.get_content_type())

    def post(self, path, **values):
        return self.ask(path, json.dumps(values).encode())


@contextlib.contextmanager
def postgresql(case):
    """A server of its own; its DATABASE_URL."""
    tools = {name: sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) for name in ("initdb", "postgres")}
    if os.getuid() or not all(tools.values()):
        case.skipTest("no PostgreSQL here, or no root to start it as its user")
    with harness.tmpdir(0o755) as tmp:
        shutil.chown(tmp, "postgres", "postgres")
        harness.run([*POSTGRES, tools["initdb"][-1], "-D", tmp / "data", "-A", "trust", "-N", "-U", "postgres",
                     "--no-locale", "-E", "UTF8"], check=0, timeout=100)
        port = harness.free_port()
        with harness.start_target([*POSTGRES, tools["postgres"][-1], "-D", tmp / "data", "-p", port, "-k", tmp,
                                   "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]):
            harness.wait_for(lambda: harness.run(
                ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c", "select 1"]).code == 0, 60)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


class WorkloadAnalyzer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if harness.run([harness.PYTHON, "-c", "import flask"]).code:
            raise unittest.SkipTest("no Flask here")

    def check_runs(self, server, database):
        bulk = server.post("/profile/bulk-query", count=3000).json
        self.assertEqual(bulk["result"], {"inserted": 3000, "database": database})
        self.assertRegex(bulk["profile"]["profileFile"], r"^bulk_\d{8}_\d{6}_\d{6}\.bin$")
        self.assertGreater(bulk["profile"]["durationMs"], 0)
        batches = server.post("/profile/bulk-query", count=3000, batch=100).json
        self.assertLess(batches["profile"]["peakBytes"], bulk["profile"]["peakBytes"])
        answers = {}
        for pattern in ("everything", "count", "pages"):
            found = server.post("/profile/query", pattern=pattern).json
            answers[pattern] = found["result"]["answer"]
            answers[pattern + " peak"] = found["profile"]["peakBytes"]
        self.assertEqual(answers["everything"], answers["count"])
        self.assertEqual(answers["everything"], answers["pages"])
        self.assertGreater(answers["everything peak"], 2 * answers["pages peak"])
        names = server.ask("/profiles").json
        self.assertEqual(len(names), 5)
        self.assertEqual(names[-1] + ".bin", bulk["profile"]["profileFile"])
        page = server.ask(bulk["profile"]["flamegraph"])
        self.assertEqual((page.code, page.kind), (200, "text/html"))
        self.assertEqual(server.ask(f"/compare/{names[-1]}/{names[-2]}.html").code, 200)
        rows = harness.folded(server.profiles / bulk["profile"]["profileFile"])
        self.assertTrue(any("random_users" in frame for frames, _ in rows for frame in frames))

    def test_sqlite(self):
        with Server() as server:
            self.check_runs(server, "SQLite")

    def test_postgresql(self):
        if harness.run([harness.PYTHON, "-c", "import psycopg2"]).code:
            self.skipTest("no psycopg2 here")
        with postgresql(self) as url, Server(url) as server:
            self.check_runs(server, "PostgreSQL")

    def test_bad_requests(self):
        with Server() as server:
            name = "bulk_20260101_000000_000000"
            for path, code in (("/flamegraphs/../app.html", 404), (f"/flamegraphs/{name}.html", 404),
                               ("/flamegraphs/%2e%2e%2fapp.html", 404), (f"/compare/{name}/{name}.html", 404),
                               ("/flamegraphs/x%00.html", 404), ("/static/../app.py", 404),
                               ("/profile/query", 405)):
                with self.subTest(path):
                    answer = server.ask(path)
                    self.assertEqual((answer.code, answer.kind), (code, "application/json"))
                    self.assertNotIn(b"Flask", answer.body)
            for values in ({"count": 0}, {"count": "1"}, {"count": True}, {"count": 10**9}, {"batch": -1}):
                with self.subTest(values):
                    self.assertEqual(server.post("/profile/bulk-query", **values).code, 400)
            self.assertEqual(server.post("/profile/query", pattern="drop").code, 400)
            form = server.ask("/profile/query", b"pattern=count", "application/x-www-form-urlencoded")
            self.assertEqual(form.code, 415)
            self.assertEqual(server.ask("/profile/query", b"{" + b" " * 9000 + b"}").code, 413)
            self.assertEqual(server.ask("/profiles").json, [])

    def test_one_at_a_time(self):
        with Server() as server:
            codes = []

            def run():
                codes.append(server.post("/profile/bulk-query", count=20000).code)
            threads = [threading.Thread(target=run) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertIn(200, codes)
            self.assertIn(409, codes)
            self.assertLessEqual(set(codes), {200, 409})
            self.assertEqual(server.post("/profile/query", pattern="count").code, 200)

    def test_in_a_browser(self):
        with Server() as server:
            result = harness.run(["node", harness.ROOT / "tests/browser/drive_workload.mjs",
                                  f"http://127.0.0.1:{server.port}/"], timeout=200)
            if result.code == 77:
                self.skipTest("no chromium is installed")
            self.assertEqual(result.code, 0, result)
            seen = json.loads(result.out)
            self.assertEqual(seen["problems"], [])
            self.assertRegex(seen["state"], r"peak [\d.]+ MiB")
            for report in ("flamegraph", "compare"):
                self.assertRegex(seen[report], r"^memtrace: .*flask")
            self.assertIn("a number from 1 to 100", seen["refused"])


if __name__ == "__main__":
    unittest.main()
