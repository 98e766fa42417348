# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_other_libc.py - programs of older and newer Debian releases, watched from the host.
# Knows: harness.rootfs(), how to link with another release's C library. Does not know: memtrace's ways.
# Run by tests/run.py. Needs the network once; the roots are kept in the build folder.
import unittest
from pathlib import Path

import harness
import test_namespaces as rooms

TIMEOUT = 600		# the first run fetches some packages
NEEDS = ["apt-get", "chroot", "dpkg-deb"]

SUITES = {
    # Its dlopen is in libdl, which a program need not have loaded.
    "bullseye": "glibc 2.31, Python 3.9",
    "trixie": "glibc 2.41, Python 3.13",
}


def root_of(test, suite):
    return harness.rootfs(test, suite, "python3-minimal")


def link_with(root):
    """tests/targets/rooms.c for the C library of that root, which has no compiler."""
    # Debian 12 moved all of it to /usr.
    libraries = next(folder for folder in (root / "lib/x86_64-linux-gnu",
                                           root / "usr/lib/x86_64-linux-gnu")
                     if (folder / "libc.so.6").exists())
    here = Path(harness.run(["gcc", "-print-file-name=crt1.o"], check=0).out.strip()).parent
    # Before glibc 2.34 threads have a library of their own, another file in each package.
    pthread = libraries / "libpthread.so.0"
    old = not (libraries / "libc.so.6").resolve().name == "libc.so.6"
    return harness.compile_c(
        "rooms.c", name=f"rooms-{root.name}",
        flags=["-O1", "-D_GNU_SOURCE", "-nostdlib", here / "crt1.o", here / "crti.o",
               *([pthread] if old else []), libraries / "libc.so.6",
               libraries / "ld-linux-x86-64.so.2", here / "crtn.o"])


class OtherLibc(rooms.InARoom):
    def in_root(self, root, argv):
        with harness.start_target(["chroot", root, *argv], stdin=True, wait="^ready") as target:
            mapped = "\n".join(harness.maps(target.pid))
            self.assertIn(str(root), mapped, "it runs with that root's libraries")
            self.cycle(target, target.pid, root=root)
            return mapped

    def python(self, suite):
        self.in_root(root_of(self, suite), ["/usr/bin/python3", "-c", rooms.PYTHON_WORK])

    def program(self, suite):
        root = root_of(self, suite)
        program = link_with(root)
        inside = root / "tmp" / program.name
        inside.parent.mkdir(exist_ok=True)
        inside.write_bytes(program.read_bytes())
        inside.chmod(0o755)
        mapped = self.in_root(root, [f"/tmp/{program.name}"])
        # So the old one has no dlopen that could be called.
        self.assertNotIn("libdl", mapped)


def add_cases(suite):
    def test_python(self):
        self.python(suite)

    def test_program(self):
        self.program(suite)
    setattr(OtherLibc, f"test_python_of_{suite}", test_python)
    setattr(OtherLibc, f"test_program_of_{suite}", test_program)


for suite_name in SUITES:
    add_cases(suite_name)


if __name__ == "__main__":
    unittest.main()
