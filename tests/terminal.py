# SPDX-License-Identifier: Apache-2.0
# tests/terminal.py - a program on a terminal of a chosen size, kind and speed.
# Knows: tmux. Does not know: what the program shows.
# Imported by tests/e2e (`import terminal`).
"""
    with terminal.Terminal([harness.MEMTRACE, "tree", cap], columns=80, rows=24) as term:
        term.wait("Stack")              # a pattern on the screen
        term.keys("Down", "e", "/")     # tmux's names of keys
        term.type("needle")
        term.resize(40, 10)
        term.text()                     # lines of the screen
        term.keys("q")
        term.wait_end()                 # exit code
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time


class Terminal:
    """`env` adds to the environment of the program (None removes); TERM is tmux's own kind unless
    given there. The server is this test's own and ends with it."""

    def __init__(self, argv, columns=80, rows=24, env=None, timeout=20):
        self.argv, self.columns, self.rows = [str(a) for a in argv], columns, rows
        self.env, self.timeout = {"LC_ALL": "C.UTF-8", "NO_COLOR": None, **(env or {})}, timeout

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="mt-term-")
        self.end = os.path.join(self.folder, "end")
        self.err = os.path.join(self.folder, "err")
        words = ["env"]
        for name, value in self.env.items():
            words += ["-u", name] if value is None else []
        words += [f"{name}={value}" for name, value in self.env.items() if value is not None]
        command = shlex.join(words + self.argv)
        script = (f"{command} 2>{shlex.quote(self.err)}; echo $? >{self.end}.new; "
                  f"mv {self.end}.new {self.end}; exec sleep 1000")
        try:
            self.tmux("-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", self.columns,
                      "-y", self.rows, script)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.tmux("kill-server", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tmux(self, *args, check=True):
        env = dict(os.environ, LC_ALL="C.UTF-8")
        env.pop("TMUX", None)
        done = subprocess.run(["tmux", "-u", "-S", os.path.join(self.folder, "socket"),
                               *[str(a) for a in args]], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
        if check and done.returncode:
            raise AssertionError(f"tmux {args}: {done.stderr.decode()}")
        return done.stdout.decode()

    def text(self, escapes=False):
        return self.tmux("capture-pane", "-p", "-t", "t", *(["-e"] if escapes else []))

    def lines(self):
        return self.text().split("\n")

    def keys(self, *names):
        self.tmux("send-keys", "-t", "t", *names)

    def type(self, text):
        self.tmux("send-keys", "-t", "t", "-l", text)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-t", "t", "-x", columns, "-y", rows)

    def pane(self, what):
        """A value of tmux's formats, like pane_pid, pane_tty."""
        return self.tmux("display-message", "-p", "-t", "t", f"#{{{what}}}").strip()

    def server_pid(self):
        return int(self.pane("pid"))

    def program_pid(self):
        """Of the program, which is a child of the pane's shell."""
        children = f"/proc/{self.pane('pane_pid')}/task/{self.pane('pane_pid')}/children"
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            with open(children) as f:
                words = f.read().split()
            if words:
                return int(words[0])
            time.sleep(0.02)
        raise AssertionError(f"no program in the terminal\n{self.text()}")

    def wait(self, pattern, timeout=None):
        """Waits until the screen has a match, and returns it."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            text = self.text()
            match = re.search(pattern, text, re.M)
            if match:
                return match
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} on the screen:\n{text}\n{self.errors()}")
            time.sleep(0.05)

    def wait_end(self, timeout=None):
        """Waits for the program's end and returns its exit code."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while not os.path.exists(self.end):
            if time.monotonic() > deadline:
                raise AssertionError(f"the program did not end:\n{self.text()}\n{self.errors()}")
            time.sleep(0.05)
        with open(self.end) as f:
            return int(f.read())

    def errors(self):
        with open(self.err, errors="replace") as f:
            return f.read()
