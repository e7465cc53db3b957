"""The card of a data set: JSON beside its npz, and what of it can be damaged unnoticed.

A card that labkit wrote carries `card_sha256` over all the rest: no change of its content goes unnoticed.

Other tools write cards without it. Those have every field of the layout and no others, each of its kind. Of
the sets in the registry, classes, source and licence are those that the registry knows; and the card of a
copy that runs of the book used is compared whole. What is not covered of other copies: `differences` and
`lossy`, and of a set that the registry does not know, the words of every field. (`sha256` is covered by the
npz itself.) A checksum stops accidents, not a forger.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from labkit.data.sources.registry import SOURCES
from labkit.errors import LabkitError

LARGEST = 10_000_000  # bytes of a card
MOST_CLASSES = 100_000
LONGEST = 1_000  # characters of a text
CHECKSUM = "card_sha256"
# `name` may be left out; `lossy` says which images are lossy copies, and is not read here.
_TEXTS = ("source", "licence", "differences", "sha256")
_LAYOUT = ("name", "classes", *_TEXTS, "lossy")


@dataclass(frozen=True)
class Card:
    """What is said about a data set, beside its images.

    Attributes:
        classes: one name a class; a set whose classes have none calls them "0", "1", ...
        sha256: checksum of the npz.
        licence: terms as their authors state them.
        source: what to cite.
        differences: how the set differs from the original; empty when it does not.
    """

    classes: tuple[str, ...]
    sha256: str
    licence: str
    source: str
    differences: str


def written(fields: dict[str, Any]) -> bytes:
    """Return the card of `fields` with its checksum; raises LabkitError for what `read` would refuse."""
    fields = {"source": "not stated", "licence": "not stated", "differences": "", **fields}
    _checked(fields)
    return json.dumps({**fields, CHECKSUM: checksum_of(fields)}, indent=1, ensure_ascii=False).encode()


def read(name: str, content: bytes) -> Card:
    """Return the card of the set `name`; raises LabkitError for one that is damaged, or none."""
    if len(content) > LARGEST:
        raise LabkitError(f"it is longer than {LARGEST:,} bytes")
    try:
        fields = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise LabkitError(f"it is not JSON: {str(error)[:200]}") from error
    if not isinstance(fields, dict):
        raise LabkitError("it is not a JSON object")
    checksum = fields.pop(CHECKSUM, None)
    if checksum is not None and checksum != checksum_of(fields):
        raise LabkitError(f"it was altered: its content does not have its {CHECKSUM}")
    card = _checked(fields)
    if checksum is None:
        _check_against_registry(name, fields)
    return card


def checksum_of(fields: dict[str, Any]) -> str:
    """Return the sha256 over what the card says, in whatever order and layout."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _checked(fields: dict[str, Any]) -> Card:
    """Return the card, every field of it being of its kind."""
    for field in _TEXTS:
        if not _is_text(fields.get(field)):
            raise LabkitError(f"{field} must be a text of one line, up to {LONGEST:,} characters")
    if not re.fullmatch("[0-9a-f]{64}", fields["sha256"]):
        raise LabkitError("sha256 must be 64 hexadecimal digits")
    classes = fields.get("classes")
    if type(classes) is int and 0 < classes <= MOST_CLASSES:
        classes = [str(label) for label in range(classes)]
    if not (isinstance(classes, list) and 0 < len(classes) <= MOST_CLASSES and all(map(_is_name, classes))):
        raise LabkitError(f"classes must be 1 to {MOST_CLASSES:,} names, or their number")
    return Card(tuple(classes), *(fields[text] for text in ("sha256", "licence", "source", "differences")))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST


def _is_name(value: object) -> bool:
    return _is_text(value) and value != ""


def _check_against_registry(name: str, fields: dict[str, Any]) -> None:
    """Raise LabkitError for fields outside the layout, or other than the registry knows of the set `name`."""
    if unknown := [field for field in fields if field not in _LAYOUT]:
        raise LabkitError(
            f"unknown field {unknown[0][:40]!r}; allowed without {CHECKSUM}: {', '.join(_LAYOUT)}"
        )
    if fields.get("name", name) != name:
        raise LabkitError("name is that of another set")
    if name in SOURCES:
        source = SOURCES[name]
        if source.copies.get(fields["sha256"], checksum_of(fields)) != checksum_of(fields):
            raise LabkitError("it was altered: the card of this copy is known, and another")
        for field, known in (
            ("classes", (list(source.classes), len(source.classes))),
            ("source", (source.citation, *source.also_cited)),
            ("licence", (source.licence,)),
        ):
            if fields[field] not in known:
                raise LabkitError(f"{field} is not that of {name}, which is {str(known[0])[:200]!r}")
