# SPDX-License-Identifier: Apache-2.0
# memtrace/_files.py - where the program and the library of this package are.
# Knows: the layout of the wheel and of the source tree. Does not know: what they do.
"""MEMTRACE and MEMTRACE_LIBRARY in the environment name others."""

import os
import platform
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_BUILD = os.path.join(os.path.dirname(os.path.dirname(_HERE)), "build")


def unsupported(name: str) -> str:
    """Why there is no such file here, for an error."""
    system, machine = sys.platform, platform.machine()
    if not system.startswith("linux") or machine != "x86_64":
        return f"memtrace runs on x86-64 Linux; this is {machine} {system}"
    return f"{name} is not part of this installation of memtrace: it was built without it"


def _find(variable: str, name: str) -> str:
    override = os.environ.get(variable)
    if override:
        return override
    for folder in (os.path.join(_HERE, "bin"), _BUILD):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    raise RuntimeError(unsupported(name))


def program() -> str:
    """The memtrace program; RuntimeError when there is none."""
    return _find("MEMTRACE", "memtrace")


def library() -> str:
    """libmemtrace; RuntimeError when there is none."""
    return _find("MEMTRACE_LIBRARY", "libmemtrace.so.1")
