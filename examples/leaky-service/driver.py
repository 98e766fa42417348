#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# examples/leaky-service/driver.py - load for service.py; checks every answer.
# Knows: HTTP, what the service must answer. Does not know: memory.
# Started by demo.sh, by tests and by hand; exits 1 when one answer was wrong or missing.
"""Prints one line of JSON at the end: requests, errors, seconds and the first error."""

import argparse
import hashlib
import http.client
import json
import random
import sys
import threading
import time


class Client(threading.Thread):
    def __init__(self, number, options, deadline):
        super().__init__(name=f"client-{number}")
        self.number, self.options, self.deadline = number, options, deadline
        self.dice = random.Random(number)
        self.done, self.errors, self.first_error = 0, 0, None
        self.connection = None

    def run(self):
        actions = [self.search] * 6 + [self.product] * 3 + [self.photo] * 4 + [self.report]
        pause = self.options.threads / self.options.rate if self.options.rate else 0
        due = time.monotonic()
        while time.monotonic() < self.deadline:
            self.attempt(self.dice.choice(actions))
            due += pause
            if pause:
                time.sleep(max(0, min(due, self.deadline) - time.monotonic()))
        if self.connection:
            self.connection.close()

    def attempt(self, action):
        self.done += 1
        try:
            action()
        except Exception as error:
            self.errors += 1
            self.first_error = self.first_error or f"{action.__name__}: {error!r}"
            if self.connection:
                self.connection.close()
            self.connection = None

    def ask(self, method, path, body=None, status=200):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.options.port, timeout=30)
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        data = answer.read()
        expect(answer.status == status, f"{method} {path}: status {answer.status}")
        if self.dice.random() < 0.02:        # some clients come back on a new connection
            self.connection.close()
            self.connection = None
        return data

    def search(self):
        words = self.dice.choice(["chair", "red", "no. 1", "no. 2", "e", "nothing at all"])
        session = self.dice.randrange(1 << 48)
        page = self.ask("GET", f"/search?q={words.replace(' ', '+')}&session={session:x}").decode()
        found = page.count('<li class="product">')
        expect(f"<p>{found} found</p>" in page and page.endswith("</ul>\n"), "search: a broken page")
        expect((found > 0) == (words != "nothing at all"), f"search: {found} of {words!r}")

    def product(self):
        number = self.dice.randrange(1, 401)
        answer = json.loads(self.ask("GET", f"/product/{number}"))
        expect(answer["id"] == number and answer["name"].endswith(f"no. {number}"), "product")

    def photo(self):
        number = 1000000 * (self.number + 1) + self.done       # ours alone
        photo = self.dice.randbytes(self.dice.randrange(20000, 60000))
        checksum = hashlib.sha256(photo).hexdigest()
        answer = json.loads(self.ask("POST", f"/photo/{number}", photo, 201))
        expect(answer["checksum"] == checksum and answer["size"] == len(photo), "photo: checksum")
        stored = json.loads(self.ask("GET", f"/photos/{number}"))
        expect(stored == [{"id": answer["id"], "checksum": checksum, "size": len(photo)}],
               "photo: not stored")

    def report(self):
        lines = self.ask("GET", "/report").decode().splitlines()
        expect(len(lines) == 401 and lines[0] == "id,name,total", "report")


def expect(good, text):
    if not good:
        raise ValueError(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rate", type=float, default=150,
                        help="requests a second of all threads; 0: as many as go (default 150)")
    options = parser.parse_args()
    begin = time.monotonic()
    clients = [Client(i, options, begin + options.seconds) for i in range(options.threads)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    errors = sum(client.errors for client in clients)
    print(json.dumps({
        "requests": sum(client.done for client in clients), "errors": errors,
        "seconds": round(time.monotonic() - begin, 2),
        "first_error": next((c.first_error for c in clients if c.first_error), None)}))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
