"""A new chapter from the templates in `labkit/chapters/new/`: page, checkers, wrong answers, contents."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from labkit.chapters.chapter import Chapter, chapters, toc_pages
from labkit.errors import LabkitError
from labkit.paths import write_atomically

TEMPLATES = Path(__file__).parent / "new"


def new_chapter(root: Path, number: str, title: str, part: str) -> list[Path]:
    """Write the files of a new chapter into the book at `root`, name it in `_toc.yml`; return their paths.

    Those are its page in `book/<part>/`, its checkers and the wrong answers to its exercises; of a part that
    is new, its page `index.md` too. Raises LabkitError, and leaves nothing, where a name is not allowed or
    is there already.
    """
    chapter = _named(root, number, title, part)
    names = {"NUMBER": number, "SLUG": chapter.slug, "TITLE": title}
    index = root / "book" / part / "index.md"
    written = {
        chapter.source: _filled("chapter.md", names),
        root / f"labkit/exercises/{number}.py": _filled("exercises.py", names),
        root / f"tests/support/wrong_answers/{number}.py": _filled("wrong_answers.py", names),
    }
    if there := [path for path in written if path.exists()]:
        raise LabkitError(f"{there[0].relative_to(root)} is there already")
    if not index.exists():
        written[index] = _filled("part.md", {"TITLE": part.capitalize()})
    toc = root / "_toc.yml"
    before = toc.read_text(encoding="utf-8")
    written[toc] = with_page(before, part, chapter.slug)  # last: it makes a chapter of the files
    try:
        for path, text in written.items():
            write_atomically(path, text.encode())
        if chapter.page not in toc_pages(root):
            raise LabkitError(f"_toc.yml does not take {chapter.page}: name it there by hand")
    except LabkitError:
        write_atomically(toc, before.encode())
        for path in written.keys() - {toc}:
            with suppress(OSError):  # what could not be written may have no folder either
                path.unlink()
        raise
    return list(written)


def _named(root: Path, number: str, title: str, part: str) -> Chapter:
    """Return the chapter that is to be; raises LabkitError unless its names are allowed and new."""
    if not re.fullmatch(r"p\d\d", number):
        raise LabkitError(f"a chapter is called by p and two digits, such as p23, not {number!r}")
    if not re.fullmatch(r"[a-z][a-z_]*", part):
        raise LabkitError(f"a part is named by small letters, as its room in labkit, not {part!r}")
    words = "-".join(re.findall(r"[a-z0-9]+", title.lower()))
    if not words or not title.isprintable():
        raise LabkitError(f"a title has letters or digits, in one line, not {title!r}")
    for chapter in chapters(root):
        if chapter.number == number:
            raise LabkitError(f"{number} is there already: {chapter.page}.md")
    return Chapter(f"{number}-{words}", root, part)


def _filled(name: str, names: dict[str, str]) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub("|".join(names), lambda match: names[match[0]], text)


def with_page(toc: str, part: str, slug: str) -> str:
    """Return the text of `_toc.yml` with the page of a chapter last in its part, a new part after the others.

    Raises LabkitError where the text has no part to go by.
    """
    lines = toc.splitlines()
    parts = [k for k, line in enumerate(lines) if re.match(r"\s*- file: book/[a-z_]+/index\s*$", line)]
    if not parts:
        raise LabkitError("_toc.yml has no part, a line `- file: book/PART/index`, to put the chapter beside")
    own = next((k for k in parts if f"book/{part}/index" in lines[k]), None)
    at = _end(lines, parts[-1] if own is None else own)
    indent = re.match(r"\s*", lines[parts[-1]])[0]  # type: ignore[index]
    added = [f"{indent}    - file: book/{part}/{slug}"]
    if own is None:
        added = [f"{indent}- file: book/{part}/index", f"{indent}  sections:", *added]
    elif at == own + 1:
        added = [f"{indent}  sections:", *added]
    return "\n".join([*lines[:at], *added, *lines[at:]]) + "\n"


def _end(lines: list[str], part: int) -> int:
    """Return the number of the line after the sections of the part in line `part`."""
    indent = len(lines[part]) - len(lines[part].lstrip())
    for k in range(part + 1, len(lines)):
        if lines[k].strip() and len(lines[k]) - len(lines[k].lstrip()) <= indent:
            return k
    return len(lines)
