#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# bench/symbols.py - names of 100,000 addresses over 300 modules with debug information.
# Knows: compilers, bench/symbols.c. Does not know: captures.
#
#	bench/symbols.py [-n ADDRESSES] [-m MODULES] [-r ROUNDS]
#
# Half of the modules are libmemtrace.so.1 (C), half a library of C++ templates; each copy has a
# build-id of its own, so that nothing is read once for two.
import argparse
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("O", "build")

CPP = r"""
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>
template <int N> struct Shop {
	std::map<int, std::string> shelf;
	std::unordered_map<std::string, std::vector<double>> prices;
	std::string order(const std::string &what)
	{
		static const std::regex words("([a-z]+)-([0-9]+)");
		std::smatch m;
		std::ostringstream out;
		if (std::regex_match(what, m, words))
			prices[m[1]].push_back(std::stod(m[2]) * N);
		for (auto &p : prices) {
			std::sort(p.second.begin(), p.second.end(), [](double a, double b) { return a > b + N; });
			out << p.first << p.second.size() << shelf[(int)p.second.size() + N];
		}
		return out.str();
	}
};
#define SHOP(n) extern "C" std::string shop##n(const char *s) { return Shop<n>().order(s); }
"""


def make_modules(folder, count):
    (folder / "shop.cc").write_text(CPP + "".join(f"SHOP({n})\n" for n in range(24)))
    shop = folder / "shop.so"
    subprocess.run(["g++", "-O2", "-g", "-shared", "-fPIC", "-Wl,--build-id=sha1", "-o", shop,
                    folder / "shop.cc"], check=True)
    made = []
    for i in range(count):
        note = folder / "id"
        note.write_bytes(b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0" + b"%020d" % i)
        made.append(folder / f"module{i}.so")
        subprocess.run(["objcopy", "--update-section", f".note.gnu.build-id={note}",
                        shop if i % 2 else BUILD / "libmemtrace.so.1", made[-1]], check=True)
    return made


def main():
    parser = argparse.ArgumentParser(description="names of many addresses over many modules")
    parser.add_argument("-n", type=int, default=100000, help="addresses (100000)")
    parser.add_argument("-m", type=int, default=300, help="modules (300)")
    parser.add_argument("-r", type=int, default=3, help="rounds (3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memtrace-bench-") as tmp:
        modules = make_modules(Path(tmp), args.m)
        size = sum(m.stat().st_size for m in modules)
        print(f"# {len(modules)} modules of {size >> 20} MiB, load average {os.getloadavg()[0]:.1f}",
              flush=True)
        for _ in range(args.r):
            subprocess.run([BUILD / "bench" / "symbols", str(args.n), *modules], check=True,
                           env={**os.environ, "TMPDIR": tmp})


if __name__ == "__main__":
    main()
