# SPDX-License-Identifier: Apache-2.0
# tests/python/test_jupyter.py - %%memtrace_flamegraph in a notebook that a real kernel runs.
# Knows: nbconvert, the format of notebooks. Does not know: how the page is made.
import json
import unittest

import harness
from test_package import PACKAGE, environment

TIMEOUT = 300


class Notebook(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        probe = [harness.PYTHON, "-c", "import ipykernel, nbconvert, nbformat"]
        if harness.run(probe).code:
            raise unittest.SkipTest("no ipykernel and nbconvert here")

    def execute(self, folder, cells):
        """The outputs of each cell, as text."""
        notebook = {"cells": [{"cell_type": "code", "execution_count": None, "metadata": {},
                               "outputs": [], "source": source} for source in cells],
                    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
                    "nbformat": 4, "nbformat_minor": 4}
        (folder / "in.ipynb").write_text(json.dumps(notebook))
        harness.run([harness.PYTHON, "-m", "nbconvert", "--to", "notebook", "--execute",
                     "--allow-errors", "--output", "out.ipynb", "in.ipynb"], timeout=200, cwd=folder,
                    env={**environment(PACKAGE), "IPYTHONDIR": folder / "ipython",
                         "JUPYTER_CONFIG_DIR": folder / "config", "JUPYTER_RUNTIME_DIR": folder / "run",
                         "HOME": folder}, check=0)
        done = json.loads((folder / "out.ipynb").read_text())
        return [self.text(cell) for cell in done["cells"]]

    @staticmethod
    def text(cell):
        return "".join("".join(o.get("text", [])) + "".join(o.get("data", {}).get("text/html", [])) +
                       o.get("ename", "") for o in cell["outputs"])

    def test_cells(self):
        with harness.tmpdir() as tmp:
            load, plain, options, helped, wrong, both, raised, sums, unknown, after = self.execute(tmp, [
                "%load_ext memtrace",
                "%%memtrace_flamegraph\nkept = [bytearray(1234567) for _ in range(3)]\nprint(len(kept))",
                "%%memtrace_flamegraph --leaks --split-threads --inverted --native --temporal\nmore = kept * 2",
                "%%memtrace_flamegraph -h\npass",
                "%%memtrace_flamegraph --nonsense\nprint('not run')",
                "%%memtrace_flamegraph --temporal --temporary-allocations\nprint('not run')",
                "%%memtrace_flamegraph --temporary-allocation-threshold 3\n1 / 0",
                "%%memtrace_flamegraph --aggregate --temporary-allocations\nbytearray(1234567)",
                "%%memtrace_flamegraph --aggregate --temporary-allocation-threshold 7\nprint('not run')",
                "len(more)"])
            self.assertEqual(load, "")
            self.assertRegex(plain, r"^3\nResults saved to memtrace-results/\S+/flamegraph.html\n")
            self.assertIn("<iframe", plain)
            self.assertIn("<iframe", options)
            self.assertIn("--temporary-allocation-threshold", helped)
            self.assertIn("unrecognized arguments: --nonsense", wrong)
            self.assertIn("exclude each other", both)
            self.assertIn("<iframe", sums)
            self.assertIn("no other threshold", unknown)
            self.assertNotIn("not run", wrong + both + unknown)
            self.assertIn("ZeroDivisionError", raised)
            self.assertIn("<iframe", raised)		# the page is made all the same
            pages = list(tmp.glob("memtrace-results/*/flamegraph.html"))
            self.assertEqual(len(pages), 4)
            for page in pages:
                self.assertIn("</html>", page.read_text())
            out = harness.folded(next(tmp.glob("memtrace-results/*/cell.bin")), "--view", "allocated")
            self.assertTrue(out)


if __name__ == "__main__":
    unittest.main()
