# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_follow_exec.py - --follow-fork across exec and spawn: every program that a process of
# the family executes has a capture of its own, from its entry point on, and nobody is harmed.
# Knows: what the targets' programs say they allocate. Does not know: how an exec is seen.
# Run by tests/run.py.
import collections
import os
import re
import unittest

import harness
import session

TIMEOUT = 300
TIMES = 40


def captures(tmp, pid=None):
    """Files of the children and programs: {pid: [path, ...]}"""
    found = collections.defaultdict(list)
    for path in sorted(tmp.iterdir()):
        match = re.fullmatch(r"cap\.bin\.(\d+)(\.\d+)?", path.name)
        if match:
            found[int(match[1])].append(path)
    return found if pid is None else found[pid]


def blocks(path, leaf=r"\bleaf\b"):
    """(bytes, times) of what leaf() allocated, according to a capture."""
    return tuple(harness.folded_sum(harness.folded(path, "--view", "allocated", "--metric", metric), leaf)
                 for metric in ("bytes", "count"))


class Programs(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.program = harness.compile_c("executes.c", flags=["-O1", "-pthread", "-w", "-Wl,-z,now"])

    def start(self, tmp, **kwargs):
        """Found by name, too; with a script that it interprets, and a file that is no program."""
        (tmp / "bin").mkdir()
        (tmp / "bin" / "executes-by-name").symlink_to(self.program)
        script, garbage = tmp / "script", tmp / "garbage"
        script.write_text(f"#! {self.program} work\n")
        script.chmod(0o755)
        garbage.write_bytes(b"\x7fno program")
        garbage.chmod(0o755)
        env = {"PATH": f"/nowhere:{tmp}/bin:{os.environ['PATH']}", "EXECUTES_SCRIPT": script,
               "EXECUTES_GARBAGE": garbage}
        return env

    def check(self, tmp, lines, skip=()):
        """Each program is in a capture of its process, whole; nothing is bad."""
        self.assertEqual([line for line in lines if line.startswith("bad")], [])
        said = [tuple(map(int, m.groups())) for line in lines
                if (m := re.fullmatch(r"(\d+) (\d+) (\d+)", line))]
        self.assertGreater(len(said), 0)
        for pid, size, _ in said:
            if pid in skip:
                continue
            found = [blocks(path) for path in captures(tmp, pid)]
            self.assertIn((size * TIMES, TIMES), found, f"{pid}: {size}\n" + "\n".join(lines))
        for paths in captures(tmp).values():
            for path in paths:
                counters = harness.counters(path)
                self.assertEqual(counters["produced"], counters["written"])
        return said

    def test_every_way_attached(self):
        with harness.tmpdir() as tmp:
            env = self.start(tmp)
            with harness.start_target([self.program], stdin=True, wait="^ready", env=env) as target:
                before = session.Snapshot(target.pid)
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                    target.send("g")
                    target.wait_line("^done", 120)
                    result = attach.interrupt()
                self.assertNotIn("not recorded: too many", result.err)
                self.assertIn("executed programs have captures of their own", result.err)
                self.assertEqual([c for c in session.Snapshot(target.pid).changes(before)
                                  if "heap" not in c], [])
                said = self.check(tmp, target.lines, skip={target.pid})
                self.assertEqual(blocks(tmp / "cap.bin"), (29999 * TIMES, TIMES))
                self.assertEqual(len(said), 22)

    def test_every_way_run(self):
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "--follow-fork", "--", self.program,
                                      stdin="g", env=self.start(tmp))
            root = int(re.search(r"^(\d+) 29999", result.out, re.M)[1])
            self.check(tmp, result.out.splitlines(), skip={root})
            self.assertEqual(blocks(tmp / "cap.bin"), (29999 * TIMES, TIMES))

    def test_without_it_children_pass(self):
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "--", self.program, stdin="g",
                                      env=self.start(tmp))
            self.assertNotIn("bad", result.out)
            self.assertEqual(dict(captures(tmp)), {})

    def test_the_process_itself_again_and_again(self):
        """Its files are in the order of its programs."""
        for run in (False, True):
            with self.subTest(run=run), harness.tmpdir() as tmp:
                env = self.start(tmp)
                if run:
                    result = harness.memtrace("run", "-o", tmp / "cap.bin", "--follow-fork", "--",
                                              self.program, stdin="ga", env=env, check=7)
                    lines, pid = result.out.splitlines(), int(re.search(r"^(\d+) 29999", result.out, re.M)[1])
                else:
                    with harness.start_target([self.program], stdin=True, wait="^ready", env=env) as target:
                        with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                            target.send("ga")
                            self.assertEqual(target.wait(60), 7)
                            result = attach.wait()
                        lines, pid = target.lines, target.pid
                self.assertEqual(result.code, 7 if run else 0, result.err)
                self.assertEqual(blocks(tmp / "cap.bin"), (29999 * TIMES, TIMES))
                self.assertEqual([line for line in lines if re.match(f"{pid} 9", line)],
                                 [f"{pid} 9000{n} 0" for n in (3, 2, 1)])
                for n, name in ((3, ""), (2, ".2"), (1, ".3")):
                    self.assertEqual(blocks(tmp / f"cap.bin.{pid}{name}"), ((90000 + n) * TIMES, TIMES))


if __name__ == "__main__":
    unittest.main()
