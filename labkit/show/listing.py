"""Source listings: chapters show the code that runs, never a copy of it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from IPython.display import Markdown


def listing(*objects: Callable[..., Any]) -> Markdown:
    """Return the source of functions, methods or classes of labkit as highlighted code with its place."""
    blocks = []
    for thing in objects:
        place = f"# {thing.__module__}.{thing.__qualname__}"
        blocks.append(f"```python\n{place}\n{textwrap.dedent(inspect.getsource(thing)).rstrip()}\n```")
    return Markdown("\n\n".join(blocks))
