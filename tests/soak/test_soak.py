# SPDX-License-Identifier: Apache-2.0
# tests/soak/test_soak.py - a short soak: some cycles on each kind of target that is here.
# Knows: soak.py's verdict. Does not know: kinds. Run by tests/run.py.
import unittest

import harness

TIMEOUT = 900


class Soak(unittest.TestCase):
    def test_short(self):
        result = harness.run([harness.PYTHON, harness.ROOT / "tests" / "soak" / "soak.py", "-n", "60",
                              "--least", "10"], timeout=TIMEOUT - 30)
        print(result.out[-6000:])
        self.assertEqual(result.code, 0, result)


if __name__ == "__main__":
    unittest.main()
