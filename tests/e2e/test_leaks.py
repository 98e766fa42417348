# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_leaks.py - memtrace leaks tells the leak from what only looks like one.
# Knows: a program with a leak, a cache, a churn and one large block. Does not know: the rule.
# Called by tests/run.py.
import json
import unittest

import harness

PROGRAM = """
import sys, time
kept, cache, churn = [], [], []
def leak():
    kept.append(bytearray(5000))
def fill_cache():
    if len(cache) < 100:
        cache.append(bytearray(50000))
def churns():
    churn.append(bytearray(9000))
    if len(churn) > 20:
        churn.clear()
def now_and_then(n):
    block = bytearray(3000)
    if n % 10 == 0:
        kept.append(block)
print("ready", flush=True)
sys.stdin.readline()
n = 0
while True:
    leak(); fill_cache(); churns(); now_and_then(n)
    n += 1
    time.sleep(0.002)
"""


class Leaks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.tmp = cls.scope.__enter__()
        cls.cap = cls.tmp / "cap.bin"
        program = cls.tmp / "leaky.py"
        program.write_text(PROGRAM)
        with harness.start_target([harness.PYTHON, program], stdin=True) as target:
            target.wait_line("ready")
            target.proc.stdin.write(b"go\n")
            target.proc.stdin.flush()
            harness.memtrace("attach", target.pid, "--duration", "4s", "-o", cls.cap)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def sites(self, *options):
        found = json.loads(harness.memtrace("leaks", "--json", "-n", "0", self.cap, *options).out)
        return found, {site["location"].split(":")[0]: site for site in found["sites"]}

    def test_the_leak_is_first(self):
        found, sites = self.sites()
        first = found["sites"][0]
        self.assertRegex(first["location"], r"^leak:.*leaky\.py:5$")
        self.assertEqual(first["trend"], "steady", first)
        self.assertGreater(first["bytes_per_second"], 0)
        self.assertRegex(first["sentence"], r"^Grew without pause, .*/s, .* blocks/s; ")
        self.assertRegex(found["sites"][1]["location"], "^now_and_then:")
        partly = sites["now_and_then"]
        self.assertAlmostEqual(partly["released"] / partly["allocated"], 0.9, delta=0.05)
        self.assertGreater(partly["oldest_ms"], partly["longest_released_ms"])
        self.assertIn("none of them older than", partly["sentence"])
        # The cache may have been filled before the capture began; if not, it is level by now.
        if "fill_cache" in sites:
            self.assertEqual(sites["fill_cache"]["trend"], "level")
            self.assertEqual(sites["fill_cache"]["score"], 0)

    def test_age(self):
        found, sites = self.sites()
        older, old_sites = self.sites("--older-than", "1s")
        self.assertEqual(older["older_than_ms"], 1000)
        want = sum(age["bytes"] for age in sites["leak"]["ages"] if age["age"] != "under 1 s")
        self.assertEqual(old_sites["leak"]["bytes"], want)
        self.assertLess(want, sites["leak"]["bytes"])
        self.assertNotIn("churns", old_sites)
        none, _ = self.sites("--older-than", "1h")
        self.assertEqual(none["sites"], [])
        text = harness.memtrace("leaks", self.cap, "--older-than", "1h").out
        self.assertIn("Nothing that was recorded is left", text)

    def test_orders(self):
        for order, field in (("bytes", "bytes"), ("count", "count"), ("likely", "score")):
            found, _ = self.sites("--sort", order)
            values = [site[field] for site in found["sites"]]
            self.assertEqual(values, sorted(values, reverse=True), order)

    def test_text(self):
        text = harness.memtrace("leaks", self.cap, "-n", "1", "--frames", "1").out
        self.assertRegex(text, r"(?m)^ 1\. leak:.*leaky\.py:5$")
        self.assertRegex(text, r"(?m)^    Grew without pause")
        self.assertRegex(text, r"(?m)^    \|[▁▂▃▄▅▆▇█·]+\|  .* to .*$")
        self.assertRegex(text, r"(?m)^      leak \(.*leaky\.py:5\)$")
        self.assertRegex(text, r"(?m)^      \.\.\. \d+ more; --frames 0 shows all$")
        self.assertRegex(text, r"\d+ more sites?; -n shows more\n$")


if __name__ == "__main__":
    unittest.main()
