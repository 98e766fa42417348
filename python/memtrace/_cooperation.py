# SPDX-License-Identifier: Apache-2.0
# memtrace/_cooperation.py - does in this process, at memtrace's word, what ptrace would do to it.
# Knows: the requests of attach/cooperation.h, ctypes. Does not know: what they are for.
"""Where ptrace is refused, by a seccomp filter, by Yama or because a debugger was there first, the
program that wants to be recorded calls itself the functions that memtrace names, and lets it read and
write its memory. memtrace is its own child and of its own user: it could not be asked to do anything
that this process may not do."""

import array
import ctypes
import os
import socket
import time
from typing import List, Optional

_SCRATCH = 1 << 16
_GETTID = 186
_POLLIN = 1
# Other threads wait so long at most for this one to wait for the next request. It would have to wait
# for their turns to end before it could obey.
_SOON_MS = 5
_QUIET_MS = 100
# memtrace may still write to it when its block has been left by an exception: it is never freed.
_scratch: Optional["ctypes.Array[ctypes.c_char]"] = None


class _Poll(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


class Cooperation:
    def __init__(self, control: int) -> None:
        global _scratch
        self._control = control
        self._libc = ctypes.PyDLL(None, use_errno=True)		# calls that keep the interpreter's lock
        self._libc.syscall.restype = ctypes.c_long
        self._libc.read.restype = ctypes.c_ssize_t
        if _scratch is None:
            _scratch = ctypes.create_string_buffer(_SCRATCH)
        self._scratch = _scratch
        self._text = ctypes.create_string_buffer(256)
        self._quiet = False
        self._number = self._answer = ""
        self._answers = -1
        try:
            self._introduce()
        except BaseException:
            self.end()
            raise

    def _introduce(self) -> None:
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            ours, theirs = socket.socketpair()
            self._answers = ours.detach()
            with theirs, socket.socket(fileno=os.dup(self._control)) as s:
                s.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     array.array("i", [memory, theirs.fileno()]))], socket.MSG_NOSIGNAL)
                # A default timeout or gevent makes descriptors of socket objects such that do not wait.
                for fd in self._control, self._answers, theirs.fileno():
                    os.set_blocking(fd, True)
        finally:
            os.close(memory)

    def end(self) -> None:
        """The other side sees an end of file, also where a forked child still has the descriptor."""
        self._libc.shutdown(self._answers, socket.SHUT_RDWR)
        self.forget()

    def forget(self) -> None:
        fd, self._answers = self._answers, -1
        if fd >= 0:
            os.close(fd)

    def obey(self, line: str) -> None:
        """`do N WHAT ...`; what is not understood is answered, too."""
        _, number, what, *words = line.split()
        if number != self._number:		# what is asked again has been done, or was interrupted
            self._number, self._answer = number, "!"
            try:
                self._answer = getattr(self, "_do_" + what)(words)
            except (AttributeError, ValueError, OSError) as error:
                self._answer = f"! {error}"
        self._say(f"{number} {self._answer}\n".encode())

    def ask_again(self) -> None:
        """An exception may have come between a request and its answer."""
        self._say(b"0\n")

    def _say(self, text: bytes) -> None:
        self._libc.send(self._answers, text, ctypes.c_size_t(len(text)), socket.MSG_NOSIGNAL)

    def read(self) -> bytes:
        """What is said next; empty at the end."""
        poll = _Poll(self._control, _POLLIN, 0)
        left = _QUIET_MS if self._quiet else _SOON_MS
        over = time.monotonic() + left / 1000
        while left > 0:		# signals interrupt it
            if self._libc.poll(ctypes.byref(poll), ctypes.c_ulong(1), left) > 0:
                break
            left = int((over - time.monotonic()) * 1000)
        return os.read(self._control, len(self._text)) if left <= 0 else self._read(self._control)

    def _read(self, fd: int) -> bytes:
        size = self._libc.read(fd, self._text, ctypes.c_size_t(len(self._text)))
        return self._text.raw[:size] if size > 0 else b""

    def _tid(self) -> int:
        return int(self._libc.syscall(ctypes.c_long(_GETTID)))

    def _do_help(self, words: List[str]) -> str:
        return f"{self._tid()} {ctypes.addressof(self._scratch):x} {_SCRATCH:x}"

    def _do_call(self, words: List[str]) -> str:
        address, *arguments = (int(word, 16) for word in words)
        function = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(arguments))(address)
        return f"{function(*arguments):x}"

    def _do_syscall(self, words: List[str]) -> str:
        number, *arguments = (int(word, 16) for word in words)
        ctypes.set_errno(0)
        result = self._libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
        errno = ctypes.get_errno()
        return f"{(-errno if result == -1 and errno else result) & (1 << 64) - 1:x}"

    def _do_quiet(self, words: List[str]) -> str:
        self._quiet = True
        return str(self._tid())

    def _do_look(self, words: List[str]) -> str:
        fd = self._libc.open(f"/proc/self/task/{int(words[0])}/syscall".encode(), os.O_RDONLY)
        text = self._read(fd)
        self._libc.close(fd)
        return text.decode().strip()

    def _do_on(self, words: List[str]) -> str:
        self._quiet = False
        return ""
