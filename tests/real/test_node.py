# SPDX-License-Identifier: Apache-2.0
# tests/real/test_node.py - a Node.js HTTP server: a JIT, worker threads, its own C++ runtime.
# Knows: a page and its checksum. Does not know: memtrace.
# Run by tests/run.py.
import json
import unittest
import urllib.request

import harness
import loaded

NEEDS = ["node", "wrk"]
TIMEOUT = 180
SERVER = """
const http = require('http'), zlib = require('zlib'), crypto = require('crypto');
const server = http.createServer((request, response) => {
  const rows = Array.from({length: 200}, (_, i) => ({id: i, name: 'row ' + i}));
  const text = JSON.stringify(rows);
  zlib.gzip(text, (error, packed) => {
    const back = zlib.gunzipSync(packed).toString();
    const sum = crypto.createHash('sha256').update(back).digest('hex');
    response.setHeader('Content-Type', 'application/json');
    response.statusCode = error || back !== text ? 500 : 200;
    response.end(JSON.stringify({sum, bytes: Buffer.alloc(20000, 'x').length}));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
process.on('uncaughtException', (error) => { console.error(error); process.exit(9); });
process.on('SIGTERM', () => process.exit(0));
"""


class Node(loaded.Server):
    SYMBOL = r"^(uv_|uv__|node::|v8::)"

    def start(self):
        self.port = harness.free_port()
        (self.tmp / "server.js").write_text(SERVER)
        self.server = self.stack.enter_context(harness.start_target(
            ["node", self.tmp / "server.js", self.port], wait="^ready"))
        self.answer = None
        return self.server.pid

    def ask(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as answer:
            got = json.load(answer)
        self.answer = self.answer or got
        if got != self.answer or got["bytes"] != 20000 or len(got["sum"]) != 64:
            raise AssertionError(f"another answer: {got}")

    def load(self):
        return ["wrk", "--timeout", "20s", "-t", "1", "-c", "4", "-d", f"{self.seconds + 4}s",
                f"http://127.0.0.1:{self.port}/"]

    def check_load(self, result):
        super().check_load(result)
        self.assertRegex(result.out, r"\d+ requests in")
        self.assertNotRegex(result.out, r"Non-2xx|Socket errors", result)

    def stop(self):
        self.end_with(self.server)
        self.assertEqual(self.server.err, "")

    def test_under_load(self):
        self.whole(least=1000)


if __name__ == "__main__":
    unittest.main()
