# SPDX-License-Identifier: Apache-2.0
# tests/targets/subinterpreters.py - 7 allocations by leaf(), line 3, in a sub-interpreter, twice: in
# the main thread and in another. Prints how many there were; 0: this Python has none to offer.
import threading

CODE = """
def leaf():
    return bytes(300000)
def mid():
    for _ in range(7): leaf()
mid()
"""


def interpreters():
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return __import__(name)
        except ImportError:
            pass
    return None


def run():
    module = interpreters()
    if module:
        ident = module.create()
        module.run_string(ident, CODE)
        module.destroy(ident)
    else:
        import _testcapi
        _testcapi.run_in_subinterp(CODE)


try:
    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    print(14)
except ImportError:
    print(0)
