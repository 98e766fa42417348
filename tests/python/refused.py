# SPDX-License-Identifier: Apache-2.0
# tests/python/refused.py - a filter like those of containers: what reaches into other processes is
# refused, to this process and to whom it starts.
# Knows: seccomp's programs. Does not know: memtrace. Imported by check_refused.py, and by programs of
# test_places.py.
import ctypes
import struct

CALLS = 101, 310, 311       # ptrace, process_vm_readv, process_vm_writev
NO_NEW_PRIVS, SECCOMP = 38, 22


def refuse(*killed):
    """Those that are `killed` end the program."""
    last = len(CALLS) + 2 * len(killed)
    rules = [(0x20, 0, 0, 0), *((0x15, last - i, 0, nr) for i, nr in enumerate(CALLS)),
             *(rule for nr in killed for rule in ((0x15, 0, 1, nr), (0x06, 0, 0, 0x80000000))),
             (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050001)]       # allow; EPERM
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    assert not prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    assert not prctl(SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0)
