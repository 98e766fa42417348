# SPDX-License-Identifier: Apache-2.0
# bench/workloads.py - ten kinds of Python programs, as small as they can be and still be that kind.
# Knows: what such programs do. Does not know: that somebody may record them.
# Started by bench/run.py: a line "NAME TIMES" on stdin is answered by "seconds".
"""What a workload imports is imported before it is timed: the first time is not to be counted."""

import asyncio
import json
import re
import sqlite3
import sys
import threading
import time
import zlib


def calls():
    """Many calls, few allocations."""
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    return fib(32)


def documents():
    """Large JSON documents, and blocks too large for the interpreter's own pools."""
    base = {"rows": [{"id": i, "name": f"name {i}", "tags": ["a" * (i % 50)] * 5,
                      "text": "x" * (600 + i % 900)} for i in range(400)]}
    total = 0
    for _ in range(75):
        text = json.dumps(base)
        total += len(json.loads(text)["rows"]) + len(text)
    return total


class Node:
    def __init__(self, value, left, right):
        self.value, self.left, self.right = value, left, right


def small():
    """Many small objects that live for a while."""
    def tree(depth):
        return Node(depth, tree(depth - 1), tree(depth - 1)) if depth else None
    kept = []
    for i in range(45):
        kept.append(tree(12))
        if len(kept) > 4:
            kept.pop(0)
        [(i, str(i), [i]) for i in range(9000)]
    return len(kept)


def deep():
    """Blocks from 200 Python frames down."""
    def down(n):
        if n:
            return down(n - 1)
        total = 0
        for i in range(100):
            total += len("".join([f"{i} {k}:" * 120 for k in range(20)]))
        return total
    return sum(down(200) for _ in range(300))


def between():
    """The same with frames of C code between: sort keys, callbacks of re.sub, map."""
    def block(value):
        return len(bytes(600 + value % 64))

    def by_sort(n):
        return sorted(range(3), key=lambda v: by_sub(n - 1) if v == 0 else block(v))[0]

    def by_sub(n):
        return len(re.sub("a", lambda m: str(by_map(n - 1)), "abcb"))

    def by_map(n):
        return sum(map(lambda v: by_sort(n - 1) if n > 0 and v == 0 else block(v), range(4)))
    return sum(by_map(60) for _ in range(900))


def arrays():
    import numpy
    total = 0.0
    for i in range(2300):
        a = numpy.arange(20000 + i, dtype=float)
        b = a * 2.0 + 1.0
        total += float((b[b > 100.0] - a.mean()).sum())
    return total


def threads():
    """Four threads that let the GIL go."""
    data = bytes(range(256)) * 4000

    def work():
        for i in range(50):
            packed = zlib.compress(data[: 500000 + i], 1)
            zlib.decompress(packed)
    running = [threading.Thread(target=work) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def handlers():
    """asyncio: requests through a stream of small tasks."""
    async def backend(number):
        await asyncio.sleep(0)
        return {"number": number, "body": "x" * (number % 2000)}

    async def handle(number):
        parts = await asyncio.gather(backend(number), backend(number + 1))
        return json.dumps(parts)

    async def serve():
        total = 0
        for i in range(500):
            answers = await asyncio.gather(*(handle(i + j) for j in range(20)))
            total += sum(map(len, answers))
        return total
    return asyncio.run(serve())


def database():
    """Bulk inserts into sqlite3 in memory."""
    for _ in range(2):
        base = sqlite3.connect(":memory:")
        base.execute("create table t (id integer primary key, name text, body text)")
        base.executemany("insert into t values (?, ?, ?)",
                         ((i, f"name {i}", "b" * (i % 400)) for i in range(120000)))
        base.execute("create index by_name on t (name)")
        base.execute("select count(*) from t where name like '%9%'").fetchall()
        base.close()


def django_client():
    import django
    from django.conf import settings
    if not settings.configured:
        settings.configure(
            SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEBUG=False,
            MIDDLEWARE=["django.middleware.common.CommonMiddleware",
                        "django.middleware.csrf.CsrfViewMiddleware"],
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}])
        django.setup()
    from django.test import Client
    return Client()


def page(request):
    from django.http import HttpResponse
    from django.template import engines
    template = engines["django"].from_string(
        "<ul>{% for row in rows %}<li>{{ row.name|upper }}: {{ row.value }}</li>{% endfor %}</ul>")
    rows = [{"name": f"row {i}", "value": i * 1.5} for i in range(30)]
    return HttpResponse(template.render({"rows": rows, "who": request.GET.get("who")}))


urlpatterns = []


def requests():
    """Django's request cycle in the process."""
    client = django_client()
    if not urlpatterns:
        from django.urls import path
        urlpatterns.append(path("page/", page))
    return sum(len(client.get("/page/", {"who": str(i)}).content) for i in range(250))


WORKLOADS = {f.__name__: f for f in (
    calls, documents, small, deep, between, arrays, threads, handlers, database, requests)}


def main():
    sys.setrecursionlimit(100000)
    print("ready", flush=True)
    for line in sys.stdin:
        name, times = line.split()
        begin = time.perf_counter()
        for _ in range(int(times)):
            WORKLOADS[name]()
        print(f"{time.perf_counter() - begin:.4f}", flush=True)


if __name__ == "__main__":
    # The URL configuration of Django is this module, whatever it was started as.
    sys.modules["workloads"] = sys.modules["__main__"]
    main()
