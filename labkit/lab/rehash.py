"""Computing the code hashes of records anew, where the way in which code is hashed has changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.lab.provenance import reach_at
from labkit.lab.record import SCHEMA, sealed, unsealed
from labkit.paths import write_atomically
from labkit.profile import checked_profile
from labkit.source.files import git


def rehash(chapter: Chapter, path: Path) -> bool:
    """Write the record in `path` with the hashes of the code of the commit it names; nothing else changes.

    Returns whether they were others. Raises LabkitError where the file is not whole and as committed, so that
    no edit of a record is sealed, or where the repository lacks the commit it names.
    """
    name = path.relative_to(chapter.root).as_posix()
    try:
        committed = git(chapter.root, "show", f"HEAD:{name}")
        if committed != path.read_bytes():
            raise LabkitError(f"{name} is not as committed, and only what is committed is hashed")
        content = json.loads(committed)
        if "sha256" in content:
            content = unsealed(path)
        if content["schema"] != SCHEMA:
            raise ValueError(f"of schema {content['schema']}, not {SCHEMA}")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise LabkitError(f"{name} is not in the last commit, or damaged: {error}") from error
    code = reach_at(chapter, checked_profile(content["profile"]), content["commit"]["sha"]).hashes()
    written = sealed(content | {"code": code}).encode()
    if written == committed:
        return False
    write_atomically(path, written)
    return True
