"""MyST as plain Markdown, for notebooks that are read outside the site; and the way back from an edited text.

Text becomes pieces: what the source says, and what a notebook shows instead. Most say the same. The pieces of
a cell lead back from an edited text to its source: what is unchanged comes back as the source has it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path

Piece = tuple[str, str]  # in the source, in the notebook

# Directives whose text is quoted, under their title or their name.
QUOTED = ("note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "error", "seealso")
OPENS = re.compile(r"(?P<fence>:{3,}|`{3,})\{(?P<name>[\w:-]+)\} *(?P<title>.*)")
CODE_FENCE = re.compile(r"(`{3,}|~{3,})")
OPTION = re.compile(r":([\w-]+): *(.*)")
UNSEEN = re.compile(r"\([\w:-]+\)=|%.*")  # labels, comments
INLINE = re.compile(
    r"""
      \{(?P<role>[\w:]+)\}`(?P<said>[^`]+)`
    | (?P<verbatim>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`) | \$\$.+?\$\$ | \$(?:[^$\\]|\\.)+\$)
    | (?P<label>(?<=\$\$)\ *\([\w:-]+\)(?=\n|$))
    | (?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Page:
    """Where a text stands: the `root` of the book, the page's path in it, the address it is published at."""

    root: Path
    name: str
    address: str = ""
    branch: str = "main"

    def path(self, target: str) -> str:
        """Return the path from the root of the file that a link names, "" where there is no such file."""
        file = target.partition("#")[0]
        if not file or "://" in target:
            return ""
        path = file[1:] if file.startswith("/") else posixpath.join(posixpath.dirname(self.name), file)
        path = posixpath.normpath(path)
        return path if not path.startswith("..") and (self.root / path).is_file() else ""

    def url(self, path: str, kind: str = "blob") -> str:
        """Return the address of a file of the book, "" where the book has none."""
        return f"{self.address}/{kind}/{self.branch}/{path}" if self.address else ""

    def title(self, path: str) -> str:
        """Return the first heading of a page of the book."""
        text = (self.root / path).read_text(encoding="utf-8")
        found = re.search(r"^# (.*)", text, re.MULTILINE)
        return found[1].strip() if found else path


@dataclass
class _Directive:
    fence: str
    kind: str  # quoted, plain or verbatim
    ends: str = ""  # what the notebook shows at its end


@dataclass
class _Reader:
    page: Page
    open: list[_Directive] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # lines of running text that were not rendered yet

    def pieces(self, source: str) -> Iterator[Piece]:
        lines = source.splitlines(keepends=True)
        while lines:
            line = lines.pop(0)
            bare = line.strip()
            inner = self.open[-1] if self.open else None
            if inner and bare.startswith(inner.fence) and not bare.strip(inner.fence[0]):
                yield from self._flush()
                self.open.pop()
                newline = "\n" if inner.ends and line.endswith("\n") else ""
                yield line, f"{self._quote()}{line}" if inner.ends == inner.fence else inner.ends + newline
            elif inner and inner.kind == "verbatim":
                yield line, f"{self._quote()}{line}"
            elif found := OPENS.fullmatch(bare):
                yield from self._flush()
                options = {}
                said = line
                while lines and (option := OPTION.fullmatch(lines[0].strip())):
                    options[option[1]] = option[2]
                    said += lines.pop(0)
                yield said, self._begin(found["fence"], found["name"], found["title"].strip(), options)
            elif found := CODE_FENCE.match(bare):
                yield from self._flush()
                yield line, f"{self._quote()}{line}"
                self.open.append(_Directive(found[1], "verbatim", found[1]))
            elif UNSEEN.fullmatch(bare):
                yield from self._flush()
                yield line, ""
            else:
                self.text.append(line)
        yield from self._flush()

    def _begin(self, fence: str, name: str, title: str, options: dict[str, str]) -> str:
        """Open a directive; return what the notebook shows where it begins."""
        before = self._quote()
        file, title = title, shown(list(inline(title, self.page)))
        if name in ("code", "code-block", "code-cell"):
            ticks = fence.replace(":", "`")
            self.open.append(_Directive(fence, "verbatim", f"{before}{ticks}"))
            return f"{before}{ticks}{title}\n"
        if name == "math":
            self.open.append(_Directive(fence, "plain", f"{before}$$"))
            return f"{before}$$\n"
        if name == "dropdown":
            self.open.append(_Directive(fence, "plain", f"\n{before}</details>"))
            return f"{before}<details><summary>{title}</summary>\n\n"
        if name == "admonition" or name in QUOTED:
            self.open.append(_Directive(fence, "quoted"))
            called = title if name == "admonition" else name.capitalize() + (f": {title}" if title else "")
            return f"{before}> **{called}**\n{before}>\n"
        self.open.append(_Directive(fence, "plain"))
        if name in ("figure", "image") and (path := self.page.path(file)):
            alt = options.get("alt", "")
            url = self.page.url(path, "raw")
            return f"{before}![{alt}]({url})\n\n" if url else f"{before}*{alt or path}*\n\n"
        return ""

    def _quote(self) -> str:
        return "> " * sum(directive.kind == "quoted" for directive in self.open)

    def _flush(self) -> Iterator[Piece]:
        """Yield the running text that was collected."""
        text, self.text = "".join(self.text), []
        quote, starts = self._quote(), True
        for said, there in inline(text, self.page):
            lines = there.splitlines(keepends=True) if said == there else [there]
            for line in lines:
                if quote and starts:
                    yield "", quote
                yield (line, line) if said == there else (said, line.replace("\n", f"\n{quote}"))
                starts = line.endswith("\n")


def inline(text: str, page: Page) -> Iterator[Piece]:
    """Yield the pieces of running text: roles and links of the book, and what is between them."""
    end = 0
    for found in INLINE.finditer(text):
        shown = _shown(found, page)
        if shown != found[0]:
            if found.start() > end:
                yield text[end : found.start()], text[end : found.start()]
            yield found[0], shown
            end = found.end()
    if text[end:]:
        yield text[end:], text[end:]


def _shown(found: re.Match[str], page: Page) -> str:
    if found["verbatim"]:
        return found[0]
    if found["label"]:
        return ""
    if found["role"]:
        return _role(found["role"], found["said"], page)
    target = found["target"]
    text = "".join(shown for _, shown in inline(found["text"], page))
    path = page.path(target)
    if found["image"]:
        url = page.url(path, "raw")
        return f"![{text}]({url})" if url else f"*{text}*" if path else found[0]
    if target.startswith("#"):
        return text
    if not path:
        return found[0] if text == found["text"] else f"[{text}]({target})"
    text = text or page.title(path)
    url = page.url(path)
    return f"[{text}]({url})" if url else text


def _role(name: str, said: str, page: Page) -> str:
    if name == "cite" or name.startswith("cite:"):
        works = [_work(page.root / "book" / "references.bib", key.strip()) for key in said.split(",")]
        return "; ".join(works)
    if name == "math":
        return f"${said}$"
    if name == "eq":
        return f"({said})"
    return re.sub(r"\s*<[^<>]*>$", "", said)


def _work(bibliography: Path, key: str) -> str:
    """Return a cited work as ``Kingma and Ba (2015)``, with a link; the key of one that is not there."""
    return _works(bibliography.read_text(encoding="utf-8") if bibliography.is_file() else "").get(key, key)


@lru_cache(maxsize=8)
def _works(text: str) -> dict[str, str]:
    from pybtex.database import parse_string

    works = {}
    for key, entry in parse_string(text, "bibtex").entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [" ".join(map(str, [*one.rich_prelast_names, *one.rich_last_names])) for one in people]
        if len(names) > 2 or "others" in names:
            called = f"{names[0]} et al."
        else:
            called = " and ".join(names) or str(entry.fields.get("title", key))
        links = {"doi": "https://doi.org/", "eprint": "https://arxiv.org/abs/", "url": ""}
        url = next((start + entry.fields[name] for name, start in links.items() if name in entry.fields), "")
        said = f"{called} ({entry.fields.get('year', 'n.d.')})"
        works[key] = f"[{said}]({url})" if url else said
    return works


def pieces_of(source: str, page: Page) -> list[Piece]:
    """Return the pieces of the Markdown `source` of a cell that stands on `page`."""
    return list(_Reader(page).pieces(source))


def shown(pieces: Sequence[Piece]) -> str:
    """Return what the notebook shows."""
    return "".join(there for _, there in pieces)


def restored(pieces: Sequence[Piece], edited: str) -> str:
    """Return the source of a cell whose text in the notebook is now `edited`.

    What was not edited comes back as the source has it; new words are taken as they are, citations and links
    that the cell has already as in the source.
    """
    marks = {there: said for said, there in pieces if said != there and there.strip()}
    longest_first = sorted(marks, key=len, reverse=True)
    words = re.compile("|".join([*map(re.escape, longest_first), r"\w+", r"\s", "."]))
    tokens: list[Piece] = []
    before = ""
    for said, there in pieces:
        if said == there:
            tokens += [(word, word) for word in words.findall(there)]
        elif there:
            tokens.append((said, there))
        elif tokens:
            # What is not shown belongs to what stands before it.
            tokens[-1] = tokens[-1][0] + said, tokens[-1][1]
        else:
            before += said
    # A word alone may stand for itself.
    again = {there: said for there, said in marks.items() if "](" in there or not said}
    now = words.findall(edited)
    matcher = SequenceMatcher(None, [there for _, there in tokens], now, autojunk=False)
    parts = [before]
    for operation, start, end, first, last in matcher.get_opcodes():
        if operation == "equal":
            parts += [said for said, _ in tokens[start:end]]
        else:
            parts += [again.get(word, word) for word in now[first:last]]
    return "".join(parts)
