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
from typing import List

_SCRATCH = 1 << 16
_GETTID = 186
_POLLIN = 1
# Other threads wait so long at most for this one to wait for the next request. It would have to wait
# for their turns to end before it could obey.
_SOON_MS = 5
_QUIET_MS = 100


class _Poll(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


class Cooperation:
    def __init__(self, control: int) -> None:
        self._control = control
        self._libc = ctypes.PyDLL(None, use_errno=True)		# calls that keep the interpreter's lock
        self._libc.syscall.restype = ctypes.c_long
        self._libc.read.restype = ctypes.c_ssize_t
        self._scratch = ctypes.create_string_buffer(_SCRATCH)
        self._text = ctypes.create_string_buffer(256)
        self._quiet = False
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        answers, self._answers = os.pipe()
        try:
            with socket.socket(fileno=os.dup(control)) as s:
                s.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     array.array("i", [memory, answers]))])
        finally:
            os.close(memory)
            os.close(answers)

    def end(self) -> None:
        """The other side sees an end of file."""
        fd, self._answers = self._answers, -1
        if fd >= 0:
            os.close(fd)

    def obey(self, line: str) -> None:
        """`do N WHAT ...`; what is not understood is answered, too."""
        _, number, what, *words = line.split()
        try:
            answer = getattr(self, "_do_" + what)(words)
        except (AttributeError, ValueError, OSError) as error:
            answer = f"! {error}"
        text = f"{number} {answer}\n".encode()
        self._libc.write(self._answers, text, ctypes.c_size_t(len(text)))

    def read(self) -> bytes:
        """What is said next; empty at the end."""
        poll = _Poll(self._control, _POLLIN, 0)
        if self._libc.poll(ctypes.byref(poll), ctypes.c_ulong(1), _QUIET_MS if self._quiet else _SOON_MS) > 0:
            return self._read(self._control)
        return os.read(self._control, len(self._text))

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
