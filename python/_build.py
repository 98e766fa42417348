# SPDX-License-Identifier: Apache-2.0
# python/_build.py - makes the wheel: the package, the program and the library in it.
# Knows: zip files, the wheel format, make. Does not know: C, what the package does.
# Called by pip (PEP 517, PEP 660); needs nothing but Python and what building memtrace needs.
"""The build backend of pyproject.toml. It lives in the tree and needs no other package, so that
`pip install ./python` works without a network. `make` in the folder above builds the program; the
environment's O= names another build folder. One wheel serves every version of Python: nothing in
it is compiled against one."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# Where in the package, and its name in the build folder.
BINARIES = {"memtrace/bin/memtrace": "memtrace", "memtrace/bin/libmemtrace.so.1": "libmemtrace.so.1"}
TAG = "py3-none-linux_x86_64"


def _project():
    """name, version, ... and the tables of entry points, of the lines pyproject.toml has."""
    section, found = None, {}
    with open(os.path.join(HERE, "pyproject.toml"), encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("["):
                section = line.strip().strip("[]")
            match = re.match(r'([\w-]+) = "(.*)"$', line.strip())
            if match:
                found.setdefault(section, {})[match.group(1)] = match.group(2)
    return found


def _binaries():
    """{place in the package: file}, built when they are not there or not new."""
    build = os.path.join(ROOT, os.environ.get("O", "build"))
    if os.path.exists(os.path.join(ROOT, "Makefile")):
        subprocess.run(["make", "--no-print-directory", "-C", ROOT, "-j", str(os.cpu_count() or 1),
                        "all"], check=True)
    return {place: os.path.join(build, name) for place, name in BINARIES.items()}


def _stripped(path, folder):
    """Without debug information where there is a strip: a tenth of the size."""
    out = os.path.join(folder, os.path.basename(path))
    if not shutil.which("strip") or subprocess.run(["strip", "-o", out, path]).returncode:
        shutil.copyfile(path, out)
    return out


def _sources():
    for folder, _, names in os.walk(os.path.join(HERE, "memtrace")):
        for name in sorted(names):
            if name.endswith((".py", ".pyi")) or name == "py.typed":
                path = os.path.join(folder, name)
                yield os.path.relpath(path, HERE), path


def _metadata(project):
    p = project["project"]
    return "".join(f"{key}: {value}\n" for key, value in [
        ("Metadata-Version", "2.1"), ("Name", p["name"]), ("Version", p["version"]),
        ("Summary", p["description"]), ("License", "Apache-2.0"),
        ("Requires-Python", p["requires-python"])])


def _entry_points(project):
    text = ""
    for section, title in (("project.scripts", "console_scripts"),
                           ("project.entry-points.pytest11", "pytest11")):
        text += f"[{title}]\n" + "".join(f"{k} = {v}\n" for k, v in project[section].items()) + "\n"
    return text


class _Wheel:
    def __init__(self, path):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def add(self, name, data, mode=0o644):
        info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (0o100000 | mode) << 16
        self.zip.writestr(info, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}\n")

    def close(self, dist_info):
        record = f"{dist_info}/RECORD"
        self.record.append(f"{record},,\n")
        self.zip.writestr(record, "".join(self.record))
        self.zip.close()


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _write_wheel(directory, files):
    """files: (name, bytes, mode); the rest is the same for every wheel."""
    project = _project()
    name, version = project["project"]["name"], project["project"]["version"]
    dist_info = f"{name}-{version}.dist-info"
    file = f"{name}-{version}-{TAG}.whl"
    wheel = _Wheel(os.path.join(directory, file))
    for item in files:
        wheel.add(*item)
    wheel.add(f"{dist_info}/METADATA", _metadata(project).encode())
    wheel.add(f"{dist_info}/entry_points.txt", _entry_points(project).encode())
    wheel.add(f"{dist_info}/WHEEL", (f"Wheel-Version: 1.0\nGenerator: memtrace {version}\n"
                                     f"Root-Is-Purelib: false\nTag: {TAG}\n").encode())
    wheel.close(dist_info)
    return file


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with tempfile.TemporaryDirectory() as tmp:
        files = [(name, _read(path), 0o644) for name, path in _sources()]
        files += [(name, _read(_stripped(path, tmp)), 0o755) for name, path in _binaries().items()]
        return _write_wheel(wheel_directory, files)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _binaries()
    return _write_wheel(wheel_directory, [("memtrace.pth", f"{HERE}\n".encode(), 0o644)])


def build_sdist(sdist_directory, config_settings=None):
    raise RuntimeError("memtrace is built in its source tree: there is no sdist of the package alone")


def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel
