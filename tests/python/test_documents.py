# SPDX-License-Identifier: Apache-2.0
# tests/python/test_documents.py - the Python and the commands that the documents show, run as they stand.
# Knows: Markdown's fences. Does not know: what the blocks do.
import os
import re
import shutil
import unittest
import urllib.request

import harness
import test_jupyter
from test_package import PACKAGE, environment

FILES = ["README.md", "docs/python.md"]


class Documents(unittest.TestCase):
    def test_blocks(self):
        count = 0
        for name in FILES:
            text = (harness.ROOT / name).read_text()
            for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
                count += 1
                with self.subTest(name, block=block), harness.tmpdir() as tmp:
                    if "pytest" in block:
                        (tmp / "test_it.py").write_text(block)
                        command = ["-m", "pytest", "-p", "memtrace.pytest_plugin"]
                    else:
                        (tmp / "it.py").write_text(block)
                        command = ["it.py"]
                    result = harness.run([harness.PYTHON, *command], cwd=tmp,
                                         env=environment(PACKAGE), check=0)
                    self.assertEqual(result.err, "")
        self.assertGreater(count, 5)


class Readme(unittest.TestCase):
    """Of the README also what is no Python; at most five lines each."""

    def blocks(self, language):
        text = (harness.ROOT / "README.md").read_text()
        found = re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
        self.assertTrue(found)
        return found

    def test_five_lines(self):
        for language in ("python", "ipython", "sh"):
            for block in self.blocks(language):
                self.assertLessEqual(len(block.splitlines()), 5, block)

    def test_notebook(self):
        test_jupyter.Notebook.setUpClass()
        for block in self.blocks("ipython"):
            with self.subTest(block=block), harness.tmpdir() as tmp:
                out = test_jupyter.Notebook("execute").execute(tmp, block.strip().split("\n\n"))
                self.assertIn("<iframe", out[-1])

    def test_pages(self):
        """What serves is asked for the address it prints."""
        if not shutil.which("flask"):
            self.skipTest("no flask here")
        for block in self.blocks("sh"):
            with self.subTest(block=block), harness.tmpdir() as tmp:
                (tmp / "examples").symlink_to(harness.ROOT / "examples")
                env = {**environment(PACKAGE), "PATH": f"{harness.BUILD}:/usr/bin:{os.environ['PATH']}",
                       "FLASK_RUN_PORT": harness.free_port(), "PROFILES": tmp / "profiles",
                       "DATABASE_PATH": tmp / "workload.sqlite"}
                # The last command in the place of the shell, so that it is what is ended.
                lines = block.splitlines()
                script = "\n".join(["exec 2>&1", "set -e", *lines[:-1], f"exec {lines[-1]}"])
                with harness.start_target(["sh", "-c", script], cwd=tmp, env=env) as target:
                    url = target.wait_line(r"(http://127.0.0.1:\d+\S*)", 60)[1]
                    jar = urllib.request.HTTPCookieProcessor()
                    with urllib.request.build_opener(jar).open(url, timeout=60) as reply:
                        self.assertIn("<html", reply.read().decode())


if __name__ == "__main__":
    unittest.main()
