# SPDX-License-Identifier: Apache-2.0
# tests/python/test_documents.py - the Python that the documents show, run as it stands.
# Knows: Markdown's fences. Does not know: what the blocks do.
import re
import unittest

import harness
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


if __name__ == "__main__":
    unittest.main()
