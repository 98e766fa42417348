# SPDX-License-Identifier: Apache-2.0
# tests/unwind/targets/busy.py - the interpreter and its libraries, for ever.
import functools
import hashlib
import json
import re
import sqlite3
import zlib

db = sqlite3.connect(":memory:")
db.execute("create table t(a, b)")
db.create_function("f", 1, lambda x: len(json.dumps({"x": x})))


def generate(n):
    if n:
        yield from generate(n - 1)
    yield n


def deep(n):
    return n and 1 + deep(n - 1)


while True:
    db.execute("insert into t values(?, ?)", (1, "x" * 50))
    db.execute("select sum(f(b)) from t").fetchone()
    sorted(range(50), key=functools.cmp_to_key(lambda a, b: b - a))
    list(generate(30))
    deep(200)
    zlib.compress(b"abc" * 500)
    re.sub("a(b+)", lambda m: m[1], "abbb" * 20)
    hashlib.sha256(b"x" * 100).digest()
    json.loads(json.dumps([1.5] * 20))
    db.execute("delete from t where rowid % 50 = 0")
