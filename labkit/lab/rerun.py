"""A small run of a chapter's experiment, traced: a script for a process of its own, under any labkit.

It imports nothing of labkit itself, so that the labkit of an earlier commit can run under it. On stdin it
gets, as JSON, the experiment's `text`, one for all cells, the `imports` of its silent cells, and the `files`,
name → path, whose lines are of interest. It prints, as JSON, what the run put into its record, every digit of
it, and the lines that were executed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import redirect_stdout
from types import FrameType
from typing import Any

EXPERIMENT = "experiment"  # the file that the cells are said to be in


def main() -> None:
    """Run what stdin asks for."""
    request = json.loads(sys.stdin.read())
    executed: dict[str, set[int]] = {path: set() for path in (EXPERIMENT, *request["files"].values())}

    def traced(frame: FrameType, event: str, argument: Any) -> Any:
        lines = executed.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno)
        return traced

    names: dict[str, Any] = {"__name__": "__main__"}
    sys.settrace(traced)
    with redirect_stdout(sys.stderr):
        exec(request["imports"], names)
        exec(compile(request["text"], EXPERIMENT, "exec"), names)
    sys.settrace(None)
    [lab] = [value for value in names.values() if type(value).__name__ == "Lab"]
    record = lab._record
    values = {f"table {name}": rows for name, rows in record.rows.items()}
    values |= {f"picture {name}": hashlib.sha256(png).hexdigest() for name, png in lab._pictures.items()}
    files = {EXPERIMENT: EXPERIMENT, **request["files"]}
    answer = {
        "values": values,
        "timed": [f"table {name}" for name in record.timed],
        "machine": record.machine,
        "precision": record.precision,
        "versions": record.versions,
        "lines": {name: sorted(executed[path]) for name, path in files.items()},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
