# SPDX-License-Identifier: Apache-2.0
# tests/real/test_nginx.py - an nginx worker under wrk.
# Knows: nginx's configuration. Does not know: memtrace.
# Run by tests/run.py.
import gzip
import unittest
import urllib.request

import harness
import loaded

NEEDS = ["nginx", "wrk"]
TIMEOUT = 180
CONFIG = """
daemon off;
worker_processes 1;
pid {tmp}/nginx.pid;
error_log {tmp}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {tmp}/body; proxy_temp_path {tmp}/proxy; fastcgi_temp_path {tmp}/fcgi;
    uwsgi_temp_path {tmp}/uwsgi; scgi_temp_path {tmp}/scgi;
    types {{ text/html html; }}
    gzip on; gzip_min_length 100;
    server {{ listen 127.0.0.1:{port}; root {tmp}/www; }}
}}
"""


class Nginx(loaded.Server):
    SYMBOL = r"^ngx_http_\w+ \("

    def start(self):
        self.port = harness.free_port()
        (self.tmp / "www").mkdir()
        self.text = b"".join(b"<p>line %d</p>\n" % i for i in range(3000))
        (self.tmp / "www" / "page.html").write_bytes(self.text)
        (self.tmp / "nginx.conf").write_text(CONFIG.format(tmp=self.tmp, port=self.port))
        self.server = self.stack.enter_context(harness.start_target(
            ["nginx", "-p", self.tmp, "-e", self.tmp / "error.log", "-c", self.tmp / "nginx.conf"]))
        harness.wait_port(self.port)
        self.url = f"http://127.0.0.1:{self.port}/page.html"
        return harness.wait_for(lambda: loaded.children(self.server.pid))[-1]

    def ask(self):
        request = urllib.request.Request(self.url, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            if gzip.decompress(answer.read()) != self.text:
                raise AssertionError("another page")

    def load(self):
        return ["wrk", "--timeout", "20s", "-t", "1", "-c", "8", "-d", f"{self.seconds + 4}s",
                "-H", "Accept-Encoding: gzip", self.url]

    def check_load(self, result):
        super().check_load(result)
        self.assertRegex(result.out, r"\d+ requests in")
        self.assertNotRegex(result.out, r"Non-2xx|Socket errors", result)

    def stop(self):
        self.end_with(self.server)
        self.assertEqual((self.tmp / "error.log").read_text(), "")

    def test_under_load(self):
        self.whole(least=1000)


if __name__ == "__main__":
    unittest.main()
