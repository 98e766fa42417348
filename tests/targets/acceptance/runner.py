# SPDX-License-Identifier: Apache-2.0
# tests/targets/acceptance/runner.py - does the rows of the acceptance tables that it is told, in any CPython 3.
# Knows: the modules beside it. Does not know: memtrace, what is expected.
# Started by tests/acceptance/table.py.
"""usage: runner.py MODULE HELPER...

Reads lines "COMMAND FUNCTION [ARGUMENT...]" and answers each with "done" and what the function returned
as JSON. Commands: "do", "high" (the same while 256 MiB more are held, so that the moment is the highest of
the process's life) and "prime" (the same beforehand, so that caches are warm; what is recorded of it has
a frame of prime()). Ends with its input. A module's wait_for_input() waits until there is some."""
import gc
import importlib
import json
import sys

import helpers


def do(function, arguments):
    return function(*arguments)


def high(function, arguments):
    held = helpers.C.a_mmap(256 << 20)
    try:
        return function(*arguments)
    finally:
        helpers.C.a_munmap(held, 256 << 20)


def prime(function, arguments):
    for _ in range(3):
        function(*arguments)


COMMANDS = {"do": do, "high": high, "prime": prime}


def main():
    gc.disable()		# it would come at any moment
    helpers.load(*sys.argv[2:])
    module = importlib.import_module(sys.argv[1])
    wait = getattr(module, "wait_for_input", lambda: None)
    print("ready", flush=True)
    while True:
        wait()
        line = sys.stdin.readline()
        if not line:
            break
        command, function, *arguments = line.split()
        said = COMMANDS[command](getattr(module, function), arguments)
        print("done", json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
