"""The page that stops a build, where the error does not say which it was."""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.errors import SphinxError


class FailingPage(SphinxError):
    """Something went wrong while a page was read."""

    category = "Failing page"


def setup_failures(app: Sphinx) -> None:
    """Have errors name the page at which they came."""
    app.connect("build-finished", name_page)


def name_page(app: Sphinx, exception: Exception | None) -> None:
    """Raise FailingPage for an error that does not say where it was."""
    page = app.env.temp_data.get("docname")  # which is being read, if any
    # What a hook has raised comes wrapped.
    error = getattr(exception, "orig_exc", None) or exception
    if page and error is not None and not isinstance(error, SphinxError):
        raise FailingPage(f"{page}: {type(error).__name__}: {error}") from error
