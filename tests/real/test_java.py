# SPDX-License-Identifier: Apache-2.0
# tests/real/test_java.py - an HTTP server on the JVM: a JIT, a collector, safepoints by signals.
# Knows: a page and its checksum. Does not know: memtrace.
# Run by tests/run.py.
import os
import time
import unittest
import urllib.request

import harness
import loaded
import session

NEEDS = ["java", "javac", "wrk"]
TIMEOUT = 240
SERVER = """
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.InetSocketAddress;
import java.util.*;
import java.util.concurrent.Executors;
import java.util.zip.*;

public class Server {
    static byte[] page() throws IOException {
        StringBuilder text = new StringBuilder();
        Map<Integer, String> rows = new TreeMap<>();
        for (int i = 0; i < 300; i++)
            rows.put(i * 7919 % 300, "row " + i);
        rows.forEach((k, v) -> text.append(k).append(' ').append(v).append('\\n'));
        byte[] plain = text.toString().getBytes("UTF-8");
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (OutputStream out = new GZIPOutputStream(packed)) {      // zlib, native memory
            out.write(plain);
        }
        byte[] back = new GZIPInputStream(new ByteArrayInputStream(packed.toByteArray())).readAllBytes();
        if (!Arrays.equals(plain, back))
            throw new IOException("not what was packed");
        return back;
    }

    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(
            new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
        server.setExecutor(Executors.newFixedThreadPool(3));
        server.createContext("/", exchange -> {
            byte[] answer;
            int code = 200;
            try {
                answer = page();
            } catch (Throwable broken) {
                answer = broken.toString().getBytes();
                code = 500;
            }
            exchange.sendResponseHeaders(code, answer.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(answer);
            }
        });
        server.start();
        System.out.println("ready");
    }
}
"""


BUFFERS = """
import java.util.zip.*;

public class Buffers {
    static int pack(int i) {
        Deflater d = new Deflater();                    // native memory
        d.setInput(new byte[100 + i % 50]);
        d.finish();
        int n = d.deflate(new byte[200]);
        d.end();
        return n;
    }

    static long work(int n) {
        long total = 0;
        for (int i = 0; i < n; i++)
            total += pack(i);
        return total;
    }

    public static void main(String[] args) throws Exception {
        long total = 0;
        for (int i = 0; ; i++) {
            total += work(200);
            if (i == 100)
                System.out.println("ready");
            Thread.sleep(1);
        }
    }
}
"""


class Compiled(unittest.TestCase):
    """With -XX:+PreserveFramePointer stacks go through what the JVM compiled and interprets."""

    def capture(self, *options):
        with harness.tmpdir() as tmp:
            (tmp / "Buffers.java").write_text(BUFFERS)
            harness.run(["javac", "-d", tmp, tmp / "Buffers.java"], check=0, timeout=120)
            with harness.start_target(["java", *options, "-cp", tmp, "Buffers"], wait="^ready",
                                      cwd=tmp) as target:
                name = f"/tmp/perf-{target.pid}.map"
                self.addCleanup(lambda: os.path.exists(name) and os.unlink(name))
                with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                    time.sleep(1)
                    harness.run(["jcmd", target.pid, "Compiler.perfmap"], check=0)
                    attach.interrupt()
                self.assertTrue(target.alive())
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--no-debuginfod")
        return [frames for frames, _ in rows if any("Deflater_init" in f for f in frames)]

    def test_frame_pointers(self):
        stacks = self.capture("-XX:+PreserveFramePointer")
        self.assertTrue(stacks)
        for frames in stacks:
            self.assertNotIn("<truncated>", frames)
            self.assertTrue(any("JavaCalls::call_helper" in f for f in frames), frames)
        text = "\n".join(";".join(frames) for frames in stacks)
        self.assertRegex(text, r"JavaCalls::call_helper.*;[^;]*Buffers\.(pack|work)\(int\) \(JIT\);.*Deflater_init")

    def test_no_frame_pointers(self):
        """Nothing is promised: the innermost frame, named, and the mark."""
        for frames in self.capture():
            self.assertEqual(frames[0], "<truncated>", frames)
            self.assertRegex(frames[2], "Deflater_init")


class Java(loaded.Server):
    SYMBOL = r"\(libjvm\.so\)|\(libzip\.so\)|\(libjli\.so\)|\(libz\.so"

    def start(self):
        self.port = harness.free_port()
        (self.tmp / "Server.java").write_text(SERVER)
        harness.run(["javac", "-d", self.tmp, self.tmp / "Server.java"], check=0, timeout=120)
        self.server = self.stack.enter_context(harness.start_target(
            ["java", "-Xmx200m", f"-XX:ErrorFile={self.tmp}/hs_err.log", "-cp", self.tmp, "Server",
             self.port], cwd=self.tmp, wait="^ready"))
        self.answer = None
        return self.server.pid

    def ask(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as answer:
            got = answer.read()
        self.answer = self.answer or got
        if got != self.answer or got.count(b"\n") != 300:
            raise AssertionError(f"another answer: {got[:200]}")

    def load(self):
        return ["wrk", "--timeout", "20s", "-t", "1", "-c", "3", "-d", f"{self.seconds + 4}s",
                f"http://127.0.0.1:{self.port}/"]

    def check_load(self, result):
        super().check_load(result)
        self.assertNotRegex(result.out, r"Non-2xx|Socket errors", result)

    def stop(self):
        self.assertFalse((self.tmp / "hs_err.log").exists())
        self.end_with(self.server, code=143)        # as the JVM answers SIGTERM

    def test_under_load(self):
        self.whole(least=100)


if __name__ == "__main__":
    unittest.main()
