# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_transform.py - every format has the numbers of stats and folded, whatever the names.
# Knows: the formats, read by code that is not ours or by a decoder written from their definition.
# Does not know: how they are written. Called by tests/run.py.
import collections
import csv
import contextlib
import gzip
import io
import json
import sqlite3
import unittest

import harness

# Names as a target may have them: markup, quotes, separators, control, direction, very long.
NAMES = ["</script><script>alert(1)</script>", 'quo"te', "semi;colon|bar", "line\nbreak\x1b[2J",
         "\u202egnp.exe", "back\\slash", "'; DROP TABLE frame; --", "L" * 10000]
PROGRAM = """
import sys, threading
kept = []
def template():
    kept.append(bytearray(100000)); bytearray(50000)
for name in %r:
    code = template.__code__.replace(co_name=name, **(
        {"co_qualname": name} if hasattr(template.__code__, "co_qualname") else {}))
    exec(code, globals())
def deep(n):
    if n:
        deep(n - 1)
    else:
        kept.append(bytearray(200000))
sys.setrecursionlimit(20000)
deep(900)
thread = threading.Thread(target=template, name="worker"); thread.start(); thread.join()
import os
os._exit(0)
"""


def varints(data):
    at = 0
    while at < len(data):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        yield value, at


def message(data):
    """{field: [values]} of a protobuf message with varints and byte strings alone."""
    fields, at = collections.defaultdict(list), 0
    while at < len(data):
        (key, used) = next(varints(data[at:]))
        at += used
        (value, used) = next(varints(data[at:]))
        at += used
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        else:
            assert key & 7 == 0, key
        fields[key >> 3].append(value)
    return fields


def packed(data):
    return [value for value, _ in varints(data)]


class Profile:
    """profile.proto: 1 sample_type, 2 sample, 3 mapping, 4 location, 5 function, 6 strings."""

    def __init__(self, data):
        top = message(gzip.decompress(data))
        self.strings = [s.decode() for s in top[6]]
        assert self.strings[0] == ""
        types = [message(t) for t in top[1]]
        self.types = [(self.strings[t[1][0]], self.strings[t[2][0]]) for t in types]
        functions = {f[1][0]: self.strings[f[2][0]] for f in map(message, top[5])}
        self.mappings = {m[1][0]: m for m in map(message, top[3])}
        self.locations = {}
        for location in map(message, top[4]):
            line = message(location[4][0])
            self.locations[location[1][0]] = functions[line[1][0]]
            assert not location[2] or location[2][0] in self.mappings
        self.samples = []
        for sample in map(message, top[2]):
            labels = {self.strings[l[1][0]]: self.strings[l[2][0]] for l in map(message, sample[3])}
            stack = [self.locations[i] for i in packed(sample[1][0])]
            self.samples.append((stack, packed(sample[2][0]), labels))
        self.default = self.strings[top[14][0]]


class Transform(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.tmp = cls.scope.__enter__()
        cls.cap = cls.tmp / "cap.bin"
        program = cls.tmp / "names.py"
        program.write_text(PROGRAM % (NAMES,))
        raw = cls.tmp / "raw.bin"
        harness.memtrace("run", "-o", raw, "--", harness.PYTHON, program)
        harness.memtrace("symbolize", raw, "-o", cls.cap)
        stats = harness.stats(cls.cap)
        meta = stats["metadata"]
        cls.want = {"peak": (meta["peak_memory"], meta["peak_count"]),
                    "leaks": (meta["leaked_bytes"], meta["leaked_count"]),
                    "allocated": (stats["total_bytes_allocated"], stats["total_num_allocations"]),
                    "temporary": (meta["temporary_bytes"], meta["temporary_count"])}

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def write(self, name, *options):
        return harness.memtrace("transform", name, self.cap, *options, binary=True).out

    def test_pprof(self):
        for options, in_use in (([], "peak"), (["--leaks"], "leaks")):
            profile = Profile(self.write("pprof", *options))
            self.assertEqual(profile.types, [("alloc_objects", "count"), ("alloc_space", "bytes"),
                                             ("inuse_objects", "count"), ("inuse_space", "bytes")])
            self.assertEqual(profile.default, "inuse_space")
            sums = [sum(values[i] for _, values, _ in profile.samples) for i in range(4)]
            self.assertEqual(sums, [*reversed(self.want["allocated"]), *reversed(self.want[in_use])])
        names = {name for stack, _, _ in profile.samples for name in stack}
        for name in (*NAMES[:3], *NAMES[5:7], "line\\nbreak\\x1b[2J", "\\u202egnp.exe"):
            self.assertIn(name, names)
        self.assertTrue(any(len(name) > 4000 for name in names), "the capture keeps 4 KiB of a name")
        labels = [labels for _, _, labels in profile.samples]
        self.assertTrue(all(set(l) == {"allocator", "thread"} for l in labels))
        self.assertGreaterEqual(len({l["thread"] for l in labels}), 2)
        self.assertIn("malloc", {l["allocator"] for l in labels})
        ids = [profile.strings[m[6][0]] for m in profile.mappings.values() if m[6]]
        self.assertTrue(ids and all(len(i) == 40 for i in ids), ids)
        deepest = max(profile.samples, key=lambda sample: len(sample[0]))[0]
        self.assertEqual(deepest.count("deep"), 901)
        refused = harness.memtrace("transform", "pprof", "--temporary-allocations", self.cap, check=2)
        self.assertIn("no place for the view 'temporary'", refused.err)

    def test_speedscope(self):
        for view, want in self.want.items():
            data = json.loads(self.write("speedscope", "--view", view))
            frames = data["shared"]["frames"]
            for profile, total in zip(data["profiles"], want):
                self.assertEqual(sum(profile["weights"]), total)
                self.assertEqual(profile["endValue"], total)
                self.assertEqual(len(profile["samples"]), len(profile["weights"]))
                self.assertTrue(all(0 <= f < len(frames) for s in profile["samples"] for f in s))
        folded = sum(v for f, v in harness.folded(self.cap, "--view", "allocated")
                     if any(x.startswith("template ") for x in f))
        data = json.loads(self.write("speedscope", "--view", "allocated"))
        template = {i for i, f in enumerate(data["shared"]["frames"]) if f["name"] == "template"}
        profile = data["profiles"][0]
        self.assertEqual(sum(w for s, w in zip(profile["samples"], profile["weights"])
                             if template & set(s)), folded)
        self.assertGreater(folded, 0)

    def test_gprof2dot(self):
        for metric, index in (("bytes", 0), ("count", 1)):
            data = json.loads(self.write("gprof2dot", "--leaks", "--metric", metric))
            self.assertEqual(data["version"], 0)
            self.assertEqual(sum(e["cost"][0] for e in data["events"]), self.want["leaks"][index])
            keys = [(f["name"], f["module"]) for f in data["functions"]]
            self.assertEqual(len(keys), len(set(keys)))
        names = [f["name"] for f in data["functions"]]
        chain = next(e["callchain"] for e in data["events"]
                     if any(names[f] == NAMES[0] for f in e["callchain"]))
        order = [names[f] for f in chain]
        self.assertLess(order.index(NAMES[0]), order.index("<module>"), "leaf first")

    def test_csv(self):
        for view, want in self.want.items():
            text = self.write("csv", "--view", view).decode()
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            self.assertEqual(sum(int(r["size"]) for r in rows), want[0])
            self.assertEqual(sum(int(r["num_allocations"]) for r in rows), want[1])
            for row in rows:
                for frame in row["stack_trace"].split("|"):
                    self.assertEqual(len(frame.split(";")), 3, frame[:200])
        self.assertNotIn("\x1b", text)
        self.assertGreater(len({r["tid"] for r in csv.DictReader(io.StringIO(
            self.write("csv", "--view", "allocated").decode(), newline=""))}), 1)

    def test_dhat(self):
        data = json.loads(self.write("dhat"))
        self.assertEqual((data["dhatFileVersion"], data["bklt"]), (2, True))
        for fields, view in ((("tb", "tbk"), "allocated"), (("gb", "gbk"), "peak"),
                             (("eb", "ebk"), "leaks")):
            for field, number in zip(fields, self.want[view]):
                self.assertEqual(sum(p[field] for p in data["pps"]), number, field)
        for point in data["pps"]:
            self.assertGreaterEqual(point["mb"], max(point["gb"], point["eb"]))
            self.assertLessEqual(point["mb"], point["tb"])
            self.assertTrue(all(0 < f < len(data["ftbl"]) for f in point["fs"]))
            self.assertLessEqual(point["tl"], data["te"] * max(point["tbk"], 1))
        self.assertLessEqual(data["tg"], data["te"])

    def test_sql(self):
        script = self.write("sql").decode()
        base = sqlite3.connect(":memory:")
        base.executescript(script)
        for view, column in (("peak", "peak"), ("leaks", "leaked"), ("allocated", "allocated"),
                             ("temporary", "temporary")):
            row = base.execute(f"SELECT sum({column}_bytes), sum({column}_count) FROM allocation")
            self.assertEqual(row.fetchone(), self.want[view])
        names = {name for name, in base.execute("SELECT function FROM frame")}
        self.assertIn(NAMES[6], names)
        self.assertIn(NAMES[0], names)
        self.assertEqual(base.execute("SELECT count(*) FROM allocation LEFT JOIN node ON node.id ="
                                      " node WHERE node.id IS NULL").fetchone(), (0,))
        depth = base.execute("WITH RECURSIVE up(id, n) AS (SELECT DISTINCT node, 1 FROM allocation"
                             " UNION ALL SELECT parent, n + 1 FROM up JOIN node USING (id)"
                             " WHERE parent NOT NULL) SELECT max(n) FROM up").fetchone()[0]
        self.assertGreater(depth, 900)

    def test_sqlite(self):
        """The database that the statements make."""
        made = sqlite3.connect(":memory:")
        made.executescript(self.write("sql").decode())
        (self.tmp / "out.db").write_bytes(self.write("sqlite"))
        with contextlib.closing(sqlite3.connect(self.tmp / "out.db")) as base:
            self.assertEqual(list(base.iterdump()), list(made.iterdump()))

    def test_pprof_is_not_written_to_a_terminal(self):
        import pty, os, subprocess
        leader, follower = pty.openpty()
        proc = subprocess.run([harness.MEMTRACE, "transform", "pprof", self.cap], stdout=follower,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        os.close(follower)
        os.close(leader)
        self.assertEqual(proc.returncode, 2)
        self.assertIn(b"not for a terminal", proc.stderr)

    def test_a_cut_capture(self):
        data = self.cap.read_bytes()
        cut = self.tmp / "cut.bin"
        for share in (0.3, 0.7, 0.95):
            cut.write_bytes(data[:int(len(data) * share)])
            for name in ("pprof", "speedscope", "gprof2dot", "csv", "dhat", "sql", "sqlite"):
                with self.subTest(share=share, name=name):
                    result = harness.memtrace("transform", name, cut, "-o", self.tmp / "out", "-f")
                    self.assertIn("cut at offset", result.err)


if __name__ == "__main__":
    unittest.main()
