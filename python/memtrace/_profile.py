# SPDX-License-Identifier: Apache-2.0
# memtrace/_profile.py - one call of a function under a Tracker, with its figures.
# Knows: Tracker, FileReader. Does not know: what is called.

import os
import time
from datetime import datetime
from typing import Any, Callable, Dict, Optional

from ._reader import FileFormat, FileReader, PathLike
from ._tracker import Tracker


def profile_name(prefix: str) -> str:
    """PREFIX_20260408_110201_123456.bin, by the local time."""
    return f"{prefix}_{datetime.now():%Y%m%d_%H%M%S_%f}.bin"


def profile_function(func: Callable[..., Any], *args: Any, profile_prefix: str = "profile",
                     profile_dir: Optional[PathLike] = None, profile_aggregate: bool = False,
                     **kwargs: Any) -> Dict[str, Any]:
    """Calls func(*args, **kwargs) under a Tracker: {"result": ..., "profile": {"profileFile": NAME,
    "profilePath": ..., "durationMs": ..., "peakBytes": ..., "totalBytes": ..., "allocations": ...}}.

    The capture goes to `profile_dir`, the current folder without one; with
    `profile_aggregate` it has sums by stack in place of each event. What func raises passes."""
    name = profile_name(profile_prefix)
    if os.path.basename(name) != name:
        raise ValueError(f"profile_prefix must not name a folder: {profile_prefix!r}")
    path = os.path.join(os.fspath(profile_dir) if profile_dir is not None else "", name)
    kind = FileFormat.AGGREGATED_ALLOCATIONS if profile_aggregate else FileFormat.ALL_ALLOCATIONS
    with Tracker(path, file_format=kind):
        begin = time.perf_counter()
        result = func(*args, **kwargs)
        seconds = time.perf_counter() - begin
    with FileReader(path) as reader:
        totals = reader.totals()
    return {"result": result, "profile": {
        "profileFile": name, "profilePath": os.path.abspath(path),
        "durationMs": round(seconds * 1000, 2), **totals}}
