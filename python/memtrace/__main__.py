# SPDX-License-Identifier: Apache-2.0
# memtrace/__main__.py - `memtrace` and `python -m memtrace`: the program in this package.
# Knows: where it is. Does not know: what it does.

import os
import sys

from . import _files


def main() -> None:
    try:
        program = _files.program()
        os.execv(program, ["memtrace"] + sys.argv[1:])
    except (OSError, RuntimeError) as error:
        sys.exit(f"memtrace: {error}")


if __name__ == "__main__":
    main()
