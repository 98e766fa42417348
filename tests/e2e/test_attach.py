# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_attach.py - a capture begins, ends in every way there is, and leaves nothing.
# Knows: commands, exit codes, messages. Does not know: ptrace.
# Run by tests/run.py.
import json
import os
import re
import signal
import stat
import subprocess
import time
import unittest
from pathlib import Path

import harness
import session

TIMEOUT = 120


def service(threads=2):
    program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
    return harness.start_target([program, threads], stdin=True, wait="^ready")


def idle():
    program = harness.compile_c("alloc_exact.c", flags=["-w", "-O1", "-fno-inline", "-pthread"])
    return harness.start_target([program], stdin=True, wait="^ready")


class Attached(unittest.TestCase):
    def check_service(self, target):
        """It goes on, and every block of it is whole."""
        self.let_work(target)
        self.assertIn(target.state(), "RS")
        target.send("x")
        self.assertEqual(target.wait(30), 0, target.lines[-3:])

    def let_work(self, target):
        """Some of its rounds are recorded."""
        seen = len(target.lines)
        harness.wait_for(lambda: len(target.lines) > seen + 1, 20, what="rounds of the target")

    def check_clean(self, pid):
        self.assertEqual(harness.maps_clean(pid), [])
        self.assertEqual(harness.tracer_pid(pid), 0)
        self.assertEqual(harness.memtrace("status", pid).code, 0)
        self.assertEqual([p for p in harness.fds(pid).values() if "memtrace" in p], [])

    def check_readable(self, cap, events=1):
        harness.memtrace("info", cap)
        stats = harness.stats(cap)
        self.assertGreaterEqual(stats["total_num_allocations"], events)
        return stats


class Ends(Attached):
    """Duration, signals, the target's end: each detaches, unloads, writes."""

    def test_duration(self):
        with harness.tmpdir() as tmp, service() as target:
            begin = time.monotonic()
            result = harness.memtrace("attach", target.pid, "--duration", "1s",
                                      "-o", tmp / "cap.bin")
            self.assertGreaterEqual(time.monotonic() - begin, 1)
            self.assertLess(time.monotonic() - begin, 6)
            self.assertIn(str(tmp / "cap.bin"), result.err + result.out)
            self.assertRegex(result.err + result.out, r"memtrace (symbolize|flamegraph|summary)")
            self.check_clean(target.pid)
            self.check_readable(tmp / "cap.bin", 100)
            self.check_service(target)

    def ends_by(self, number):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(0.3)
                attach.interrupt(number, check=None)
                # A capture that ended as asked is a success, whichever signal asked.
                self.assertEqual(attach.result.code, 0, attach.result)
            self.check_clean(target.pid)
            self.check_readable(tmp / "cap.bin", 100)
            self.assertNotRegex(harness.memtrace("info", tmp / "cap.bin").err, "warning")
            self.check_service(target)

    def test_interrupt(self):
        self.ends_by(signal.SIGINT)

    def test_terminate(self):
        self.ends_by(signal.SIGTERM)

    def test_hangup(self):
        self.ends_by(signal.SIGHUP)

    def test_nohup(self):
        """What is ignored at the start stays ignored: the terminal closes, the capture goes on."""
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, argv=["nohup", harness.MEMTRACE, "attach", target.pid,
                                                  "-o", tmp / "cap.bin"]) as attach:
                attach.send_signal(signal.SIGHUP)
                time.sleep(0.5)
                self.assertIsNone(attach.proc.poll())
                self.assertTrue(session.armed(target.pid))
                attach.interrupt()
            self.check_service(target)

    def test_interrupt_twice_is_no_harm(self):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                self.let_work(target)
                attach.send_signal(signal.SIGINT)
                time.sleep(0.01)
                attach.send_signal(signal.SIGINT)
                attach.wait()
            self.check_clean(target.pid)
            self.check_readable(tmp / "cap.bin")
            self.check_service(target)

    def test_interrupt_at_once(self):
        """Ctrl-C while it is still attaching: in at most some steps the target is clean."""
        with harness.tmpdir() as tmp, service() as target:
            for i, delay in enumerate((0, 0.003, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12)):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin", wait=False) as attach:
                    time.sleep(delay)
                    attach.send_signal(signal.SIGINT)
                    result = attach.wait(30)
                    self.assertFalse(result.timed_out, result)
                self.check_clean(target.pid)
            self.check_service(target)

    def test_output_pipe_closed(self):
        """Whoever reads its messages goes away (memtrace attach | head)."""
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                self.let_work(target)
                attach.proc.stderr.close()
                attach.proc.stdout.close()
                attach.send_signal(signal.SIGINT)
                attach.proc.wait(30)
                attach.result = True
            self.check_clean(target.pid)
            self.check_readable(tmp / "cap.bin")
            self.check_service(target)

    def test_target_exits(self):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(0.2)
                target.send("x")
                self.assertEqual(target.wait(), 0)
                result = attach.wait(20)
            self.assertEqual(result.code, 0, result)
            self.check_readable(tmp / "cap.bin", 100)

    def test_target_exits_after_exact_work(self):
        """The last events before exit() are not lost."""
        with harness.tmpdir() as tmp, idle() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                target.send("ge")
                self.assertEqual(target.wait(), 0)
                result = attach.wait(20)
            self.assertEqual(result.code, 0, result)
            sites = session.read_sites(target.lines)
            self.assertEqual(harness.stats(tmp / "cap.bin")["total_num_allocations"],
                             sum(s.count("allocated") for s in sites))

    def killed(self, number):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(0.3)
                target.signal(number)
                self.assertEqual(target.wait(), -number)
                result = attach.wait(20)
            self.assertEqual(result.code, 0, result)
            self.check_readable(tmp / "cap.bin", 100)

    def test_target_killed(self):
        self.killed(signal.SIGKILL)

    def test_target_terminated(self):
        self.killed(signal.SIGTERM)

    def test_target_execs(self):
        """exec() replaces everything: the capture ends, the new program is not touched."""
        code = ("import os; print('ready', flush=True); os.read(0, 1); "
                "x = [bytes(1000) for _ in range(100)]; "
                "os.execv('/bin/sh', ['sh', '-c', 'echo new; read x; exit 6'])")
        with harness.tmpdir() as tmp, harness.start_target(
                [harness.PYTHON, "-c", code], stdin=True, wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                target.send("g")
                target.wait_line("^new")
                time.sleep(0.5)
                if attach.proc.poll() is None:
                    attach.send_signal(signal.SIGINT)
                attach.wait(20)
            self.check_readable(tmp / "cap.bin", 100)
            self.check_clean(target.pid)
            target.send("x\n")
            self.assertEqual(target.wait(), 6)


class Nothing(Attached):
    """Before and after are the same, but for one page."""

    def test_idle_target(self):
        with harness.tmpdir() as tmp, idle() as target:
            before = session.Snapshot(target.pid)
            self.assertGreater(len(before.slots), 20)
            for i in range(3):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    attach.interrupt()
                self.assertEqual(session.Snapshot(target.pid).changes(before), [], f"capture {i}")
            self.check_clean(target.pid)
            target.send("ge")
            self.assertEqual(target.wait(), 0)

    def test_idle_python(self):
        with harness.tmpdir() as tmp, harness.start_target(
                [harness.PYTHON, "-c", "import json, ctypes, os; print('ready', flush=True); "
                 "os.read(0, 1); print(json.dumps([1]))"], stdin=True, wait="^ready") as target:
            before = session.Snapshot(target.pid)
            self.assertGreater(len(before.slots), 1000)
            for i in range(3):
                harness.memtrace("attach", target.pid, "--duration", "200ms",
                                 "-o", tmp / f"{i}.bin")
                self.assertEqual(session.Snapshot(target.pid).changes(before), [], f"capture {i}")
            target.send("x")
            self.assertEqual(target.wait(), 0, target.err)
            self.assertEqual(target.lines[-1], "[1]")

    def test_read_only_slots_are_read_only_again(self):
        """Full RELRO: each slot lies on a page that the loader has closed for writing."""
        program = harness.compile_c("alloc_exact.c", flags=[
            "-w", "-O1", "-D_GNU_SOURCE", "-pthread", "-pie", "-fPIE", "-Wl,-z,now,-z,relro"])
        with harness.tmpdir() as tmp, harness.start_target(
                [program], stdin=True, wait="^ready") as target:
            before = session.Snapshot(target.pid)
            closed = [m for m in before.maps if m[1:] == ("r--p", str(program))]
            self.assertTrue(closed, before.maps)
            for killed in (False, True, False):
                with session.Attach(target.pid, "-f", "-o", tmp / "cap.bin") as attach:
                    during = session.Snapshot(target.pid)
                    self.assertGreater(sum(during.slots[s] != v for s, v in before.slots.items()
                                           if s[0] == str(program)), 3)
                    self.assertEqual([m for m in closed if m not in during.maps], [])
                    if killed:
                        attach.proc.kill()
                        attach.wait()
                        harness.memtrace("detach", target.pid)
                    else:
                        attach.interrupt()
                self.assertEqual(session.Snapshot(target.pid).changes(before), [])
            target.send("ge")
            self.assertEqual(target.wait(), 0)

    def test_busy_target_many_times(self):
        with harness.tmpdir() as tmp, service(4) as target:
            before = session.Snapshot(target.pid, with_slots=False)
            for i in range(10):
                harness.memtrace("attach", target.pid, "--duration", "100ms", "-f",
                                 "-o", tmp / "cap.bin")
                self.assertEqual(harness.maps_clean(target.pid), [], f"capture {i}")
            after = session.Snapshot(target.pid, with_slots=False)
            self.assertEqual([c for c in after.changes(before)
                              if not c.startswith(("new mapping", "lost mapping"))], [])
            self.assertEqual(len(after.thunks), 1)
            self.check_service(target)

    def test_a_hundred_captures_of_one_process(self):
        """Static TLS, descriptors and mappings all come back."""
        with harness.tmpdir() as tmp, idle() as target:
            before = None
            for i in range(100):
                harness.memtrace("attach", target.pid, "--duration", "10ms", "-f", "-q",
                                 "-o", tmp / "cap.bin")
                if i == 0:          # the one page is there now
                    before = session.Snapshot(target.pid)
            self.assertEqual(session.Snapshot(target.pid).changes(before), [])
            target.send("ge")
            self.assertEqual(target.wait(), 0)

    def test_stopped_by_job_control(self):
        """A stopped process is either captured and left stopped, or refused with the reason."""
        with harness.tmpdir() as tmp, service() as target:
            target.signal(signal.SIGSTOP)
            harness.wait_for(lambda: target.state() == "T")
            result = harness.memtrace("attach", target.pid, "--duration", "200ms",
                                      "-o", tmp / "cap.bin", check=(0, 1), timeout=30)
            if result.code == 1:
                self.assertRegex(result.err, r"(?i)stopped")
                self.assertIn("hint:", result.err)
            self.assertEqual(target.state(), "T")
            target.signal(signal.SIGCONT)
            self.check_clean(target.pid)
            self.check_service(target)


class Twice(Attached):
    def test_two_attaches_in_a_row(self):
        with harness.tmpdir() as tmp, service() as target:
            for i in range(2):
                harness.memtrace("attach", target.pid, "--duration", "300ms",
                                 "-o", tmp / f"{i}.bin")
                self.check_clean(target.pid)
                self.check_readable(tmp / f"{i}.bin", 100)
            self.check_service(target)

    def test_attach_while_a_capture_is_on(self):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                second = harness.memtrace("attach", target.pid, "--duration", "1s",
                                          "-o", tmp / "second.bin", check=1)
                self.assertRegex(second.err, r"(?i)already|in progress|being captured")
                self.assertIn(str(attach.proc.pid), second.err, "says by whom")
                self.assertIn("hint:", second.err)
                self.assertFalse((tmp / "second.bin").exists())
                attach.interrupt()
            self.check_readable(tmp / "cap.bin", 100)
            self.check_clean(target.pid)
            self.check_service(target)

    def test_two_at_the_same_moment(self):
        """One of them records, the other waits for it or says that it is there."""
        with harness.tmpdir() as tmp, service() as target:
            for i in range(8):
                both = [session.Attach(target.pid, "-f", "-o", tmp / f"{k}.bin", "--duration",
                                       "50ms", wait=False) for k in range(2)]
                with both[0], both[1]:
                    results = [attach.wait(60) for attach in both]
                self.assertIn(0, [r.code for r in results], f"round {i}: {results}")
                for result in results:
                    self.assertIn(result.code, (0, 1), result)
                    if result.code:
                        self.assertRegex(result.err, "being captured|already traced|at work on")
                self.check_clean(target.pid)
            self.check_service(target)

    def test_status_during_a_capture(self):
        with harness.tmpdir() as tmp, service() as target:
            self.assertEqual(harness.memtrace("status", target.pid).code, 0)
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                status = harness.memtrace("status", target.pid, check=3)
                self.assertRegex(status.out, r"\S")
                self.assertIn(str(attach.proc.pid), status.out)
                attach.interrupt()
            self.assertEqual(harness.memtrace("status", target.pid).code, 0)
            self.check_service(target)

    def test_detach_from_another_terminal(self):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(0.2)
                harness.memtrace("detach", target.pid)
                result = attach.wait(20)
            self.assertEqual(result.code, 0, result)
            self.check_clean(target.pid)
            self.check_readable(tmp / "cap.bin", 100)
            self.check_service(target)

    def test_detach_of_a_clean_process(self):
        with idle() as target:
            result = harness.memtrace("detach", target.pid, check=(0, 1))
            self.assertRegex(result.out + result.err, r"(?i)nothing|no capture|not|clean")
            self.check_clean(target.pid)


class ControllerDies(Attached):
    """SIGKILL for the controller at any instant: the target goes on."""

    def kill(self, attach):
        attach.proc.kill()
        attach.wait()

    @staticmethod
    def events(cap):
        """In the file so far; it is written about once a second."""
        result = harness.memtrace("stats", "--json", cap, check=(0, 1))
        return result.code == 0 and json.loads(result.out)["total_num_allocations"]

    def test_killed_during_a_capture(self):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                harness.wait_for(lambda: self.events(tmp / "cap.bin"), what="events in the file")
                self.kill(attach)
            seen = len(target.lines)
            harness.wait_for(lambda: len(target.lines) > seen + 2, 10, what="the target works on")
            status = harness.memtrace("status", target.pid, check=3)
            self.assertRegex(status.out + status.err, r"(?i)detach")
            harness.memtrace("detach", target.pid)
            self.check_clean(target.pid)
            # What was written is readable, and the file says that it was cut.
            self.check_readable(tmp / "cap.bin", 1)
            info = harness.memtrace("info", tmp / "cap.bin")
            self.assertRegex(info.err + info.out, r"(?i)cut|truncat|incomplete|not closed|ended")
            self.check_service(target)

    def test_next_attach_cleans_up(self):
        with harness.tmpdir() as tmp, service() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(0.2)
                self.kill(attach)
            harness.memtrace("attach", target.pid, "--duration", "300ms", "-o", tmp / "next.bin")
            self.check_clean(target.pid)
            self.check_readable(tmp / "next.bin", 100)
            self.check_service(target)

    def test_idle_target_is_the_same_after_detach(self):
        with harness.tmpdir() as tmp, idle() as target:
            before = session.Snapshot(target.pid)
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                self.kill(attach)
            harness.memtrace("detach", target.pid)
            self.assertEqual(session.Snapshot(target.pid).changes(before), [])
            target.send("ge")
            self.assertEqual(target.wait(), 0)

    def killed_while_a_call_waits(self, program, library):
        """Whether dlopen had begun to wait when memtrace was killed."""
        with harness.tmpdir() as tmp, harness.start_target(
                [program, library], stdin=True, wait="^ready") as target:
            target.send("d")
            target.wait_line("^looks")
            with session.Attach(target.pid, "-o", tmp / "cap.bin", wait=False) as attach:
                target.wait_line("^inside")
                time.sleep(0.1)
                self.assertNotIn("loaded", target.lines)
                waits = not any("memtrace-tracer" in line for line in harness.maps(target.pid))
                self.kill(attach)
            harness.memtrace("detach", target.pid, check=(0, 1, 3))
            target.wait_line("^loaded")
            harness.memtrace("detach", target.pid, check=(0, 1))
            self.check_clean(target.pid)
            target.send("x")
            target.wait_line("^went on")
            self.assertEqual(target.wait(), 0)
        return waits

    def test_killed_while_a_call_waits(self):
        """The target's dlopen waits for the loader's lock, memtrace is killed, and another one takes
        out at once what is left: not the stack that this call runs on. The lock was free when memtrace
        looked: the program takes it as soon as it sees the tracer's file."""
        library = harness.compile_c(
            "#include <stdio.h>\n#include <unistd.h>\n__attribute__((constructor)) static void stay(void)\n"
            "{\n\tputs(\"inside\");\n\tsleep(3);\n}\n", name="slow", flags=["-shared", "-fPIC"])
        program = harness.compile_c(
            "#include <dlfcn.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
            "#include <string.h>\n#include <time.h>\n#include <unistd.h>\nstatic int seen(void)\n{\n\tchar name[64], to[256];\n"
            "\tfor (int fd = 3; fd < 16; fd++) {\n\t\tsnprintf(name, sizeof(name), \"/proc/self/fd/%d\", fd);\n"
            "\t\tssize_t n = readlink(name, to, sizeof(to) - 1);\n"
            "\t\tif (n > 0 && memmem(to, n, \"memtrace-tracer\", 15))\n\t\t\treturn 1;\n\t}\n\treturn 0;\n}\n"
            "static void *load(void *path)\n{\n\ttime_t end = time(NULL) + 3;\n"
            "\tputs(\"looks\");\n\twhile (!seen() && time(NULL) < end)\n\t\t;\n"
            "\tputs(dlopen(path, RTLD_NOW) ? \"loaded\" : dlerror());\n\treturn NULL;\n}\n"
            "static void *idle(void *arg)\n{\n\tfor (;;)\n\t\tpause();\n\treturn arg;\n}\n"
            "int main(int argc, char **argv)\n{\n\tpthread_t thread;\n\tchar c;\n"
            "\tsetvbuf(stdout, NULL, _IOLBF, 0);\n\tfree(malloc(10));\n"
            "\tpthread_create(&thread, NULL, idle, NULL);\n\tputs(\"ready\");\n"
            "\tif (read(0, &c, 1) == 1)\n\t\tpthread_create(&thread, NULL, load, argv[1]);\n"
            "\tif (read(0, &c, 1) != 1)\n\t\treturn 3;\n\tputs(\"went on\");\n"
            "\treturn pthread_join(thread, NULL);\n}\n", name="loads_slowly",
            flags=["-w", "-D_GNU_SOURCE", "-ldl", "-pthread"])
        self.assertTrue(any(self.killed_while_a_call_waits(program, library) for _ in range(10)))

    def test_killed_at_any_time(self):
        """Also while it attaches and while it detaches."""
        with harness.tmpdir() as tmp, service() as target:
            for i in range(24):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin", "--duration", "50ms",
                                    wait=False) as attach:
                    time.sleep(0.008 * i)
                    self.kill(attach)
                seen = len(target.lines)
                harness.wait_for(lambda: len(target.lines) > seen, 10,
                                 what=f"the target works on after kill {i}: {target.lines[-2:]}, "
                                      f"state {target.state()}")
                harness.memtrace("detach", target.pid, check=(0, 1))
                self.assertEqual(harness.maps_clean(target.pid), [], f"kill {i}")
            self.check_clean(target.pid)
            self.check_service(target)


class Output(Attached):
    """Names, rights and messages."""

    def test_default_name(self):
        with harness.tmpdir() as tmp, idle() as target:
            comm = Path(f"/proc/{target.pid}/comm").read_text().strip()
            result = harness.memtrace("attach", target.pid, "--duration", "100ms", cwd=tmp)
            name = f"memtrace-{comm}.{target.pid}.bin"
            self.assertEqual([p.name for p in tmp.iterdir()], [name])
            self.assertIn(name, result.err + result.out)
            self.assertEqual(stat.S_IMODE((tmp / name).stat().st_mode), 0o600)

    def test_mode_is_private_whatever_the_umask(self):
        with harness.tmpdir() as tmp, idle() as target:
            harness.run(["sh", "-c", f"umask 0; exec {harness.MEMTRACE} attach {target.pid} "
                         f"--duration 100ms -o {tmp}/cap.bin"], check=0)
            self.assertEqual(stat.S_IMODE((tmp / "cap.bin").stat().st_mode), 0o600)

    def refused(self, target, path, *options, text, cwd=None):
        result = harness.memtrace("attach", target.pid, "--duration", "100ms", "-o", path,
                                  *options, check=(1, 2), cwd=cwd)
        self.assertRegex(result.err, r"^memtrace: ")
        self.assertRegex(result.err, text)
        self.assertIn(str(path), result.err)
        self.check_clean(target.pid)
        return result

    def test_exists(self):
        with harness.tmpdir() as tmp, idle() as target:
            cap = tmp / "cap.bin"
            cap.write_bytes(b"precious")
            result = self.refused(target, cap, text="exist")
            self.assertRegex(result.err, r"hint: .*-f")
            self.assertEqual(cap.read_bytes(), b"precious")
            harness.memtrace("attach", target.pid, "--duration", "100ms", "-f", "-o", cap)
            self.assertEqual(cap.read_bytes()[:8], b"memtrace")

    def test_directory_missing(self):
        with harness.tmpdir() as tmp, idle() as target:
            self.refused(target, tmp / "no" / "cap.bin", text="No such file or directory")

    def test_is_a_directory(self):
        with harness.tmpdir() as tmp, idle() as target:
            self.refused(target, tmp, text="(?i)directory|exist")

    def test_never_through_a_symbolic_link(self):
        with harness.tmpdir() as tmp, idle() as target:
            victim = tmp / "victim"
            victim.write_bytes(b"precious")
            link = tmp / "cap.bin"
            link.symlink_to(victim)
            self.refused(target, link, text="(?i)link|exist")
            result = harness.memtrace("attach", target.pid, "--duration", "100ms", "-f",
                                      "-o", link, check=None)
            self.assertEqual(victim.read_bytes(), b"precious")
            if result.code == 0:        # -f may replace the link itself
                self.assertFalse(link.is_symlink())
            dangling = tmp / "dangling.bin"
            dangling.symlink_to(tmp / "made")
            self.refused(target, dangling, text="(?i)link|exist")
            self.assertFalse((tmp / "made").exists())

    def test_name_with_odd_characters(self):
        with harness.tmpdir() as tmp, idle() as target:
            cap = tmp / "a b'$(x)ü.bin"
            harness.memtrace("attach", target.pid, "--duration", "100ms", "-o", cap)
            self.check_readable(cap, 0)

    def test_quiet(self):
        with harness.tmpdir() as tmp, idle() as target:
            result = harness.memtrace("attach", target.pid, "--duration", "100ms", "-q",
                                      "-o", tmp / "cap.bin")
            self.assertEqual((result.out, result.err), ("", ""))
            result = harness.memtrace("attach", target.pid, "-q", "-o", tmp / "cap.bin", check=1)
            self.assertRegex(result.err, "exist")       # errors are never quiet

    def test_the_next_command_works_as_printed(self):
        with harness.tmpdir() as tmp, idle() as target:
            with session.Attach(target.pid, "-o", tmp / "it's a cap.bin") as attach:
                target.send("g")
                target.wait_line("^done")
                result = attach.interrupt()
            match = re.search(r"^.*?(memtrace (?:symbolize|flamegraph|summary)\b.*)$",
                              result.err + result.out, re.M)
            self.assertTrue(match, result)
            harness.run(["sh", "-c", match[1].strip()], cwd=tmp, check=0,
                        env={"PATH": f"{harness.MEMTRACE.parent}:{os.environ['PATH']}"})

    def test_durations(self):
        with harness.tmpdir() as tmp, idle() as target:
            for bad in ("", "x", "-1", "1x", "5parsecs", "nan", "1e400"):
                result = harness.memtrace("attach", target.pid, f"--duration={bad}",
                                          "-o", tmp / "cap.bin", check=2)
                self.assertRegex(result.err, r"duration", bad)
            self.assertFalse((tmp / "cap.bin").exists())
            harness.memtrace("attach", target.pid, "--duration", "0.1", "-o", tmp / "cap.bin")

    def test_product_goes_to_a_terminal_in_colour_only_there(self):
        with harness.tmpdir() as tmp, idle() as target:
            result = harness.memtrace("attach", target.pid, "--duration", "100ms",
                                      "-o", tmp / "cap.bin")
            self.assertNotIn("\033", result.err + result.out)


class Options(Attached):
    def test_no_native(self):
        with harness.tmpdir() as tmp, service() as target:
            harness.memtrace("attach", target.pid, "--duration", "300ms", "--no-native",
                             "-o", tmp / "cap.bin")
            self.check_readable(tmp / "cap.bin", 100)
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated")
            self.assertEqual(harness.folded_sum(rows, "make_block"), 0)
            self.check_service(target)

    def test_as_another_user(self):
        """An ordinary user captures an ordinary user's process."""
        with harness.tmpdir(0o755) as tmp:
            os.chown(tmp, 65534, 65534)
            program = harness.compile_c("alloc_service.c", out_dir=tmp / "bin",
                                        flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
            copy = tmp / "memtrace"
            copy.write_bytes(harness.MEMTRACE.read_bytes())
            for path in (tmp / "bin", program, copy):
                path.chmod(0o755)
            user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            with harness.start_target([*user, program], stdin=True, wait="^ready") as target:
                with session.Attach(target.pid, argv=[
                        *user, copy, "attach", target.pid, "-o", tmp / "cap.bin"]) as attach:
                    time.sleep(0.2)
                    attach.interrupt()
                self.check_clean(target.pid)
                self.check_readable(tmp / "cap.bin", 100)
                self.check_service(target)

    def test_chrooted_target_on_another_mount(self):
        """The target sees another root and no /proc of ours: the library still gets in."""
        if harness.run(["unshare", "-m", "true"]).code:
            self.skipTest("no right to make mount namespaces")
        with harness.tmpdir(0o755) as tmp:
            root = tmp / "root"
            program = harness.compile_c("alloc_service.c",
                                        flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
            (root / "bin").mkdir(parents=True)
            (root / "bin" / "service").write_bytes(program.read_bytes())
            (root / "bin" / "service").chmod(0o755)
            libs = re.findall(r"(/\S+\.so\S*)", subprocess.check_output(
                ["ldd", str(program)], text=True))
            for lib in libs:
                dest = root / lib.lstrip("/")
                dest.parent.mkdir(parents=True, exist_ok=True)
                dest.write_bytes(Path(lib).read_bytes())
                dest.chmod(0o755)
            with harness.start_target(
                    ["unshare", "-m", "chroot", root, "/bin/service"], stdin=True,
                    wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                    time.sleep(0.2)
                    attach.interrupt()
                self.check_clean(target.pid)
                self.check_readable(tmp / "cap.bin", 100)
                rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--sysroot", root)
                self.assertGreater(harness.folded_sum(rows, r"^make_block\b"), 0)
                self.check_service(target)


if __name__ == "__main__":
    unittest.main()
