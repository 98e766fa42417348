# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_bad_files.py - damaged, foreign and unreachable files under every reader.
# Knows: the first bytes of the format. Does not know: its blocks.
# Run by tests/run.py.
import os
import random
import re
import stat
import struct
import unittest

import harness
import session

TIMEOUT = 180
READERS = [["info"], ["stats"], ["stats", "--json"], ["summary"], ["parse"],
           ["transform", "folded"]]


def capture_exact(path, flags=("-O1", "-fno-inline")):
    program = harness.compile_c("alloc_exact.c", flags=["-w", *flags, "-pthread"])
    harness.memtrace("run", "-o", path, "--", program)
    return path


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.tmp = cls.scope.__enter__()
        cls.good = capture_exact(cls.tmp / "good.bin")
        cls.data = cls.good.read_bytes()

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def write(self, data, name="bad.bin"):
        path = self.tmp / name
        path.write_bytes(data)
        return path

    def failed(self, words, path, text):
        result = harness.memtrace(*words, path, check=(1, 2), timeout=20)
        self.assertRegex(result.err, r"^memtrace: ")
        self.assertRegex(result.err, text, result)
        self.assertIn(os.path.basename(path), result.err, "names the file")
        return result

    # ---- not a capture ----

    def test_not_a_capture(self):
        foreign = {"empty": b"", "text": b"hello\n" * 100, "elf": open("/bin/true", "rb").read(),
                   "zeros": bytes(100000), "short": self.data[:20],
                   "almost": b"memtracf" + self.data[8:]}
        for name, data in foreign.items():
            path = self.write(data, f"{name}.bin")
            for words in READERS + [["symbolize"], ["flamegraph", "-o", self.tmp / "x.html"]]:
                with self.subTest(file=name, command=words[0]):
                    result = self.failed(words, path, r"(?i)not a (memtrace )?capture|cut|empty|short")
                    self.assertEqual(result.out, "")
                    self.assertFalse((self.tmp / "x.html").exists())

    def test_not_a_file(self):
        (self.tmp / "folder").mkdir(exist_ok=True)
        self.failed(["stats"], self.tmp / "folder", r"(?i)directory|not a")
        self.failed(["stats"], self.tmp / "missing.bin", r"No such file or directory")
        self.failed(["stats"], "/dev/null", r"(?i)not a|empty")

    def test_fifo_does_not_hang(self):
        os.mkfifo(self.tmp / "fifo")
        result = harness.memtrace("stats", self.tmp / "fifo", check=None, timeout=10)
        self.assertEqual(result.code, 1, result)

    def test_no_permission(self):
        self.good.chmod(0o600)
        with harness.tmpdir(0o755) as tmp:
            copy = tmp / "memtrace"
            copy.write_bytes(harness.MEMTRACE.read_bytes())
            copy.chmod(0o755)
            secret = tmp / "secret.bin"
            secret.write_bytes(self.data)
            secret.chmod(0o600)
            result = harness.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                  copy, "stats", secret])
            self.assertEqual(result.code, 1)
            self.assertRegex(result.err, "Permission denied")

    # ---- other versions ----

    def with_header(self, version, reader, features=0):
        path = self.write(self.data, f"v{version}-{reader}.bin")
        tool = harness.compile_c("alloc_header.c", flags=["-w", "-O1"])
        harness.run([tool, path, version, reader, features], check=0)
        return path

    def test_newer_and_readable(self):
        """A newer version that says this reader will do is read."""
        path = self.with_header(9, 1)
        newer, good = harness.stats(path), harness.stats(self.good)
        for field in ("total_num_allocations", "total_bytes_allocated", "top_allocations_by_size"):
            self.assertEqual(newer[field], good[field])

    def test_newer_and_unreadable(self):
        result = self.failed(["stats"], self.with_header(9, 9), r"(?i)version 9|newer")
        self.assertRegex(result.err, r"hint: \S")

    def test_unknown_feature(self):
        features, = struct.unpack_from("<I", self.data, 12)
        self.failed(["stats"], self.with_header(1, 1, features | 0x4000), r"(?i)feature|newer")

    # ---- damage ----

    def total(self, path):
        """(exit code, allocations or None, stderr)"""
        result = harness.memtrace("stats", "--json", path, check=(0, 1), timeout=20)
        if result.code:
            self.assertRegex(result.err, r"^memtrace: ")
            return 1, None, result.err
        return 0, int(re.search(r'"total_num_allocations":\s*(\d+)', result.out)[1]), result.err

    def test_truncated_at_any_byte(self):
        """What was whole is still there; the rest is one line with the offset."""
        size = len(self.data)
        everything = self.total(self.good)[1]
        rng = random.Random(1)
        offsets = sorted({0, 1, 8, 63, 64, 65, 96, size - 1, size - 8, size - 23, size - 24,
                          size - 25, *range(0, size, max(1, size // 40)),
                          *(rng.randrange(size) for _ in range(40))})
        last = 0
        for offset in offsets:
            with self.subTest(offset=offset, of=size):
                code, total, err = self.total(self.write(self.data[:offset]))
                if code == 0:
                    self.assertRegex(err, r"(?i)warning|cut|damaged|incomplete")
                    self.assertLessEqual(total, everything)
                    self.assertGreaterEqual(total, last, "more bytes, fewer events")
                    last = total
                else:
                    self.assertEqual(last, 0, "readable when shorter, not when longer")
        self.assertEqual(self.total(self.write(self.data[:-1]))[1], everything,
                         "only the end mark is missing")

    def test_truncated_under_every_reader(self):
        path = self.write(self.data[:len(self.data) * 3 // 4])
        for words in READERS:
            with self.subTest(command=words):
                result = harness.memtrace(*words, path, check=(0, 1))
                self.assertRegex(result.err, r"(?i)offset|cut|damaged|incomplete")

    def test_symbolize_of_a_truncated_file_keeps_what_is_there(self):
        path = self.write(self.data[:len(self.data) - 30], "cut.bin")
        before = self.total(path)[1]
        harness.memtrace("symbolize", path, "-o", self.tmp / "mended.bin", "-f")
        self.assertEqual(self.total(self.tmp / "mended.bin")[1], before)

    def test_damaged_bytes(self):
        """A flipped byte never crashes a reader and is told."""
        rng = random.Random(2)
        everything = self.total(self.good)[1]
        for _ in range(60):
            at = rng.randrange(len(self.data))
            bad = bytearray(self.data)
            bad[at] ^= 1 << rng.randrange(8)
            with self.subTest(byte=at):
                code, total, err = self.total(self.write(bytes(bad)))
                self.assertRegex(err, r"^memtrace: ", "silent about damage")
                if code == 0:
                    self.assertLessEqual(total, everything)

    def test_garbage_behind_and_holes(self):
        self.total(self.write(self.data + b"garbage" * 100))
        hole = bytearray(self.data)
        hole[len(hole) // 2:len(hole) // 2 + 400] = bytes(400)
        code, _, err = self.total(self.write(bytes(hole)))
        self.assertRegex(err, r"(?i)offset \d+|offset 0x")

    # ---- modules out of reach ----

    def test_deleted_and_stripped_modules(self):
        """A program that is gone costs names, never numbers."""
        with harness.tmpdir() as tmp:
            original = harness.compile_c("alloc_exact.c", flags=["-w", "-O1", "-pthread"])
            for name, strip in (("stripped", True), ("deleted", False)):
                with self.subTest(name):
                    program = tmp / name
                    program.write_bytes(original.read_bytes())
                    program.chmod(0o755)
                    if strip:
                        harness.run(["strip", "-s", program], check=0)
                    cap = tmp / f"{name}.bin"
                    harness.memtrace("run", "-o", cap, "--", program)
                    if not strip:
                        program.unlink()
                    result = harness.memtrace("symbolize", cap, "-o", tmp / f"{name}-out.bin")
                    self.assertIn(name, result.err, "says which module")
                    stats, whole = harness.stats(cap), harness.stats(self.good)
                    for field in ("total_num_allocations", "total_bytes_allocated"):
                        self.assertEqual(stats[field], whole[field])
                    rows = harness.folded(tmp / f"{name}-out.bin", "--view", "allocated",
                                          "--metric", "bytes")
                    self.assertEqual(sum(v for _, v in rows), whole["total_bytes_allocated"])
                    leaves = {session.split_frame(f[-1])[0] for f, _ in rows
                              if name in f[-1]}
                    self.assertGreater(len(leaves), 10, "addresses tell functions apart")

    def test_another_build_in_its_place(self):
        """A file with another build-id is refused, not misread."""
        with harness.tmpdir() as tmp:
            program = tmp / "program"
            program.write_bytes(harness.compile_c(
                "alloc_exact.c", flags=["-w", "-O1", "-pthread"]).read_bytes())
            program.chmod(0o755)
            cap = tmp / "cap.bin"
            harness.memtrace("run", "-o", cap, "--", program)
            program.unlink()
            program.write_bytes(harness.compile_c(
                "alloc_exact.c", flags=["-w", "-O3", "-pthread"]).read_bytes())
            result = harness.memtrace("symbolize", cap, "-o", tmp / "out.bin")
            self.assertRegex(result.err, r"program: .* another build: not used")
            rows = harness.folded(tmp / "out.bin", "--view", "allocated")
            self.assertEqual(harness.folded_sum(rows, r"alloc_exact\.c"), 0)

    # ---- outputs of reports ----

    def test_outputs(self):
        page = self.tmp / "page.html"
        page.write_text("precious")
        result = harness.memtrace("flamegraph", self.good, "-o", page, check=1)
        self.assertRegex(result.err, "exist")
        self.assertRegex(result.err, r"hint: .*-f")
        self.assertEqual(page.read_text(), "precious")
        harness.memtrace("flamegraph", self.good, "-o", page, "-f")
        self.assertIn("<html", page.read_text()[:2000].lower())
        for words in (["flamegraph"], ["transform", "folded"], ["symbolize"]):
            result = harness.memtrace(*words, self.good, "-o", self.tmp / "no" / "x", check=1)
            self.assertRegex(result.err, "No such file or directory")
        result = harness.run(["sh", "-c", f"{harness.MEMTRACE} transform folded {self.good} "
                              "> /dev/full"])
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.err, "No space left on device")

    def test_reader_of_a_report_goes_away(self):
        result = harness.run(["bash", "-c", f"{harness.MEMTRACE} parse {self.good} | head -1; "
                              "echo ${PIPESTATUS[0]}"])
        self.assertRegex(result.out, r"\n(0|1|141)\n$")
        self.assertNotRegex(result.err, "(?i)abort|assert")

    def test_symbolize_in_place_never_harms_the_input(self):
        """Without -o the name of the output is told; the input stays readable whatever it is."""
        path = self.write(self.data, "place.bin")
        harness.memtrace("symbolize", path)
        self.assertEqual(harness.stats(path), harness.stats(self.good))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077 & ~0o044, 0)


if __name__ == "__main__":
    unittest.main()
