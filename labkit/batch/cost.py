"""What a run at full size would take here, said before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labkit.batch.plan import Job


def without_gpu(jobs: Sequence[Job]) -> str:
    """Return a line on what `jobs` at full size would take where there is no GPU; empty for all others."""
    full = [job for job in jobs if job.profile == "full"]
    if not full:
        return ""
    import torch

    from labkit.chapters.chapter import find_chapter
    from labkit.lab.rehearsal import read_rehearsal

    if torch.cuda.is_available():
        return ""
    told = []
    for slug in dict.fromkeys(job.slug for job in full):
        chapter = find_chapter(slug, Path(full[0].root))
        found = read_rehearsal(chapter, "full")
        cost = found.cost if found else f"a time that `labkit rehearse {chapter.number}` would tell"
        told.append(f"{chapter.number} takes {cost}")
    return f"no GPU here: each seed of {', of '.join(told)}"
