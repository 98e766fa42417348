# SPDX-License-Identifier: Apache-2.0
# tests/real/test_gunicorn_django.py - a gunicorn worker that serves a Django page.
# Knows: a page made of a template and a database. Does not know: memtrace.
# Run by tests/run.py.
import os
import signal
import unittest
import urllib.request

import harness
import loaded
import session

NEEDS = ["gunicorn", "wrk"]
TIMEOUT = 180
APP = '''
import sqlite3
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.template import Context, Engine
from django.urls import path

settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x",
                   LOGGING_CONFIG=None)
django.setup()
template = Engine().from_string(
    "<h1>{{ title|upper }}</h1>{% for r in rows %}<li>{{ r.0 }}: {{ r.1|title }}</li>{% endfor %}")


def read_rows():
    db = sqlite3.connect(":memory:")
    db.execute("create table t(a, b)")
    db.executemany("insert into t values(?, ?)", [(i, "row %d <&>" % i) for i in range(100)])
    return db.execute("select a, b from t order by a").fetchall()


def report_page(request):
    ballast = bytearray(30000)
    return HttpResponse(template.render(Context({"title": "rows", "rows": read_rows()})))


def data_page(request):
    return JsonResponse({"rows": read_rows()})


urlpatterns = [path("page", report_page), path("data", data_page)]
application = get_wsgi_application()
'''


class Gunicorn(loaded.Server):
    SYMBOL = r"^report_page \(.*app\.py:\d+\)"

    def start(self):
        self.port = harness.free_port()
        (self.tmp / "app.py").write_text(APP)
        self.server = self.stack.enter_context(harness.start_target(
            ["gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--threads", "3",
             "--graceful-timeout", "5", "app:application"], cwd=self.tmp,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": None}))
        harness.wait_port(self.port)
        self.pages = {}
        return harness.wait_for(lambda: loaded.children(self.server.pid))[-1]

    def ask(self):
        for name in ("page", "data"):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}",
                                        timeout=20) as answer:
                text = answer.read()
            if text != self.pages.setdefault(name, text) or b"99" not in text:
                raise AssertionError(f"another page: {text[:200]}")

    def load(self):
        return ["wrk", "--timeout", "20s", "-t", "1", "-c", "4", "-d", f"{self.seconds + 4}s",
                f"http://127.0.0.1:{self.port}/page"]

    def check_load(self, result):
        super().check_load(result)
        self.assertRegex(result.out, r"\d+ requests in")
        self.assertNotRegex(result.out, r"Non-2xx|Socket errors", result)

    def stop(self):
        self.assertNotRegex(self.server.err, r"(?i)traceback|\[ERROR\]|\[CRITICAL\]|Worker.*term")
        self.end_with(self.server)

    def test_under_load(self):
        self.whole(least=1000)


class Prefork(unittest.TestCase):
    """The master is attached to; workers that it forks from then on have captures of their own."""

    def test_workers_are_followed(self):
        port = harness.free_port()
        with harness.tmpdir() as tmp:
            (tmp / "app.py").write_text(APP)
            with harness.start_target(
                    ["gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "app:application"],
                    cwd=tmp, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": None}) as master:
                harness.wait_port(port)
                old = harness.wait_for(lambda: len(loaded.children(master.pid)) == 2 and
                                       loaded.children(master.pid))
                with session.Attach(master.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                    for worker in old:
                        os.kill(worker, signal.SIGTERM)
                    new = harness.wait_for(lambda: sorted(
                        set(loaded.children(master.pid)) - set(old))[:2]
                        if len(set(loaded.children(master.pid)) - set(old)) >= 2 else None, 60)
                    harness.wait_for(lambda: all((tmp / f"cap.bin.{pid}").exists() for pid in new), 60)
                    harness.wait_port(port)
                    for _ in range(40):
                        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=20) as a:
                            self.assertIn(b"row 99", a.read().lower())
                    attach.interrupt()
                for pid in [master.pid, *new]:
                    self.assertEqual(harness.maps_clean(pid), [])
                served = sum(harness.folded_sum(
                    harness.folded(tmp / f"cap.bin.{pid}", "--no-native", "--view", "allocated",
                                   "--metric", "bytes"), r"report_page \(.*app\.py") for pid in new)
                self.assertGreaterEqual(served, 40 * 30000)
                self.assertEqual(harness.memtrace("status", master.pid).code, 0)


if __name__ == "__main__":
    unittest.main()
