"""Where the book is published: the one address that buttons, links and notebooks lead to."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import LabkitError
from labkit.source.files import git

GITHUB = re.compile(r"(?:https://(?:[^@/]+@)?|ssh://git@|git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def address(root: Path) -> str:
    """Return the https address of the book's repository on GitHub, "" where neither place names one.

    That is what `_config.yml` says, else where git says that this clone is from. Raises LabkitError where
    the former is no such address.
    """
    return setting(root) or _origin(root)


def setting(root: Path) -> str:
    """Return `repository: url` of `_config.yml`; raises LabkitError where it is no address on GitHub."""
    found = str(_repository(root).get("url") or "")
    if found and not (name := _name(found)):
        raise LabkitError(f"_config.yml: the url of the repository is not https://github.com/…/…: {found}")
    return f"https://github.com/{name}" if found else ""


def branch(root: Path) -> str:
    """Return the branch that `_config.yml` names, where readers find the book."""
    return str(_repository(root).get("branch") or "main")


def _origin(root: Path) -> str:
    try:
        url = git(root, "remote", "get-url", "origin").decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    name = _name(url)
    return f"https://github.com/{name}" if name else ""


def _name(url: str) -> str:
    found = GITHUB.fullmatch(url)
    return found[1] if found else ""


def _repository(root: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    except (FileNotFoundError, yaml.YAMLError, UnicodeDecodeError):
        return {}  # building the site says what is wrong with it
    found = config.get("repository") if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}
