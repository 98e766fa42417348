# SPDX-License-Identifier: Apache-2.0
# tests/python/check_web.py - the middleware, run by every interpreter at hand.
# Knows: WSGI, ASGI. Does not know: servers. Started by test_package.py.
import asyncio
import io
import logging
import os
import tempfile
import unittest

from memtrace import FileFormat, FileReader, Tracker
from memtrace.web import ERROR_HEADER, HEADER, ASGIMiddleware, WSGIMiddleware

SECRET = "0123456789abcdef"
LOG = io.StringIO()             # why a request was not recorded
logging.getLogger("memtrace").addHandler(logging.StreamHandler(LOG))
logging.getLogger("memtrace").propagate = False


def app(environ, start_response):
    """Streams, so that what is recorded must last to the end of the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    kept = bytearray(1234567)
    yield str(len(kept)).encode()


async def asgi_app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await asyncio.sleep(0)
    kept = bytearray(1234567)
    await send({"type": "http.response.body", "body": str(len(kept)).encode()})


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def names(self):
        return sorted(os.listdir(self.folder.name))

    def check_profile(self, header, kind=FileFormat.ALL_ALLOCATIONS):
        """The page and the capture that the header tells of; empty when there was none."""
        self.assertTrue(header, LOG.getvalue())
        name = header[len("/flamegraphs/"):-len(".html")]
        self.assertEqual(self.names(), [name + ".bin", name + ".html"])
        with FileReader(os.path.join(self.folder.name, name + ".bin")) as reader:
            self.assertGreaterEqual(reader.metadata.peak_memory, 1234567)
            self.assertEqual(reader.metadata.file_format, kind)

    def wsgi(self, secret, application=app, aggregate=False, **environ):
        """(headers, body)"""
        told = []
        middleware = WSGIMiddleware(application, secret=secret, directory=self.folder.name, aggregate=aggregate)
        body = b"".join(middleware(environ, lambda *a: told.append(a)))
        self.assertEqual(len(told), 1)
        return dict(told[0][1]), body

    def asgi(self, secret, headers=(), kind="http", aggregate=False):
        sent = []

        async def send(message):
            sent.append(message)
        middleware = ASGIMiddleware(asgi_app, secret=secret, directory=self.folder.name, aggregate=aggregate)
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(middleware({"type": kind, "headers": list(headers)}, None, send))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        return dict(sent[0]["headers"]), sent[1]["body"]


class Wsgi(Case):
    def test_recorded(self):
        headers, body = self.wsgi(SECRET, HTTP_X_MEMTRACE_PROFILE=SECRET)
        self.assertEqual(body, b"one1234567")
        self.assertEqual(headers["Content-Type"], "text/plain")
        self.check_profile(headers.get(HEADER))

    def test_sums(self):
        headers, body = self.wsgi(SECRET, aggregate=True, HTTP_X_MEMTRACE_PROFILE=SECRET)
        self.assertEqual(body, b"one1234567")
        self.check_profile(headers.get(HEADER), FileFormat.AGGREGATED_ALLOCATIONS)

    def test_off(self):
        for secret, environ in ((None, {"HTTP_X_MEMTRACE_PROFILE": SECRET}),
                                (None, {"HTTP_X_MEMTRACE_PROFILE": ""}), (SECRET, {}),
                                (SECRET, {"HTTP_X_MEMTRACE_PROFILE": SECRET[:-1]}),
                                (SECRET, {"HTTP_X_MEMTRACE_PROFILE": SECRET + "\xe9"})):
            with self.subTest(secret=secret, **environ):
                headers, body = self.wsgi(secret, **environ)
                self.assertEqual((headers, body), ({"Content-Type": "text/plain"}, b"one1234567"))
        self.assertEqual(self.names(), [])

    def test_busy(self):
        with Tracker(os.devnull):
            headers, body = self.wsgi(SECRET, HTTP_X_MEMTRACE_PROFILE=SECRET)
        self.assertEqual((headers[ERROR_HEADER], body), ("not recorded", b"one1234567"))

    def test_its_exception_passes(self):
        def broken(environ, start_response):
            raise KeyError("mine")
        with self.assertRaisesRegex(KeyError, "mine"):
            self.wsgi(SECRET, broken, HTTP_X_MEMTRACE_PROFILE=SECRET)
        with Tracker(os.devnull):
            pass

    def test_closed(self):
        closed = []

        class Body(list):
            def close(self):
                closed.append(1)

        def closing(environ, start_response):
            start_response("200 OK", [])
            return Body([b"x"])
        self.assertEqual(self.wsgi(SECRET, closing, HTTP_X_MEMTRACE_PROFILE=SECRET)[1], b"x")
        self.assertEqual(closed, [1])

    def test_a_secret_is_long(self):
        with self.assertRaises(ValueError):
            WSGIMiddleware(app, secret="short")


class Asgi(Case):
    def test_recorded(self):
        headers, body = self.asgi(SECRET, [(b"x-memtrace-profile", SECRET.encode())])
        self.assertEqual((body, headers[b"a"]), (b"1234567", b"b"))
        self.check_profile(headers.get(HEADER.lower().encode(), b"").decode())

    def test_sums(self):
        headers, _ = self.asgi(SECRET, [(b"x-memtrace-profile", SECRET.encode())], aggregate=True)
        self.check_profile(headers.get(HEADER.lower().encode(), b"").decode(), FileFormat.AGGREGATED_ALLOCATIONS)

    def test_off(self):
        self.assertEqual(self.asgi(None, [(b"x-memtrace-profile", SECRET.encode())])[0], {b"a": b"b"})
        self.assertEqual(self.asgi(SECRET, [(b"x-memtrace-profile", b"no")])[0], {b"a": b"b"})
        self.assertEqual(self.asgi(SECRET)[0], {b"a": b"b"})
        self.assertEqual(self.names(), [])


if __name__ == "__main__":
    unittest.main()
