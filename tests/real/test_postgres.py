# SPDX-License-Identifier: Apache-2.0
# tests/real/test_postgres.py - a PostgreSQL backend under pgbench.
# Knows: pgbench's own sums. Does not know: memtrace.
# Run by tests/run.py.
import glob
import os
import re
import shutil
import signal
import unittest

import harness
import loaded

NEEDS = ["psql"]
TIMEOUT = 180
USER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


class Postgres(loaded.Server):
    SYMBOL = r"^(PostgresMain|exec_\w+|ExecutorRun|PortalRun|AllocSet\w+|MemoryContext\w+|palloc\w*) \("

    def tool(self, name):
        found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
        if not found:
            self.skipTest(f"{name} of PostgreSQL is not installed")
        return found[-1]

    def start(self):
        data = self.tmp / "data"
        shutil.chown(self.tmp, "postgres", "postgres")
        harness.run([*USER, self.tool("initdb"), "-D", data, "-A", "trust", "-N", "-U", "postgres",
                     "--no-locale", "-E", "UTF8"], check=0, timeout=100)
        self.port = harness.free_port()
        self.server = self.stack.enter_context(harness.start_target(
            [*USER, self.tool("postgres"), "-D", data, "-p", self.port, "-k", self.tmp,
             "-c", "fsync=off", "-c", "autovacuum=off",
             "-c", "listen_addresses=127.0.0.1"]))
        harness.wait_port(self.port)
        harness.wait_for(lambda: self.sql("select 1", check=None) == "1", 30)
        harness.run([self.tool("pgbench"), *self.where(), "-i", "-s", "1", "-q", "postgres"],
                    check=0)
        self.pgbench = self.stack.enter_context(harness.start_target(
            [self.tool("pgbench"), *self.where(), "-c", "1", "-T", str(self.seconds + 6),
             "-M", "simple", "postgres"]))
        return int(harness.wait_for(lambda: self.sql(
            "select pid from pg_stat_activity where application_name = 'pgbench' limit 1"), 20))

    def where(self):
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]

    def sql(self, text, check=0):
        result = harness.run(["psql", *self.where(), "-X", "-A", "-t", "-q", "-c", text,
                              "postgres"], check=check, timeout=60)
        return result.out.strip()

    def ask(self):
        """Another backend asks; the one that is captured is asked by pgbench."""
        if self.sql("select count(*) from pgbench_accounts") != "100000":
            raise AssertionError("rows are missing")

    def end_load(self, load):
        """Its own count, where it came to its end, and the books: all sums are equal."""
        if self.endless:
            self.assertTrue(self.pgbench.alive(), self.pgbench.err)
            self.pgbench.signal(signal.SIGINT)
        code = self.pgbench.wait(120)
        self.assertEqual(code, -signal.SIGINT if self.endless else 0, self.pgbench.err)
        self.assertNotRegex(self.pgbench.err, r"(?i)error|aborted|failed")
        if not self.endless:
            text = "\n".join(self.pgbench.lines)
            self.assertRegex(text, r"number of failed transactions: 0 \(")
            done = int(re.search(r"transactions actually processed: (\d+)", text)[1])
            self.assertGreater(done, 50)
            self.fact(f"{done} transactions")
            self.assertEqual(self.sql("select count(*) from pgbench_history"), str(done))
        sums = {self.sql(f"select coalesce(sum({column}), 0) from {table}") for column, table in (
            ("abalance", "pgbench_accounts"), ("tbalance", "pgbench_tellers"),
            ("bbalance", "pgbench_branches"), ("delta", "pgbench_history"))}
        self.assertEqual(len(sums), 1, f"the books do not balance: {sums}")

    def whole(self, least=100):
        """As for the others, but the backend ends with its client."""
        pid = self.start()
        begin = os.times()
        self.use(pid)
        self.check_capture("first.bin", least)
        self.check_capture("second.bin", 0)
        self.ask()
        self.end_with(self.server)          # waits for the last clients
        errors = [x for x in self.server.err.splitlines() if re.search("PANIC|FATAL|signal", x)]
        self.assertEqual(errors, [])
        print(f"{type(self).__name__}: " + "\n  ".join(self.facts), os.times()[4] - begin[4])

    def test_under_load(self):
        self.whole(least=100)


if __name__ == "__main__":
    unittest.main()
