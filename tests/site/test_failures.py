"""A page that cannot be read stops the build, and is named."""

from __future__ import annotations

from pathlib import Path

from plain_sphinx import build, write_pages


def test_a_page_with_front_matter_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    write_pages(tmp_path, {"intro": "# A book", "data/set": "---\norphan: [\n---\n\n# A set"})
    code, _, errors = build(tmp_path)
    assert code != 0
    assert "Failing page:\nbook/data/set: ParserError: while parsing" in errors
