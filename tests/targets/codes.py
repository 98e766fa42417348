# SPDX-License-Identifier: Apache-2.0
# tests/targets/codes.py - code objects that die, and others that get their addresses.
# Knows: the stack of each allocation, and prints it. Does not know: memtrace.
# Used by tests/e2e/test_python_versions.py: "COUNT function:line;...;leaf:line".
# The next code object of a size stands where the last one stood, and so do its frame and its name:
# every word that a reader of the stack could compare is the same, and nothing else allocates between.
import sys
import types

BIG = 300000
ROUNDS = 60


def leaf():
    return bytes(BIG)


LEAF = leaf.__code__.co_firstlineno + 1
PLAIN = compile("leaf()", "codes.py", "exec")
NESTED = compile("exec(inner)", "codes.py", "exec")


def renamed(code, name, line):
    """The same code under another name, at another line."""
    changes = {"co_name": name, "co_firstlineno": line}
    if sys.version_info >= (3, 11):
        changes["co_qualname"] = name
    if hasattr(code, "replace"):
        return code.replace(**changes)
    return types.CodeType(
        code.co_argcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize, code.co_flags,
        code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_filename, name, line,
        code.co_lnotab, code.co_freevars, code.co_cellvars)


def youngest(i):
    exec(renamed(PLAIN, "name_%06d" % i, 1000 + i))


def same_name(i):
    exec(renamed(PLAIN, "always", 1000 + i))


def older(i):
    """Only a frame in the middle is another."""
    exec(renamed(NESTED, "outer_%06d" % i, 1000 + i), {"inner": PLAIN, "leaf": leaf})


def main():
    line = main.__code__.co_firstlineno
    for i in range(ROUNDS):
        youngest(i)
        same_name(i)
    for i in range(ROUNDS):
        youngest(i)
    for i in range(ROUNDS):
        same_name(i)
    for i in range(ROUNDS):
        older(i)
    end = "leaf:%d" % LEAF
    for i in range(ROUNDS):
        first = youngest.__code__.co_firstlineno + 1
        for call in (3, 6):
            print("1 <module>:%d;main:%d;youngest:%d;name_%06d:%d;%s"
                  % (CALL, line + call, first, i, 1000 + i, end))
        first = same_name.__code__.co_firstlineno + 1
        for call in (4, 8):
            print("1 <module>:%d;main:%d;same_name:%d;always:%d;%s"
                  % (CALL, line + call, first, 1000 + i, end))
        print("1 <module>:%d;main:%d;older:%d;outer_%06d:%d;<module>:1;%s"
              % (CALL, line + 10, older.__code__.co_firstlineno + 2, i, 1000 + i, end))


CALL = sys._getframe().f_lineno + 1
main()
