"""Pages that stop a build: which, at which cell, and why."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError


class FailingCell(SphinxError):
    """One or more chapters stopped at a cell; the message has a line for each."""

    category = "Failing cell"


class FailingPage(SphinxError):
    """Something went wrong while a page was read."""

    category = "Failing page"


def setup_failures(app: Sphinx) -> None:
    """Connect the hooks that stop a build whose chapters did not come to their end, and name the page."""
    app.connect("env-check-consistency", stop_at_failing_cells)
    app.connect("build-finished", name_page)


def executed_notebook(app: Sphinx, docname: str) -> Path:
    """Return where MyST-NB writes the notebook of a chapter with its outputs."""
    return Path(app.outdir).parent / "jupyter_execute" / f"{docname}.ipynb"


def stop_at_failing_cells(app: Sphinx, env: BuildEnvironment) -> None:
    """Raise FailingCell when a chapter was not executed to its end; comes after all chapters were read."""
    failures = []
    for name, data in sorted(getattr(env, "nb_metadata", {}).items()):
        run = data.get("exec_data") or {}
        if not run.get("succeeded", True):
            cells = nbformat.read(executed_notebook(app, name), as_version=4).cells
            where = _code_cell(cells, sum(cell.get("execution_count") is not None for cell in cells))
            limit = env.mystnb_config.execution_timeout  # type: ignore[attr-defined]
            failures.append(f"{Path(name).name}, {where}: {_reason(cells, run, limit)}")
    if failures:
        raise FailingCell("\n".join(failures))


def name_page(app: Sphinx, exception: Exception | None) -> None:
    """Raise FailingPage, or FailingCell where a kernel died, for an error that does not say where it was."""
    page = app.env.temp_data.get("docname")  # which is being read, if any
    # What a hook has raised comes wrapped.
    error = getattr(exception, "orig_exc", None) or exception
    if not page or error is None or isinstance(error, SphinxError):
        return
    if isinstance(error, DeadKernelError):
        reason = "the kernel died, perhaps for want of memory"
        raise FailingCell(f"{Path(page).name}, {_where_it_died(error)}: {reason}") from error
    raise FailingPage(f"{page}: {type(error).__name__}: {error}") from error


def _where_it_died(error: DeadKernelError) -> str:
    for frame, _ in walk_tb(error.__traceback__):
        # nbclient does not say in which cell it was, but this frame knows.
        if frame.f_code is NotebookClient.async_execute_cell.__code__:
            cells, index = frame.f_locals["self"].nb.cells, frame.f_locals["cell_index"]
            return _code_cell(cells, sum(cell.cell_type == "code" for cell in cells[: index + 1]))
    return "before its first cell"


def _code_cell(cells: list[Any], number: int) -> str:
    return f"code cell {number} of {sum(cell.cell_type == 'code' for cell in cells)}"


def _reason(cells: list[Any], run: dict[str, Any], limit: int) -> str:
    if run["error"] == "CellTimeoutError":
        return f"not done after {limit} s, the most that `timeout` in _config.yml allows a cell"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}".splitlines()[0]
    return str(run["error"])
