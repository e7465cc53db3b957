"""Executing chapters side by side, before Sphinx reads their pages and asks the cache for their outputs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from myst_nb.core.read import create_nb_reader
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError
from sphinx.util.logging import getLogger

from labkit.chapters.chapter import Chapter, chapters
from labkit.machine import cores
from labkit.site.keys import keyed

LOG = getLogger(__name__)


class FailingCell(SphinxError):
    """One or more chapters stopped at a cell; the message has a line for each."""

    category = "Failing cell"


def execute_outdated(app: Sphinx, env: BuildEnvironment, docnames: Sequence[str]) -> None:
    """Execute the chapters among the pages to be read that the cache does not have, and put them there.

    As many at a time as there are cores, each with one thread. Raises FailingCell after the last of them
    where some were not executed to their end; the others are in the cache.
    """
    config = env.mystnb_config  # type: ignore[attr-defined]
    if config.execution_mode != "cache":
        return
    cache = get_cache(config.execution_cache_path)
    waiting = {}
    for chapter in chapters(Path(app.srcdir)):
        if chapter.page in docnames:
            notebook = _as_read(env, chapter)
            try:
                cache.match_cache_notebook(notebook)
            except KeyError:
                waiting[chapter] = notebook
    failures = asyncio.run(_side_by_side(waiting, config.execution_timeout, cache))
    if failures:
        raise FailingCell("\n".join(failures))


def _as_read(env: BuildEnvironment, chapter: Chapter) -> Any:
    """Return the notebook that MyST-NB will make of the page and look up in the cache."""
    text = keyed(chapter, chapter.source.read_text(encoding="utf-8"))
    config = (env.myst_config, env.mystnb_config)  # type: ignore[attr-defined]
    return create_nb_reader(str(chapter.source), *config, text).read(text)


async def _side_by_side(waiting: dict[Chapter, Any], limit: int, cache: JupyterCacheAbstract) -> list[str]:
    """Execute the notebooks into `cache`; return a line for each that did not come to its end."""
    places = asyncio.Semaphore(cores())

    async def execute(chapter: Chapter, notebook: Any) -> str | None:
        async with places:
            LOG.info("%s: executing", chapter.slug)
            started = time.monotonic()
            client = _Client(notebook, timeout=limit, record_timing=False)
            try:
                await client.async_execute(
                    cwd=str(chapter.source.parent),
                    env=os.environ | {"OMP_NUM_THREADS": "1", "LABKIT_PAGE": "1"},
                )
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                LOG.info("%s", error)  # with its traceback
                return f"{chapter.slug}, {client.place()}: {_reason(error, limit)}"
            seconds = time.monotonic() - started
            bundle = CacheBundleIn(notebook, str(chapter.source), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            LOG.info("%s: executed in %.1f s", chapter.slug, seconds)
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(execute(*item)) for item in waiting.items()]
    return [failure for task in tasks if (failure := task.result())]


class _Client(NotebookClient):
    """A client that leaves signals to the event loop and knows at which cell it is."""

    @asynccontextmanager
    async def async_setup_kernel(self, **kwargs: Any) -> AsyncIterator[None]:
        # The original has handlers of its own, of which the last client's would be the only one that counts.
        # An interrupted loop cancels every execution, and so each client stops its kernel.
        self.km = self.create_kernel_manager()
        try:
            await self.async_start_new_kernel(**kwargs)
            await self.async_start_new_kernel_client()
            yield
        finally:
            await self._async_cleanup_kernel()

    async def async_execute_cell(
        self, cell: Any, cell_index: int, execution_count: int | None = None, store_history: bool = True
    ) -> Any:
        self.at = cell_index
        return await super().async_execute_cell(cell, cell_index, execution_count, store_history)

    def place(self) -> str:
        """Return in words which of the code cells was the last that started."""
        numbers = [index for index, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        started = sum(index <= getattr(self, "at", -1) for index in numbers)
        return f"code cell {started} of {len(numbers)}" if started else "before its first cell"


def _reason(error: Exception, limit: int) -> str:
    if isinstance(error, CellTimeoutError):
        return f"not done after {limit} s, the most that `timeout` in _config.yml allows a cell"
    if isinstance(error, DeadKernelError):
        return "the kernel died, perhaps for want of memory"
    return f"{error.ename}: {error.evalue}".splitlines()[0]  # type: ignore[attr-defined]
