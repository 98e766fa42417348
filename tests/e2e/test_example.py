# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_example.py - the demo of the leaky service names the three planted faults.
# Knows: demo.sh's headings, the names of the faults. Does not know: how reports are made.
# Called by tests/run.py.
import contextlib
import json
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import harness

TIMEOUT = 180
FAULTS = {
    "leaks": {"make_thumbnail", "render_search_page"},
    "temporary": {"build_access_log_line"},
    "peak": {"make_thumbnail", "render_search_page", "build_access_log_line"},
}
EXAMPLE = harness.ROOT / "examples" / "leaky-service"


@contextlib.contextmanager
def example():
    """A copy of the example in a folder of its own, so that its processes can be told from others."""
    with harness.tmpdir() as folder:
        yield Path(shutil.copytree(EXAMPLE, folder / "leaky-service")), folder / "out"


def service_pids(here):
    found = harness.run(["pgrep", "-f", f"{here}/service[.]py"])
    return {int(pid) for pid in found.out.split()}


class Demo(unittest.TestCase):
    def demo(self, here, folder, seconds=4):
        result = harness.run([here / "demo.sh", folder, seconds], timeout=120, check=0,
                             env={"MEMTRACE": harness.MEMTRACE, "COLUMNS": "200"})
        parts = re.split(r"^\$ memtrace ", result.out, flags=re.M)
        return result, {part.split("\n")[0]: part for part in parts[1:]}

    @staticmethod
    def top(part, count):
        """The functions in the first rows of the table that a summary ends with."""
        table = part[re.search(r"^Location .*\n", part, re.M).end():]
        return {line.split(" ")[0] for line in table.split("\n")[:count]}

    def test_names_all_three_faults_and_runs_twice(self):
        with example() as (here, folder):
            for _ in range(2):
                _, parts = self.demo(here, folder)
                for view, wanted in FAULTS.items():
                    part = next(p for name, p in parts.items() if f"--view {view}" in name)
                    self.assertEqual(self.top(part, len(wanted)), wanted, part)
                self.assertTrue((folder / "demo.html").stat().st_size > 10000)
                answer = json.loads((folder / "driver.json").read_text())
                self.assertEqual((answer["errors"], answer["first_error"]), (0, None))
                self.assertGreater(answer["requests"], 300)
                self.assertEqual(service_pids(here), set())

    def test_own_memory_is_led_by_the_faults(self):
        """In folded stacks, the leaf-most Python function of most leaked and most temporary bytes."""
        with example() as (here, folder):
            self.demo(here, folder)
            for view, wanted in list(FAULTS.items())[:2]:
                sums = {}
                for frames, value in harness.folded(folder / "demo.bin", "--view", view):
                    python = [f for f in frames if re.search(r"\.py:\d+\)$", f)]
                    name = python[-1].split(" ")[0] if python else "(native)"
                    sums[name] = sums.get(name, 0) + value
                top = sorted(sums, key=sums.get, reverse=True)[:len(wanted)]
                with self.subTest(view=view):
                    self.assertEqual(set(top), wanted, sums)

    def test_interrupted_demo_leaves_nothing(self):
        with example() as (here, folder):
            with harness.start_target([here / "demo.sh", folder, "60"],
                                      env={"MEMTRACE": harness.MEMTRACE}) as demo:
                demo.wait_line(r"^\$ memtrace attach", 30)
                harness.wait_for(lambda: service_pids(here), what="the service")
                demo.signal(15)
                # bash ends the command in the foreground first, as at a terminal's Ctrl-C.
                for pid in service_pids(here):
                    memtraces = harness.run(["pgrep", "-P", demo.pid, "-f", f"attach {pid}"]).out.split()
                    for memtrace in memtraces:
                        subprocess.run(["kill", "-TERM", memtrace], check=False)
                demo.wait(30)
                harness.wait_for(lambda: not service_pids(here), what="the service's end")


if __name__ == "__main__":
    unittest.main()
