# SPDX-License-Identifier: Apache-2.0
# memtrace/_tracker.py - records this very process for the length of a block.
# Knows: `memtrace attach --control`, prctl. Does not know: tracers, captures.
"""The program is started in the background and attaches to this process. Where the kernel asks for
more than the same user (Yama, a process that is not dumpable), this process allows it for the time
of the block, to that process alone as far as the kernel can tell."""

import asyncio
import contextlib
import ctypes
import errno
import functools
import os
import signal
import socket
import subprocess
import tempfile
import threading
import warnings
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Tuple, Type, TypeVar, Union

from . import _files
from ._cooperation import Cooperation
from ._objects import ObjectLifetimes
from ._reader import FileFormat, PathLike

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_SET_PTRACER = 3, 4, 0x59616D61
_libc = ctypes.CDLL(None, use_errno=True)

F = TypeVar("F", bound=Callable[..., Any])


class Destination:
    """Where a capture goes."""


class FileDestination(Destination):
    """A file. `compress_on_exit` and `buffered` are Memray's: captures are always compressed."""

    def __init__(self, path: PathLike, overwrite: bool = False, compress_on_exit: bool = True,
                 buffered: bool = False) -> None:
        self.path = path
        self.overwrite = overwrite


class _Permission:
    """Lets one process trace this one."""

    def __init__(self, pid: int) -> None:
        self._dumpable = self._prctl(_PR_GET_DUMPABLE)
        if self._dumpable != 1:
            self._prctl(_PR_SET_DUMPABLE, 1)
        self._prctl(_PR_SET_PTRACER, pid)	# fails where there is no Yama: nothing to allow then

    def end(self) -> None:
        self._prctl(_PR_SET_PTRACER, 0)
        if self._dumpable != 1:
            self._prctl(_PR_SET_DUMPABLE, 0)

    def _prctl(self, option: int, argument: int = 0) -> int:
        return int(_libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0),
                               ctypes.c_ulong(0), ctypes.c_ulong(0)))


class _Controller:
    """`memtrace attach --control` over a socket; the lines are in memtrace-attach(1)."""

    def __init__(self, options: List[str]) -> None:
        self._text: List[str] = []		# what it says to people
        self._failure: Optional[List[int]] = None
        self._done = self._over = False
        self._buffer = b""
        self._permission: Optional[_Permission] = None
        self._cooperation: Optional[Cooperation] = None
        ours, theirs = socket.socketpair()
        self.fd = ours.detach()
        try:
            os.set_blocking(self.fd, True)
            os.set_blocking(theirs.fileno(), True)
            self._spawn(options, theirs.fileno())
        except BaseException:
            self.abandon()
            raise
        finally:
            theirs.close()

    def _spawn(self, options: List[str], fd: int) -> None:
        program = _files.program()
        argv = [program, "attach", "--control", "-q"] + options + [str(os.getpid())]
        try:
            if hasattr(os, "posix_spawn"):		# no copy of our page tables
                pid = os.posix_spawn(
                    program, argv, os.environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, fd, i) for i in range(3)],
                    setsigmask=[], setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                                              signal.SIGPIPE, signal.SIGCHLD])
                # It has gone to the background, or failed. Others may wait for our children, too; gevent's
                # waitpid() would not see one that it had not started.
                while _libc.waitpid(pid, None, 0) < 0 and ctypes.get_errno() == errno.EINTR:
                    pass
            else:
                subprocess.Popen(argv, stdin=fd, stdout=fd, stderr=fd, close_fds=False).wait()
        except OSError as error:
            if error.errno == 8:		# ENOEXEC
                raise RuntimeError(_files.unsupported("memtrace")) from error
            raise RuntimeError(f"cannot start '{program}': {error.strerror}") from error

    def _line(self) -> Optional[str]:
        """What it says, but for what it asks for where ptrace is refused."""
        while True:
            line = self._any_line()
            if line == "cooperate":
                self._cooperation = Cooperation(self.fd)
            elif not self._obeyed(line):
                return line

    def _obeyed(self, line: Optional[str]) -> bool:
        if self._cooperation is None or line is None or not line.startswith("do "):
            return False
        self._cooperation.obey(line)
        return True

    def _any_line(self) -> Optional[str]:
        while b"\n" not in self._buffer:
            try:
                data = self._cooperation.read() if self._cooperation else os.read(self.fd, 256)
            except ConnectionResetError:
                data = b""
            if not data:
                self._over = True
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _wait(self, word: str) -> str:
        """The rest of the line that begins with the word; raises when it ends before."""
        while True:
            line = self._line()
            if line is None:
                raise self.error()
            first, _, rest = line.partition(" ")
            if first == word:
                return rest
            self._note(first, rest, line)

    def _note(self, first: str, rest: str, line: str) -> None:
        if first == "failed":
            self._failure = [int(n) for n in rest.split()]
        elif first == "done":
            self._done = True
        elif first == "hint:":
            self._text.append(f"({rest})")
        elif line and first != "Try":		# argp's advice to a person
            self._text.append(rest if first == "memtrace:" else line)

    def begin(self) -> None:
        """Returns when every allocation is recorded."""
        self.pid = int(self._wait("ready"))
        self._permission = _Permission(self.pid)
        # If it has ended, what it said tells why. No socket object: it would want a descriptor, and a
        # default timeout or gevent would make it one that does not wait.
        if _libc.send(self.fd, b"go\n", ctypes.c_size_t(3), socket.MSG_NOSIGNAL) < 0:
            code = ctypes.get_errno()
            if code != errno.EPIPE:
                raise OSError(code, os.strerror(code))
        self._wait("recording")

    def end(self) -> None:
        """Returns when the capture is whole and the tracer gone; raises when it is not."""
        self._ask_end()
        line: Optional[str] = ""
        while line is not None:
            self._note(*line.partition(" ")[::2], line)
            line = self._line()
        if not self._done:
            raise self.error()
        for text in self._text:
            warnings.warn(f"memtrace: {text}", RuntimeWarning, stacklevel=4)

    def _ask_end(self) -> None:
        if _libc.shutdown(self.fd, socket.SHUT_WR) < 0:		# wants no memory and no descriptor
            with contextlib.suppress(OSError):
                os.write(self.fd, b"end\n")

    def withdraw(self) -> None:
        """After an exception: returns when nothing of it is left here. Does nothing when it has ended."""
        if self._over:
            return
        self._ask_end()
        if self._cooperation:
            self._cooperation.ask_again()
        line: Optional[str] = ""
        while line is not None:
            line = self._any_line()
            self._obeyed(line)

    def abandon(self) -> None:
        """Closes this end, and the capture ends. No harm when done twice."""
        permission, self._permission = self._permission, None
        if permission:
            permission.end()
        if self._cooperation:
            self._cooperation.end()
        if self.fd >= 0 and not self._over:
            self._ask_end()		# also where a forked child still has the descriptor
        self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def forget(self) -> None:
        """In a forked child: the capture is the parent's."""
        self._permission = None
        if self._cooperation:
            self._cooperation.forget()
        self._close()

    def error(self) -> Exception:
        """What it told, as the exception of its kind."""
        message = " ".join(self._text) or "memtrace ended unexpectedly"
        code, number = self._failure or [0, 0]
        if number:
            return OSError(number, message)
        if code == 2:		# MT_ERROR_NOMEM
            return MemoryError(message)
        if code == 9:		# MT_ERROR_EXISTS
            return FileExistsError(17, message)
        return RuntimeError(message)


_lock = threading.Lock()
_active: Optional["Tracker"] = None


def _after_fork_in_child() -> None:
    global _lock, _active
    _lock = threading.Lock()
    tracker, _active = _active, None
    if tracker is not None:
        tracker._forked()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Tracker(contextlib.ContextDecorator):
    """Records every allocation of this process, of all its threads, in the block to a file.

    `native_traces`: native stacks too. `follow_fork`: forked children as well, a file each.
    `trace_python_allocators`: requests to Python's own allocator. `sample`: a sample of blocks, one
    every so many bytes ("512KiB"). `overwrite`: replace the file.

    `file_format`: FileFormat.AGGREGATED_ALLOCATIONS for sums by stack in place of each event.

    `track_object_lifetimes`: get_surviving_objects() tells which Python objects that were created in
    the block are alive at its end; Python 3.13.3 and later.

    `memory_interval_ms` is Memray's and changes nothing.
    As a decorator every call records anew, so that further ones need overwrite=True."""

    def __init__(self, file_name: Optional[PathLike] = None, *,
                 destination: Optional[Destination] = None, native_traces: bool = True,
                 memory_interval_ms: int = 10, follow_fork: bool = False,
                 trace_python_allocators: bool = False, track_object_lifetimes: bool = False,
                 file_format: FileFormat = FileFormat.ALL_ALLOCATIONS,
                 sample: Union[int, str, None] = None, overwrite: bool = False) -> None:
        if (file_name is None) == (destination is None):
            raise TypeError("Exactly one of 'file_name' or 'destination' argument must be specified")
        if destination is not None and not isinstance(destination, FileDestination):
            raise TypeError("destination must be a FileDestination")
        self._objects = ObjectLifetimes() if track_object_lifetimes else None
        self._survivors: Optional[Tuple[object, ...]] = None
        self._arguments: Dict[str, Any] = {
            "file_name": file_name, "destination": destination, "native_traces": native_traces,
            "follow_fork": follow_fork, "trace_python_allocators": trace_python_allocators,
            "track_object_lifetimes": track_object_lifetimes,
            "file_format": file_format, "sample": sample, "overwrite": overwrite}
        if isinstance(destination, FileDestination):
            file_name, overwrite = destination.path, destination.overwrite or overwrite
        self._path = os.fspath(file_name)	# type: ignore[arg-type]
        self._overwrite = overwrite
        self._used = False
        self._forked_from_here = False
        self._scratch: Optional[str] = None
        self._controller: Optional[_Controller] = None

    def _options(self, path: str) -> List[str]:
        a = self._arguments
        options = ["--output=" + path]
        options += ["--force"] if self._overwrite else []
        options += [] if a["native_traces"] else ["--no-native"]
        options += ["--follow-fork"] if a["follow_fork"] else []
        options += ["--trace-python-allocators"] if a["trace_python_allocators"] else []
        if a["file_format"] == FileFormat.AGGREGATED_ALLOCATIONS:
            options += ["--aggregate"]
        options += [f"--sample={a['sample']}"] if a["sample"] is not None else []
        return options

    def _output(self) -> str:
        """Nobody wants what goes to /dev/null: a file that is removed at the end."""
        if self._path != os.devnull:
            return self._path
        fd, self._scratch = tempfile.mkstemp(prefix="memtrace-", suffix=".bin")
        os.close(fd)
        self._overwrite = True
        return self._scratch

    def _take(self) -> None:
        global _active
        with _lock:
            if self._used:
                raise RuntimeError("A Tracker cannot be used again")
            if _active is not None:
                raise RuntimeError("No more than one Tracker instance can be active at the same time")
            self._used = True
            _active = self

    def _give(self) -> None:
        global _active
        if self._objects is not None:
            self._objects.abandon()
        controller, self._controller = self._controller, None
        try:
            if controller is not None:
                try:
                    controller.withdraw()	# another Ctrl-C ends that, too
                finally:
                    controller.abandon()
        finally:
            if self._scratch is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._scratch)
            with _lock:
                if _active is self:
                    _active = None

    def _forked(self) -> None:
        self._forked_from_here = True
        if self._objects is not None:
            self._objects.abandon()
        if self._controller is not None:
            self._controller.forget()

    def __enter__(self) -> "Tracker":
        self._take()
        try:
            self._controller = _Controller(self._options(self._output()))
            self._controller.begin()
            if self._objects is not None:
                self._objects.begin()
        except BaseException:
            self._give()
            raise
        return self

    def __exit__(self, exc_type: Optional[Type[BaseException]], exc: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        if self._objects is not None:
            self._objects.pause()
        if self._forked_from_here or self._controller is None:
            return
        try:
            self._controller.end()
            if self._objects is not None:
                self._survivors = tuple(self._objects.end())
        except (OSError, RuntimeError, MemoryError) as error:
            if exc is None:
                raise
            warnings.warn(f"memtrace: {error}", RuntimeWarning, stacklevel=2)	# the block's passes
        finally:
            self._give()

    def get_surviving_objects(self) -> Tuple[object, ...]:
        """The objects that were created in the block and alive at its end, for whoever asks as long as
        this Tracker lives. RuntimeError before the end, and without `track_object_lifetimes`."""
        if self._objects is None:
            raise RuntimeError("track_object_lifetimes=True was not provided at Tracker construction")
        if self._survivors is None:
            raise RuntimeError("Tracking was never started or has not finished yet or failed.")
        return self._survivors

    def _recreate_cm(self) -> "Tracker":
        return Tracker(**self._arguments)

    def __call__(self, func: F) -> F:
        if not asyncio.iscoroutinefunction(func):
            return super().__call__(func)

        @functools.wraps(func)
        async def tracked(*args: Any, **kwargs: Any) -> Any:
            with self._recreate_cm():
                return await func(*args, **kwargs)
        return tracked	# type: ignore[return-value]
