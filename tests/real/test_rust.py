# SPDX-License-Identifier: Apache-2.0
# tests/real/test_rust.py - a server written in Rust: threads, its own start, mangled names.
# Knows: an answer that can be computed. Does not know: memtrace.
# Run by tests/run.py.
import itertools
import socket
import unittest

import harness
import loaded

NEEDS = ["rustc"]
TIMEOUT = 180
SERVER = """
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

#[inline(never)]
fn count_words(text: &str) -> BTreeMap<String, usize> {
    let mut words = BTreeMap::new();
    for word in text.split(' ') {
        *words.entry(word.to_string()).or_insert(0) += 1;
    }
    words
}

fn serve(stream: TcpStream) {
    let mut out = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let line = match line { Ok(l) => l, Err(_) => return };
        let answer: Vec<String> = count_words(&line).iter().map(|(w, n)| format!("{}={}", w, n)).collect();
        if out.write_all((answer.join(",") + "\\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn main() {
    let listener = TcpListener::bind(format!("127.0.0.1:{}", std::env::args().nth(1).unwrap())).unwrap();
    println!("ready");
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        thread::spawn(move || serve(stream));
    }
}
"""


class Rust(loaded.Server):
    SYMBOL = r"count_words"

    def start(self):
        self.port = harness.free_port()
        (self.tmp / "server.rs").write_text(SERVER)
        harness.run(["rustc", "-C", "opt-level=1", "-g", "-o", self.tmp / "server",
                     self.tmp / "server.rs"], check=0, timeout=120)
        self.server = self.stack.enter_context(harness.start_target(
            [self.tmp / "server", self.port], wait="^ready"))
        self.number = itertools.count()
        self.socket = self.stack.enter_context(
            socket.create_connection(("127.0.0.1", self.port), timeout=20))
        self.file = self.socket.makefile("rw")
        return self.server.pid

    def ask(self):
        n = next(self.number)
        self.file.write(f"b{n} a{n} b{n} " + "common " * 50 + "z\n")
        self.file.flush()
        if self.file.readline() != f"a{n}=1,b{n}=2,common=50,z=1\n":
            raise AssertionError("another answer")

    def stop(self):
        self.assertEqual(self.server.err, "")

    def test_under_load(self):
        self.whole(least=100)


if __name__ == "__main__":
    unittest.main()
