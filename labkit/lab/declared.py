"""The claims of a chapter without a run: its claims cell, executed alone."""

from __future__ import annotations

from types import SimpleNamespace

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError, one_line
from labkit.lab.evidence import Evidence

TAG = "claims"


def evidence_of(chapter: Chapter) -> Evidence:
    """Return what `chapter` claims, nothing where it has no claims cell.

    The cell, tagged `claims`, uses `lab.evidence()` and its own imports only. Raises LabkitError where there
    are several, or it fails.
    """
    cells = [cell.source for cell in chapter.read().cells if TAG in cell.metadata.get("tags", [])]
    if len(cells) > 1:
        raise LabkitError(f"{chapter.source.name} has {len(cells)} cells tagged {TAG}; allowed: one")
    evidence = Evidence()
    for source in cells:
        try:
            exec(
                compile(source, f"claims of {chapter.slug}", "exec"),
                {"lab": SimpleNamespace(evidence=lambda: evidence)},
            )
        except Exception as error:
            told = one_line(type(error).__name__, str(error))
            raise LabkitError(f"the claims cell of {chapter.source.name}: {told}") from error
    return evidence
