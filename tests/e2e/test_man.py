# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_man.py - the manual pages say what --help says, and describe the file as it is.
# Knows: man's source language as far as our pages use it. Does not know: what options do.
# Called by tests/run.py.
import json
import re
import shutil
import unittest

import harness

PAGES = harness.ROOT / "docs" / "man"


def commands():
    """{name: one-line help} of `memtrace --help`."""
    text = harness.memtrace("--help").out
    listed = text.partition("commands:\n")[2].partition("\n\n")[0]
    return dict(line.split(maxsplit=1) for line in listed.splitlines())


def source(name, section=1):
    return (PAGES / f"{name}.{section}").read_text().replace("\\-", "-")


def page_options(text):
    """Option names in the OPTIONS section: the bold words that head a paragraph."""
    section = re.search(r"^\.SH OPTIONS\n(.*?)(?=^\.SH )", text, re.M | re.S)
    heads = re.findall(r"^\.TP\n(.*)$", section[1] if section else "", re.M)
    return {name for head in heads for name in re.findall(r"\\fB(--?[^\\]+)\\fR", head)}


def help_options(text):
    """Option names in argp's help: at the start of an indented line, after the usage."""
    names = set()
    for line in text.splitlines():
        match = re.match(r"^ {2,6}(-\S.*?)(?: {2,}|$)", line)
        if match:
            names.update(re.findall(r"(?<![\w-])(--?[\w?][\w-]*)", match[1]))
    return names


def keys(value):
    """Names of fields at any depth; those of a map from names are not fields."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    found = set(value)
    for key, below in value.items():
        if key not in ("allocator_type_distribution", "events_by_kind"):
            found |= keys(below)
    return found


class Man(unittest.TestCase):
    def test_every_command_has_a_page(self):
        names = {f"memtrace-{name}.1" for name in commands()}
        self.assertGreater(len(names), 5)
        there = {path.name for path in PAGES.glob("memtrace-*.1")}
        self.assertEqual(there, names)

    def test_pages_name_the_commands_as_help_does(self):
        for name, text in commands().items():
            with self.subTest(command=name):
                short = re.search(r"^\.SH NAME\n(.*)$", source(f"memtrace-{name}"), re.M)[1]
                self.assertTrue(short.startswith(f"memtrace-{name} - "), short)
                self.assertIn(f"*{name}*".strip("*"), source("memtrace"))
                self.assertTrue(text)

    def test_options(self):
        for name in commands():
            with self.subTest(command=name):
                told = help_options(harness.memtrace(name, "--help").out)
                self.assertIn("--help", told)
                self.assertEqual(page_options(source(f"memtrace-{name}")), told)

    def test_pages_are_well_formed(self):
        if not shutil.which("man"):
            self.skipTest("no man here")
        for path in sorted(PAGES.iterdir()):
            with self.subTest(page=path.name):
                result = harness.run(["man", "--warnings=w", "-l", path], env={"MANPAGER": "cat"})
                self.assertEqual((result.code, result.err), (0, ""))
                self.assertGreater(len(result.out), 500)

    def test_page_of_the_format_follows_the_header(self):
        """Names of keys, counters and block types in capture/format.h are in the page."""
        header = (harness.ROOT / "capture" / "format.h").read_text()
        page = source("memtrace-capture", 5)
        keys = re.findall(r'#define CAPTURE_(?:META|COUNTER)_\w+\s+"(\w+)"', header)
        self.assertGreater(len(keys), 15)
        for key in keys:
            with self.subTest(key=key):
                self.assertRegex(page, rf"\b{key}\b")
        blocks = re.search(r"enum capture_block_type \{(.*?)\};", header, re.S)[1]
        for number, name in enumerate(re.findall(r"^\s*CAPTURE_BLOCK_(\w+)", blocks, re.M), 1):
            with self.subTest(block=name):
                self.assertIn(f".B {number} {name}\n", page)

    def test_json(self):
        """memtrace-json(5) has every field that is written, and no other."""
        page = source("memtrace-json", 5)
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            harness.memtrace("run", "-q", "-o", cap, "--", harness.PYTHON, "-c", "pass")
            for name, files in (("stats", [cap]), ("leaks", [cap]), ("diff", [cap, cap]), ("info", [cap])):
                with self.subTest(command=name):
                    section = re.search(rf"^\.SH memtrace {name} --json\n(.*?)(?=^\.SH )", page, re.M | re.S)[1]
                    told = set(re.findall(r"\\fB(\w+)\\fR", section))
                    there = keys(json.loads(harness.memtrace(name, "--json", *files).out))
                    self.assertEqual(there - told, set())
                    # What a sample has, and what there is only when something was not well.
                    self.assertLessEqual(told - there, {"sample_bytes", "note"})

    def complete(self, *words):
        """What bash offers for the last word."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _memtrace; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        result = harness.run(["bash", "-c", script, "bash",
                              harness.ROOT / "docs/completion/memtrace.bash",
                              harness.MEMTRACE, *words], check=0)
        return set(result.out.split())

    def test_completion(self):
        self.assertEqual(self.complete(""), set(commands()))
        self.assertEqual(self.complete("sym"), {"symbolize"})
        self.assertEqual(self.complete("summary", "--view", "l"), {"leaks"})
        self.assertEqual(self.complete("transform", "s"), {"speedscope", "sql", "sqlite"})
        for name in commands():
            with self.subTest(command=name):
                told = help_options(harness.memtrace(name, "--help").out)
                self.assertEqual(self.complete(name, "--"),
                                 {option for option in told if option.startswith("--")})


if __name__ == "__main__":
    unittest.main()
