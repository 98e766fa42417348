# SPDX-License-Identifier: Apache-2.0
# tests/real/test_node.py - a Node.js HTTP server: a JIT, worker threads, its own C++ runtime.
# Knows: a page and its checksum. Does not know: memtrace.
# Run by tests/run.py.
import json
import os
import re
import time
import unittest
import urllib.request

import harness
import loaded
import session

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


BUFFERS = """
function fill(n) { const all = []; for (let i = 0; i < n; i++) all.push(Buffer.allocUnsafeSlow(20000 + i)); return all; }
function work() { let bytes = 0; for (const b of fill(50)) bytes += b.length; return bytes; }
let total = 0;
function turn() { for (let i = 0; i < 20; i++) total += work(); setTimeout(turn, 5); }
turn();
setTimeout(() => console.log('ready'), 1000);
process.on('SIGTERM', () => process.exit(0));
"""


class JavaScript(unittest.TestCase):
    """V8 keeps frame pointers, so stacks go through what it compiled; --perf-basic-prof names it."""

    def capture(self, *options):
        with harness.tmpdir() as tmp:
            (tmp / "buffers.js").write_text(BUFFERS)
            with harness.start_target(["node", *options, tmp / "buffers.js"], cwd=tmp,
                                      wait="^ready") as target:
                self.addCleanup(lambda: os.path.exists(name) and os.unlink(name))
                name = f"/tmp/perf-{target.pid}.map"
                with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                    time.sleep(1)
                    attach.interrupt()
                self.assertEqual(target.stop(), 0)
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--no-debuginfod")
        return [frames for frames, _ in rows if any("Buffer::" in f for f in frames)]

    def assert_whole(self, stacks):
        """From the program's start into C++, through JavaScript, into C++ again."""
        self.assertTrue(stacks)
        for frames in stacks:
            self.assertRegex(frames[0], r"^(_start|__libc_start_main|main)", frames)
            self.assertTrue(any(f.startswith("node::Start") for f in frames), frames)

    def test_named(self):
        # What is inlined has no frame.
        stacks = self.capture("--perf-basic-prof", "--interpreted-frames-native-stack", "--no-turbo-inlining")
        self.assert_whole(stacks)
        text = "\n".join(";".join(frames) for frames in stacks)
        self.assertRegex(text, r"turn \(.*buffers\.js:5\);(.*;)?work \(.*buffers\.js:3\);(.*;)?fill \(.*buffers\.js:2\)")

    def test_without_a_map(self):
        stacks = self.capture()
        self.assert_whole(stacks)
        self.assertTrue(any(re.match("0x[0-9a-f]+$", f) for frames in stacks for f in frames))


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
