"""What may be done with the book, and how it is cited: all places that say it say the same."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pybtex.database import parse_string

from labkit.data import fetch_weights
from labkit.data.weights import WEIGHTS
from labkit.errors import LabkitError
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent
CODE, TEXT = "MIT", "CC BY 4.0"


def read(name: str) -> str:
    return (BOOK / name).read_text(encoding="utf-8")


CITATION: dict[str, Any] = yaml.safe_load(read("CITATION.cff"))
CONFIG: dict[str, Any] = yaml.safe_load(read("_config.yml"))
PROJECT: dict[str, Any] = tomllib.loads(read("pyproject.toml"))["project"]


def test_the_texts_of_the_licences_are_whole() -> None:
    code, text = read("LICENSE"), read("LICENSE-text")
    assert code.startswith("MIT License\n\nCopyright (c) 2026 The Lab Book authors\n\nPermission is hereby")
    assert code.rstrip().endswith("OTHER DEALINGS IN THE\nSOFTWARE.")
    assert text.startswith("Attribution 4.0 International\n")
    assert re.findall(r"^Section (\d) -- ", text, re.MULTILINE) == [str(number) for number in range(1, 9)]
    assert text.rstrip().endswith("Creative Commons may be contacted at creativecommons.org.")


def test_every_place_names_the_same_licences() -> None:
    assert PROJECT["license"] == CITATION["license"] == CODE
    assert PROJECT["license-files"] == ["LICENSE"]
    assert CITATION["preferred-citation"]["license"] == "CC-BY-4.0"
    readme, cite = read("README.md"), read("book/cite.md")
    assert f"[{CODE} licence](LICENSE)" in readme
    assert f"[{TEXT}](LICENSE-text)" in " ".join(readme.split())
    assert f"{{repository}}`{CODE} licence <LICENSE>`" in cite
    assert f"{{repository}}`{TEXT} <LICENSE-text>`" in cite
    named = re.findall(r"\b(?:MIT|BSD|Apache|GPL|CC[ -]BY\S*(?: \d\.\d)?)", readme + cite)
    assert set(named) == {CODE, TEXT}


def test_the_citation_file_has_what_the_format_asks_for() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION.keys() >= {"message", "title", "authors"}
    assert CITATION["preferred-citation"].keys() >= {"type", "title", "authors"}
    assert (CITATION["title"], CITATION["version"]) == (PROJECT["name"], PROJECT["version"])


@pytest.mark.parametrize("field", ["title", "author", "year"])
def test_page_and_citation_file_cite_the_same_book(field: str) -> None:
    block = re.search(r"```bibtex\n(.*?)```", read("book/cite.md"), re.DOTALL)
    assert block
    [entry] = parse_string(block[1], "bibtex").entries.values()
    preferred = CITATION["preferred-citation"]
    [author] = entry.persons["author"]
    page = {"author": " ".join(author.last_names).strip("{}")} | dict(entry.fields)
    file = {"author": preferred["authors"][0]["name"]} | preferred
    config = {
        "author": CONFIG["author"],
        "title": CONFIG["title"],
        "year": CONFIG["copyright"],
    }
    assert page[field] == str(file[field]) == config[field]


KNOWN_LICENCES = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"}


def test_public_weights_are_under_a_licence_or_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(fetch_weights, "download", lambda name, *_: pytest.fail(f"downloads {name}"))
    without = {name for name, weights in WEIGHTS.items() if weights.licence not in KNOWN_LICENCES}
    assert {WEIGHTS[name].licence for name in without} == {"none stated"}
    assert len(without) == 6
    for name in without:
        with pytest.raises(LabkitError, match=re.escape(WEIGHTS[name].address)):
            fetch_weights.fetch_weights(name)


def test_no_data_and_no_weights_of_others_are_in_the_repository() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=BOOK, capture_output=True, text=True, check=True)
    files = done.stdout.splitlines()
    assert "LICENSE" in files
    kinds = (".safetensors", ".pt", ".pth", ".th", ".tar", ".gz", ".h5", ".hdf5", ".npz", ".npy", ".pkl")
    assert [file for file in files if file.endswith(kinds)] == []
