# SPDX-License-Identifier: Apache-2.0
# tests/real/test_redis.py - redis-server (jemalloc) under redis-benchmark.
# Knows: the Redis protocol's simplest words. Does not know: memtrace.
# Run by tests/run.py.
import itertools
import socket
import unittest

import harness
import loaded

NEEDS = ["redis-server", "redis-benchmark"]
TIMEOUT = 180


class Redis(loaded.Server):
    SYMBOL = r"^(processCommand|call) \("

    def start(self):
        self.port = harness.free_port()
        self.server = self.stack.enter_context(harness.start_target(
            ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", self.tmp, "--daemonize", "no"]))
        harness.wait_port(self.port)
        self.number = itertools.count()
        self.socket = self.stack.enter_context(
            socket.create_connection(("127.0.0.1", self.port), timeout=20))
        self.file = self.socket.makefile("rwb")
        return self.server.pid

    def say(self, *words):
        """One command, its bulk or simple answer."""
        data = b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        self.file.write(b"*%d\r\n%s" % (len(words), data))
        self.file.flush()
        line = self.file.readline()
        if line.startswith(b"$"):
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line.rstrip()

    def ask(self):
        value = b"%d-" % next(self.number) * 200
        if self.say(b"SET", b"test", value) != b"+OK" or self.say(b"GET", b"test") != value:
            raise AssertionError("GET is not what was SET")

    def load(self):
        return ["timeout", "--preserve-status", "-s", "INT", str(self.seconds + 4),
                "redis-benchmark", "-h", "127.0.0.1", "-p", self.port, "-c", "20", "-d", "200",
                "-r", "10000", "-n", "100000", "-t", "set,get,lpush,lpop,sadd,hset", "-l", "-q"]

    def check_load(self, result):
        self.assertNotRegex(result.out + result.err, r"(?i)error|refused|reset|closed")

    def stop(self):
        self.assertNotIn(b"error", self.say(b"INFO", b"server").lower())
        self.end_with(self.server)
        self.assertFalse([x for x in self.server.lines if "crash" in x.lower() or "BUG" in x])

    def test_under_load(self):
        self.whole(least=10000)


if __name__ == "__main__":
    unittest.main()
