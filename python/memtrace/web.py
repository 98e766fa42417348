# SPDX-License-Identifier: Apache-2.0
# memtrace/web.py - records single requests of a web application: middleware for WSGI and ASGI.
# Knows: the two protocols, Tracker, `memtrace flamegraph`. Does not know: frameworks.
"""Off unless there is a secret. A request that carries it in the header X-Memtrace-Profile is recorded;
the capture and its flame graph are stored in a folder, and the answer says where the page is:

    application = WSGIMiddleware(application, secret=os.environ["PROFILE_SECRET"], directory="/var/profiles")
    app = ASGIMiddleware(app, secret=..., directory=..., url_prefix="/flamegraphs/")

    $ curl -H "X-Memtrace-Profile: $PROFILE_SECRET" -i http://localhost:8000/slow
    X-Memtrace-Profile: /flamegraphs/request_20260408_110201_123456.html

`aggregate=True` keeps sums by stack in place of each event: small files, however much a request does.

The answer is held back until it is whole. Requests that run at the same time are in the capture, too:
it is of the process. Who serves the folder (`memtrace serve`, a file server) decides who may see it."""

import asyncio
import hmac
import logging
import os
import subprocess
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Optional, Tuple

from . import _files
from ._profile import profile_name
from ._reader import FileFormat, PathLike
from ._tracker import Tracker

HEADER = "X-Memtrace-Profile"
ERROR_HEADER = "X-Memtrace-Error"

_log = logging.getLogger("memtrace")


class _Profiles:
    """The secret, and where profiles go."""

    def __init__(self, secret: Optional[str], directory: PathLike, url_prefix: str,
                 aggregate: bool) -> None:
        if secret is not None and len(secret) < 16:
            raise ValueError("the secret is too short to be one: 16 characters at least")
        self._secret = secret.encode() if secret else None
        self._directory = os.fspath(directory)
        self._url_prefix = url_prefix
        self._format = FileFormat.AGGREGATED_ALLOCATIONS if aggregate else FileFormat.ALL_ALLOCATIONS

    def wanted(self, given: Optional[bytes]) -> bool:
        return (self._secret is not None and given is not None
                and hmac.compare_digest(self._secret, given))

    def tracker(self) -> Tuple[str, Tracker]:
        """The capture's path and its Tracker."""
        path = os.path.join(self._directory, profile_name("request"))
        return path, Tracker(path, file_format=self._format)

    def end(self, tracker: Tracker, path: str) -> Tuple[str, str]:
        """Ends the capture and makes its page; the header that tells of it."""
        try:
            tracker.__exit__(None, None, None)
            return self._page(path)
        except (OSError, RuntimeError) as error:
            return self.failed(error)

    def _page(self, path: str) -> Tuple[str, str]:
        page = os.path.splitext(path)[0] + ".html"
        done = subprocess.run([_files.program(), "flamegraph", "--no-debuginfod", "-o", page, path],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            return self.failed(done.stderr.decode("utf-8", "replace"))
        return HEADER, self._url_prefix + os.path.basename(page)

    @staticmethod
    def failed(why: object) -> Tuple[str, str]:
        """The request is answered all the same; details are for the log."""
        _log.warning("memtrace: this request was not recorded: %s", why)
        return ERROR_HEADER, "not recorded"


class WSGIMiddleware:
    def __init__(self, app: Callable[..., Iterable[bytes]], *, secret: Optional[str] = None,
                 directory: PathLike = ".", url_prefix: str = "/flamegraphs/",
                 aggregate: bool = False) -> None:
        self.app = app
        self._profiles = _Profiles(secret, directory, url_prefix, aggregate)

    def __call__(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_" + HEADER.upper().replace("-", "_"))
        if not self._profiles.wanted(given.encode("latin-1") if given is not None else None):
            return self.app(environ, start_response)
        return self._record(environ, start_response)

    def _record(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> List[bytes]:
        started: List[Any] = []
        body: List[bytes] = []

        def start(status: str, headers: List[Tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [status, headers, exc_info]
            return body.append
        path, tracker = self._profiles.tracker()
        try:
            tracker.__enter__()
        except (OSError, RuntimeError) as error:
            found = self._profiles.failed(error)
            self._run(environ, start, body)
        else:
            try:
                self._run(environ, start, body)
            finally:
                found = self._profiles.end(tracker, path)
        status, headers, exc_info = started
        start_response(status, list(headers) + [found], *([exc_info] if exc_info else []))
        return body

    def _run(self, environ: Dict[str, Any], start: Callable[..., Any], body: List[bytes]) -> None:
        result = self.app(environ, start)
        try:
            body.extend(result)
        finally:
            close = getattr(result, "close", None)
            if close:
                close()


Scope = Dict[str, Any]
Message = Dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ASGIMiddleware:
    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *,
                 secret: Optional[str] = None, directory: PathLike = ".",
                 url_prefix: str = "/flamegraphs/", aggregate: bool = False) -> None:
        self.app = app
        self._profiles = _Profiles(secret, directory, url_prefix, aggregate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = HEADER.lower().encode()
        given = next((v for k, v in scope.get("headers", ()) if k.lower() == name), None)
        if scope["type"] != "http" or not self._profiles.wanted(given):
            await self.app(scope, receive, send)
        else:
            await self._record(scope, receive, send)

    async def _record(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages: List[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)
        loop = asyncio.get_event_loop()
        path, tracker = self._profiles.tracker()
        try:
            tracker.__enter__()
        except (OSError, RuntimeError) as error:
            found = self._profiles.failed(error)
            await self.app(scope, receive, keep)
        else:
            try:
                await self.app(scope, receive, keep)
            finally:
                found = await loop.run_in_executor(None, self._profiles.end, tracker, path)
        for message in messages:
            if message["type"] == "http.response.start":
                header = found[0].lower().encode(), found[1].encode()
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)
