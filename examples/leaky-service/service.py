#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# examples/leaky-service/service.py - a small photo shop over HTTP, with three planted memory faults.
# Knows: HTTP, its SQLite database. Does not know: that somebody watches its memory.
# Started by demo.sh and by hand; driver.py makes its load. README.md tells where the faults are.
"""GET  /search?q=WORDS   a page of products whose name contains the words
GET  /product/ID       one product, as JSON
POST /photo/ID         a photo (the body); answers its checksum and thumbnail size as JSON
GET  /photos/ID        the photos of a product, as JSON
GET  /report           sales per product, as CSV
GET  /health           "ok"
"""

import argparse
import ctypes
import hashlib
import html
import json
import random
import signal
import sqlite3
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PRODUCTS = 400
THUMBNAIL_SIDE = 64        # pixels; four bytes each
ADJECTIVES = "red green blue old new small large plain fancy quiet".split()
NOUNS = "chair table lamp shelf clock mirror rug vase bench frame".split()

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]


class Shop:
    """The database. SQLite connections belong to their thread, so each thread opens its own."""

    def __init__(self, path):
        self.path = path
        self.local = threading.local()
        self.lock = threading.Lock()      # SQLite takes one writer at a time
        with self.lock:
            self.fill(self.connection())

    def connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = sqlite3.connect(self.path, timeout=30)
        return self.local.connection

    @staticmethod
    def fill(db):
        dice = random.Random(1)
        db.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = OFF;
            CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, sold INTEGER);
            CREATE TABLE photo (id INTEGER PRIMARY KEY, product INTEGER, checksum TEXT, size INTEGER);
            CREATE INDEX photo_product ON photo (product);
        """)
        db.executemany(
            "INSERT INTO product VALUES (?, ?, ?, ?)",
            [(i, f"{dice.choice(ADJECTIVES)} {dice.choice(NOUNS)} no. {i}",
              dice.randrange(100, 100000), dice.randrange(1000)) for i in range(1, PRODUCTS + 1)])
        db.commit()

    def search(self, words):
        return self.connection().execute(
            "SELECT id, name, price FROM product WHERE name LIKE ? ORDER BY id",
            (f"%{words}%",)).fetchall()

    def product(self, number):
        return self.connection().execute(
            "SELECT id, name, price, sold FROM product WHERE id = ?", (number,)).fetchone()

    def add_photo(self, number, checksum, size):
        with self.lock, self.connection() as db:
            return db.execute("INSERT INTO photo (product, checksum, size) VALUES (?, ?, ?)",
                              (number, checksum, size)).lastrowid

    def photos(self, number):
        return self.connection().execute(
            "SELECT id, checksum, size FROM photo WHERE product = ? ORDER BY id", (number,)).fetchall()

    def sales(self):
        return self.connection().execute("SELECT id, name, price * sold FROM product").fetchall()


# ---- planted fault 1: a cache that never evicts ----

page_cache = {}


def render_search_page(words, rows):
    items = "".join(
        f'<li class="product"><a href="/product/{number}">{html.escape(name)}</a>'
        f'<span class="price">{price / 100:.2f}</span></li>\n' for number, name, price in rows)
    return (f"<!doctype html><title>{html.escape(words)}</title><h1>{html.escape(words)}</h1>\n"
            f"<p>{len(rows)} found</p>\n<ul>\n{items}</ul>\n").encode()


def cached_search_page(shop, key, words):
    """Keyed by the whole query string, which carries a session number: nearly every key is new,
    and none ever leaves."""
    page = page_cache.get(key)
    if page is None:
        page = page_cache[key] = render_search_page(words, shop.search(words))
    return page


# ---- planted fault 2: native memory that nobody frees ----

def make_thumbnail(photo):
    """Scales a photo down into a buffer of C memory, as an image library's binding would, and
    drops the pointer."""
    size = THUMBNAIL_SIDE * THUMBNAIL_SIDE * 4
    pixels = libc.malloc(size)
    if not pixels:
        raise MemoryError
    step = max(1, len(photo) // size)
    small = photo[::step][:size]
    ctypes.memset(pixels, 0, size)
    ctypes.memmove(pixels, small, len(small))
    return size


# ---- planted fault 3: a big temporary, built and dropped by every request ----

def build_access_log_line(handler):
    """One line of log for a request, cut from a text padded to a size nobody needs."""
    padded = bytearray(2 * 1024 * 1024)
    line = f"{handler.client_address[0]} {handler.command} {handler.path}\n".encode()
    padded[:len(line)] = line
    return bytes(padded[:len(line)])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "photo-shop/1"
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        shop = self.server.shop
        kind, _, rest = url.path.lstrip("/").partition("/")
        if kind == "search":
            words = parse_qs(url.query).get("q", [""])[0]
            self.answer(cached_search_page(shop, url.query, words), "text/html")
        elif kind == "product" and rest.isdecimal():
            row = shop.product(int(rest))
            if row:
                self.answer_json(dict(zip(("id", "name", "price", "sold"), row)))
            else:
                self.answer(b"no such product\n", "text/plain", 404)
        elif kind == "photos" and rest.isdecimal():
            self.answer_json([dict(zip(("id", "checksum", "size"), row))
                              for row in shop.photos(int(rest))])
        elif kind == "report":
            lines = [f'{number},"{name}",{total}' for number, name, total in shop.sales()]
            self.answer("\n".join(["id,name,total", *lines, ""]).encode(), "text/csv")
        elif kind == "health":
            self.answer(b"ok\n", "text/plain")
        else:
            self.answer(b"no such page\n", "text/plain", 404)

    def do_POST(self):
        kind, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        photo = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if kind != "photo" or not rest.isdecimal():
            self.answer(b"no such page\n", "text/plain", 404)
            return
        checksum = hashlib.sha256(photo).hexdigest()
        number = self.server.shop.add_photo(int(rest), checksum, len(photo))
        self.answer_json({"id": number, "checksum": checksum, "size": len(photo),
                          "thumbnail": make_thumbnail(photo)}, 201)

    def answer_json(self, value, status=200):
        self.answer(json.dumps(value).encode(), "application/json", status)

    def answer(self, body, content_type, status=200):
        self.server.log(build_access_log_line(self))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass        # build_access_log_line does it


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, shop, log_file):
        super().__init__(address, Handler)
        self.shop, self.log_file = shop, log_file

    def log(self, line):
        if self.log_file:
            self.log_file.write(line)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):     # a client that went away
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080, help="0: any free one (default 8080)")
    parser.add_argument("--log", type=Path, help="file for one line per request")
    options = parser.parse_args()
    # Before any thread starts, so that none takes the signal away from sigwait below.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    with tempfile.TemporaryDirectory(prefix="photo-shop-") as folder:
        log_file = options.log.open("wb", buffering=0) if options.log else None
        with Server(("127.0.0.1", options.port), Shop(Path(folder) / "shop.db"), log_file) as server:
            print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
            thread = threading.Thread(target=server.serve_forever, name="accept")
            thread.start()
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
            server.shutdown()
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
