# SPDX-License-Identifier: Apache-2.0
# bench/imports.py - the start of a program that has loaded what a large one has.
# Knows: where an interpreter keeps its extension modules. Does not know: what is measured.
# Used by bench/attach.py and bench/tracker.py.
"""MODULES: source that imports all of the standard library's extension modules, some 60 libraries."""

MODULES = r"""
import importlib, os, sysconfig
folder = os.path.join(sysconfig.get_paths()["platstdlib"], "lib-dynload")
for name in sorted(name.split(".")[0] for name in os.listdir(folder)):
    if not name.startswith(("_test", "_xx", "xx", "_tkinter")):
        try:
            importlib.import_module(name)
        except ImportError:
            pass
"""
