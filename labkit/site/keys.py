"""What tells a page made from the records that it must be made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from labkit.chapters.chapter import chapters
from labkit.lab.provenance import code_hashes
from labkit.profile import PROFILES
from labkit.source.meaning import digest

KEY = "labkit_records"


def records_key(root: Path) -> str:
    """Return the digest of what the tables depend on: all records, and the code that they may be stale to."""
    return digest(
        [
            *(
                f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
                for path in sorted((root / "results").rglob("*.json"))
            ),
            *(
                f"{chapter.title()} {json.dumps(code_hashes(chapter, profile))}"
                for chapter in chapters(root)
                for profile in PROFILES[1:]  # a smoke run is never recorded
            ),
        ]
    )
