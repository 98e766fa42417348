# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_bad_input.py - each wrong process and each wrong word gets one line and a hint.
# Knows: messages and exit codes. Does not know: how memtrace finds out.
# Run by tests/run.py. Damaged files: test_bad_files.py.
import os
import re
import subprocess
import time
import unittest
from pathlib import Path

import harness
import session

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

SLEEPER = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	free(malloc(10));
	if (argc > 1 && !strcmp(argv[1], "hidden"))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	puts("ready");
	fflush(stdout);
	char c;
	if (read(0, &c, 1) == 1)
		puts("went on");
	return 0;
}
"""


def usable_by_all(tmp):
    """A copy of the program that other users can reach."""
    copy = tmp / "memtrace"
    if not copy.exists():
        copy.write_bytes(harness.MEMTRACE.read_bytes())
        copy.chmod(0o755)
    return copy


class Refusals(unittest.TestCase):
    def check_text(self, result, text, hint=True, code=1):
        self.assertEqual(result.code, code, result)
        lines = result.err.splitlines()
        self.assertRegex(lines[0], r"^memtrace: ", result)
        self.assertRegex(lines[0], text, result)
        if hint:
            self.assertEqual(len(lines), 2, f"one line and a hint\n{result}")
            self.assertRegex(lines[1], r"^hint: \S")
        self.assertEqual(result.out, "")

    def refused(self, pid, text, argv=None, **kwargs):
        with harness.tmpdir(0o777) as tmp:
            cap = tmp / "cap.bin"
            argv = [*(argv or [harness.MEMTRACE]), "attach", pid, "--duration", "200ms", "-o", cap]
            result = harness.run(argv, timeout=30)
            self.check_text(result, text, **kwargs)
            self.assertFalse(cap.exists(), "an empty capture was left behind")
        return result

    def goes_on(self, target):
        self.assertEqual(harness.tracer_pid(target.pid), 0)
        target.send("x")
        self.assertEqual(target.wait(), 0)
        self.assertEqual(target.lines[-1], "went on")

    def sleeper(self, *args, flags=(), user=(), **kwargs):
        program = harness.compile_c(SLEEPER, name="sleeper", flags=flags, **kwargs)
        return harness.start_target([*user, program, *args], stdin=True, wait="^ready")

    def test_no_such_process(self):
        proc = subprocess.Popen(["true"])
        proc.wait()
        self.refused(proc.pid, f"(?i)no (such )?process.*{proc.pid}|{proc.pid}.*no such process")

    def test_itself(self):
        with harness.tmpdir() as tmp:
            result = harness.run(["sh", "-c", f"exec {harness.MEMTRACE} attach $$ "
                                  f"--duration 1s -o {tmp}/cap.bin"], timeout=20)
            self.check_text(result, r"(?i)itself|own|this process")

    def test_its_parent_shell(self):
        """Not its own pid, but the one that waits for it: works or says why, never hangs."""
        with harness.tmpdir() as tmp:
            result = harness.run(["bash", "-c", f"{harness.MEMTRACE} attach $$ --duration 200ms "
                                  f"-o {tmp}/cap.bin; echo alive $?"], timeout=30)
            self.assertRegex(result.out, "alive [01]", result)

    def test_init(self):
        """PID 1 is a process like others; here it is only asked for."""
        result = harness.memtrace("status", 1, check=None, timeout=20)
        self.assertIn(result.code, (0, 1, 3), result)

    def test_thread_id(self):
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with harness.start_target([program, 1], stdin=True, wait="^ready") as target:
            tid = [t for t in harness.threads(target.pid) if t != target.pid][0]
            result = self.refused(tid, r"(?i)thread")
            self.assertIn(str(target.pid), result.err, "names the process")
            target.send("x")
            self.assertEqual(target.wait(), 0)

    def test_kernel_thread(self):
        for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
            status = harness.proc_status(pid)
            if status.get("Kthread") == "1" or (
                    status["PPid"] in ("0", "2") and "VmSize" not in status and pid > 1):
                self.refused(pid, r"(?i)kernel thread")
                return
        self.skipTest("no kernel thread can be seen in this container")

    def test_zombie(self):
        proc = subprocess.Popen(["true"])
        try:
            harness.wait_for(lambda: harness.proc_state(proc.pid) == "Z")
            self.refused(proc.pid, r"(?i)zombie|exited")
        finally:
            proc.wait()

    def test_32_bit(self):
        with harness.start_target([harness.compile_32_bit(SLEEPER, "sleeper")],
                                  stdin=True, wait="^ready") as target:
            self.refused(target.pid, r"(?i)(32|64)-bit")
            self.goes_on(target)

    @unittest.skipIf(os.geteuid(), "to mount something over a file of /proc takes root")
    def test_shadow_stack(self):
        """As a kernel and a processor that have them tell of it; most machines do not."""
        with harness.tmpdir() as tmp, self.sleeper() as target:
            status = Path(f"/proc/{target.pid}/status")
            lines = [ln for ln in status.read_text().splitlines() if "x86_Thread" not in ln]
            (tmp / "status").write_text("\n".join([*lines, "x86_Thread_features:\tshstk wrss ", ""]))
            result = self.refused(target.pid, "runs with a shadow stack", argv=[
                "unshare", "--mount", "sh", "-c",
                'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", tmp / "status", status,
                harness.MEMTRACE])
            self.assertIn("glibc.cpu.x86_shstk=off", result.err)
            self.goes_on(target)

    def test_static(self):
        for flags in (["-static"], ["-static-pie"]):
            with self.subTest(flags=flags), self.sleeper(flags=flags) as target:
                self.refused(target.pid, r"(?i)static")
                self.goes_on(target)

    def test_asleep_in_vfork(self):
        """The parent (in uninterruptible sleep) and the child share memory and stack."""
        source = ("#include <stdlib.h>\n#include <unistd.h>\n"
                  "int main(void)\n{\n\tchar c;\n\tfree(malloc(10));\n"
                  "\tif (write(1, \"ready\\n\", 6) != 6)\n\t\treturn 1;\n"
                  "\tif (!vfork()) {\n\t\tif (read(0, &c, 1) != 1)\n\t\t\t_exit(1);\n"
                  "\t\t_exit(0);\n\t}\n"
                  "\tif (read(0, &c, 1) != 1 || write(1, \"went on\\n\", 8) != 8)\n"
                  "\t\treturn 1;\n\treturn 0;\n}\n")
        program = harness.compile_c(source, name="vforked", flags=["-w"])
        with harness.start_target([program], stdin=True, wait="^ready") as target:
            children = Path(f"/proc/{target.pid}/task/{target.pid}/children")
            harness.wait_for(children.read_text, what="the child")
            self.refused(target.pid, r"sharing memory with a vfork child")
            self.assertTrue(target.alive())
            target.send("x")
            self.goes_on(target)

    def test_no_safe_point(self):
        """Its only thread holds the loader's lock: it is asked again and again, and not for ever."""
        library = harness.compile_c(
            "#include <unistd.h>\n__attribute__((constructor)) static void stay(void)\n"
            "{\n\tchar c;\n\tif (write(1, \"ready\\n\", 6) != 6 || read(0, &c, 1) != 1)\n"
            "\t\t_exit(1);\n}\n", name="stays", flags=["-shared", "-fPIC", "-w"])
        program = harness.compile_c(
            "#include <dlfcn.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
            "int main(int argc, char **argv)\n{\n\tfree(malloc(10));\n"
            "\tif (!dlopen(argv[1], RTLD_NOW))\n\t\treturn 2;\n"
            "\treturn write(1, \"went on\\n\", 8) != 8;\n}\n", name="loads",
            flags=["-w", "-ldl"])
        with harness.start_target([program, library], stdin=True, wait="^ready") as target:
            result = self.refused(target.pid, r"no thread of process \d+ was at a safe point within "
                                  r"\d+ ms \(\d+ tries\): in the dynamic loader \(\d+\)")
            self.assertIn("nothing was changed", result.err)
            self.goes_on(target)

    def test_other_user(self):
        with harness.tmpdir(0o755) as tmp, self.sleeper() as target:
            result = self.refused(target.pid, r"(?i)permission|not permitted|belongs to (another )?user",
                                  argv=[*NOBODY, usable_by_all(tmp)])
            self.assertRegex(result.err, r"(?i)root|sudo|user")
            self.goes_on(target)

    def test_not_dumpable(self):
        with harness.tmpdir(0o755) as tmp:
            program = harness.compile_c(SLEEPER, name="sleeper", out_dir=tmp / "bin")
            (tmp / "bin").chmod(0o755)
            with harness.start_target([*NOBODY, program, "hidden"], stdin=True,
                                      wait="^ready") as target:
                self.refused(target.pid, r"(?i)dumpable|permission|not permitted",
                             argv=[*NOBODY, usable_by_all(tmp)])
                self.goes_on(target)

    def test_yama(self):
        scope = Path("/proc/sys/kernel/yama/ptrace_scope")
        if not scope.exists():
            self.skipTest("this kernel has no Yama")
        before = scope.read_text()
        with harness.tmpdir(0o755) as tmp:
            program = harness.compile_c(SLEEPER, name="sleeper", out_dir=tmp / "bin")
            (tmp / "bin").chmod(0o755)
            with harness.start_target([*NOBODY, program], stdin=True, wait="^ready") as target:
                try:
                    scope.write_text("1")
                    self.refused(target.pid, r"(?i)yama|ptrace_scope",
                                 argv=[*NOBODY, usable_by_all(tmp)])
                finally:
                    scope.write_text(before)
                self.goes_on(target)

    def traced_by(self, argv, name):
        with self.sleeper() as target:
            with harness.start_target([a.format(pid=target.pid) for a in argv],
                                      stdin=True) as tracer:
                harness.wait_for(lambda: harness.tracer_pid(target.pid) != 0, 20,
                                 what=f"{name} traces")
                by = harness.tracer_pid(target.pid)
                result = self.refused(target.pid, r"(?i)traced")
                self.assertIn(str(by), result.err)
                self.assertIn(name, result.err)
                tracer.signal(15)
                harness.wait_for(lambda: harness.tracer_pid(target.pid) == 0, 20,
                                 what=f"{name} lets go")
            self.goes_on(target)

    def test_traced_by_strace(self):
        self.traced_by(["strace", "-f", "-o", "/dev/null", "-p", "{pid}"], "strace")

    def test_traced_by_gdb(self):
        self.traced_by(["gdb", "-nx", "-q", "-p", "{pid}"], "gdb")

    def test_directory_not_writable(self):
        with harness.tmpdir(0o755) as tmp:
            program = harness.compile_c(SLEEPER, name="sleeper", out_dir=tmp / "bin")
            (tmp / "bin").chmod(0o755)
            with harness.start_target([*NOBODY, program], stdin=True, wait="^ready") as target:
                result = harness.run([*NOBODY, usable_by_all(tmp), "attach", target.pid,
                                      "--duration", "1s", "-o", tmp / "cap.bin"], timeout=20)
                self.check_text(result, r"Permission denied", hint=False)
                self.assertIn(str(tmp / "cap.bin"), result.err)
                self.goes_on(target)

    def test_disk_full(self):
        """The disk fills up during the capture: the target is free, what fitted is readable (blocks
        of half a MiB)."""
        with harness.tmpdir() as tmp:
            disk = tmp / "disk"
            disk.mkdir()
            if harness.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).code:
                self.skipTest("no right to mount")
            try:
                self.fill(disk)
            finally:
                harness.run(["umount", "-l", disk])

    def fill(self, disk):
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with harness.start_target([program, 4], stdin=True, wait="^ready") as target:
            result = harness.memtrace("attach", target.pid, "--duration", "20s",
                                      "-o", disk / "cap.bin", check=1, timeout=60)
            self.assertRegex(result.err, r"No space left on device")
            self.assertIn(str(disk / "cap.bin"), result.err)
            self.assertLess(result.seconds, 19, "it went on without a disk")
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.assertEqual(harness.memtrace("status", target.pid).code, 0)
            target.send("x")
            self.assertEqual(target.wait(), 0)
            self.assertGreater(harness.stats(disk / "cap.bin")["total_num_allocations"], 100)

    def test_disk_full_at_the_first_byte(self):
        with harness.tmpdir() as tmp, self.sleeper() as target:
            result = harness.run(
                ["sh", "-c", f"ulimit -f 0; exec {harness.MEMTRACE} attach {target.pid} "
                 f"--duration 300ms -o {tmp}/cap.bin"], timeout=30)
            self.assertEqual(result.code, 1, result)
            self.assertRegex(result.err, r"File too large", "and not killed by SIGXFSZ")
            self.goes_on(target)


class Words(unittest.TestCase):
    """Wrong command lines."""

    def usage(self, *args, text, code=2):
        result = harness.memtrace(*args, check=code, timeout=20)
        self.assertRegex(result.err, text, result)
        self.assertEqual(result.out, "")
        return result

    def test_no_command(self):
        result = harness.memtrace(check=(0, 2), timeout=20)
        self.assertRegex(result.err + result.out, "(?i)usage")

    def test_unknown_command(self):
        self.usage("frobnicate", text=r"frobnicate")

    def test_help(self):
        for words in (["--help"], ["-h"], ["attach", "--help"], ["attach", "-h"], ["run", "-h"],
                      ["symbolize", "-h"], ["stats", "--help"], ["transform", "--help"]):
            result = harness.memtrace(*words, check=0, timeout=20)
            self.assertRegex(result.out, "(?i)usage", words)
            self.assertEqual(result.err, "", words)

    def test_version(self):
        self.assertRegex(harness.memtrace("--version").out, r"\d+\.\d+")

    def test_pids(self):
        for word in ("x", "-5", "0", "99999999999999999999", "12x", "", " "):
            for command in ("attach", "detach", "status"):
                result = harness.memtrace(command, "--", word, check=2, timeout=20)
                self.assertRegex(result.err, "(?i)process id|pid|usage", (command, word))

    def test_missing_and_too_many(self):
        for words in (["attach"], ["detach"], ["status"], ["attach", "1", "2"], ["stats"],
                      ["symbolize"], ["flamegraph"], ["transform"], ["transform", "folded"],
                      ["run"], ["run", "--"], ["info"], ["info", "a", "b"]):
            self.usage(*words, text=r"(?i)usage|missing|too (few|many)|expected|name|needs|one")

    def test_unknown_options(self):
        for words in (["attach", "--frob", "1"], ["stats", "--frob", "x"], ["run", "--frob", "x"]):
            self.usage(*words, text=r"frob")

    def test_wrong_values(self):
        with harness.tmpdir() as tmp:
            (tmp / "x.bin").write_bytes(b"")
            for words in (["transform", "nosuch", tmp / "x.bin"],
                          ["stats", "--view", "nosuch", tmp / "x.bin"],
                          ["transform", "folded", "--metric", "nosuch", tmp / "x.bin"]):
                self.usage(*words, text=r"nosuch")

    def test_stdout_full(self):
        """Output that could not be written is a failure."""
        for words in ("--help", "--version"):
            result = harness.run(["sh", "-c", f"{harness.MEMTRACE} {words} > /dev/full"])
            self.assertEqual(result.code, 1, result)
            self.assertRegex(result.err, "No space left on device")

    def test_stdout_closed(self):
        result = harness.run(["sh", "-c", f"{harness.MEMTRACE} --help >&-"])
        self.assertNotEqual(result.code, 0)
        self.assertGreater(result.code, 0, "not by a signal")

    def test_reader_goes_away(self):
        """memtrace ... | head: no message, no core."""
        result = harness.run(["bash", "-c", f"{harness.MEMTRACE} --help | true; "
                              "echo ${PIPESTATUS[0]}"])
        self.assertNotRegex(result.err, "(?i)error|abort")


if __name__ == "__main__":
    unittest.main()
