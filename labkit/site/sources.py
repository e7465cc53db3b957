"""What the website is made from, looked over before anything is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

from labkit.chapters.chapter import toc_pages
from labkit.errors import LabkitError

SUFFIXES = (".md", ".ipynb", ".rst")  # of what Sphinx would read


def check_sources(root: Path) -> None:
    """Raise LabkitError where `_config.yml` or `_toc.yml` cannot be read, or the contents are not the pages.

    Each page that `_toc.yml` names is there, in UTF-8. It names each page of `book/` once; folders there
    whose name begins with `_` or `.` hold no pages.
    """
    read_config(root)
    try:
        parse_toc_yaml(root / "_toc.yml")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabkitError(f"_toc.yml is not YAML: {_line(error)}") from error
    except MalformedError as error:
        raise LabkitError(f"_toc.yml: {_line(error)}") from error
    named = toc_pages(root)
    for name in named:
        try:
            (root / f"{name}.md").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise LabkitError(f"_toc.yml names {name}, but there is no {name}.md") from error
        except UnicodeDecodeError as error:
            raise LabkitError(f"{name}.md is not UTF-8: {error}") from error
    if forgotten := sorted(set(_pages(root)) - {f"{name}.md" for name in named}):
        raise LabkitError(f"_toc.yml forgets {', '.join(forgotten)}: every page of book/ belongs to the book")


def read_config(root: Path) -> dict[str, Any]:
    """Return what `_config.yml` says; raises LabkitError where that is no mapping."""
    try:
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabkitError(f"_config.yml is not YAML: {_line(error)}") from error
    if not isinstance(config, dict):
        raise LabkitError("_config.yml needs lines `name: value`, as jupyter-book 1 reads them")
    return config


def _pages(root: Path) -> Iterator[str]:
    for path in (root / "book").rglob("*"):
        parts = path.relative_to(root).parts
        if (
            path.suffix in SUFFIXES
            and path.is_file()
            and not any(part.startswith(("_", ".")) for part in parts)
        ):
            yield "/".join(parts)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
