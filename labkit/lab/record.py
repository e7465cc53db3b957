"""The record of a run: what it measured and what it was made of, as one JSON file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.paths import write_atomically
from labkit.profile import PROFILES, Profile, checked_profile

SCHEMA = 3
LARGEST_BYTES = 200_000
LARGEST_PICTURE = 150_000  # bytes, too
LARGEST_PICTURES = 600_000  # of one chapter
PICTURED = 0  # the seed whose pictures are kept: nobody looks at those of the others

Row = dict[str, Any]


def with_interval(values: Sequence[float], scale: float, unit: str, sign: str = "") -> str:
    """Return a value, or a value and the two ends of its interval, times `scale` and followed by `unit`.

    An interval that has no width as it is written is left out.
    """
    points = scale == 100 and scale * max(map(abs, values)) >= 0.05
    mean, *ends = (scale * value for value in values)
    places = 1 if points else _places(*ends) if ends else None

    def text(value: float) -> str:
        form = f".{places}f" if places is not None else ".3g"
        if not points and 999.5 <= abs(value) < 1e6:
            form = ",.0f"
        return f"{value:{sign}z{form}}"  # z: no minus before a zero

    shown, *shown_ends = map(text, (mean, *ends))
    interval = f" [{', '.join(shown_ends)}]" if {*shown_ends} - {shown} else ""
    return f"{shown}{interval}\u00a0{unit}".rstrip("\u00a0")


def _places(low: float, high: float) -> int | None:
    """Return how many decimal places an interval from `low` to `high` deserves: two digits of its width.

    They are never more than three digits of its larger end. None for an interval that has no width, or spans
    a decade and more, where each number needs places of its own.
    """
    largest = max(abs(low), abs(high))
    decade = low * high > 0 and largest >= 10 * min(abs(low), abs(high))
    if not low < high or not 1e-3 <= largest < 1e6 or decade:
        return None
    return max(0, min(1 - math.floor(math.log10(high - low)), 2 - math.floor(math.log10(largest))))


@dataclass
class Record:
    """One run of one chapter: `rows` holds a table, `sheets` a picture's file and hash, by requirement.

    The file is `-` where the picture was not kept.
    """

    chapter: str
    profile: Profile
    seed: int
    parameters: dict[str, Any] = field(default_factory=dict)
    data: list[dict[str, Any]] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)
    commit: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    seconds: float = 0.0  # as labkit.lab.clock counts them
    peak_memory_mb: int = 0
    rows: dict[str, list[Row]] = field(default_factory=dict)
    timed: list[str] = field(default_factory=list)  # tables measured by a clock: no two runs give the same
    claims: list[str] = field(default_factory=list)  # what was claimed when it was made: `Claim.identity`
    sheets: dict[str, str] = field(default_factory=dict)
    weights: list[dict[str, str]] = field(default_factory=list)  # of public networks, not trained here

    def picture(self, table: str) -> tuple[str, str]:
        """Return the file of the picture of `table`, whose name may have blanks, and its hash."""
        name, _, known = self.sheets[table].rpartition(" ")
        return name, known

    @property
    def machine(self) -> str:
        """The hardware in words."""
        if gpu := self.hardware.get("gpu"):
            return str(gpu)
        threads = self.hardware["threads"]
        return f"{self.hardware['cpu']}, {threads} thread{'s' * (threads > 1)}"

    def write(self, folder: Path) -> Path:
        """Write the record as `folder/<chapter>/<profile>/seed-<n>.json`, whole or not at all.

        Raises LabkitError where a value is not JSON or the file would be larger than a record may be.
        """
        path = folder / self.chapter / self.profile / f"seed-{self.seed}.json"
        content = {"schema": SCHEMA} | dataclasses.asdict(self)
        try:
            # A smoke run is compared to the last digit, and never kept.
            written = sealed(content if self.profile == "smoke" else _short(content)).encode()
        except (TypeError, ValueError) as error:
            raise LabkitError(
                f"record of {self.chapter}: {error}; rows hold text, numbers and None"
            ) from error
        if len(written) > LARGEST_BYTES:
            raise LabkitError(
                f"record of {self.chapter}: {len(written)} bytes, more than {LARGEST_BYTES}: thin its rows"
            )
        write_atomically(path, written)
        return path


def sealed(content: Mapping[str, Any]) -> str:
    """Return `content` as the text of a file that carries the sha256 of itself, as first entry.

    Raises ValueError where a number is not finite.
    """
    seal = hashlib.sha256(_json(content).encode()).hexdigest()
    return f"{_json({'sha256': seal, **content})}\n"


def unsealed(path: Path) -> dict[str, Any]:
    """Return the content of a file made by `sealed`; raises ValueError unless it is that, to the character.

    The seal tells of accidents and edits, not of forgery: who computes it anew is found out by comparing with
    the history of the repository.
    """
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    if not isinstance(content, dict) or "sha256" not in content:
        raise ValueError("written by another version of labkit, or no record at all")
    del content["sha256"]
    if sealed(content) != text:
        raise ValueError("it was changed after it was written: its content does not have its sha256")
    return content


def read_record(path: Path) -> Record:
    """Return the record in `path`; raises LabkitError where the file is damaged or of another schema."""
    try:
        content = unsealed(path)
        if content.pop("schema") != SCHEMA:
            raise ValueError("written by another version of labkit")
        checked_profile(content["profile"])
        return Record(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, LabkitError) as error:
        raise LabkitError(f"{path} is not a record: {error}") from error


def records(chapter: Chapter, folder: Path, profile: Profile) -> list[Record]:
    """Return the chapter's records of one profile under `folder`, by seed."""
    found = [read_record(path) for path in (folder / chapter.slug / profile).glob("seed-*.json")]
    return sorted(found, key=lambda record: record.seed)


def best_records(chapter: Chapter, folder: Path) -> list[Record]:
    """Return the records of the largest profile that has any, `smoke` excepted: it shows that cells run."""
    for profile in reversed(PROFILES[1:]):
        if found := records(chapter, folder, profile):
            return found
    return []


def rows_file(chapter: Chapter, table: str) -> str:
    """Return the file of the site that holds the recorded rows of `table`."""
    return f"_rows/{chapter.number}-{re.sub('[^a-z0-9]+', '-', table.lower())}.csv"


def _short(value: Any) -> Any:
    """Return `value` with floats at six significant digits: more is noise and doubles the file."""
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    return value


def _json(value: Any, depth: int = 3) -> str:
    """Return `value` as compact JSON with a line for each entry down to `depth`: rows are read in diffs."""
    if depth and isinstance(value, dict) and value:
        items = (f"{json.dumps(key)}:{_json(item, depth - 1)}" for key, item in value.items())
        return "{\n" + ",\n".join(items) + "\n}"
    if depth and isinstance(value, list) and value:
        return "[\n" + ",\n".join(_json(item, 0) for item in value) + "\n]"
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
