"""The experiment of a chapter, abridged: a script for a process of its own, in which it replaces functions.

On stdin it gets, as JSON, the `cells` of the experiment (number, source, whether it computes, whether it
holds the parameters), the `parameters` to set, and the `answer`, a path. It prints a line for each training
and writes the sums, or which cell `failed`, to that path. Records and checkpoints go where `LABKIT_RESULTS`
says.
"""

from __future__ import annotations

import ast
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from labkit.errors import one_line
from labkit.lab import session
from labkit.lab.abridged import Abridged, clock
from labkit.training.checkpoint import Checkpoint

# On a CPU two batches of a few images tell what an image costs; on a GPU only full ones do.
SIZE_ON_CPU, SIZE_ON_GPU = 7, 500  # no shape of a layer is 14: an answer about 14 images can be told


def main() -> None:
    """Run what stdin asks for."""
    request = json.loads(sys.stdin.read())
    out, trainings = sys.stdout, []

    def tell(title: str, steps: int, seconds: float) -> None:
        trainings.append({"training": title, "steps": steps, "seconds a step": float(f"{seconds:.4g}")})
        print(f"{title:<44} {steps:>9,} steps, {seconds:.4f} s each", file=out, flush=True)

    records = Path(os.environ["LABKIT_RESULTS"])

    def checkpoint(path: Path, key: str) -> Checkpoint:
        # Never that of a real run. It is saved once, at the end.
        return Checkpoint(records / path.name, key, every=sys.maxsize)

    session.Checkpoint = checkpoint  # type: ignore[assignment,attr-defined]
    # What is computed on few images is kept for nobody.
    session.once = lambda path, key, clock, compute: compute()  # type: ignore[attr-defined]
    session.kept = lambda folder, function, device, **given: (function(**given), "")  # type: ignore[attr-defined]
    record = session.Lab.record

    def recorded(lab: session.Lab, table: str, rows: Sequence[Mapping[str, Any]], **how: bool) -> None:
        # The correlation of answers that were repeated is no number; of a real run that says nothing.
        record(lab, table, [{name: _finite(value) for name, value in row.items()} for row in rows], **how)

    session.Lab.record = recorded  # type: ignore[method-assign,assignment]
    abridged = Abridged(SIZE_ON_GPU if torch.cuda.is_available() else SIZE_ON_CPU, tell)
    names: dict[str, Any] = {"__name__": "__main__"}
    at = ""
    started, began = time.monotonic(), clock()
    try:
        with redirect_stdout(sys.stderr):
            # All imports first: what they bind is replaced wherever it was imported.
            for cell in request["cells"]:
                at = f"cell {cell['number']}"
                exec(compile(_imports(cell["source"]), at, "exec"), names)
            abridged.install()
            for cell in request["cells"]:
                if cell["computes"]:
                    at = f"cell {cell['number']}"
                    exec(compile(cell["source"], at, "exec"), names)
                if cell["parameters"]:
                    names |= request["parameters"]
    except Exception as error:
        traceback.print_exc()
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == at]
        place = f"{at}, line {lines[-1]}" if lines else at
        answer: dict[str, Any] = {"failed": f"{place}: {one_line(type(error).__name__, str(error))}"}
    else:
        seconds = clock() - began
        [lab] = [value for value in names.values() if type(value).__name__ == "Lab"]
        answer = {
            "trainings": trainings,
            "passes": round(abridged.passes),
            # What was not cut short takes as long as here.
            "hours": float(f"{(seconds - abridged.spent + abridged.seconds) / 3600:.4g}"),
            "seconds": round(time.monotonic() - started),
            "machine": lab._record.machine,
            "precision": lab._record.precision,
            "versions": lab._record.versions,
        }
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _imports(source: str) -> ast.Module:
    """Return the imports at the top of a cell, each in its line."""
    found: list[ast.stmt] = [
        node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return ast.Module(found, [])


if __name__ == "__main__":
    main()
