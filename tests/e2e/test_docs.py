# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_docs.py - what the documents name is there.
# Knows: Markdown as far as we write it. Does not know: whether a sentence is true.
# Called by tests/run.py.
import re
import subprocess
import unittest

import harness

ROOMS = "base capture attach inject record symbolize analysis reporters lib serve cmds python".split()


def documents():
    return [harness.ROOT / "README.md", *sorted((harness.ROOT / "docs").glob("*.md")),
            *sorted((harness.ROOT / "examples").glob("*/*.md"))]


def code():
    return "\n".join(path.read_text(errors="replace") for room in ROOMS
                     for path in sorted((harness.ROOT / room).rglob("*"))
                     if path.suffix in (".c", ".h", ".py"))


class Docs(unittest.TestCase):
    def test_links_and_paths_exist(self):
        for document in documents():
            text = document.read_text()
            # In a shallow clone untracked files are not there: only what git knows counts.
            links = re.findall(r"\]\(([^)#:]+)\)", text)
            # Before a colon stands a file of tests, as tests/run.py names it.
            paths = re.findall(r"`((?:%s|tests|docs|examples|bench)/[\w./-]*)`(?!: `)" % "|".join(ROOMS), text)
            for base, names in ((document.parent, links), (harness.ROOT, paths)):
                for name in names:
                    with self.subTest(document=document.name, path=name):
                        self.assertTrue((base / name).exists(), f"{name} is not there")

    def test_functions_and_types_exist(self):
        source = code()
        for document in documents():
            text = document.read_text()
            names = re.findall(r"`(\w+)\(\)`", text)
            names += re.findall(r"`(?:struct|enum) (\w+)[ *]*`", text)
            for name in set(names):
                with self.subTest(document=document.name, name=name):
                    self.assertTrue(re.search(rf"\b{name}\b", source), f"{name} is not there")

    def test_make_targets_exist(self):
        makefiles = [harness.ROOT / "Makefile", harness.ROOT / "tests" / "tests.mk"]
        rules = "\n".join(path.read_text() for path in makefiles)
        for document in documents():
            for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", document.read_text(), re.M):
                name = target[0] or target[1]
                with self.subTest(document=document.name, target=name):
                    self.assertRegex(rules, rf"(?m)^{name}:")

    def test_named_tests_exist(self):
        """`KIND/FILE`: `NAME`, `NAME`."""
        listed = subprocess.run([harness.PYTHON, harness.ROOT / "tests" / "run.py", "-l"], check=True,
                                capture_output=True, text=True).stdout.split()
        known = {(name.split(".")[0], name.rsplit(".", 1)[-1]) for name in listed}
        for source in (harness.ROOT / "tests" / "unit").glob("u_*.c"):
            known |= {(f"unit/{source.stem}", name) for name in re.findall(
                r"cmocka_unit_test\w*\((\w+)", source.read_text())}
        found = 0
        for document in documents():
            for file, names in re.findall(r"`(\w+/(?:test_|u_)\w+)`: ((?:`\w+`(?:, )?)+)",
                                          document.read_text()):
                for name in re.findall(r"\w+", names):
                    found += 1
                    with self.subTest(document=document.name, file=file, name=name):
                        self.assertIn((file, name), known)
        self.assertGreater(found, 100)

    def test_ci_script_is_whole(self):
        subprocess.run(["bash", "-n", harness.ROOT / ".ci" / "run"], check=True)
        subprocess.run(["sh", "-n", harness.ROOT / "deps.sh"], check=True)


if __name__ == "__main__":
    unittest.main()
