# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_systemd.py - the units of docs/systemd: checked, and run by a systemd of their own.
# Knows: namespaces, systemctl, HTTP. Does not know: the server.
# Called by tests/run.py.
import contextlib
import json
import os
import re
import socket
import stat
import time
import unittest
from pathlib import Path

import harness
from test_serve import PROGRAM

UNITS = harness.ROOT / "docs" / "systemd"
NEEDS = ["systemd-analyze", "systemd-socket-activate"]
TIMEOUT = 180
TOKEN = "a-token-that-is-long_enough"
SYSTEMD = next((p for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.path.exists(p)), None)
# What the units ask for by default, empty: this is about memtrace, not about a whole machine.
TARGETS = ["sysinit", "basic", "sockets", "shutdown", "paths", "timers", "slices", "umount", "final"]

# Inside: a root of its own mounts, whose changes reach the services that systemd starts (credentials are
# mounts), and nobody else.
INSIDE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/systemd /run/lock
mount -t tmpfs tmpfs /var/lib
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
export SYSTEMD_UNIT_PATH=$1 container=other
exec $2 --system --unit=test.target --log-target=null --show-status=0
"""

# Run in there: the loopback of a new network is down, and nobody outside reaches it.
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))       # SIOCSIFFLAGS, IFF_UP
"""
REQUEST = """
import http.client, sys
method, path, token, body = sys.argv[1:]
c = http.client.HTTPConnection("127.0.0.1", 8790, timeout=30)
headers = {"Authorization": "Bearer " + token}
if body:
    headers["Content-Type"] = "application/json"
c.request(method, path, body or None, headers)
answer = c.getresponse()
print(answer.status)
print(answer.read().decode())
"""


def put_units(folder, token):
    """The two units, with the program and the token of this test."""
    for path in UNITS.iterdir():
        text = path.read_text().replace("/usr/local/bin/memtrace", str(harness.MEMTRACE))
        (folder / path.name).write_text(text.replace("/etc/memtrace-token", str(token)))


class Units(unittest.TestCase):
    def test_verify(self):
        with harness.tmpdir() as tmp:
            put_units(tmp, tmp / "token")
            names = sorted(tmp.glob("memtrace-serve.*"))
            self.assertEqual([n.suffix for n in names], [".service", ".socket"])
            for name in names:
                result = harness.run(["systemd-analyze", "verify", "--man=no", name])
                self.assertEqual((result.code, result.err), (0, ""), result)
            # It does complain of what is wrong.
            names[0].write_text(names[0].read_text().replace("KillMode=mixed", "KillMoode=mixed"))
            self.assertIn("KillMoode", harness.run(["systemd-analyze", "verify", "--man=no", names[0]]).err)

    def test_socket_activate(self):
        """systemd's own tool passes the sockets: a port and a Unix socket at once."""
        with harness.tmpdir() as tmp:
            (tmp / "token").write_text(TOKEN)
            (tmp / "token").chmod(0o600)
            port, path = harness.free_port(), tmp / "sock"
            argv = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-l", path,
                    harness.MEMTRACE, "serve", "--token-file", tmp / "token", tmp]
            with harness.start_target(argv) as target:
                harness.wait_for(path.exists, 20)
                for connect in (lambda: socket.create_connection(("127.0.0.1", port), 20),
                                lambda: unix_connect(path)):
                    host = f"127.0.0.1:{port}" if connect().family == socket.AF_INET else "localhost"
                    self.assertIn(b" 200 ", ask(connect, "GET", "/api/about", host)[0])
                self.assertEqual(target.stop(), 0)


def unix_connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(path))
    return sock


def ask(connect, method, path, host, body=b""):
    """(status line, body)"""
    with connect() as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                     "Connection: close\r\n\r\n".encode() + body)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], rest


def cgroup_root():
    for line in Path("/proc/self/mounts").read_text().splitlines():
        where, kind = line.split()[1:3]
        if kind == "cgroup2":
            return Path(where)
    return None


@contextlib.contextmanager
def own_cgroup(case):
    """A cgroup below which systemd may make its own."""
    root = cgroup_root()
    path = root / f"memtrace-test-{os.getpid()}" if root else None
    try:
        path.mkdir()
    except (AttributeError, OSError):
        case.skipTest("no cgroups to make")
    try:
        yield path
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                for folder, _, _ in os.walk(path, topdown=False):
                    os.rmdir(folder)
                break
            time.sleep(0.05)


class Machine:
    """A process 1 of a PID namespace of its own that is systemd."""

    def __init__(self, target):
        self.target = target
        children = Path(f"/proc/{target.pid}/task/{target.pid}/children")
        self.pid = int(harness.wait_for(lambda: children.read_text().split(), 10)[0])
        harness.wait_for(lambda: Path(f"/proc/{self.pid}/comm").read_text() == "systemd\n", 20)

    def run(self, *argv, **kwargs):
        return harness.run(["nsenter", "-t", str(self.pid), "-m", "-n", "-p", *argv], timeout=60, **kwargs)

    def ctl(self, *argv, **kwargs):
        return self.run("systemctl", *argv, **kwargs)

    def property(self, unit, name):
        return self.ctl("show", "-P", name, unit).out.strip()	# nothing before it listens

    def ask(self, method, path, body=None):
        """The status and the body."""
        text = "" if body is None else json.dumps(body)
        out = self.run(harness.PYTHON, "-c", REQUEST, method, path, TOKEN, text, check=0).out
        status, _, answer = out.partition("\n")
        return int(status), answer


@contextlib.contextmanager
def machine(case, folder):
    if os.getuid() or not SYSTEMD:
        case.skipTest("needs root and systemd")
    units = folder / "units"
    units.mkdir()
    for name in TARGETS:
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    (units / "test.target").write_text("[Unit]\nDefaultDependencies=no\nRequires=memtrace-serve.socket\n")
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "token").chmod(0o600)
    (folder / "inside.sh").write_text(INSIDE)
    put_units(units, folder / "token")
    unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--cgroup", "--ipc", "--uts", "--net",
               "--mount-proc"]
    if harness.run([*unshare, "true"]).code:
        case.skipTest("no namespaces here")
    with own_cgroup(case) as cgroup:
        script = 'echo $$ >"$0"/cgroup.procs && exec "$@"'
        with harness.start_target(["sh", "-c", script, cgroup, *unshare, "sh", folder / "inside.sh", units,
                                   SYSTEMD]) as target:
            found = Machine(target)
            found.run(harness.PYTHON, "-c", LOOPBACK_UP, check=0)
            try:
                yield found
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found.pid, 9)		# and with it all of the namespace


class UnderSystemd(unittest.TestCase):
    def test_the_units_as_they_stand(self):
        with harness.tmpdir() as tmp, machine(self, tmp) as m:
            harness.wait_for(lambda: m.property("memtrace-serve.socket", "ActiveState") == "active", 20)
            self.assertEqual(m.property("memtrace-serve.service", "ActiveState"), "inactive")
            status, about = m.ask("GET", "/api/about")		# which starts it
            self.assertEqual((status, json.loads(about)["folder"]), (200, "/var/lib/memtrace"))
            self.assertEqual(m.property("memtrace-serve.service", "ActiveState"), "active")
            folder = Path(f"/proc/{m.pid}/root/var/lib/memtrace")
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
            # The unit does not keep it from recording others.
            argv = ["nsenter", "-t", str(m.pid), "-m", "-n", "-p", harness.PYTHON, "-c", PROGRAM]
            with harness.start_target(argv, wait="^ready"):
                shown = json.loads(m.ask("GET", "/api/processes")[1])
                pid = next(p["pid"] for p in shown if p["command"].startswith(f"{harness.PYTHON} -c"))
                status, body = m.ask("POST", "/api/recordings", {"pid": pid, "seconds": 600})
                self.assertEqual(status, 201, body)
                recording = json.loads(body)
                harness.wait_for(lambda: '"recording"' in m.ask("GET", "/api/recordings/1")[1], 30)
                # systemd asks the server to end: what is being recorded ends well.
                m.ctl("stop", "memtrace-serve.service", check=0)
                self.assertEqual(m.property("memtrace-serve.service", "Result"), "success")
                info = json.loads(harness.memtrace("info", "--json", folder / recording["file"]).out)
                self.assertIsNone(info["damage"])
            self.assertEqual(m.ask("GET", f"/stats/{recording['file']}.json")[0], 200)	# it is up again
            self.assertTrue(re.match(r"\d+$", m.property("memtrace-serve.service", "MainPID")))


if __name__ == "__main__":
    unittest.main()
